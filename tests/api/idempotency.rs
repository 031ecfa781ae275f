//! Asking again: the same answer, once the money, never somebody else's.

use std::time::Duration;

use futures_util::future::{join_all, select_all};
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, card, request};

on_both_engines! {
    the_same_charge_again_is_the_same_answer_and_one_payment,
    a_declined_charge_again_is_the_same_decline,
    a_key_with_another_request_is_refused,
    two_hundred_requests_with_one_key_are_one_charge,
    a_session_asked_for_again_is_the_same_session_with_the_same_secret,
    a_card_posted_again_with_its_key_is_the_same_token_and_another_card_is_refused,
    keys_belong_to_their_client,
    a_key_whose_time_is_over_is_a_new_key,
    a_request_that_still_runs_is_in_flight_for_the_same_request_only,
    a_charge_that_never_reached_the_processor_frees_its_key,
    a_charge_of_unknown_outcome_is_processing_and_settles_once,
    money_needs_a_key,
}

fn payments(ledger: &Value) -> usize {
    ledger["payment_intents"].as_array().unwrap().len()
}

async fn the_same_charge_again_is_the_same_answer_and_one_payment(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let first = app.charge(&token, "order-1").await;
    assert_eq!(first.header("idempotent-replayed"), None);
    // Quoted and bare are one key (RFC 8941), and the order of members does not matter.
    for key in ["order-1", "\"order-1\""] {
        let order = json!({"currency": "eur", "amount": 1250, "token": token, "capture": true});
        let again = app.order_charge(&order, key).await;
        assert_eq!(again.status, 201);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.json(), first.json());
    }
    assert_eq!(payments(&app.ledger().await), 1);
}

async fn a_declined_charge_again_is_the_same_decline(engine: Engine) {
    let app = App::on(engine);
    let token = app.token("4000000000009995").await;
    let first = app.charge(&token, "k").await.problem(402, "card_declined");
    let again = app.charge(&token, "k").await.problem(402, "card_declined");
    assert_eq!(
        (&first["charge"], &first["decline"]),
        (&again["charge"], &again["decline"])
    );
}

async fn a_key_with_another_request_is_refused(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    app.charge(&token, "k").await;
    let other = json!({"token": token, "amount": 1251, "currency": "eur"});
    app.order_charge(&other, "k")
        .await
        .problem(422, "idempotency_mismatch");
    assert_eq!(payments(&app.ledger().await), 1);
}

async fn two_hundred_requests_with_one_key_are_one_charge(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 300}))
        .await;
    let client = app.client(Who::Billing);
    let url = format!("{}/v1/charges", app.at.internal);
    let body = json!({"token": token, "amount": 1250, "currency": "eur"}).to_string();
    let all = (0..200).map(|_| {
        client.send_until_connected(request(
            Method::POST,
            &url,
            &[("idempotency-key", "one")],
            body.clone(),
        ))
    });
    let mut made = Vec::new();
    for answer in join_all(all).await {
        let answer = answer.unwrap();
        if answer.status == 201 {
            made.push(answer.json());
        } else {
            answer.problem(409, "conflict_in_flight");
            let retry_after_s: u32 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(retry_after_s >= 1);
        }
    }
    let first = made.pop().unwrap();
    assert!(made.iter().all(|one| *one == first), "{first} {made:?}");
    // Those that were told to come back do, and so do all others.
    let again = (0..200).map(|_| app.charge(&token, "one"));
    for answer in join_all(again).await {
        assert_eq!(answer.header("idempotent-replayed"), Some("true"));
        assert_eq!((answer.status, answer.json()), (201, first.clone()));
    }
    let done = &app.ledger().await["by_charge"][first["id"].as_str().unwrap()];
    assert_eq!((&done["payments"], &done["paid"]), (&json!(1), &json!(1)));
    assert_eq!(payments(&app.ledger().await), 1);
}

async fn a_session_asked_for_again_is_the_same_session_with_the_same_secret(engine: Engine) {
    let app = App::on(engine);
    let url = format!("{}/v1/capture_sessions", app.at.internal);
    let ask = |body: Value| {
        let headers = [("idempotency-key", "s-1")];
        app.send(
            Who::Checkout,
            request(Method::POST, &url, &headers, body.to_string()),
        )
    };
    let first = ask(json!({"customer_ref": "c"})).await;
    let again = ask(json!({"customer_ref": "c"})).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    ask(json!({"customer_ref": "d"}))
        .await
        .problem(422, "idempotency_mismatch");
}

