//! Leases of seconds: who lives renews its own, however slow the processor is, and what a dead
//! process left behind is taken up at once.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, card, eventually, request};

on_both_engines! {
    work_that_takes_longer_than_its_lease_is_done_by_its_owner_alone,
    a_card_that_takes_longer_than_its_lease_is_sent_once,
}

/// The shortest lease there is, and a processor that needs several of it.
const SHORT: [(&str, &str); 1] = [("CLOAKROOM__LIMITS__WORK_LEASE_MS", "1000")];
const SLOW_MS: u64 = 3_500;

impl App {
    async fn slowly(&self) {
        let slow = json!({ "latency_ms": SLOW_MS });
        self.sandbox(Method::POST, "settings", &slow).await;
    }
}

async fn work_that_takes_longer_than_its_lease_is_done_by_its_owner_alone(engine: Engine) {
    let app = App::on_with(engine, &[], &SHORT);
    let token = app.token(VISA).await;
    app.slowly().await;
    let (one, other) = tokio::join!(app.charge(&token, "k"), async {
        // Two leases later the first request still has the charge.
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        app.charge(&token, "k").await
    });
    assert_eq!(one.status, 201, "{}", one.json());
    other.problem(409, "conflict_in_flight");
    // Nobody else has opened the token to ask for the charge again.
    let opened = "SELECT count(*) FROM audit_events WHERE action = 'token.opened'";
    assert_eq!(app.count(opened).await, 1);

    let body = json!({ "charge": one.json()["id"] });
    let url = format!("{}/v1/refunds", app.at.internal);
    let refund = async || {
        let headers = [("idempotency-key", "r")];
        app.send(
            Who::Billing,
            request(Method::POST, &url, &headers, body.to_string()),
        )
        .await
    };
    let (one, other) = tokio::join!(refund(), async {
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        refund().await
    });
    assert_eq!(one.status, 201, "{}", one.json());
    other.problem(409, "conflict_in_flight");
    let settled = "SELECT count(*) FROM audit_events WHERE action = 'refund.settled'";
    assert_eq!(app.count(settled).await, 1);
}

async fn a_card_that_takes_longer_than_its_lease_is_sent_once(engine: Engine) {
    let app = App::on_with(engine, &[], &SHORT);
    let secret = app.session().await;
    app.slowly().await;
    let (typed, headers) = (card(VISA), [("idempotency-key", "typed")]);
    let (one, other) = tokio::join!(app.post_card(&secret, &typed, &headers), async {
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        app.post_card(&secret, &typed, &headers).await
    });
    assert_eq!(one.status, 201, "{}", one.json());
    other.problem(409, "conflict_in_flight");
    let attempts = "SELECT attempts_made FROM sessions WHERE token_id IS NOT NULL";
    assert_eq!(app.count(attempts).await, 1);
}

/// The negative control of the two above, and what a lease is for: nobody renews a dead owner's.
#[tokio::test]
async fn a_dead_owners_work_is_taken_up_when_its_lease_ends() {
    let app = App::on_with(Engine::Sqlite, &[], &SHORT);
    let token = app.token(VISA).await;
    // The processor charges and does not answer; the process dies meanwhile.
    let hang = json!({ "path": "/v1/payment_intents", "times": 1, "fault": "hang",
        "delay_ms": 8_000, "after_execution": true });
    app.sandbox(Method::POST, "faults", &hang).await;
    let _nobody_waits =
        tokio::time::timeout(Duration::from_millis(900), app.charge(&token, "k")).await;
    let dead = "UPDATE charges SET lease_token = 1 WHERE status = 'processing'";
    app.change_rows(dead).await;
    eventually("the charge is settled by another owner", async || {
        let settled = "SELECT count(*) FROM charges WHERE status = 'succeeded'";
        app.count(settled).await == 1
    })
    .await;
    let ledger = app.sandbox(Method::GET, "ledger", &Value::Null).await;
    let ledger = ledger.json();
    assert_eq!(ledger["payment_intents"].as_array().map(Vec::len), Some(1));
}
