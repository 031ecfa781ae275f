//! A caller's key whose row is gone, and a processor that has forgotten its own: what was made is
//! found, and is not made again.

use hyper::Method;
use serde_json::{Value, json};

use crate::audit_log::{copied, signed};
use crate::engines::{Engine, on_both_engines};
use crate::nodes::Second;
use crate::orders::write;
use crate::support::{Answer, App, VISA, Who, eventually, request};

on_both_engines! {
    a_key_whose_row_is_gone_answers_with_what_it_made_after_the_processor_forgot_it,
    a_key_and_a_charge_that_are_gone_find_their_payment_again,
    a_charge_that_says_it_was_given_up_is_looked_for_before_it_is_asked_for_again,
}

async fn forget(app: &App) {
    let forgetful = json!({ "idempotency_key_lifetime_ms": 1 });
    app.sandbox(Method::POST, "settings", &forgetful).await;
}

async fn payments(app: &App) -> usize {
    let ledger = app.ledger().await;
    ledger["payment_intents"].as_array().unwrap().len()
}

async fn refunds(app: &App) -> u64 {
    let ledger = app.ledger().await;
    ledger["made"]["refunds"].as_u64().unwrap()
}

async fn ask(app: &App, node: &str, path: &str, (key, body): (&str, &Value)) -> Answer {
    let url = format!("{node}{path}");
    let headers = [
        ("idempotency-key", key),
        ("content-type", "application/json"),
    ];
    let asked = request(Method::POST, &url, &headers, body.to_string());
    app.send(Who::Billing, asked).await
}

/// That `again` is the answer that `first` was.
fn is_first(first: &Answer, again: &Answer) {
    assert_eq!(again.status, first.status, "{}", again.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert_eq!(again.json()["status"], first.json()["status"]);
}

async fn a_key_whose_row_is_gone_answers_with_what_it_made_after_the_processor_forgot_it(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let node = app.at.internal.clone();
    let held = json!({ "token": token, "amount": 900, "currency": "eur", "capture": false });
    let held = app.order_charge(&held, "held").await.json();
    let capture = format!("/v1/charges/{}/capture", held["id"].as_str().unwrap());
    let charge = json!({ "token": token, "amount": 1250, "currency": "eur" });
    let charged = ask(&app, &node, "/v1/charges", ("charge", &charge)).await;
    let refund = json!({ "charge": charged.json()["id"], "amount": 100 });
    let all = json!({ "charge": held["id"] });
    let orders = [
        ("charge", "/v1/charges", &charge),
        ("capture", &capture, &json!({})),
        ("refund", "/v1/refunds", &refund),
        // All that is left, of which nothing is.
        ("all", "/v1/refunds", &all),
    ];
    let mut first = Vec::new();
    for (key, path, body) in orders {
        let answer = ask(&app, &node, path, (key, body)).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.json());
        first.push(answer);
    }
    forget(&app).await;
    write(&app, "DELETE FROM idempotency_keys").await;
    // Once by the row that is left, and once by the key that stands for it again.
    for _ in 0..2 {
        for ((key, path, body), first) in orders.into_iter().zip(&first) {
            is_first(first, &ask(&app, &node, path, (key, body)).await);
        }
    }
    assert_eq!((payments(&app).await, refunds(&app).await), (2, 2));
    // Another request under the key is still another one.
    let other = json!({ "token": token, "amount": 1251, "currency": "eur" });
    let other = ask(&app, &node, "/v1/charges", ("charge", &other)).await;
    other.problem(422, "idempotency_mismatch");
}

async fn a_key_and_a_charge_that_are_gone_find_their_payment_again(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    // No review of it is owed when its row goes.
    let quiet = json!({ "events": false });
    app.sandbox(Method::POST, "settings", &quiet).await;
    let first = app.charge(&token, "lost").await.json();
    write(&app, "DELETE FROM idempotency_keys WHERE key = 'lost'").await;
    let lost = first["id"].as_str().unwrap();
    write(&app, &format!("DELETE FROM charges WHERE id = '{lost}'")).await;
    // The processor knows the key, and of another request: the payment is looked for.
    let again = app.charge(&token, "lost").await;
    assert_eq!(again.status, 201, "{}", again.json());
    assert_eq!(again.json()["status"], "succeeded", "{}", again.json());
    assert_ne!(again.json()["id"], first["id"]);
    assert_eq!(payments(&app).await, 1);
    // What has its payment again can be given back, and that is the payment's.
    let refund = json!({ "charge": again.json()["id"] });
    let node = app.at.internal.clone();
    let refunded = ask(&app, &node, "/v1/refunds", ("back", &refund)).await;
    assert_eq!(refunded.status, 201, "{}", refunded.json());
    assert_eq!(refunds(&app).await, 1);
}

/// Takes away what keeps a charge's row as it is.
pub(crate) async fn unguarded(app: &App, trigger: &str) {
    match &app.server {
        Some(server) => {
            server.sql(&format!("DROP TRIGGER {trigger} ON charges"));
        }
        None => {
            crate::sealed::run(
                &app.path("cloakroom.db"),
                &format!("DROP TRIGGER {trigger}"),
            )
            .await;
        }
    }
}

