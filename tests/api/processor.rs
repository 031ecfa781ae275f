//! A processor as strict as Stripe: what it keeps, what it cannot do, how long its events are, whose
//! they are, and what it says of a payment besides that it succeeded.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, card, eventually};

on_both_engines! {
    a_refusal_that_the_processor_keeps_is_not_the_answer_to_the_next_request,
    a_form_goes_through_once_the_processor_takes_cards,
    a_payment_that_nobody_can_authenticate_is_canceled_and_told,
    a_charge_shows_what_the_networks_and_the_issuer_said,
    details_that_come_late_are_shown,
    a_disputes_event_with_much_evidence_is_taken,
    a_refund_without_a_status_is_looked_at,
    a_refusal_while_the_issuer_has_not_agreed_does_not_call_the_card_detached,
}

/// A card whose issuer wants to see the shopper.
const AUTHENTICATE: &str = "4000002760003184";

async fn a_refusal_that_the_processor_keeps_is_not_the_answer_to_the_next_request(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    // The processor refuses the request itself, twice, and keeps both refusals for a day.
    app.fault(
        &json!({ "path": "/v1/payment_intents", "method": "POST", "times": 2,
        "fault": "status", "status": 400, "kept": true }),
    )
    .await;
    for _ in 0..2 {
        app.charge(&token, "k")
            .await
            .problem(422, "invalid_request");
    }
    let charged = app.charge(&token, "k").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    assert_eq!(charged.json()["status"], "succeeded");
    let charge = charged.json()["id"].as_str().unwrap().to_owned();

    // What is in dispute is not given back, until the dispute is won.
    let paid = app.payment_of(&charge).await;
    assert_eq!(paid["payments"], 1);
    let there = app.ledger().await["charges"][0]["id"].clone();
    let path = format!("charges/{}/dispute", there.as_str().unwrap());
    let dispute = app
        .sandbox(Method::POST, &path, &json!({ "kind": "general" }))
        .await
        .json();
    let body = json!({ "charge": charge, "amount": 250 });
    let refund = || app.keyed(Who::Billing, "/v1/refunds", "r", &body);
    refund().await.problem(422, "invalid_request");
    let path = format!("disputes/{}/close", dispute["id"].as_str().unwrap());
    app.sandbox(Method::POST, &path, &json!({ "outcome": "won" }))
        .await;
    let refunded = refund().await;
    assert_eq!(refunded.status, 201, "{}", refunded.json());
    assert_eq!(refunded.json()["status"], "succeeded");
    let again = refund().await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(app.payment_of(&charge).await["amount_refunded"], 250);
}

async fn a_form_goes_through_once_the_processor_takes_cards(engine: Engine) {
    let app = App::on(engine);
    let secret = app.session().await;
    let form = card(VISA);
    let post = || app.post_card(&secret, &form, &[("idempotency-key", "form-1")]);
    let raw_cards = |allowed: bool| json!({ "raw_cards": allowed });
    app.sandbox(Method::POST, "settings", &raw_cards(false))
        .await;
    post().await.problem(503, "processor_unavailable");
    app.sandbox(Method::POST, "settings", &raw_cards(true))
        .await;
    let made = post().await;
    assert_eq!(made.status, 201, "{}", made.json());
    // And is known again afterwards.
    let again = post().await;
    assert_eq!(again.json()["id"], made.json()["id"]);
}

async fn a_payment_that_nobody_can_authenticate_is_canceled_and_told(engine: Engine) {
    let app = App::on(engine);
    let token = app.token("4000003800000446").await;
    app.sandbox(Method::POST, "settings", &json!({ "redirects": false }))
        .await;
    let order = json!({ "token": token, "amount": 900, "currency": "eur", "off_session": false });
    let answer = app.order_charge(&order, "k").await;
    let problem = answer.problem(402, "card_declined");
    assert_eq!(problem["decline"]["code"], "authentication_not_supported");
    let charge = problem["charge"].as_str().unwrap();
    assert_eq!(app.charge_now(charge).await["status"], "declined");
    assert_eq!(app.payment_of(charge).await["canceled"], 1);
}

async fn a_charge_shows_what_the_networks_and_the_issuer_said(engine: Engine) {
    let app = App::on(engine);
    let secret = app.session().await;
    let mut form = card(VISA);
    form["billing_details"] = json!({ "address": { "postal_code": "10115" } });
    let token = app.post_card(&secret, &form, &[]).await.json()["id"].clone();
    let charge = app.charge(token.as_str().unwrap(), "k").await.json();
    let processor = &charge["processor"];
    assert_eq!(
        (&processor["name"], &processor["account"]),
        (&json!("stripe"), &json!("default"))
    );
    assert!(processor["payment"].as_str().unwrap().starts_with("pi_"));
    let network = processor["network_transaction_id"].as_str().unwrap();
    assert_eq!(network.len(), 15, "{charge}");
    assert_eq!(
        charge["checks"],
        json!({ "cvc": "pass", "postal_code": "pass" })
    );
    let id = charge["id"].as_str().unwrap();
    assert_eq!(app.charge_now(id).await, charge);
}

