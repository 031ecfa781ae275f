//! The judge: holds what the clients were told against what the service says and what the
//! processor really did. It is a function of the evidence, so that it can be shown to find what it
//! looks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::ChargeTold;
use crate::evidence::{Charge, Evidence, Paid};

#[cfg(test)]
mod tests;

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Money moved more than once for one order, or one charge.
    Double(String),
    /// A client knows of it, and it is gone; or it says less than the client was told.
    Lost(String),
    /// It has no end.
    Unsettled(String),
    /// Money moved at the processor and no row says so.
    Unrecorded(String),
    /// The service says another amount, or another end, than the processor.
    Wrong(String),
    /// The feed leaves a place out, has one twice or tells an end not exactly once.
    Feed(String),
    /// Cards are kept at the processor that belong to no token.
    OrphanedCards(usize),
    /// An answer that this load must not get.
    Surprise(String),
    /// The evidence is not complete.
    Blind(String),
}

pub(crate) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if evidence.forgotten > 0 {
        let forgotten = format!("the processor has forgotten {}", evidence.forgotten);
        findings.push(Finding::Blind(forgotten));
    }
    if evidence.open > 0 {
        findings.push(Finding::Unsettled(format!("{} rows", evidence.open)));
    }
    orders(evidence, &mut findings);
    charges(evidence, &mut findings);
    told(evidence, &mut findings);
    refunds(evidence, &mut findings);
    tokens(evidence, &mut findings);
    feed(evidence, &mut findings);
    let surprises = evidence.book.surprises.iter().cloned();
    findings.extend(surprises.map(Finding::Surprise));
    findings
}

/// One order, which is one idempotency key, moves money under one charge at most.
fn orders(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut paid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for charge in evidence.charges.values() {
        let order = charge.metadata.get("order").map_or("", String::as_str);
        let by_processor = evidence.paid.get(&charge.id);
        if by_processor.is_some_and(|by_processor| by_processor.moved > 0) {
            paid.entry(order).or_default().push(&charge.id);
        }
    }
    for (order, ids) in paid {
        if ids.len() > 1 {
            findings.push(Finding::Double(format!("{order}: {ids:?}")));
        }
    }
    for (key, asked) in &evidence.book.charges {
        let ids: BTreeSet<&str> = asked.told.iter().map(|told| told.id.as_str()).collect();
        if ids.len() > 1 {
            findings.push(Finding::Double(format!("{key} was told to be {ids:?}")));
        }
    }
}

/// Each charge says what the processor did, which it did once.
fn charges(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (id, paid) in &evidence.paid {
        if paid.moved > 1 || paid.captured > 1 {
            findings.push(Finding::Double(format!("{id}: {paid:?}")));
        }
        if !evidence.charges.contains_key(id) {
            findings.push(Finding::Unrecorded(format!("{id}: {paid:?}")));
        }
    }
    let nothing = Paid::default();
    for (id, charge) in &evidence.charges {
        let paid = evidence.paid.get(id).unwrap_or(&nothing);
        if charge.status == "processing" || charge.status == "requires_action" {
            findings.push(Finding::Unsettled(format!("{charge:?}")));
        } else if !agrees(charge, paid) {
            findings.push(Finding::Wrong(format!("{charge:?}, {paid:?}")));
        }
    }
}

fn agrees(charge: &Charge, paid: &Paid) -> bool {
    let money = (charge.amount_captured, charge.amount_refunded);
    money == (paid.amount_captured, paid.amount_refunded)
        && match charge.status.as_str() {
            "succeeded" => paid.captured == 1 && paid.amount_authorized == charge.amount,
            "requires_capture" => {
                (paid.moved, paid.captured, paid.canceled) == (1, 0, 0)
                    && paid.amount_authorized == charge.amount
            }
            "declined" => paid.moved == 0,
            // Given up after it was authorized, or never made.
            "canceled" => paid.captured == 0 && paid.payments == paid.canceled + paid.declined,
            _ => false,
        }
}

