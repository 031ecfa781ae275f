//! The loops, in a time that stands still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::load::pace::{Client, Pace, Plan, run};
use super::load::tally::End;

/// Needs `slow` for its first request and nothing for the others.
struct Stalling {
    slow: Option<Duration>,
    left: u32,
}

impl Client for Stalling {
    async fn send(&mut self) -> Option<End> {
        self.left = self.left.checked_sub(1)?;
        if let Some(slow) = self.slow.take() {
            tokio::time::sleep(slow).await;
        }
        Some(End::Status(200))
    }
}

fn plan(pace: Pace, length_ms: u64) -> Plan {
    Plan {
        pace,
        length: Duration::from_millis(length_ms),
        ramp: Duration::ZERO,
        answered: Arc::default(),
    }
}

fn stalling(slow_ms: u64, left: u32) -> Vec<Stalling> {
    let slow = Some(Duration::from_millis(slow_ms));
    vec![Stalling { slow, left }]
}

#[tokio::test(start_paused = true)]
async fn the_open_loop_counts_the_wait_of_all_that_was_due_during_a_stall() {
    let plan = plan(Pace::Open { per_s: 100 }, 1_000);
    let mut ran = run(&plan, stalling(500, 1_000)).await.unwrap();
    // 50 requests were due in the stall: on average they waited half of it.
    let latency = ran.tally.latency();
    assert_eq!(ran.tally.succeeded(), 100);
    assert_eq!(plan.answered.load(Ordering::Relaxed), 100);
    assert!(latency.max_ms >= 500.0, "{latency:?}");
    assert!((400.0..500.0).contains(&latency.p90_ms), "{latency:?}");
    assert!(ran.tally.lag().p90_ms >= 380.0);
}

#[tokio::test(start_paused = true)]
async fn the_closed_loop_sends_only_what_is_answered() {
    let mut ran = run(&plan(Pace::Closed, 1_000), stalling(500, 3))
        .await
        .unwrap();
    let latency = ran.tally.latency();
    assert_eq!(ran.tally.succeeded(), 3);
    assert!(
        latency.p50_ms < 5.0 && latency.max_ms >= 500.0,
        "{latency:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_is_missed_and_not_made_up_for() {
    let plan = plan(Pace::Open { per_s: 100 }, 1_000);
    let ran = run(&plan, stalling(5_000, 1_000)).await.unwrap();
    assert_eq!((ran.tally.succeeded(), ran.tally.missed), (1, 99));
}

#[tokio::test(start_paused = true)]
async fn requests_are_due_at_the_rate_that_was_asked_for_whoever_sends_them() {
    let clients = || (0..7).flat_map(|_| stalling(0, 1_000)).collect();
    for per_s in [1, 7, 300] {
        let ran = run(&plan(Pace::Open { per_s }, 3_000), clients())
            .await
            .unwrap();
        assert_eq!(ran.tally.succeeded(), u64::from(per_s) * 3);
        assert!(ran.elapsed <= Duration::from_millis(3_010), "{ran:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_come_one_after_the_other_within_the_ramp() {
    let mut plan = plan(Pace::Closed, 1_000);
    plan.ramp = Duration::from_millis(900);
    let clients = (0..9).flat_map(|_| stalling(450, 1)).collect();
    let ran = run(&plan, clients).await.unwrap();
    // The last comes at 800 ms.
    assert_eq!(ran.tally.succeeded(), 9);
    assert!((1_250..1_300).contains(&ran.elapsed.as_millis()), "{ran:?}");
}
