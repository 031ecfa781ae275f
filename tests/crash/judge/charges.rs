//! Charges, captures and cancellations: keys, rows and payments against each other.

use std::collections::BTreeMap;

use super::{Amounts, Finding, one_of_key};
use crate::evidence::{Charge, Evidence, Paid};
use crate::journal::{ChargeTold, Operation};

/// A dispute's states at its end.
const OVER: [&str; 4] = ["won", "lost", "warning_closed", "prevented"];

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    keys(evidence, findings);
    operations(evidence, findings);
    payments(evidence, findings);
    rows(evidence, findings);
    disputes(evidence, findings);
    told(evidence, findings);
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
            asked.told.iter().map(|told| told.id.as_str()),
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
        for told in &asked.told {
            let captured = asked.operation == Operation::Capture && told.status == "succeeded";
            if captured && !asked.contested && told.captured != asked.amount {
                let amount = asked.amount;
                let said = format!("{key}: a capture of {amount} was answered with {told:?}");
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

/// A charge is disputed while a dispute of it is open. After one that was lost it may say either.
fn disputes(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut open: BTreeMap<&str, bool> = BTreeMap::new();
    for dispute in evidence.disputes.values() {
        let is_open = !OVER.contains(&dispute.status.as_str());
        if dispute.status != "lost" {
            *open.entry(&dispute.charge).or_default() |= is_open;
        }
    }
    for (id, charge) in &evidence.charges {
        let lost =
            |dispute: &&crate::evidence::Dispute| dispute.charge == *id && dispute.status == "lost";
        let expected = open.get(id.as_str()).copied();
        let either = expected.is_none() && evidence.disputes.values().any(|d| lost(&d));
        if !either && charge.disputed != expected.unwrap_or(false) {
            let disputes = evidence.disputes.iter().filter(|(_, d)| d.charge == *id);
            let disputes: Vec<_> = disputes.collect();
            let said = format!("{id} says disputed: {}; {disputes:?}", charge.disputed);
            findings.push(Finding::Dispute(said));
        }
    }
}

/// What a client was told is so, or has gone on in a way that it may go.
fn told(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (key, asked) in &evidence.journal.charges {
        for told in &asked.told {
            match evidence.charges.get(&told.id) {
                Some(charge) if (charge.amount, &charge.token) == (asked.amount, &asked.token) => {
                    came_to_that(told, charge, findings);
                }
                found => findings.push(Finding::Lost(format!("{key}: {told:?}, now {found:?}"))),
            }
        }
    }
    let operations = evidence.journal.operations.values();
    let later = operations.flat_map(|asked| &asked.told);
    for told in later.chain(&evidence.journal.reads) {
        match evidence.charges.get(&told.id) {
            Some(charge) => came_to_that(told, charge, findings),
            None => findings.push(Finding::Lost(format!("{told:?}"))),
        }
    }
}

fn came_to_that(told: &ChargeTold, charge: &Charge, findings: &mut Vec<Finding>) {
    let now = charge.status.as_str();
    let legal = match told.status.as_str() {
        "processing" | "requires_action" => true,
        "requires_capture" => matches!(now, "requires_capture" | "succeeded" | "canceled"),
        "succeeded" => now == "succeeded" && charge.amount_captured == told.captured,
        ended => now == ended,
    };
    if !legal {
        findings.push(Finding::Lost(format!("told {told:?}, now {charge:?}")));
    }
}
