//! Every attempt passes the governor, and what it does not let go is known not to have happened.

use std::time::{Duration, Instant};

use super::*;
use crate::processor::{Failure, Limits};

fn governed(peer: &Peer, change: impl FnOnce(&mut Limits)) -> Processor {
    let mut settings = peer.settings();
    change(&mut settings.limits);
    Processor::stripe(&settings).unwrap()
}

fn customer() -> Reply {
    ok(r#"{"id":"cus_1"}"#)
}

#[tokio::test]
async fn each_attempt_waits_for_its_turn() {
    let script = vec![
        Reply::json(409, LOCKED),
        Reply::json(409, LOCKED),
        customer(),
    ];
    let peer = Peer::start(script).await;
    let processor = governed(&peer, |limits| limits.requests_per_s_max = 2);
    let began = Instant::now();
    assert!(processor.create_customer("key", CLIENT).await.is_ok());
    // 525 ms between two, less the slack of 50; the pauses alone would be over after 300 ms.
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(peer.received().len(), 3);
}

#[tokio::test]
async fn a_call_over_the_rate_is_refused_and_not_sent() {
    let peer = Peer::start(vec![customer(), customer()]).await;
    let processor = governed(&peer, |limits| {
        limits.requests_per_s_max = 1;
        limits.wait_ms_max = 10;
    });
    assert!(processor.create_customer("one", CLIENT).await.is_ok());
    let refused = processor.create_customer("two", CLIENT).await;
    assert_eq!(refused, Err(Failure::RateLimited { retry_after_s: 1 }));
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_second_attempt_that_is_refused_does_not_hide_what_the_first_left_open() {
    let again = [("stripe-should-retry", "true")];
    for (status, expected) in [
        (500, Failure::OutcomeUnknown),
        (409, Failure::InFlight { retry_after_s: 1 }),
    ] {
        let peer = Peer::start(vec![Reply::with(status, &again, ""), customer()]).await;
        let processor = governed(&peer, |limits| {
            limits.requests_per_s_max = 1;
            limits.wait_ms_max = 10;
        });
        let failure = processor.create_customer("key", CLIENT).await;
        assert_eq!(failure, Err(expected), "{status}");
        assert_eq!(peer.received().len(), 1);
    }
}

#[tokio::test]
async fn a_wait_that_stripe_asks_one_caller_for_holds_for_all() {
    let limited = [("stripe-should-retry", "false"), ("retry-after", "30")];
    let script = vec![Reply::with(429, &limited, "{}"), customer()];
    let peer = Peer::start(script).await;
    let processor = governed(&peer, |_| ());
    for key in ["one", "two"] {
        let refused = processor.create_customer(key, CLIENT).await;
        assert_eq!(refused, Err(Failure::RateLimited { retry_after_s: 30 }));
    }
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_lock_on_one_object_holds_up_nobody_else() {
    let locked = [("stripe-should-retry", "false"), ("retry-after", "30")];
    let script = vec![Reply::with(429, &locked, LOCKED), customer()];
    let peer = Peer::start(script).await;
    let processor = governed(&peer, |_| ());
    assert!(processor.create_customer("one", CLIENT).await.is_err());
    assert!(processor.create_customer("two", CLIENT).await.is_ok());
}

#[tokio::test]
async fn a_processor_that_fails_is_left_alone_and_nothing_is_unknown_then() {
    let script = vec![Reply::json(500, ""), Reply::Cut, customer(), customer()];
    let peer = Peer::start(script).await;
    let processor = governed(&peer, |limits| {
        limits.failures_in_a_row_max = 2;
        limits.open_ms = 300;
    });
    for _ in 0..2 {
        let failure = processor.create_customer("key", CLIENT).await;
        assert_eq!(failure, Err(Failure::OutcomeUnknown));
    }
    let metadata = BTreeMap::new();
    let order = charge_order(&metadata);
    for _ in 0..5 {
        let failure = processor.charge(&reference(), &order).await;
        assert_eq!(failure, Err(Failure::NotSent));
    }
    assert_eq!(peer.received().len(), 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(processor.create_customer("key", CLIENT).await.is_ok());
    assert!(processor.create_customer("key", CLIENT).await.is_ok());
}

#[tokio::test]
async fn refusals_declines_and_kept_faults_are_answers() {
    let kept = [
        ("idempotent-replayed", "true"),
        ("stripe-should-retry", "false"),
    ];
    let script = vec![
        Reply::json(402, DECLINED),
        Reply::json(401, "{}"),
        Reply::json(404, "{}"),
        Reply::with(500, &kept, ""),
        customer(),
    ];
    let peer = Peer::start(script).await;
    let processor = governed(&peer, |limits| limits.failures_in_a_row_max = 1);
    for _ in 0..4 {
        assert!(processor.create_customer("key", CLIENT).await.is_err());
    }
    assert!(processor.create_customer("key", CLIENT).await.is_ok());
}

#[tokio::test]
async fn a_payment_that_stands_is_open_when_its_second_step_is_not_let_go() {
    let wanted = DECLINED.replace("insufficient_funds", "authentication_required");
    let peer = Peer::start(vec![Reply::json(402, &wanted)]).await;
    let processor = governed(&peer, |limits| {
        limits.requests_per_s_max = 1;
        limits.wait_ms_max = 10;
    });
    let metadata = BTreeMap::new();
    let charged = processor
        .charge(&reference(), &charge_order(&metadata))
        .await;
    assert_eq!(charged, Err(Failure::OutcomeUnknown));
    assert_eq!(peer.received().len(), 1);
}
