//! Refunds: keys, rows and the processor's refunds against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Amounts, Finding, one_of_key};
use crate::evidence::{Evidence, GivenBack, Refund};
use crate::journal::{RefundAnswer, RefundAsked};

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    at_the_processor(evidence, findings);
    rows(evidence, findings);
    keys(evidence, findings);
    charges(evidence, findings);
}

/// The processor made each once, and it has its row.
fn at_the_processor(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut made: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let rows = evidence.refunds.values();
    let names: BTreeSet<&str> = rows.filter_map(|refund| refund.made.as_deref()).collect();
    for (name, given) in &evidence.given_back {
        if let Some(ours) = &given.ours {
            made.entry(ours).or_default().push(name);
        }
        if given.status != "failed" && !names.contains(name.as_str()) {
            // A row that knows it by its own name only says that it was not made.
            let row = given.ours.as_ref().and_then(|id| evidence.refunds.get(id));
            findings.push(match row {
                Some(row) => Finding::Denied(format!("{name}: {given:?}, {row:?}")),
                None => Finding::Unrecorded(format!("{name}: {given:?}")),
            });
        }
    }
    for (ours, names) in made {
        if names.len() > 1 {
            findings.push(Finding::Twice(format!("{ours} is {names:?}")));
        }
    }
}

/// Each row says what the processor did.
fn rows(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for refund in evidence.refunds.values() {
        let name = refund.made.as_deref();
        let given = name.and_then(|name| evidence.given_back.get(name));
        let done = given.is_some_and(|given| given.status == "succeeded");
        let said = || format!("{refund:?}, {given:?}");
        match refund.status.as_str() {
            "succeeded" if !done => findings.push(Finding::Unbacked(said())),
            "failed" | "canceled" if done => findings.push(Finding::Denied(said())),
            "succeeded" | "failed" | "canceled" => {}
            _ => findings.push(Finding::Open(said())),
        }
        findings.extend(given.and_then(|given| differs(refund, given)));
    }
}

fn differs(refund: &Refund, given: &GivenBack) -> Option<Finding> {
    let refunded = |refunded| Amounts {
        refunded,
        ..Amounts::default()
    };
    if refund.charge != given.charge {
        let said = format!("{refund:?} is of another charge than {given:?}");
        return Some(Finding::Unbacked(said));
    }
    (refund.amount != given.amount).then(|| Finding::Differs {
        of: refund.id.clone(),
        ours: refunded(refund.amount),
        theirs: refunded(given.amount),
    })
}

/// One key is one refund, and what a client was answered is so.
fn keys(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (key, asked) in &evidence.journal.refunds {
        one_of_key(
            key,
            asked.answers.iter().map(|answer| answer.id.as_str()),
            findings,
        );
        for answer in &asked.answers {
            let found = evidence.refunds.get(&answer.id);
            if !found.is_some_and(|refund| is_kept(asked, answer, refund)) {
                findings.push(Finding::Lost(format!("{key}: {answer:?}, now {found:?}")));
            }
        }
    }
}

fn is_kept(asked: &RefundAsked, answer: &RefundAnswer, now: &Refund) -> bool {
    (now.amount, &now.charge) == (answer.amount, &asked.charge)
        && asked.amount.is_none_or(|asked| asked == answer.amount)
        && (answer.status == "processing" || answer.status == now.status)
}

/// The refunds that clients asked for of one charge.
#[derive(Default)]
struct OfCharge<'a> {
    answers: BTreeSet<&'a str>,
    unanswered: usize,
    unanswered_amount: i64,
    refused: Vec<(&'a str, &'a RefundAsked)>,
}

/// A charge was given back no more often than it was asked for, and what was refused was too much.
fn charges(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut asked_of: BTreeMap<&str, OfCharge> = BTreeMap::new();
    for (key, asked) in &evidence.journal.refunds {
        let of = asked_of.entry(&asked.charge).or_default();
        of.answers
            .extend(asked.answers.iter().map(|answer| answer.id.as_str()));
        if !asked.refused.is_empty() {
            of.refused.push((key, asked));
        } else if asked.answers.is_empty() {
            of.unanswered += 1;
            of.unanswered_amount += asked.amount.unwrap_or(i64::from(u32::MAX));
        }
    }
    let mut made_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for given in evidence.given_back.values() {
        if let Some(ours) = given.ours.as_deref().filter(|_| given.status != "failed") {
            made_of.entry(&given.charge).or_default().push(ours);
        }
    }
    for (charge, made) in &made_of {
        let nothing = OfCharge::default();
        let of = asked_of.get(charge).unwrap_or(&nothing);
        let unanswered: Vec<_> = made.iter().filter(|id| !of.answers.contains(*id)).collect();
        if unanswered.len() > of.unanswered {
            let said = format!("{charge}: {unanswered:?} beside {:?}", of.answers);
            findings.push(match of.refused.first() {
                Some((key, asked)) => Finding::Denied(format!("{said}; {key}: {asked:?}")),
                None => Finding::Twice(said),
            });
        }
    }
    for (charge, of) in &asked_of {
        refused(evidence, (charge, of), findings);
    }
}

/// What was refused was more than was left, whatever unanswered requests may have reserved for a
/// while; or the charge was disputed, which no processor gives back.
fn refused(evidence: &Evidence, (id, of): (&str, &OfCharge), findings: &mut Vec<Finding>) {
    let disputes = &evidence.disputes;
    if disputes.values().any(|dispute| dispute.charge == id) {
        return;
    }
    let paid = evidence.paid.get(id);
    let left = paid.map_or(0, |paid| paid.amount_captured - paid.amount_refunded);
    let mut given_back = evidence.given_back.values();
    let in_dashboard = given_back.any(|given| given.charge == id && given.ours.is_none());
    for (key, asked) in &of.refused {
        // What is left where nothing is said is less than the service knew, when somebody has given
        // a part back in the dashboard.
        let amount = asked.amount.or((!in_dashboard).then_some(1));
        if amount.is_some_and(|amount| amount + of.unanswered_amount <= left) {
            let said = format!("{key} of {id}, where {left} are left: {asked:?}");
            findings.push(Finding::FalseRefusal(said));
        }
    }
}