/// What a client was told is so, or has gone on in a way that it may go.
fn told(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (key, asked) in &evidence.book.charges {
        for told in &asked.told {
            match evidence.charges.get(&told.id) {
                Some(charge) if (charge.amount, &charge.token) == (asked.amount, &asked.token) => {
                    came_to_that(told, charge, findings);
                }
                found => findings.push(Finding::Lost(format!("{key}: {told:?}, now {found:?}"))),
            }
        }
    }
    for told in &evidence.book.later {
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

fn refunds(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (id, given) in &evidence.given_back {
        if given.refunds > 1 {
            findings.push(Finding::Double(format!("{id}: {given:?}")));
        }
        match evidence.refunds.get(id) {
            Some(refund) if refund.status == "processing" => {
                findings.push(Finding::Unsettled(format!("{refund:?}")));
            }
            Some(refund) => {
                let succeeded = (refund.status == "succeeded") == (given.succeeded == 1);
                if !succeeded || given.succeeded == 1 && given.amount != refund.amount {
                    findings.push(Finding::Wrong(format!("{refund:?}, {given:?}")));
                }
            }
            None => findings.push(Finding::Unrecorded(format!("{id}: {given:?}"))),
        }
    }
    for (key, asked) in &evidence.book.refunds {
        let ids: BTreeSet<&str> = asked.told.iter().map(|told| told.0.as_str()).collect();
        if ids.len() > 1 {
            findings.push(Finding::Double(format!("{key} was told to be {ids:?}")));
        }
        for (id, status, amount) in &asked.told {
            let found = evidence.refunds.get(id);
            let kept = found.is_some_and(|refund| {
                (refund.amount, &refund.charge) == (*amount, &asked.charge)
                    && asked.amount.is_none_or(|asked| asked == *amount)
                    && (status == "processing" || *status == refund.status)
                    && (refund.status != "succeeded" || evidence.given_back.contains_key(id))
            });
            if !kept {
                findings.push(Finding::Lost(format!(
                    "{key}: told {status}, now {found:?}"
                )));
            }
        }
    }
}

fn tokens(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let there: BTreeSet<&str> = evidence.tokens.iter().map(String::as_str).collect();
    for token in evidence.book.acknowledged_tokens() {
        if !there.contains(token) {
            findings.push(Finding::Lost(token.to_owned()));
        }
    }
    for (key, made) in &evidence.book.tokens {
        if made.len() > 1 {
            findings.push(Finding::Double(format!("{key}: {made:?}")));
        }
    }
    if there.len() > evidence.cards_attached {
        let lost = there.len() - evidence.cards_attached;
        findings.push(Finding::Lost(format!("the cards of {lost} tokens")));
    }
    // A card whose client never came back between the processor's answer and the store's commit
    // is known to nobody but the processor: see README.md.
    let orphaned = evidence.cards_attached.saturating_sub(there.len());
    if orphaned > evidence.book.forsaken_cards {
        findings.push(Finding::OrphanedCards(orphaned));
    }
}

/// Places are 1, 2, 3; each event is told once; and so is each end.
fn feed(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (expected, place) in (1..).zip(&evidence.places) {
        if expected != *place {
            let gap = format!("place {place} where {expected} was to be");
            return findings.push(Finding::Feed(gap));
        }
    }
    let ids: BTreeSet<&str> = evidence.feed.iter().map(|told| told.0.as_str()).collect();
    if ids.len() != evidence.feed.len() || ids.len() != evidence.places.len() {
        let (told, places) = (evidence.feed.len(), evidence.places.len());
        let many = format!(
            "{told} told, {} of them different, {places} places",
            ids.len()
        );
        findings.push(Finding::Feed(many));
    }
    let mut ends: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, kind, subject) in &evidence.feed {
        *ends.entry((kind, subject)).or_default() += 1;
    }
    let charges = evidence.charges.values();
    let refunds = evidence.refunds.values();
    let all = charges
        .map(|charge| ("charge.succeeded", &charge.status, &charge.id))
        .chain(refunds.map(|refund| ("refund.succeeded", &refund.status, &refund.id)));
    for (kind, status, id) in all {
        let times = ends.get(&(kind, id.as_str())).copied().unwrap_or(0);
        if times != usize::from(status == "succeeded") {
            findings.push(Finding::Feed(format!(
                "{kind} of {id}, {status}: {times} times"
            )));
        }
    }
}
