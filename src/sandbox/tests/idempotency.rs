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