async fn details_that_come_late_are_shown(engine: Engine) {
    let app = App::on(engine);
    let (id, payment) = app.charged("c", true).await;
    let before = app.charge_now(&id).await;
    app.change_rows(&format!(
        "UPDATE charges SET network_transaction_id = NULL, cvc_check = NULL WHERE id = '{id}'"
    ))
    .await;
    assert!(app.charge_now(&id).await["checks"]["cvc"].is_null());
    // Any event of the payment is the reason to look.
    let event = json!({ "id": "evt_late", "object": "event", "type": "charge.succeeded",
        "livemode": false, "created": 1_000,
        "data": { "object": { "payment_intent": payment } } });
    assert_eq!(app.tell_signed(&event).await.status, 200);
    eventually("the details are shown", async || {
        app.charge_now(&id).await["checks"]["cvc"] == "pass"
    })
    .await;
    let after = app.charge_now(&id).await;
    assert_eq!(after["processor"], before["processor"]);
    assert_eq!(after["status"], before["status"]);
    assert!(after["version"].as_i64() > before["version"].as_i64());
}

async fn a_disputes_event_with_much_evidence_is_taken(engine: Engine) {
    let app = App::on(engine);
    let (id, _) = app.charged("c", true).await;
    let there = app.ledger().await["charges"][0]["id"].clone();
    let path = format!("charges/{}/dispute", there.as_str().unwrap());
    let dispute = app
        .sandbox(Method::POST, &path, &json!({ "kind": "general" }))
        .await
        .json();
    let dispute = dispute["id"].as_str().unwrap();
    eventually("it is disputed", async || {
        app.charge_now(&id).await["disputed"] == true
    })
    .await;
    // 149,000 characters: the dispute's events carry all of it.
    let long = "evidence ".repeat(149_000 / 9);
    let form = format!("evidence[uncategorized_text]={}", long.replace(' ', "+"));
    app.dashboard(Method::POST, &format!("disputes/{dispute}"), &form)
        .await;
    let path = format!("disputes/{dispute}/close");
    let closed = app
        .sandbox(Method::POST, &path, &json!({ "outcome": "won" }))
        .await;
    assert!(closed.json().to_string().len() > 140_000);
    eventually("it is over", async || {
        app.charge_now(&id).await["disputed"] == false
    })
    .await;
    eventually("the funds' return changes nothing", async || {
        let open = "SELECT count(*) FROM processor_events WHERE status = 'pending'";
        app.count(open).await == 0
    })
    .await;
    let rows = "SELECT count(*) FROM disputes WHERE status = 'won'";
    assert_eq!(app.count(rows).await, 1);
    assert_eq!(app.charge_now(&id).await["disputed"], false);
}

async fn a_refund_without_a_status_is_looked_at(engine: Engine) {
    let app = App::on(engine);
    let (id, payment) = app.charged("c", true).await;
    app.sandbox(Method::POST, "settings", &json!({ "events": false }))
        .await;
    let form = format!("payment_intent={payment}&amount=400");
    let refund = app.dashboard(Method::POST, "refunds", &form).await;
    let event = |status: Value| {
        json!({ "id": format!("evt_{status}").replace('"', ""), "object": "event",
            "type": "refund.updated", "livemode": false, "created": 1_000,
            "data": { "object": { "id": refund["id"], "payment_intent": payment, "amount": 400,
                "currency": "eur", "status": status } } })
    };
    for status in [Value::Null, json!("brand_new")] {
        assert_eq!(app.tell_signed(&event(status)).await.status, 200);
    }
    eventually("the refund is known as the processor has it", async || {
        let refunds = app.refunds_of(&id).await;
        refunds.len() == 1 && refunds[0]["status"] == "succeeded"
    })
    .await;
    assert_eq!(app.charge_now(&id).await["amount_refunded"], 400);
}

async fn a_refusal_while_the_issuer_has_not_agreed_does_not_call_the_card_detached(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(AUTHENTICATE).await;
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    assert_eq!(
        app.get(Who::Billing, &url).await.json()["status"],
        "requires_action"
    );
    app.fault(
        &json!({ "path": "/v1/payment_intents", "method": "POST", "fault": "status",
        "status": 400 }),
    )
    .await;
    app.charge(&token, "k")
        .await
        .problem(422, "invalid_request");
    assert_eq!(
        app.get(Who::Billing, &url).await.json()["status"],
        "requires_action"
    );
}

#[tokio::test]
async fn what_was_paid_is_known_to_the_sandbox_after_a_restart_of_dev() {
    let app = App::start();
    let (paid, _) = app.charged("c", true).await;
    let (held, _) = app.charged("h", false).await;
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    // A life that was cut short may have left half a line.
    let file = dir.path().join("sandbox.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(r#"{"kind":"charge","value":{"id":"ch_"#);
    std::fs::write(&file, &text).unwrap();

    let app = App::start_in(dir, &[], &[]);
    let body = json!({ "charge": paid, "amount": 500 });
    let refunded = app.keyed(Who::Billing, "/v1/refunds", "r", &body).await;
    assert_eq!(refunded.status, 201, "{}", refunded.json());
    assert_eq!(refunded.json()["status"], "succeeded");
    let path = format!("/v1/charges/{held}/capture");
    let captured = app.keyed(Who::Billing, &path, "k", &Value::Null).await;
    assert_eq!(
        captured.json()["status"],
        "succeeded",
        "{}",
        captured.json()
    );
    for (charge, amounts) in [(&paid, (1250, 500)), (&held, (1250, 0))] {
        let there = app.payment_of(charge).await;
        assert_eq!(there["payments"], 1, "{there}");
        assert_eq!(
            (&there["amount_captured"], &there["amount_refunded"]),
            (&json!(amounts.0), &json!(amounts.1))
        );
    }

    // Once more, and the refund is known as well; a key is still the key of what it made.
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    let app = App::start_in(dir, &[], &[]);
    assert_eq!(app.payment_of(&paid).await["amount_refunded"], 500);
    let text = std::fs::read_to_string(app.path("sandbox.jsonl")).unwrap();
    assert!(!text.contains(VISA) && text.contains("idempotency_key"));
}
