//! Faults of the processor, and of the way of its webhooks. They come by chance, and as incidents:
//! requests are carried out without an answer, and then nothing is answered for some seconds,
//! neither the repetition nor the question how it stands.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::merchant::Merchant;
use crate::processor::Processor;

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
/// Of them those that move money. Only under their keys a kept fault is settled within a round:
/// what was done is found by its metadata.
const MONEY: [&str; 4] = [
    "/v1/payment_intents",
    "/v1/payment_intents/*/capture",
    "/v1/payment_intents/*/cancel",
    "/v1/refunds",
];
/// How what was done is found out.
const READS: [&str; 5] = [
    "/v1/payment_intents/*",
    "/v1/payment_intents",
    "/v1/refunds",
    "/v1/refunds/*",
    "/v1/setup_intents",
];
/// Of a hundred webhooks those that are lost.
const LOST_PERCENT: u64 = 30;
/// More than are sent while an incident lasts.
const ALL: u64 = 200;

/// Lets the processor fail until the load stops.
pub(crate) async fn trouble(processor: &Processor, merchant: &Merchant, mut chance: Chance) {
    while merchant.stopped().is_none() {
        processor.set(&delivery(&mut chance)).await;
        let (faults, lasts_ms) = if chance.percent(40) {
            (incident(&mut chance), chance.between(2_500, 6_000))
        } else {
            let faults = (0..chance.between(0, 5)).map(|_| fault(&mut chance));
            (faults.collect(), chance.between(300, 1_500))
        };
        for fault in &faults {
            merchant.line(Instant::now(), &format!("fault {fault}"));
            processor.stage(fault).await;
        }
        tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
        processor.clear_faults().await;
    }
}

fn staged((path, method): (&str, &str), times: u64, kind: &Value) -> Value {
    let mut fault = json!({ "path": path, "method": method, "times": times });
    for (name, value) in kind.as_object().unwrap() {
        fault[name] = value.clone();
    }
    fault
}

/// One fault of any kind at any call.
fn fault(chance: &mut Chance) -> Value {
    let times = chance.between(1, 3);
    if chance.percent(30) {
        let kind = refusal(chance);
        let path = *chance.pick(&READS);
        return staged((path, "GET"), times, &kind);
    }
    let call = *chance.pick(&CALLS);
    let kind = if chance.percent(50) {
        done_without_an_answer(chance, MONEY.contains(&call))
    } else {
        refusal(chance)
    };
    staged((call, "POST"), times, &kind)
}

/// Carried out, and the caller does not learn it.
fn done_without_an_answer(chance: &mut Chance, may_be_kept: bool) -> Value {
    match chance.draw() % 5 {
        0 => json!({ "fault": "delay", "delay_ms": chance.between(50, 2_500) }),
        1 => json!({ "fault": "hang", "delay_ms": chance.between(50, 2_500),
            "after_execution": true }),
        2 => json!({ "fault": "cut_after" }),
        3 if may_be_kept => json!({ "fault": "status", "status": 500, "kept": true,
            "after_execution": true }),
        _ => json!({ "fault": "status", "status": 500, "kept": false, "after_execution": true }),
    }
}

/// Not carried out, and said so or not.
fn refusal(chance: &mut Chance) -> Value {
    match chance.draw() % 6 {
        0 => json!({ "fault": "hang", "delay_ms": chance.between(50, 2_500) }),
        1 => json!({ "fault": "cut_before" }),
        2 => json!({ "fault": "status", "status": 500, "kept": false }),
        3 | 4 => json!({ "fault": "status", "status": 429, "retry_after_s": 1 }),
        _ => json!({ "fault": "status", "status": 409 }),
    }
}

/// A call that moves money is carried out some times without an answer; then it is refused, mostly
/// with 429, and in half of the incidents reading fails as well. It lasts until what was begun is
/// asked again.
fn incident(chance: &mut Chance) -> Vec<Value> {
    // Charges are the most of all calls, and without them nothing else is asked.
    let call = if chance.percent(10) {
        MONEY[0]
    } else {
        *chance.pick(&MONEY[1..])
    };
    let done = done_without_an_answer(chance, true);
    let refusal = if chance.percent(50) {
        json!({ "fault": "status", "status": 429, "retry_after_s": 1 })
    } else {
        refusal(chance)
    };
    let mut faults = vec![
        staged((call, "POST"), chance.between(1, 3), &done),
        staged((call, "POST"), ALL, &refusal),
    ];
    if chance.percent(50) {
        faults.extend(READS.map(|path| staged((path, "GET"), ALL, &refusal)));
    }
    faults
}

/// How webhooks are carried: late, twice, in another order, or not at all.
fn delivery(chance: &mut Chance) -> Value {
    json!({
        "latency_ms": chance.pick(&[0, 0, 20, 60]),
        "webhooks": {
            "duplicates": chance.between(0, 2),
            "delay_ms": chance.between(0, 300),
            "reorder_window": chance.between(0, 6),
            "drop_percent": LOST_PERCENT,
            "seed": chance.draw() % 1_000_000,
        },
    })
}
