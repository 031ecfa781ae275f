//! Failing on demand.

use std::time::{Duration, Instant};

use super::*;

const PATH: &str = "/v1/payment_intents";

impl Stage {
    async fn made(&self) -> Value {
        self.ledger().await["made"]["payment_intents"].clone()
    }
}

#[actix_web::test]
async fn a_cut_before_execution_makes_nothing() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"cut_before"}"#)
        .await;
    assert!(
        stage
            .try_send(stage.keyed(PATH, &order, "k"))
            .await
            .is_none()
    );
    assert_eq!(stage.made().await, 0);
    let retried = stage.post_keyed(PATH, &order, "k").await;
    assert_eq!(retried.header("idempotent-replayed"), None);
    assert_eq!(stage.made().await, 1);
}

#[actix_web::test]
async fn a_cut_after_execution_is_found_out_by_the_key() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"cut_after","times":2}"#)
        .await;
    for _ in 0..2 {
        assert!(
            stage
                .try_send(stage.keyed(PATH, &order, "k"))
                .await
                .is_none()
        );
    }
    assert_eq!(stage.made().await, 1);
    let retried = stage.post_keyed(PATH, &order, "k").await;
    assert_eq!(retried.header("idempotent-replayed"), Some("true"));
    assert_eq!(retried.body["status"], "succeeded");
    assert_eq!(stage.made().await, 1);
}

#[actix_web::test]
async fn a_500_is_the_keys_answer_unless_told_otherwise() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    for (fault, made, again) in [
        (
            r#"{"path":"/v1/payment_intents","fault":"status","status":500}"#,
            0,
            500,
        ),
        (
            r#"{"path":"/v1/payment_intents","fault":"status","status":503,"after_execution":true}"#,
            1,
            503,
        ),
        (
            r#"{"path":"/v1/payment_intents","fault":"status","status":500,"kept":false}"#,
            1,
            200,
        ),
        (
            r#"{"path":"/v1/payment_intents","fault":"status","status":500,"after_execution":true,"kept":false}"#,
            3,
            200,
        ),
    ] {
        stage.fault(fault).await;
        let failed = stage.post_keyed(PATH, &order, fault_key(fault)).await;
        assert!(failed.status >= 500);
        assert_eq!(failed.error()["type"], "api_error");
        assert_eq!(stage.made().await, made, "{fault}");
        let retried = stage.post_keyed(PATH, &order, fault_key(fault)).await;
        assert_eq!(retried.status, again, "{fault}");
    }
    assert_eq!(stage.made().await, 3);
}

/// Any text that is the same for the same fault and fit for a header.
fn fault_key(fault: &str) -> &str {
    fault
}

#[actix_web::test]
async fn a_rate_limit_and_a_lock_say_when_to_come_back() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"status","status":429,"retry_after_s":3}"#)
        .await;
    let limited = stage.post_keyed(PATH, &order, "k").await;
    assert_eq!(
        limited.refusal(),
        (429, "invalid_request_error", "rate_limit")
    );
    assert_eq!(limited.header("retry-after"), Some("3"));
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"status","status":409}"#)
        .await;
    let locked = stage.post_keyed(PATH, &order, "k").await;
    assert_eq!(
        locked.refusal(),
        (409, "invalid_request_error", "lock_timeout")
    );
    assert_eq!(locked.header("stripe-should-retry"), Some("true"));
    assert_eq!(stage.post_keyed(PATH, &order, "k").await.status, 200);
}

#[actix_web::test]
async fn a_delay_is_waited_out_and_a_hang_ends_in_a_cut() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"delay","delay_ms":300}"#)
        .await;
    let began = Instant::now();
    assert_eq!(stage.post(PATH, &order).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"hang","delay_ms":200}"#)
        .await;
    assert!(
        stage
            .try_send(stage.request("POST", PATH, &order))
            .await
            .is_none()
    );
    assert_eq!(stage.made().await, 1);
    stage
        .fault(
            r#"{"path":"/v1/payment_intents","fault":"hang","delay_ms":10,"after_execution":true}"#,
        )
        .await;
    assert!(
        stage
            .try_send(stage.request("POST", PATH, &order))
            .await
            .is_none()
    );
    assert_eq!(stage.made().await, 2);
}

#[actix_web::test]
async fn who_hangs_up_does_not_undo_what_was_asked_for() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"delay","delay_ms":300}"#)
        .await;
    let sent = stage.try_send(stage.request("POST", PATH, &order));
    let hung_up = actix_web::rt::time::timeout(Duration::from_millis(100), sent).await;
    assert!(hung_up.is_err());
    actix_web::rt::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.made().await, 1);
}

#[actix_web::test]
async fn faults_are_cleared_and_nonsense_is_refused() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    stage
        .fault(r#"{"path":"/v1/payment_intents","fault":"cut_before","times":9}"#)
        .await;
    let cleared = stage
        .send(stage.request("DELETE", "/_sandbox/faults", ""))
        .await;
    assert_eq!(cleared.body["staged"], 0);
    assert_eq!(stage.post(PATH, &order).await.status, 200);
    for nonsense in [
        "{}",
        "no",
        r#"{"path":"/","fault":"explode"}"#,
        r#"{"path":"/","fault":"status","status":200}"#,
        r#"{"path":"/","fault":"delay","times":0}"#,
        r#"{"path":"/","fault":"delay","surprise":1}"#,
    ] {
        assert_eq!(stage.post("/_sandbox/faults", nonsense).await.status, 400);
        assert_eq!(stage.post("/_sandbox/settings", "[]x").await.status, 400);
    }
}
