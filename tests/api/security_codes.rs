//! The security code of a saved card: given again in a session of its own, and charged with.

use hyper::Method;
use serde_json::{Value, json};

use crate::drills::token_of;
use crate::engines::{Engine, on_both_engines};
use crate::orders::{quarantined, write};
use crate::support::{Answer, App, CVC, VISA, Who, card, eventually, request};

/// Charged all the same, and the issuer finds its code wrong.
const WRONG_CODE: &str = "4000000000000101";
const AMEX: &str = "378282246310005";

on_both_engines! {
    a_saved_card_is_charged_with_the_code_that_its_shopper_gave_again,
    a_session_takes_what_it_was_made_for_and_nothing_else,
    a_session_takes_codes_of_a_card_that_can_be_charged,
    a_code_is_for_its_token_alone,
    a_code_is_good_for_one_charge,
    a_charge_that_is_repeated_or_was_lost_asks_the_same,
    a_charge_that_is_gone_is_found_whatever_code_it_is_asked_for_with,
    a_deleted_card_takes_no_code_and_no_charge,
    a_session_turned_to_another_card_takes_no_code,
    a_charge_whose_code_was_exchanged_is_not_made,
    a_session_takes_five_codes,
}

impl App {
    /// The secret of a session that takes the code of a saved card.
    async fn code_session(&self, token: &str) -> String {
        let made = self.order_session(&json!({ "token": token })).await;
        assert_eq!(made.status, 201, "{}", made.json());
        made.json()["client_secret"].as_str().unwrap().to_owned()
    }

    async fn post_code(&self, secret: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {secret}");
        let headers = [("authorization", bearer.as_str())];
        let url = format!("{}/v1/security_codes", self.at.capture);
        let post = request(Method::POST, &url, &headers, body.to_string());
        self.send(Who::Nobody, post).await
    }

    /// A code of a saved card, by the whole way from session to answer.
    async fn code(&self, token: &str) -> String {
        let secret = self.code_session(token).await;
        let given = self.post_code(&secret, &json!({ "cvc": CVC })).await;
        assert_eq!(given.status, 201, "{}", given.json());
        given.json()["id"].as_str().unwrap().to_owned()
    }

    async fn charge_with(&self, token: &str, code: &str, key: &str) -> Answer {
        let order = json!({ "token": token, "amount": 1250, "currency": "eur",
            "security_code": code });
        self.order_charge(&order, key).await
    }
}

/// The one field that a problem names, and why.
fn field(answer: &Answer) -> (String, String) {
    let body = answer.problem(422, "invalid_request");
    assert_eq!(body["errors"].as_array().unwrap().len(), 1, "{body}");
    let text = |name: &str| body["errors"][0][name].as_str().unwrap().to_owned();
    (text("pointer"), text("reason"))
}

fn is_field(answer: &Answer, pointer: &str, reason: &str) {
    assert_eq!(field(answer), (pointer.to_owned(), reason.to_owned()));
}

async fn a_saved_card_is_charged_with_the_code_that_its_shopper_gave_again(engine: Engine) {
    let app = App::on(engine);
    for (number, check) in [(VISA, "pass"), (WRONG_CODE, "fail")] {
        let token = app.token(number).await;
        let secret = app.code_session(&token).await;
        let given = app.post_code(&secret, &json!({ "cvc": CVC })).await;
        assert_eq!(given.header("connection"), Some("close"));
        let given = given.json();
        assert_eq!(
            (&given["object"], &given["token"]),
            (&json!("security_code"), &json!(token))
        );
        let code = given["id"].as_str().unwrap();
        assert!(code.starts_with("test_cvc_") && code.len() <= 500, "{code}");
        assert!(!code.contains("cvctok"));
        let charged = app.charge_with(&token, code, check).await;
        assert_eq!(charged.status, 201, "{}", charged.json());
        let charge = charged.json();
        assert_eq!(charge["status"], "succeeded");
        assert_eq!(charge["off_session"], false);
        assert_eq!(charge["checks"]["cvc"], check, "{number}");
        assert!(!charge.to_string().contains(code));
    }
    let left = "SELECT count(*) FROM charges WHERE security_code_token IS NOT NULL";
    assert_eq!(app.count(left).await, 0);
    let given = "SELECT count(*) FROM audit_events WHERE action = 'card.code_taken' AND outcome = 'success'";
    assert_eq!(app.count(given).await, 2);
}

