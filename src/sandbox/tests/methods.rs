//! Cards in: what is accepted, what is refused, what an answer says of a card.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn every_published_card_is_told_by_its_answer() {
    let stage = Stage::open();
    for card in TABLE.iter().filter(|card| card.code != "d9") {
        let answer = stage
            .post(
                "/v1/payment_methods",
                &card_form(card.number, "7", "31", "123"),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let told = &answer.body["card"];
        assert_eq!(told["brand"], card.brand.name(), "{}", card.code);
        assert_eq!(told["funding"], card.funding.name());
        assert_eq!(told["country"], card.country);
        assert!(card.number.ends_with(told["last4"].as_str().unwrap()));
        assert_eq!(
            (&told["exp_month"], &told["exp_year"]),
            (&json!(7), &json!(2031))
        );
        assert_eq!(told["fingerprint"].as_str().unwrap().len(), 16);
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[actix_web::test]
async fn a_wrong_card_is_refused_as_stripe_refuses_it() {
    let stage = Stage::open();
    for (number, month, year, cvc, code) in [
        ("4242424242424241", "12", "2031", "123", "incorrect_number"),
        ("424242424242424x", "12", "2031", "123", "invalid_number"),
        (
            "42424242424242424242",
            "12",
            "2031",
            "123",
            "incorrect_number",
        ),
        (
            "4242424242424242",
            "13",
            "2031",
            "123",
            "invalid_expiry_month",
        ),
        (
            "4242424242424242",
            "0",
            "2031",
            "123",
            "invalid_expiry_month",
        ),
        (
            "4242424242424242",
            "12",
            "2020",
            "123",
            "invalid_expiry_year",
        ),
        (
            "4242424242424242",
            "12",
            "2099",
            "123",
            "invalid_expiry_year",
        ),
        // The clock stands at November 2026.
        (
            "4242424242424242",
            "10",
            "2026",
            "123",
            "invalid_expiry_month",
        ),
        ("4242424242424242", "12", "2031", "12", "invalid_cvc"),
        ("4242424242424242", "12", "2031", "1234", "invalid_cvc"),
        ("378282246310005", "12", "2031", "12345", "invalid_cvc"),
        ("4242424242424242", "12", "2031", "12x", "invalid_cvc"),
    ] {
        let form = card_form(number, month, year, cvc);
        let answer = stage.post("/v1/payment_methods", &form).await;
        assert_eq!(answer.refusal(), (402, "card_error", code), "{code}");
        assert!(answer.error()["param"].is_string());
        assert!(answer.error()["request_log_url"].is_string());
    }
    let form = card_form("3782 8224 6310-005", "12", "2031", "1234").replace(' ', "+");
    assert_eq!(stage.post("/v1/payment_methods", &form).await.status, 200);
}

#[actix_web::test]
async fn raw_cards_can_be_forbidden() {
    let stage = Stage::open();
    stage.settings(r#"{"raw_cards_allowed":false}"#).await;
    let form = card_form(UNPUBLISHED, "12", "2031", "123");
    let answer = stage.post("/v1/payment_methods", &form).await;
    assert_eq!(answer.refusal(), (402, "invalid_request_error", "-"));
    assert!(answer.text.contains("generally unsafe"));
}

#[actix_web::test]
async fn billing_details_and_metadata_come_back() {
    let stage = Stage::open();
    let form = format!(
        "{}&billing_details[name]=Ada+L&billing_details[address][city]=K%C3%B6ln&metadata[ref]=7",
        card_form("4242424242424242", "12", "2031", "123")
    );
    let body = stage.post("/v1/payment_methods", &form).await.body;
    assert_eq!(body["billing_details"]["name"], "Ada L");
    assert_eq!(body["billing_details"]["address"]["city"], "Köln");
    assert_eq!(body["metadata"], json!({"ref": "7"}));
}

#[actix_web::test]
async fn a_method_is_attached_once_and_never_used_after_it_was_detached() {
    let stage = Stage::open();
    let (customer, other) = (stage.customer().await, stage.customer().await);
    let method = stage.method("4242424242424242").await;
    let path = |verb: &str| format!("/v1/payment_methods/{method}/{verb}");
    let mine = format!("customer={customer}");

    assert_eq!(stage.post(&path("detach"), "").await.status, 400);
    let attached = stage.post(&path("attach"), &mine).await;
    assert_eq!(attached.body["customer"], customer.as_str());
    let other = format!("customer={other}");
    assert_eq!(stage.post(&path("attach"), &other).await.status, 400);
    let read = stage.get(&format!("/v1/payment_methods/{method}")).await;
    assert_eq!(read.body["customer"], customer.as_str());

    let order = format!("amount=100&currency=eur&payment_method={method}&confirm=true");
    let ownerless = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(ownerless.error()["param"], "customer");

    let detached = stage.post(&path("detach"), "").await;
    assert_eq!(detached.body["customer"], Value::Null);
    assert_eq!(stage.post(&path("detach"), "").await.status, 400);
    assert_eq!(stage.post(&path("attach"), &mine).await.status, 400);
    let order = format!("{order}&customer={customer}");
    assert_eq!(stage.post("/v1/payment_intents", &order).await.status, 400);
    assert_eq!(stage.ledger().await["payment_methods"][0]["detached"], true);
}

#[actix_web::test]
async fn a_method_charged_without_a_customer_is_spent() {
    let stage = Stage::open();
    let method = stage.method("4242424242424242").await;
    let order = format!("amount=100&currency=eur&payment_method={method}&confirm=true");
    assert_eq!(stage.post("/v1/payment_intents", &order).await.status, 200);
    assert_eq!(stage.post("/v1/payment_intents", &order).await.status, 400);
}

#[actix_web::test]
async fn what_an_earlier_life_made_can_still_be_charged() {
    let earlier = Stage::open();
    let (customer, good) = earlier.set_up(UNPUBLISHED).await;
    let poor = earlier.method("4000000000009995").await;
    drop(earlier);
    let stage = Stage::open();
    let charge = |method: String| {
        let order = format!(
            "amount=100&currency=eur&customer={customer}&payment_method={method}&confirm=true&off_session=true"
        );
        let stage = &stage;
        async move { stage.post("/v1/payment_intents", &order).await }
    };
    assert_eq!(charge(good.clone()).await.body["status"], "succeeded");
    assert_eq!(
        charge(poor).await.error()["decline_code"],
        "insufficient_funds"
    );
    assert_eq!(
        stage.get(&format!("/v1/customers/{customer}")).await.id(),
        customer
    );
    let read = stage.get(&format!("/v1/payment_methods/{good}")).await;
    assert_eq!(read.body["card"]["last4"], "1881");
    let gone = stage
        .post(&format!("/v1/payment_methods/{good}/detach"), "")
        .await;
    assert_eq!(gone.status, 200);
    assert_eq!(charge(good).await.status, 400);
}

#[actix_web::test]
async fn the_same_number_has_the_same_fingerprint() {
    let stage = Stage::open();
    let mut prints = Vec::new();
    for number in [UNPUBLISHED, UNPUBLISHED, "4242424242424242"] {
        let method = stage.method(number).await;
        let read = stage.get(&format!("/v1/payment_methods/{method}")).await;
        prints.push(read.body["card"]["fingerprint"].clone());
    }
    assert_eq!(prints[0], prints[1]);
    assert_ne!(prints[0], prints[2]);
}

#[actix_web::test]
async fn a_strict_sandbox_meets_the_decline_at_set_up_as_stripe_does() {
    let stage = Stage::open();
    stage.settings(r#"{"decline_at_attach":true}"#).await;
    let customer = stage.customer().await;
    for (number, code) in [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "card_declined"),
        ("4000000000000069", "expired_card"),
        ("4000000000000127", "incorrect_cvc"),
        ("4000000000000119", "processing_error"),
    ] {
        let method = stage.method(number).await;
        let form = format!("customer={customer}&payment_method={method}&confirm=true");
        let answer = stage.post("/v1/setup_intents", &form).await;
        assert_eq!(answer.refusal(), (402, "card_error", code));
        let setup = &answer.error()["setup_intent"];
        assert_eq!(setup["status"], "requires_payment_method");
        assert_eq!(setup["last_setup_error"]["code"], code);
        let attach = format!("/v1/payment_methods/{method}/attach");
        let answer = stage.post(&attach, &format!("customer={customer}")).await;
        assert_eq!(answer.refusal(), (402, "card_error", code));
    }
    // These two are saved without complaint at Stripe, too.
    for number in ["4000000000000341", "4100000000000019"] {
        let order = stage.order(number).await;
        let answer = stage.post("/v1/payment_intents", &order).await;
        assert_eq!(answer.refusal(), (402, "card_error", "card_declined"));
    }
}
