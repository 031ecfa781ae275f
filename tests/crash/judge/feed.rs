//! The feed: places are 1, 2, 3; each event is in it once, each end once, and each object's changes
//! in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::evidence::Evidence;

/// After these nothing changes a charge's state.
const ENDS: [&str; 3] = ["charge.succeeded", "charge.declined", "charge.canceled"];

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (expected, place) in (1..).zip(&evidence.places) {
        if expected != *place {
            let gap = format!("place {place} where {expected} was to be");
            return findings.push(Finding::Feed(gap));
        }
    }
    let ids: BTreeSet<&str> = evidence
        .feed
        .iter()
        .map(|event| event.id.as_str())
        .collect();
    if ids.len() != evidence.feed.len() || ids.len() != evidence.places.len() {
        let (events, places) = (evidence.feed.len(), evidence.places.len());
        let many = format!(
            "{events} events, {} of them different, {places} places",
            ids.len()
        );
        findings.push(Finding::Feed(many));
    }
    ends(evidence, findings);
    order(evidence, findings);
}

/// A success is published exactly once.
fn ends(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut ends: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in &evidence.feed {
        *ends.entry((&event.kind, &event.subject)).or_default() += 1;
    }
    let charges = evidence.charges.values();
    let refunds = evidence.refunds.values();
    let all = charges
        .map(|charge| ("charge.succeeded", &charge.status, &charge.id))
        .chain(refunds.map(|refund| ("refund.succeeded", &refund.status, &refund.id)));
    for (kind, status, id) in all {
        let times = ends.get(&(kind, id.as_str())).copied().unwrap_or(0);
        if times != usize::from(status == "succeeded") {
            let said = format!("{kind} of {id}, {status}: {times} times");
            findings.push(Finding::Feed(said));
        }
    }
}

/// Nothing comes after a charge's end, and versions only go up.
fn order(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut last = BTreeMap::new();
    for event in &evidence.feed {
        let Some(before) = last.insert(event.subject.as_str(), event) else {
            continue;
        };
        let ended = ENDS.contains(&before.kind.as_str()) && event.kind.starts_with("charge.");
        let back = before.version.is_some() && event.version <= before.version;
        if (ended && event.version.is_none()) || back {
            let (subject, was, now) = (&event.subject, &before.kind, &event.kind);
            let versions = (before.version, event.version);
            let said = format!("{now} of {subject} after {was}, versions {versions:?}");
            findings.push(Finding::Feed(said));
        }
    }
}
