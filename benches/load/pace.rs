//! The two loops.
//!
//! *Closed*: each client sends its next request when the last is answered, so a slow service is
//! asked less. It shows the most that the service gets through. *Open*: requests are due at fixed
//! times, whatever the service does, and a latency runs from the moment a request was due, so that
//! those which had to wait behind a stall are counted with their wait (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Outcome;
use super::tally::{End, Tally};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Closed,
    Open { per_s: u32 },
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    pub(crate) length: Duration,
    /// Clients start one after the other within this time.
    pub(crate) ramp: Duration,
    /// Counts answers while the run lasts.
    pub(crate) answered: Arc<AtomicU64>,
}

/// A client: what it sends is its own.
pub(crate) trait Client: Send + 'static {
    /// One request. Nothing where it has nothing left to send.
    fn send(&mut self) -> impl Future<Output = Option<End>> + Send;
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) tally: Tally,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

/// Runs all clients to the end of the plan.
pub(crate) async fn run<C: Client>(plan: &Plan, clients: Vec<C>) -> Outcome<Ran> {
    let start = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let count = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    let step = plan.ramp.checked_div(count).unwrap_or_default();
    let mut tasks = JoinSet::new();
    let mut delay = Duration::ZERO;
    for client in clients {
        let from = after(start, delay);
        delay = delay.saturating_add(step);
        tasks.spawn(work(plan.clone(), client, (start, from), Arc::clone(&next)));
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.merge(done?);
    }
    Ok(Ran {
        tally,
        elapsed: start.elapsed(),
    })
}

fn after(start: Instant, delay: Duration) -> Instant {
    start.checked_add(delay).unwrap_or(start)
}

async fn work(
    plan: Plan,
    mut client: impl Client,
    (start, from): (Instant, Instant),
    next: Arc<AtomicU64>,
) -> Tally {
    let mut tally = Tally::default();
    let end = after(start, plan.length);
    // What is still due when as much time again has passed is not caught up with.
    let give_up = after(end, plan.length);
    tokio::time::sleep_until(from).await;
    loop {
        let due = match plan.pace {
            Pace::Closed => Instant::now(),
            Pace::Open { per_s } => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                due_at(start, number, per_s)
            }
        };
        if due >= end {
            return tally;
        }
        tokio::time::sleep_until(due).await;
        let sent = Instant::now();
        if sent >= give_up {
            tally.missed = tally.missed.saturating_add(1);
            continue;
        }
        let Some(how) = client.send().await else {
            return tally;
        };
        tally.note(how, due.elapsed(), sent.saturating_duration_since(due));
        plan.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// When the request of that number is due.
fn due_at(start: Instant, number: u64, per_s: u32) -> Instant {
    let nanos = number
        .saturating_mul(1_000_000_000)
        .checked_div(u64::from(per_s));
    after(start, Duration::from_nanos(nanos.unwrap_or_default()))
}
