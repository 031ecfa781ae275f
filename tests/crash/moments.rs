//! Moments at which a node is killed: at random, or at a numbered step of the write-ahead order
//! (`src/vault/charge.rs`, `steps.rs`, `refund.rs`, `tokenize.rs`). No failpoint is built into the
//! product: the processor stops at the one side of a step and the store at the other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::processor::Processor;
use crate::store::{Held, Store};

/// How long a request of the wanted kind is waited for under load.
const COMES_WITHIN: Duration = Duration::from_secs(6);
/// How long the processor holds a request whose sender is killed.
const HELD_MS: u64 = 2_000;
/// How long it thinks about one whose answer is to meet a held store.
const THINKS_MS: u64 = 250;
/// For the answer to come from the processor to the store.
const WAY: Duration = Duration::from_millis(60);
const LOOK: Duration = Duration::from_millis(3);

/// What the processor is asked in the third step of each act.
pub(crate) const CALLS: [&str; 8] = [
    "/v1/customers",
    "/v1/payment_methods",
    "/v1/setup_intents",
    "/v1/payment_intents",
    "/v1/payment_intents/*/capture",
    "/v1/payment_intents/*/cancel",
    "/v1/refunds",
    "/v1/payment_methods/*/detach",
];

/// Counts that grow with a commit, before its caller is answered.
const COMMITS: [&str; 5] = [
    "SELECT count(*) FROM charges",
    "SELECT count(*) FROM charges WHERE status <> 'processing'",
    "SELECT count(*) FROM charges WHERE operation_id IS NOT NULL AND operation IS NULL",
    "SELECT count(*) FROM refunds WHERE status = 'succeeded'",
    "SELECT count(*) FROM tokens",
];

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
    /// After 4: committed, and the caller may not have been told.
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
    pub(crate) async fn comes(self, processor: &Processor, store: &Store) -> (bool, Option<Held>) {
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
                    tokio::time::sleep(LOOK).await;
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
        tokio::time::sleep(LOOK).await;
    }
    processor.clear_faults().await;
    false
}

/// A processor that fails in one of its ways. Left out is the one way that takes hours or days to
/// come to an end: a 500 that the processor keeps as its key's answer though it did nothing.
pub(crate) fn failure(chance: &mut Chance) -> Value {
    let mut fault = json!({ "path": chance.pick(&CALLS), "method": "POST",
        "times": chance.between(1, 3) });
    if chance.percent(20) {
        fault["path"] = json!("/v1/payment_intents/*");
        fault["method"] = json!("GET");
    }
    let kind = match chance.draw() % 9 {
        0 | 1 => json!({ "fault": "delay", "delay_ms": chance.between(50, 900) }),
        2 => json!({ "fault": "hang", "delay_ms": chance.between(50, 900) }),
        3 => json!({ "fault": "hang", "delay_ms": chance.between(50, 900),
            "after_execution": true }),
        4 => json!({ "fault": "cut_before" }),
        5 => json!({ "fault": "cut_after" }),
        6 => json!({ "fault": "status", "status": 500, "kept": false,
            "after_execution": chance.percent(50) }),
        7 => json!({ "fault": "status", "status": 429, "retry_after_s": 1 }),
        _ => json!({ "fault": "status", "status": 409 }),
    };
    for (name, value) in kind.as_object().unwrap() {
        fault[name] = value.clone();
    }
    fault
}

/// How the processor's notices are carried: late, twice, in another order, or not at all.
pub(crate) fn mail(chance: &mut Chance) -> Value {
    json!({ "webhooks": {
        "duplicates": chance.between(0, 2),
        "delay_ms": chance.between(0, 300),
        "reorder_window": chance.between(0, 6),
        "drop_percent": chance.between(0, 20),
        "seed": chance.draw() % 1_000_000,
    } })
}