async fn a_session_takes_what_it_was_made_for_and_nothing_else(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let secret = app.code_session(&token).await;
    let refused = app.post_card(&secret, &card(VISA), &[]).await;
    refused.problem(403, "not_granted");
    let of_card = app.session().await;
    let refused = app.post_code(&of_card, &json!({ "cvc": CVC })).await;
    refused.problem(403, "not_granted");
    // Neither has cost anything.
    assert_eq!(app.post_card(&of_card, &card(VISA), &[]).await.status, 201);
    assert_eq!(
        app.post_code(&secret, &json!({ "cvc": CVC })).await.status,
        201
    );
    for secret in ["x", "test_cs_0_secret_0"] {
        let refused = app.post_code(secret, &json!({ "cvc": CVC })).await;
        refused.problem(401, "unauthenticated");
    }
    // There is no page of ours for a code alone.
    let order = json!({ "token": token, "origin": "https://shop.example" });
    let made = app.order_session(&order).await.json();
    let url = format!("{}/pay/{}", app.at.capture, made["id"].as_str().unwrap());
    assert_eq!(app.get(Who::Nobody, &url).await.status, 404);
}

async fn a_session_takes_codes_of_a_card_that_can_be_charged(engine: Engine) {
    let app = App::on(engine);
    let token = token_of(&app, VISA, "c").await;
    let made = app.order_session(&json!({ "token": token })).await.json();
    for (member, value) in [
        ("collects", json!("security_code")),
        ("token", json!(token)),
        ("customer_ref", json!("c")),
        ("usage", json!("off_session")),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    let url = format!(
        "{}/v1/capture_sessions/{}",
        app.at.internal,
        made["id"].as_str().unwrap()
    );
    let now = app.get(Who::Checkout, &url).await.json();
    for (member, value) in [
        ("status", json!("open")),
        ("collects", json!("security_code")),
        ("token", json!(token)),
        ("attempts_left", json!(5)),
    ] {
        assert_eq!(now[member], value, "{member}");
    }
    let card = app.order_session(&json!({})).await.json();
    assert_eq!(
        (&card["collects"], &card["token"]),
        (&json!("card"), &Value::Null)
    );
    let order = async |order: Value| app.order_session(&order).await;
    let same = order(json!({ "token": token, "customer_ref": "c" })).await;
    assert_eq!(same.status, 201);
    let other = order(json!({ "token": token, "customer_ref": "d" })).await;
    is_field(&other, "/customer_ref", "not_of_token");
    let usage = order(json!({ "token": token, "usage": "on_session" })).await;
    is_field(&usage, "/usage", "not_with_token");
    let page = json!({ "token": token, "origin": "https://shop.example", "presentation": {} });
    is_field(&order(page).await, "/presentation", "not_with_token");
    is_field(&order(json!({ "token": "x" })).await, "/token", "not_an_id");
    let live = token.replace("test_", "");
    is_field(
        &order(json!({ "token": live })).await,
        "/token",
        "wrong_environment",
    );
    // What waits for the issuer cannot be charged yet.
    let waits = app.token("4000002500003155").await;
    is_field(
        &order(json!({ "token": waits })).await,
        "/token",
        "not_active",
    );
}

async fn a_code_is_for_its_token_alone(engine: Engine) {
    let app = App::on(engine);
    let (token, other) = (
        token_of(&app, VISA, "c").await,
        token_of(&app, AMEX, "d").await,
    );
    let code = app.code(&token).await;
    let mut altered = code.clone();
    altered.replace_range(60..61, if &code[60..61] == "A" { "B" } else { "A" });
    for (token, code) in [
        (&other, code.as_str()),
        (&token, altered.as_str()),
        (&token, "test_cvc_"),
        (&token, &code.replace("test_", "")),
        (&token, "cvctok_1SbxAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let refused = app.charge_with(token, code, "k").await;
        is_field(&refused, "/security_code", "not_valid");
        assert!(!String::from_utf8_lossy(&refused.body).contains(code));
    }
    let long = format!("test_cvc_{}", "A".repeat(500));
    let refused = app.charge_with(&token, &long, "k").await;
    is_field(&refused, "/security_code", "too_long");
    // With a code the shopper is there.
    let away = json!({ "token": token, "amount": 1250, "currency": "eur",
        "security_code": code, "off_session": true });
    let refused = app.order_charge(&away, "k").await;
    is_field(&refused, "/off_session", "not_with_security_code");
    // And its page's later tries could not have it again.
    let mailed = json!({ "token": token, "amount": 1250, "currency": "eur",
        "security_code": code, "hosted_page": {} });
    let refused = app.order_charge(&mailed, "k").await;
    is_field(&refused, "/hosted_page", "not_with_security_code");
    assert_eq!(app.count("SELECT count(*) FROM charges").await, 0);
    assert_eq!(app.charge_with(&token, &code, "k").await.status, 201);
    // A code has as many digits as its card prints.
    let secret = app.code_session(&other).await;
    for (cvc, reason) in [("123", "length"), ("12a4", "not_digits"), ("", "length")] {
        let refused = app.post_code(&secret, &json!({ "cvc": cvc })).await;
        let body = refused.problem(422, "invalid_card");
        assert_eq!(
            body["errors"],
            json!([{ "pointer": "/cvc", "reason": reason }])
        );
    }
    let given = app.post_code(&secret, &json!({ "cvc": "1234" })).await;
    assert_eq!(given.status, 201);
}

async fn a_code_is_good_for_one_charge(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let code = app.code(&token).await;
    assert_eq!(app.charge_with(&token, &code, "one").await.status, 201);
    let again = app.charge_with(&token, &code, "two").await;
    is_field(&again, "/security_code", "used");
    // The key is free: with another code the charge is made.
    let fresh = app.code(&token).await;
    assert_eq!(app.charge_with(&token, &fresh, "two").await.status, 201);
}

async fn a_charge_that_is_repeated_or_was_lost_asks_the_same(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let code = app.code(&token).await;
    let first = app.charge_with(&token, &code, "one").await;
    let again = app.charge_with(&token, &code, "one").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let without = app.charge(&token, "one").await;
    without.problem(422, "idempotency_mismatch");

    // The answer is lost, after the payment was made and before: the service asks again with the same
    // code, under the same key, and the processor has seen it once.
    for (place, fault) in [("after", "cut_after"), ("before", "cut_before")] {
        let code = app.code(&token).await;
        let fault = json!({ "path": "/v1/payment_intents", "times": 1, "fault": fault });
        assert_eq!(
            app.sandbox(Method::POST, "faults", &fault).await.status,
            200
        );
        let charged = app.charge_with(&token, &code, place).await.json();
        let id = charged["id"].as_str().unwrap();
        let url = format!("{}/v1/charges/{id}", app.at.internal);
        eventually("the charge is settled", async || {
            let charge = app.get(Who::Billing, &url).await.json();
            charge["status"] == "succeeded" && charge["checks"]["cvc"] == "pass"
        })
        .await;
        let used = app.charge_with(&token, &code, &format!("{place}-2")).await;
        is_field(&used, "/security_code", "used");
    }
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_intents"].as_array().unwrap().len(), 3);
    let left = "SELECT count(*) FROM charges WHERE security_code_token IS NOT NULL";
    assert_eq!(app.count(left).await, 0);
}

/// The rows of a paid charge are gone, as after a rollback, and its code is over: the shopper gives
/// another, and what was paid is found and not paid again.
async fn a_charge_that_is_gone_is_found_whatever_code_it_is_asked_for_with(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    // No review of it is owed when its row goes.
    let quiet = json!({ "events": false });
    app.sandbox(Method::POST, "settings", &quiet).await;
    let first = app.code(&token).await;
    let first = app.charge_with(&token, &first, "lost").await.json();
    let lost = first["id"].as_str().unwrap();
    for gone in [
        "DELETE FROM idempotency_keys WHERE key = 'lost'".to_owned(),
        format!("DELETE FROM charges WHERE id = '{lost}'"),
    ] {
        app.change_rows(&gone).await;
    }
    let other = app.code(&token).await;
    let again = app.charge_with(&token, &other, "lost").await.json();
    assert_eq!(again["status"], "succeeded", "{again}");
    assert_ne!(again["id"], first["id"]);
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_intents"].as_array().unwrap().len(), 1);
}

async fn a_deleted_card_takes_no_code_and_no_charge(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let (secret, code) = (app.code_session(&token).await, app.code(&token).await);
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let deleted = app.call(Who::Admin, Method::DELETE, &url, &json!({})).await;
    assert_eq!(deleted.status, 200, "{}", deleted.json());
    let refused = app.post_code(&secret, &json!({ "cvc": CVC })).await;
    refused.problem(410, "token_deleted");
    let refused = app.charge_with(&token, &code, "k").await;
    refused.problem(410, "token_deleted");
    let refused = app.order_session(&json!({ "token": token })).await;
    is_field(&refused, "/token", "deleted");
}

async fn a_session_turned_to_another_card_takes_no_code(engine: Engine) {
    let app = App::on(engine);
    let token = token_of(&app, VISA, "victim").await;
    let other = token_of(&app, AMEX, "thief").await;
    for change in [
        format!("security_code_of = '{other}'"),
        "security_code_of = NULL".to_owned(),
    ] {
        let secret = app.code_session(&token).await;
        let (id, _) = secret.split_once("_secret_").unwrap();
        write(
            &app,
            &format!("UPDATE sessions SET {change} WHERE id = '{id}'"),
        )
        .await;
        let refused = app.post_code(&secret, &json!({ "cvc": CVC })).await;
        refused.problem(401, "unauthenticated");
        let refused = app.post_card(&secret, &card(VISA), &[]).await;
        refused.problem(401, "unauthenticated");
        quarantined(&app, "sessions", id).await;
    }
    // Nor does a session of a card become one of a code.
    let secret = app.session().await;
    let (id, _) = secret.split_once("_secret_").unwrap();
    write(
        &app,
        &format!("UPDATE sessions SET security_code_of = '{token}' WHERE id = '{id}'"),
    )
    .await;
    let refused = app.post_code(&secret, &json!({ "cvc": CVC })).await;
    refused.problem(401, "unauthenticated");
}

async fn a_charge_whose_code_was_exchanged_is_not_made(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let code = app.code(&token).await;
    // It is open: the processor is busy with it.
    let fault = json!({ "path": "/v1/payment_intents", "times": 40, "fault": "status",
        "status": 500, "kept": false });
    app.sandbox(Method::POST, "faults", &fault).await;
    let charged = app.charge_with(&token, &code, "k").await.json();
    assert_eq!(charged["status"], "processing", "{charged}");
    let id = charged["id"].as_str().unwrap();
    write(
        &app,
        &format!("UPDATE charges SET security_code_token = NULL WHERE id = '{id}'"),
    )
    .await;
    quarantined(&app, "charges", id).await;
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_intents"].as_array().unwrap().len(), 0);
}

async fn a_session_takes_five_codes(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let secret = app.code_session(&token).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let given = app.post_code(&secret, &json!({ "cvc": CVC })).await;
        assert_eq!(given.status, 201, "{}", given.json());
        ids.push(given.json()["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let refused = app.post_code(&secret, &json!({ "cvc": CVC })).await;
    refused.problem(429, "rate_limited");
    for body in [
        json!({}),
        json!({ "cvc": 123 }),
        json!({ "cvc": "123", "number": "1" }),
    ] {
        let refused = app.post_code(&app.code_session(&token).await, &body).await;
        refused.problem(422, "invalid_request");
    }
}
