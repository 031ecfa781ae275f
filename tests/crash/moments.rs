//! Moments at which a node is killed: at random, or at a numbered step of the write-ahead order
//! (`src/vault/charge.rs`, `steps.rs`, `refund.rs`, `tokenize.rs`). No failpoint is built into the
//! product: the processor stops at the one side of a step and the store at the other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::CALLS;
use crate::processor::Processor;
use crate::store::{Store, StoreLock};
use crate::tables::COMMITS;

/// How long a request of the wanted kind is waited for under load.
const COMES_WITHIN: Duration = Duration::from_secs(6);
/// How long the processor holds a request whose sender is killed.
const HELD_MS: u64 = 2_000;
/// How long it thinks about one whose answer is to meet a held store.
const THINKS_MS: u64 = 250;
/// For the answer to come from the processor to the store.
const WAY: Duration = Duration::from_millis(60);
const POLL: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After so long.
    At(Duration),
    /// Before step 1: the store does not commit what is written down.
    Unwritten,
    /// Between 1 and 3: written down, and the processor has not begun.
    NotBegun(&'static str),
    /// Within 3: the processor has done it, and says nothing.
    Done(&'static str),
    /// Between 3 and 4: the processor has answered, and the store does not commit the outcome.
    Answered(&'static str),
    /// After 4: committed, and the caller may not have been answered.
    Committed(&'static str),
}

/// Every numbered moment.
pub(crate) fn numbered() -> Vec<Moment> {
    let calls = CALLS.into_iter().flat_map(|call| {
        [
            Moment::NotBegun(call),
            Moment::Done(call),
            Moment::Answered(call),
        ]
    });
    let commits = COMMITS.into_iter().map(Moment::Committed);
    calls
        .chain(commits)
        .chain([Moment::Unwritten, Moment::Unwritten, Moment::Unwritten])
        .collect()
}

impl Moment {
    /// Waits for the moment. Answers whether it came, and what to release after the kill.
    pub(crate) async fn comes(
        self,
        processor: &Processor,
        store: &Store,
    ) -> (bool, Option<StoreLock>) {
        match self {
            Self::At(pause) => {
                tokio::time::sleep(pause).await;
                (true, None)
            }
            Self::Unwritten => {
                let held = store.hold().await.unwrap();
                // Every client comes to a commit within this.
                tokio::time::sleep(WAY * 2).await;
                (true, Some(held))
            }
            Self::NotBegun(call) => {
                let fault = json!({ "path": call, "method": "POST", "fault": "hang",
                    "delay_ms": HELD_MS });
                (strikes(processor, fault).await, None)
            }
            Self::Done(call) => {
                let fault = json!({ "path": call, "method": "POST", "fault": "hang",
                    "delay_ms": HELD_MS, "after_execution": true });
                let came = strikes(processor, fault).await;
                tokio::time::sleep(WAY / 3).await;
                (came, None)
            }
            Self::Answered(call) => {
                let fault = json!({ "path": call, "method": "POST", "fault": "delay",
                    "delay_ms": THINKS_MS });
                if !strikes(processor, fault).await {
                    return (false, None);
                }
                let held = store.hold().await.unwrap();
                tokio::time::sleep(Duration::from_millis(THINKS_MS) + WAY).await;
                (true, Some(held))
            }
            Self::Committed(count) => {
                let before = store.number(count).await.unwrap();
                let started = Instant::now();
                while started.elapsed() < COMES_WITHIN {
                    if store.number(count).await.unwrap() > before {
                        return (true, None);
                    }
                    tokio::time::sleep(POLL).await;
                }
                (false, None)
            }
        }
    }
}

/// Stages a fault and waits until a request meets it.
async fn strikes(processor: &Processor, fault: Value) -> bool {
    let before = processor.struck().await;
    processor.stage(&fault).await;
    let started = Instant::now();
    while started.elapsed() < COMES_WITHIN {
        if processor.struck().await > before {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    processor.clear_faults().await;
    false
}
