//! Charges: approvals, declines, capture, cancel, refund, and how they are found again.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn every_decline_card_is_declined_with_its_codes() {
    let stage = Stage::open();
    for (number, code, decline_code, advice) in [
        (
            "4000000000000002",
            "card_declined",
            "generic_decline",
            "try_again_later",
        ),
        (
            "4000000000009995",
            "card_declined",
            "insufficient_funds",
            "try_again_later",
        ),
        (
            "4000000000009987",
            "card_declined",
            "lost_card",
            "do_not_try_again",
        ),
        (
            "4000000000009979",
            "card_declined",
            "stolen_card",
            "do_not_try_again",
        ),
        (
            "4000000000000069",
            "expired_card",
            "expired_card",
            "confirm_card_data",
        ),
        (
            "4000000000000127",
            "incorrect_cvc",
            "incorrect_cvc",
            "confirm_card_data",
        ),
        (
            "4000000000000119",
            "processing_error",
            "processing_error",
            "try_again_later",
        ),
        (
            "4000000000006975",
            "card_declined",
            "card_velocity_exceeded",
            "try_again_later",
        ),
        (
            "4000000000000341",
            "card_declined",
            "generic_decline",
            "try_again_later",
        ),
        (
            "4100000000000019",
            "card_declined",
            "fraudulent",
            "do_not_try_again",
        ),
        (
            "4000000000004954",
            "card_declined",
            "fraudulent",
            "do_not_try_again",
        ),
    ] {
        let answer = stage.charge_off_session(number).await;
        assert_eq!(answer.refusal(), (402, "card_error", code), "{number}");
        let error = answer.error();
        assert_eq!(error["decline_code"], decline_code);
        assert_eq!(error["advice_code"], advice);
        let intent = &error["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method");
        assert_eq!(intent["payment_method"], Value::Null);
        assert_eq!(intent["last_payment_error"]["decline_code"], decline_code);
        assert_eq!(intent["latest_charge"], error["charge"]);
        let charge = format!("/v1/charges/{}", error["charge"].as_str().unwrap());
        let charge = stage.get(&charge).await.body;
        assert_eq!(
            (&charge["paid"], &charge["status"]),
            (&json!(false), &json!("failed"))
        );
        assert_eq!(charge["outcome"]["reason"], decline_code);
    }
    assert_eq!(stage.ledger().await["made"]["charges_failed"], 11);
}

#[actix_web::test]
async fn a_good_card_is_charged_and_the_answer_says_so() {
    let stage = Stage::open();
    let order = format!(
        "{}&metadata[order]=77&description=Two+socks&statement_descriptor_suffix=SOCKS",
        stage.order("4242424242424242").await
    );
    let body = stage.post("/v1/payment_intents", &order).await.body;
    assert_eq!(body["status"], "succeeded");
    assert_eq!(
        (&body["amount"], &body["amount_received"]),
        (&json!(1250), &json!(1250))
    );
    assert_eq!(body["metadata"], json!({"order": "77"}));
    assert_eq!(body["description"], "Two socks");
    assert_eq!(body["statement_descriptor_suffix"], "SOCKS");
    let again = stage
        .get(&format!(
            "/v1/payment_intents/{}",
            body["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(again.body, body);
    let charge = body["latest_charge"].as_str().unwrap();
    let charge = stage.get(&format!("/v1/charges/{charge}")).await.body;
    assert_eq!(charge["captured"], true);
    assert_eq!(charge["outcome"]["type"], "authorized");
    assert_eq!(charge["payment_method_details"]["card"]["last4"], "4242");
}

#[actix_web::test]
async fn an_authorization_is_captured_once_and_never_for_more() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let order = format!("{order}&capture_method=manual");
    let held = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(held.body["status"], "requires_capture");
    assert_eq!(held.body["amount_capturable"], 1250);
    let capture = format!("/v1/payment_intents/{}/capture", held.id());
    let answer = stage.post(&capture, "amount_to_capture=1251").await;
    assert_eq!(
        answer.refusal(),
        (400, "invalid_request_error", "amount_too_large")
    );
    let taken = stage.post(&capture, "amount_to_capture=1000").await;
    assert_eq!(taken.body["status"], "succeeded");
    assert_eq!(taken.body["amount_received"], 1000);
    let again = stage.post(&capture, "").await;
    assert_eq!(
        again.refusal(),
        (
            400,
            "invalid_request_error",
            "payment_intent_unexpected_state"
        )
    );
    assert_eq!(again.error()["payment_intent"]["status"], "succeeded");
}

#[actix_web::test]
async fn an_authorization_is_canceled_and_money_is_not() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let held = stage
        .post(
            "/v1/payment_intents",
            &format!("{order}&capture_method=manual"),
        )
        .await
        .id();
    let taken = stage.post("/v1/payment_intents", &order).await.id();
    let cancel = |id: &str| format!("/v1/payment_intents/{id}/cancel");
    let canceled = stage
        .post(&cancel(&held), "cancellation_reason=abandoned")
        .await;
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(canceled.body["cancellation_reason"], "abandoned");
    assert!(canceled.body["canceled_at"].is_i64());
    for id in [&held, &taken] {
        assert_eq!(stage.post(&cancel(id), "").await.status, 400);
    }
    let capture = format!("/v1/payment_intents/{held}/capture");
    assert_eq!(stage.post(&capture, "").await.status, 400);
}

#[actix_web::test]
async fn no_more_is_refunded_than_was_taken() {
    let stage = Stage::open();
    let intent = stage.charge_off_session("4242424242424242").await.id();
    let refund = |amount: &str| {
        let form = format!("payment_intent={intent}&amount={amount}&reason=duplicate");
        let stage = &stage;
        async move { stage.post("/v1/refunds", &form).await }
    };
    let first = refund("1000").await;
    assert_eq!(first.body["status"], "succeeded");
    assert_eq!(first.body["amount"], 1000);
    assert_eq!(first.body["payment_intent"], intent.as_str());
    assert_eq!(refund("251").await.status, 400);
    assert_eq!(refund("0").await.status, 400);
    let rest = stage
        .post("/v1/refunds", &format!("payment_intent={intent}"))
        .await;
    assert_eq!(rest.body["amount"], 250);
    let done = refund("1").await;
    assert_eq!(
        done.refusal(),
        (400, "invalid_request_error", "charge_already_refunded")
    );
    let read = stage.get(&format!("/v1/refunds/{}", first.id())).await;
    assert_eq!(read.body, first.body);
    let list = stage
        .get(&format!("/v1/refunds?payment_intent={intent}"))
        .await;
    assert_eq!(list.body["data"].as_array().unwrap().len(), 2);
    let ledger = stage.ledger().await;
    assert_eq!(ledger["charges"][0]["amount_refunded"], 1250);
    assert_eq!(ledger["made"]["refunds"], 2);
}

#[actix_web::test]
async fn a_payment_is_found_by_its_metadata_and_its_customer() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let order = format!("{order}&metadata[cloakroom_charge]=chg_{number}");
        ids.push(stage.post("/v1/payment_intents", &order).await.id());
    }
    stage.charge_off_session("4242424242424242").await.id();
    let search = "/v1/payment_intents/search?query=metadata%5B'cloakroom_charge'%5D%3A'chg_1'";
    let found = stage.get(search).await.body;
    assert_eq!(found["object"], "search_result");
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(found["data"][0]["id"], ids[1].as_str());

    stage.settings(r#"{"search_lag_ms":60000}"#).await;
    assert_eq!(stage.get(search).await.body["data"], json!([]));
    stage.clock.advance(60_000);
    assert_eq!(
        stage.get(search).await.body["data"][0]["id"],
        ids[1].as_str()
    );

    let customer = order.split('&').nth(2).unwrap();
    let page = stage
        .get(&format!("/v1/payment_intents?{customer}&limit=2"))
        .await
        .body;
    assert_eq!(page["has_more"], true);
    assert_eq!(page["data"][0]["id"], ids[2].as_str());
    let next = format!("/v1/payment_intents?{customer}&starting_after={}", ids[1]);
    let next = stage.get(&next).await.body;
    assert_eq!(next["has_more"], false);
    assert_eq!(next["data"].as_array().unwrap().len(), 1);
    assert_eq!(next["data"][0]["id"], ids[0].as_str());
}