async fn a_charge_that_says_it_was_given_up_is_looked_for_before_it_is_asked_for_again(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let first = app.charge(&token, "k").await.json();
    forget(&app).await;
    // Who writes to the database undoes the charge, and the processor remembers no key.
    for trigger in ["charges_status", "charges_payment", "charges_captured"] {
        unguarded(&app, trigger).await;
    }
    let undone = "UPDATE charges
                     SET status = 'canceled', payment = NULL, payment_proof = NULL, captured = 0";
    write(&app, undone).await;
    write(&app, "DELETE FROM idempotency_keys WHERE key = 'k'").await;
    let again = app.charge(&token, "k").await.json();
    assert_eq!(again["status"], "succeeded", "{again}");
    assert_ne!(again["id"], first["id"]);
    assert_eq!(payments(&app).await, 1);
}

/// The rows of what came after the head that was kept, as a backup of then would not have them.
const ROLL_BACK: &str = "BEGIN;
     SET LOCAL session_replication_role = replica;
     LOCK TABLE audit_head, audit_pending;
     DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_log WHERE seq >= (SELECT size FROM kept_head));
     DELETE FROM audit_pending WHERE seq >= (SELECT size FROM kept_head);
     DELETE FROM audit_log WHERE seq >= (SELECT size FROM kept_head);
     DELETE FROM audit_checkpoints WHERE size > (SELECT size FROM kept_head);
     UPDATE audit_head SET (size, peaks) = (SELECT size, peaks FROM kept_head);
     DELETE FROM idempotency_keys WHERE key LIKE 'forgotten%';
     DELETE FROM refunds;
     DELETE FROM charges WHERE id NOT IN (SELECT id FROM kept_charges);
     UPDATE charges SET refunded = 0;
     COMMIT";

#[tokio::test]
async fn after_an_accepted_rollback_no_forgotten_key_moves_money_again() {
    let app = App::on(Engine::Postgres);
    let server = app.server.as_ref().unwrap();
    let token = app.token(VISA).await;
    let kept = app.charge(&token, "kept").await.json();
    let config = app.path("cloakroom.toml");
    let before = signed(&config, 8).await;
    server.sql("CREATE TABLE kept_head AS SELECT size, peaks FROM audit_head; CREATE TABLE kept_charges AS SELECT id FROM charges");
    let node = app.at.internal.clone();
    let refund = json!({ "charge": kept["id"], "amount": 100 });
    let rest = json!({ "charge": kept["id"] });
    let charge = json!({ "token": token, "amount": 1250, "currency": "eur" });
    let orders = [
        ("forgotten-charge", "/v1/charges", &charge),
        ("forgotten-charge-2", "/v1/charges", &charge),
        ("forgotten-refund", "/v1/refunds", &refund),
        ("forgotten-rest", "/v1/refunds", &rest),
    ];
    for (key, path, body) in orders {
        assert_eq!(ask(&app, &node, path, (key, body)).await.status, 201);
    }
    let size = signed(&config, before).await;
    copied(&app, size).await;
    let quiet = json!({ "events": false });
    app.sandbox(Method::POST, "settings", &quiet).await;
    forget(&app).await;
    server.sql(ROLL_BACK);
    let reads = async || {
        let url = format!("{node}/v1/tokens/{token}");
        app.get(Who::Billing, &url).await.status
    };
    eventually("it stops answering", async || reads().await == 503).await;
    assert_eq!((payments(&app).await, refunds(&app).await), (3, 2));

    let accept = ["--accept-rollback", "a drill"];
    let second = Second::beside_with(&app, &accept);
    eventually("it answers again", async || reads().await == 200).await;
    // On the node that was told, and on the one that followed it.
    for node in [&second.internal, &node] {
        for (key, path, body) in orders {
            let again = ask(&app, node, path, (key, body)).await;
            let told = (again.status, again.json()["status"].clone());
            // All that was left is less than what was asked back: it is found, and named by its amount.
            let found = told == (201, json!("succeeded")) || key == "forgotten-rest";
            assert!(found, "{key}: {}", again.json());
        }
        assert_eq!((payments(&app).await, refunds(&app).await), (3, 2));
    }
    // A key that nobody had used is charged, once.
    assert_eq!(app.charge(&token, "new").await.status, 201);
    assert_eq!(payments(&app).await, 4);
    let rest = eventually_made(&app, &node, ("forgotten-rest", &rest)).await;
    assert_eq!(rest["amount"], 1150, "{rest}");
    assert_eq!(refunds(&app).await, 2);
}

/// What a refund comes to when it is asked for until it is answered.
async fn eventually_made(app: &App, node: &str, order: (&str, &Value)) -> Value {
    for _ in 0..100 {
        let answer = ask(app, node, "/v1/refunds", order).await;
        if answer.status == 201 {
            return answer.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("never answered")
}
