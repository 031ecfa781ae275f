//! Charges, captures and cancellations: keys, rows and payments against each other.

use std::collections::BTreeMap;

use super::{Amounts, Finding, one_of_key};
use crate::evidence::{Charge, Evidence, Paid};
use crate::journal::{ChargeAnswer, Operation};

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    keys(evidence, findings);
    operations(evidence, findings);
    payments(evidence, findings);
    rows(evidence, findings);
    answers(evidence, findings);
}

/// One order, which is one idempotency key, moves money under one charge at most, and what moved
/// money was not refused.
fn keys(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut paid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for charge in evidence.charges.values() {
        let order = charge.metadata.get("order").map_or("", String::as_str);
        let by_processor = evidence.paid.get(&charge.id);
        if by_processor.is_some_and(|by_processor| by_processor.moved > 0) {
            paid.entry(order).or_default().push(&charge.id);
        }
    }
    for (order, ids) in &paid {
        if ids.len() > 1 {
            findings.push(Finding::Twice(format!("{order}: {ids:?}")));
        }
    }
    for (key, asked) in &evidence.journal.charges {
        one_of_key(
            key,
            asked.answers.iter().map(|answer| answer.id.as_str()),
            findings,
        );
        for refused in &asked.refused {
            findings.push(match paid.get(key.as_str()) {
                Some(ids) => Finding::Denied(format!("{key}: {ids:?} paid, answered {refused}")),
                None => Finding::FalseRefusal(format!("{key}: {refused}")),
            });
        }
    }
}

/// A capture or a cancellation that was refused was not possible.
fn operations(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let nothing = Paid::default();
    for (key, asked) in &evidence.journal.operations {
        let paid = evidence.paid.get(&asked.charge).unwrap_or(&nothing);
        let done = match asked.operation {
            Operation::Capture => paid.captured > 0,
            Operation::Cancellation => paid.canceled > 0,
        };
        for refused in &asked.refused {
            let said = format!("{key} of {}: {refused}", asked.charge);
            if done {
                findings.push(Finding::Denied(said));
            } else if !asked.contested {
                findings.push(Finding::FalseRefusal(said));
            }
        }
        for answer in &asked.answers {
            let captured = asked.operation == Operation::Capture && answer.status == "succeeded";
            if captured && !asked.contested && answer.captured != asked.amount {
                let amount = asked.amount;
                let said = format!("{key}: a capture of {amount} was answered with {answer:?}");
                findings.push(Finding::Surprise(said));
            }
        }
    }
}

/// Each payment was made once, and has its row.
fn payments(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (id, paid) in &evidence.paid {
        if paid.moved > 1 || paid.captured > 1 {
            findings.push(Finding::Twice(format!("{id}: {paid:?}")));
        }
        if !evidence.charges.contains_key(id) {
            findings.push(Finding::Unrecorded(format!("{id}: {paid:?}")));
        }
    }
}

/// Each row says what the processor did.
fn rows(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let nothing = Paid::default();
    for (id, charge) in &evidence.charges {
        let paid = evidence.paid.get(id).unwrap_or(&nothing);
        let found = match end(charge, paid) {
            End::Same => amounts(charge, paid),
            End::Denied => Some(Finding::Denied(format!("{charge:?}, {paid:?}"))),
            End::Unbacked => Some(Finding::Unbacked(format!("{charge:?}, {paid:?}"))),
            End::Open => Some(Finding::Open(format!("{charge:?}, {paid:?}"))),
        };
        findings.extend(found);
        let payment = charge.processor.payment.as_ref();
        if payment.is_some_and(|payment| !paid.ids.contains(payment)) {
            let said = format!("{charge:?} is another payment than {paid:?}");
            findings.push(Finding::Unbacked(said));
        }
        if charge.contradiction.is_some() {
            findings.push(Finding::Surprise(format!("a contradiction: {charge:?}")));
        }
    }
}

enum End {
    Same,
    Denied,
    Unbacked,
    Open,
}

fn end(charge: &Charge, paid: &Paid) -> End {
    let (denied, unbacked) = match charge.status.as_str() {
        "succeeded" => (false, paid.captured == 0),
        "requires_capture" => (paid.captured + paid.canceled > 0, paid.moved == 0),
        "declined" => (paid.moved > 0, false),
        // Given up after it was authorized, or never made: no payment is left that has an end of
        // its own.
        "canceled" => (paid.payments > paid.canceled + paid.declined, false),
        _ => return End::Open,
    };
    match (denied, unbacked) {
        (true, _) => End::Denied,
        (_, true) => End::Unbacked,
        (false, false) => End::Same,
    }
}

fn amounts(charge: &Charge, paid: &Paid) -> Option<Finding> {
    let held = matches!(charge.status.as_str(), "succeeded" | "requires_capture");
    let authorized = |amount| if held { amount } else { 0 };
    let ours = Amounts {
        authorized: authorized(charge.amount),
        captured: charge.amount_captured,
        refunded: charge.amount_refunded,
    };
    let theirs = Amounts {
        authorized: authorized(paid.amount_authorized),
        captured: paid.amount_captured,
        refunded: paid.amount_refunded,
    };
    let of = charge.id.clone();
    (ours != theirs).then_some(Finding::Differs { of, ours, theirs })
}

/// What a client was answered is so, or has gone on in a way that it may go.
fn answers(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (key, asked) in &evidence.journal.charges {
        for answer in &asked.answers {
            match evidence.charges.get(&answer.id) {
                Some(charge) if (charge.amount, &charge.token) == (asked.amount, &asked.token) => {
                    came_to_that(answer, charge, findings);
                }
                found => findings.push(Finding::Lost(format!("{key}: {answer:?}, now {found:?}"))),
            }
        }
    }
    let operations = evidence.journal.operations.values();
    let later = operations.flat_map(|asked| &asked.answers);
    for answer in later.chain(&evidence.journal.reads) {
        match evidence.charges.get(&answer.id) {
            Some(charge) => came_to_that(answer, charge, findings),
            None => findings.push(Finding::Lost(format!("{answer:?}"))),
        }
    }
}

fn came_to_that(answer: &ChargeAnswer, charge: &Charge, findings: &mut Vec<Finding>) {
    let now = charge.status.as_str();
    let legal = match answer.status.as_str() {
        "processing" | "requires_action" => true,
        "requires_capture" => matches!(now, "requires_capture" | "succeeded" | "canceled"),
        "succeeded" => now == "succeeded" && charge.amount_captured == answer.captured,
        ended => now == ended,
    };
    if !legal {
        findings.push(Finding::Lost(format!(
            "answered {answer:?}, now {charge:?}"
        )));
    }
}