#[actix_web::test]
async fn an_order_that_makes_no_sense_is_refused_and_makes_nothing() {
    let stage = Stage::open();
    let (customer, method) = stage.set_up("4242424242424242").await;
    for (order, code, param) in [
        ("currency=eur", "parameter_missing", "amount"),
        ("amount=100", "parameter_missing", "currency"),
        (
            "amount=1x&currency=eur",
            "parameter_invalid_integer",
            "amount",
        ),
        (
            "amount=0&currency=jpy",
            "parameter_invalid_integer",
            "amount",
        ),
        ("amount=49&currency=eur", "amount_too_small", "amount"),
        (
            "amount=100000000&currency=eur",
            "amount_too_large",
            "amount",
        ),
        ("amount=100&currency=euro", "-", "currency"),
        (
            "amount=100&currency=eur&surprise=1",
            "parameter_unknown",
            "surprise",
        ),
        (
            "amount=100&currency=eur&customer=cus_x",
            "resource_missing",
            "customer",
        ),
        (
            "amount=100&currency=eur&payment_method=pm_x",
            "resource_missing",
            "payment_method",
        ),
        (
            "amount=100&currency=eur&off_session=true",
            "-",
            "off_session",
        ),
        (
            "amount=100&currency=eur&return_url=shop",
            "url_invalid",
            "return_url",
        ),
        (
            "amount=100&currency=eur&capture_method=maybe",
            "-",
            "capture_method",
        ),
        (
            "amount=100&currency=eur&statement_descriptor_suffix=%3C",
            "invalid_characters",
            "statement_descriptor_suffix",
        ),
        (
            "amount=100&currency=eur&confirm=true",
            "payment_intent_unexpected_state",
            "payment_method",
        ),
    ] {
        let answer = stage.post("/v1/payment_intents", order).await;
        assert_eq!(
            answer.refusal(),
            (400, "invalid_request_error", code),
            "{order}"
        );
        assert_eq!(answer.error()["param"], param, "{order}");
    }
    let other = stage.customer().await;
    let order =
        format!("amount=100&currency=eur&customer={other}&payment_method={method}&confirm=true");
    assert_eq!(stage.post("/v1/payment_intents", &order).await.status, 400);
    assert_eq!(stage.ledger().await["made"]["payment_intents"], 0);

    let order = format!("amount=100&currency=eur&customer={customer}");
    let empty = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(empty.body["status"], "requires_payment_method");
    let confirm = format!("/v1/payment_intents/{}/confirm", empty.id());
    assert_eq!(stage.post(&confirm, "").await.status, 400);
    let done = stage
        .post(&confirm, &format!("payment_method={method}"))
        .await;
    assert_eq!(done.body["status"], "succeeded");
    assert_eq!(stage.post(&confirm, "").await.status, 400);
}
