//! One key, one execution.

use super::*;

#[actix_web::test]
async fn the_same_request_gets_the_same_answer_and_is_made_once() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let first = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    let second = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    assert_eq!((first.status, &first.body), (200, &second.body));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.header("idempotency-key"), Some("k1"));
    assert_eq!(
        second.header("original-request"),
        first.header("request-id")
    );
    assert_ne!(second.header("request-id"), first.header("request-id"));
    let ledger = stage.ledger().await;
    assert_eq!(ledger["made"]["payment_intents"], 1);
    assert_eq!(ledger["requests"]["POST /v1/payment_intents"], 2);
}

#[actix_web::test]
async fn a_decline_is_replayed_too() {
    let stage = Stage::open();
    let order = stage.order("4000000000009995").await;
    let first = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    let second = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    assert_eq!(first.body, second.body);
    assert_eq!(second.status, 402);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(stage.ledger().await["made"]["charges_failed"], 1);
}

#[actix_web::test]
async fn other_parameters_or_another_path_are_refused() {
    let stage = Stage::open();
    let form = card_form("4242424242424242", "12", "2031", "123");
    let made = stage.post_keyed("/v1/payment_methods", &form, "k1").await;
    assert_eq!(made.status, 200);
    for (path, body) in [
        ("/v1/payment_methods", form.replace("123", "124")),
        ("/v1/payment_methods", format!("{form}&metadata[a]=1")),
        ("/v1/customers", form.clone()),
    ] {
        let answer = stage.post_keyed(path, &body, "k1").await;
        assert_eq!(answer.refusal(), (400, "idempotency_error", "-"), "{path}");
    }
    let again = stage.post_keyed("/v1/payment_methods", &form, "k1").await;
    assert_eq!(again.body, made.body);
}

#[actix_web::test]
async fn a_running_request_holds_its_key() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage.settings(r#"{"latency_ms":400}"#).await;
    let both = futures_util::future::join(
        stage.post_keyed("/v1/payment_intents", &order, "k1"),
        stage.post_keyed("/v1/payment_intents", &order, "k1"),
    )
    .await;
    let (won, lost) = if both.0.status == 200 {
        both
    } else {
        (both.1, both.0)
    };
    assert_eq!(won.status, 200);
    assert_eq!(
        lost.refusal(),
        (409, "invalid_request_error", "idempotency_key_in_use")
    );
    assert_eq!(lost.header("stripe-should-retry"), Some("true"));
    let after = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    assert_eq!(after.body, won.body);
    assert_eq!(stage.ledger().await["made"]["payment_intents"], 1);
}

#[actix_web::test]
async fn two_hundred_at_once_make_one_payment() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let answers = futures_util::future::join_all(
        (0..200).map(|_| stage.post_keyed("/v1/payment_intents", &order, "k1")),
    )
    .await;
    assert!(answers.iter().all(|a| matches!(a.status, 200 | 409)));
    assert_eq!(stage.ledger().await["made"]["charges_succeeded"], 1);
}

#[actix_web::test]
async fn a_request_that_never_began_leaves_the_key_free() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let wrong = order.replace("amount=1250", "amount=x");
    let refused = stage.post_keyed("/v1/payment_intents", &wrong, "k1").await;
    assert_eq!(refused.status, 400);
    let made = stage.post_keyed("/v1/payment_intents", &order, "k1").await;
    assert_eq!(made.status, 200, "{}", made.text);
    let long = "k".repeat(256);
    let refused = stage.post_keyed("/v1/payment_intents", &order, &long).await;
    assert_eq!(refused.status, 400);
}

#[actix_web::test]
async fn a_refusal_is_kept_once_execution_has_begun() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let unknown =
        format!("{order}&metadata[a]=b").replace("payment_method=pm_", "payment_method=pm_x");
    let small = order.replace("amount=1250", "amount=49");
    for (key, order, code) in [
        ("k1", &unknown, "resource_missing"),
        ("k2", &small, "amount_too_small"),
    ] {
        let first = stage.post_keyed("/v1/payment_intents", order, key).await;
        assert_eq!(first.refusal(), (400, "invalid_request_error", code));
        let again = stage.post_keyed("/v1/payment_intents", order, key).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{code}");
        assert_eq!(again.body, first.body);
    }
    let astray = stage
        .post_keyed("/v1/payment_intents/pi_x/capture", "", "k3")
        .await;
    assert_eq!(astray.status, 404);
    let again = stage
        .post_keyed("/v1/payment_intents/pi_x/capture", "", "k3")
        .await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[actix_web::test]
async fn a_payments_charge_is_shown_where_that_is_asked_for() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let paid = stage
        .post(
            "/v1/payment_intents",
            &format!("{order}&expand[0]=latest_charge"),
        )
        .await;
    let card = &paid.body["latest_charge"]["payment_method_details"]["card"];
    assert_eq!(card["checks"]["cvc_check"], "pass", "{}", paid.text);
    let network = card["network_transaction_id"].as_str().unwrap();
    assert!(network.len() == 15 && network.bytes().all(|letter| letter.is_ascii_uppercase()));
    let path = format!("/v1/payment_intents/{}", paid.id());
    assert!(stage.get(&path).await.body["latest_charge"].is_string());
    let list = stage
        .get("/v1/payment_intents?expand[0]=data.latest_charge")
        .await;
    assert_eq!(
        list.body["data"][0]["latest_charge"],
        paid.body["latest_charge"]
    );
}

#[actix_web::test]
async fn a_key_is_forgotten_after_its_lifetime() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let first = stage
        .post_keyed("/v1/payment_intents", &order, "k1")
        .await
        .id();
    stage.clock.advance(24 * 60 * 60 * 1_000 - 1);
    let same = stage
        .post_keyed("/v1/payment_intents", &order, "k1")
        .await
        .id();
    stage.clock.advance(1);
    let new = stage
        .post_keyed("/v1/payment_intents", &order, "k1")
        .await
        .id();
    assert_eq!(first, same);
    assert_ne!(first, new);
}

#[actix_web::test]
async fn keys_of_connected_accounts_are_their_own() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let mut ids = Vec::new();
    for account in ["acct_a", "acct_b"] {
        let mut request = stage.keyed("/v1/payment_intents", &order, "k1");
        let value = account.parse().unwrap();
        request.headers_mut().insert("stripe-account", value);
        ids.push(stage.send(request).await.id());
    }
    assert_ne!(ids[0], ids[1]);
}
