//! Asking again: the same answer, once the money, never somebody else's.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::{App, VISA, Who, card, request};

fn payments(ledger: &Value) -> usize {
    ledger["payment_intents"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_charge_again_is_the_same_answer_and_one_payment() {
    let app = App::start();
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

#[tokio::test]
async fn a_declined_charge_again_is_the_same_decline() {
    let app = App::start();
    let token = app.token("4000000000009995").await;
    let first = app.charge(&token, "k").await.problem(402, "card_declined");
    let again = app.charge(&token, "k").await.problem(402, "card_declined");
    assert_eq!(
        (&first["charge"], &first["decline"]),
        (&again["charge"], &again["decline"])
    );
}

#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let app = App::start();
    let token = app.token(VISA).await;
    app.charge(&token, "k").await;
    let other = json!({"token": token, "amount": 1251, "currency": "eur"});
    app.order_charge(&other, "k")
        .await
        .problem(422, "idempotency_mismatch");
    assert_eq!(payments(&app.ledger().await), 1);
}

#[tokio::test]
async fn two_hundred_requests_with_one_key_are_one_charge() {
    let app = App::start();
    let token = app.token(VISA).await;
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 300}))
        .await;
    let client = app.client(Who::Billing);
    let url = format!("{}/v1/charges", app.at.internal);
    let body = json!({"token": token, "amount": 1250, "currency": "eur"}).to_string();
    let all = (0..200).map(|_| {
        client.send(request(
            Method::POST,
            &url,
            &[("idempotency-key", "one")],
            body.clone(),
        ))
    });
    let mut ids = std::collections::BTreeSet::new();
    for answer in join_all(all).await {
        let answer = answer.unwrap();
        if answer.status == 201 {
            ids.insert(answer.json()["id"].as_str().unwrap().to_owned());
        } else {
            answer.problem(409, "conflict_in_flight");
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(payments(&app.ledger().await), 1);
}

#[tokio::test]
async fn a_session_asked_for_again_is_the_same_session_with_the_same_secret() {
    let app = App::start();
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

#[tokio::test]
async fn a_card_posted_again_with_its_key_is_the_same_token_and_another_card_is_refused() {
    let app = App::start();
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

#[tokio::test]
async fn keys_belong_to_their_client() {
    let app = App::start();
    let token = app.token(VISA).await;
    // The same text is another key on another route and for another client.
    app.charge(&token, "shared").await;
    let url = format!("{}/v1/capture_sessions", app.at.internal);
    let headers = [("idempotency-key", "shared")];
    let session = request(
        Method::POST,
        &url,
        &headers,
        json!({"customer_ref": "c"}).to_string(),
    );
    assert_eq!(app.send(Who::Checkout, session).await.status, 201);
}

#[tokio::test]
async fn a_charge_that_never_reached_the_processor_frees_its_key() {
    let app = App::start();
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

#[tokio::test]
async fn a_charge_of_unknown_outcome_is_processing_and_settles_once() {
    let app = App::start();
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

#[tokio::test]
async fn money_needs_a_key() {
    let app = App::start();
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