async fn a_card_posted_again_with_its_key_is_the_same_token_and_another_card_is_refused(
    engine: Engine,
) {
    let app = App::on(engine);
    let secret = app.session().await;
    let headers = [("idempotency-key", "pay-1")];
    let first = app.post_card(&secret, &card(VISA), &headers).await;
    assert_eq!(first.status, 201);
    let again = app.post_card(&secret, &card(VISA), &headers).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (201, Some("true"))
    );
    assert_eq!(first.json(), again.json());
    let other = app
        .post_card(&secret, &card("5555555555554444"), &headers)
        .await;
    other.problem(422, "idempotency_mismatch");
    assert_eq!(
        app.ledger().await["payment_methods"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

async fn keys_belong_to_their_client(engine: Engine) {
    // Another client of the same account that may charge, too.
    let clients = r#"[
        {san="spiffe://cloakroom.dev/checkout",account="default",scopes=["sessions:create"]},
        {san="spiffe://cloakroom.dev/billing",account="default",scopes=["charges:create"]},
        {san="spiffe://cloakroom.dev/admin",account="default",scopes=["charges:create"]}]"#;
    let app = App::on_with(engine, &[], &[("CLOAKROOM__CLIENTS", clients)]);
    let token = app.token(VISA).await;
    let url = format!("{}/v1/charges", app.at.internal);
    let order = |amount: u64| json!({"token": token, "amount": amount, "currency": "eur"});
    let headers = [("idempotency-key", "shared")];
    let charge = |who: Who, amount: u64| {
        let body = order(amount).to_string();
        app.send(who, request(Method::POST, &url, &headers, body))
    };
    let billing = charge(Who::Billing, 100).await;
    let admin = charge(Who::Admin, 200).await;
    assert_eq!((billing.status, admin.status), (201, 201));
    assert_ne!(billing.json()["id"], admin.json()["id"]);
    let again = charge(Who::Admin, 200).await;
    assert_eq!(again.json(), admin.json());
    charge(Who::Billing, 200)
        .await
        .problem(422, "idempotency_mismatch");
    // It is another key on another route, too, which is another client's here.
    let url = format!("{}/v1/capture_sessions", app.at.internal);
    let body = json!({"customer_ref": "c"}).to_string();
    let session = request(Method::POST, &url, &headers, body);
    assert_eq!(app.send(Who::Checkout, session).await.status, 201);
    assert_eq!(payments(&app.ledger().await), 2);
}

async fn a_key_whose_time_is_over_is_a_new_key(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let first = app.charge(&token, "k").await.json();
    // By then the processor has forgotten it, too: before, it would not charge again.
    let forgetful = json!({"idempotency_key_lifetime_ms": 1});
    app.sandbox(Method::POST, "settings", &forgetful).await;
    app.change_rows(
        "UPDATE idempotency_keys SET expires_at_ms = created_at_ms + 1 WHERE key = 'k'",
    )
    .await;
    // Who says only that the key is over finds the charge that it stands for all the same.
    let early = app.charge(&token, "k").await;
    assert_eq!(early.json()["id"], first["id"]);
    app.change_rows(
        "UPDATE idempotency_keys SET expires_at_ms = created_at_ms + 1 WHERE key = 'k'",
    )
    .await;
    crate::lookups::unguarded(&app, "charges_identity").await;
    let id = first["id"].as_str().unwrap();
    app.change_rows(&format!(
        "UPDATE charges SET created_at_ms = created_at_ms - 172800001 WHERE id = '{id}'"
    ))
    .await;
    app.order(id).await;
    let second = app.charge(&token, "k").await;
    assert_eq!(
        (second.status, second.header("idempotent-replayed")),
        (201, None)
    );
    assert_ne!(second.json()["id"], first["id"]);
    assert_eq!(payments(&app.ledger().await), 2);
}

async fn a_request_that_still_runs_is_in_flight_for_the_same_request_only(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 3000}))
        .await;
    // Of two at once one runs, and the other is answered while it does.
    let two = [app.charge(&token, "k"), app.charge(&token, "k")].map(Box::pin);
    let (answered, _, running) = select_all(two).await;
    answered.problem(409, "conflict_in_flight");
    let retry_after_s: u32 = answered.header("retry-after").unwrap().parse().unwrap();
    assert!(retry_after_s >= 1);
    let other = json!({"token": token, "amount": 1251, "currency": "eur"});
    let other = app.order_charge(&other, "k").await;
    other.problem(422, "idempotency_mismatch");
    let ran = join_all(running).await.remove(0);
    assert_eq!(ran.json()["status"], "succeeded");
    assert_eq!(payments(&app.ledger().await), 1);
}

async fn a_charge_that_never_reached_the_processor_frees_its_key(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let fault = json!({"path": "/v1/payment_intents", "times": 1, "fault": "status", "status": 429, "retry_after_s": 1});
    app.sandbox(Method::POST, "faults", &fault).await;
    let refused = app.charge(&token, "k").await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    let charged = app.charge(&token, "k").await;
    assert_eq!(
        (charged.status, charged.header("idempotent-replayed")),
        (201, None)
    );
    assert_eq!(payments(&app.ledger().await), 1);
}

async fn a_charge_of_unknown_outcome_is_processing_and_settles_once(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    // The processor charges, and the answer is lost on the way.
    let fault = json!({"path": "/v1/payment_intents", "times": 1, "fault": "cut_after"});
    app.sandbox(Method::POST, "faults", &fault).await;
    let charged = app.charge(&token, "k").await;
    assert_eq!(
        (charged.status, charged.json()["status"].as_str()),
        (201, Some("processing"))
    );
    let id = charged.json()["id"].as_str().unwrap().to_owned();
    let url = format!("{}/v1/charges/{id}", app.at.internal);
    for _ in 0..100 {
        let charge = app.get(Who::Billing, &url).await.json();
        if charge["status"] == "succeeded" {
            assert_eq!(payments(&app.ledger().await), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the charge was not reconciled");
}

async fn money_needs_a_key(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let url = format!("{}/v1/charges", app.at.internal);
    let body = json!({"token": token, "amount": 1, "currency": "eur"});
    app.call(Who::Billing, Method::POST, &url, &body)
        .await
        .problem(422, "invalid_request");
    let long = "k".repeat(256);
    for key in ["", "\"open", &long] {
        app.order_charge(&body, key)
            .await
            .problem(422, "invalid_request");
    }
}
