//! Attempts: when a call is made again, how often, and what is known afterwards.

use std::time::{Duration, Instant};

use super::*;
use crate::processor::Failure;

async fn create_customer(peer: &Peer) -> Result<String, Failure> {
    processor(peer).create_customer("key", CLIENT).await
}

fn customer() -> Reply {
    ok(r#"{"id":"cus_1"}"#)
}

#[tokio::test]
async fn a_locked_object_is_tried_again_with_the_same_key() {
    for status in [409, 429] {
        let script = vec![
            Reply::json(status, LOCKED),
            Reply::json(status, LOCKED),
            customer(),
        ];
        let peer = Peer::start(script).await;
        assert!(create_customer(&peer).await.is_ok());
        let received = peer.received();
        assert_eq!(received.len(), 3);
        for request in &received {
            assert_eq!(request.header("idempotency-key"), Some("key"));
            assert_eq!(request.body, received[0].body);
        }
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let peer = Peer::start((0..9).map(|_| Reply::json(409, LOCKED)).collect()).await;
    let failure = create_customer(&peer).await.unwrap_err();
    assert_eq!(failure, Failure::InFlight { retry_after_s: 1 });
    assert_eq!(peer.received().len(), 3);
}

#[tokio::test]
async fn stripes_word_on_trying_again_goes_before_ours() {
    let again = Reply::with(500, &[("stripe-should-retry", "true")], "");
    let peer = Peer::start(vec![again, customer()]).await;
    assert!(create_customer(&peer).await.is_ok());
    assert_eq!(peer.received().len(), 2);

    let not_again = Reply::with(409, &[("stripe-should-retry", "false")], LOCKED);
    let peer = Peer::start(vec![not_again, customer()]).await;
    assert!(create_customer(&peer).await.is_err());
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_long_wait_is_left_to_the_caller() {
    let headers = [("stripe-should-retry", "true"), ("retry-after", "30")];
    let peer = Peer::start(vec![Reply::with(429, &headers, ""), customer()]).await;
    let failure = create_customer(&peer).await.unwrap_err();
    assert_eq!(failure, Failure::RateLimited { retry_after_s: 30 });
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn all_attempts_share_one_time_limit() {
    let headers = [("stripe-should-retry", "true"), ("retry-after", "2")];
    let script = (0..9).map(|_| Reply::with(429, &headers, "")).collect();
    let peer = Peer::start(script).await;
    let mut settings = peer.settings();
    settings.request_timeout_ms = 1_000;
    let started = Instant::now();
    let failure = Processor::stripe(&settings)
        .unwrap()
        .create_customer("key", CLIENT)
        .await;
    assert_eq!(
        failure.unwrap_err(),
        Failure::RateLimited { retry_after_s: 2 }
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_attempt_that_is_not_let_through_does_not_undo_what_one_before_may_have_done() {
    let again = [("stripe-should-retry", "true")];
    for (first, second, expected) in [
        (500, 429, Failure::OutcomeUnknown),
        (500, 409, Failure::OutcomeUnknown),
        (500, 401, Failure::OutcomeUnknown),
        (409, 429, Failure::InFlight { retry_after_s: 1 }),
        (429, 500, Failure::OutcomeUnknown),
        (429, 409, Failure::InFlight { retry_after_s: 1 }),
    ] {
        let script = vec![
            Reply::with(first, &again, ""),
            Reply::with(second, &[("stripe-should-retry", "false")], ""),
        ];
        let failure = create_customer(&Peer::start(script).await).await;
        assert_eq!(failure.unwrap_err(), expected, "{first} {second}");
    }
    // A refusal by Stripe itself under the same key is the truth about both.
    let script = vec![Reply::with(500, &again, ""), Reply::json(402, DECLINED)];
    let failure = create_customer(&Peer::start(script).await).await;
    assert!(matches!(failure, Err(Failure::Declined(_))));
}

#[tokio::test]
async fn a_processor_that_is_down_is_tried_again_with_pauses() {
    let peer = Peer::start(Vec::new()).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut settings = peer.settings();
    settings.base_url.set_port(Some(port)).unwrap();
    let started = Instant::now();
    let failure = Processor::stripe(&settings)
        .unwrap()
        .create_customer("key", CLIENT)
        .await;
    assert_eq!(failure.unwrap_err(), Failure::NotSent);
    // Two pauses, of at least half of 100 and of 200 ms.
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_our_own_fault() {
    let peer = Peer::start(vec![customer()]).await;
    let failure = processor(&peer).create_customer("two words", CLIENT).await;
    assert_eq!(failure.unwrap_err(), Failure::Rejected);
    assert!(peer.received().is_empty());
}
