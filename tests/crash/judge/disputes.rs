//! Disputes: rows, charges and events against what the processor says of them.

use std::collections::BTreeMap;

use super::Finding;
use crate::evidence::{Dispute, Evidence};

/// A dispute's states at its end.
const OVER: [&str; 4] = ["won", "lost", "warning_closed", "prevented"];

impl Dispute {
    fn is_over(&self) -> bool {
        OVER.contains(&self.status.as_str())
    }
}

pub(super) fn judge(evidence: &Evidence, findings: &mut Vec<Finding>) {
    rows(evidence, findings);
    charges(evidence, findings);
    events(evidence, findings);
}

/// Each has its row, which says how it stands.
fn rows(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (id, dispute) in &evidence.disputes {
        let row = evidence.dispute_rows.get(id);
        if row != Some(&dispute.status) {
            let said = format!("{id}: {dispute:?}, its row says {row:?}");
            findings.push(Finding::Dispute(said));
        }
    }
    for id in evidence.dispute_rows.keys() {
        if !evidence.disputes.contains_key(id) {
            let said = format!("{id} is not known to the processor");
            findings.push(Finding::Dispute(said));
        }
    }
}

/// A charge is disputed while a dispute of it is open; after one that was lost it may say either.
fn charges(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut of: BTreeMap<&str, Vec<&Dispute>> = BTreeMap::new();
    for dispute in evidence.disputes.values() {
        of.entry(&dispute.charge).or_default().push(dispute);
    }
    for (id, charge) in &evidence.charges {
        let disputes = of.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        let open = disputes.iter().any(|dispute| !dispute.is_over());
        let lost = disputes.iter().any(|dispute| dispute.status == "lost");
        if charge.disputed != open && (open || !lost) {
            let said = format!("{id} says disputed: {}; {disputes:?}", charge.disputed);
            findings.push(Finding::Dispute(said));
        }
    }
}

/// Each is published, and so is its end.
fn events(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (id, dispute) in &evidence.disputes {
        let published = evidence.feed.iter().any(|event| {
            let right = if dispute.is_over() {
                event.kind == "dispute.closed" && event.status == dispute.status
            } else {
                event.kind.starts_with("dispute.")
            };
            event.subject == *id && right
        });
        if !published {
            let said = format!("{id} is not published: {dispute:?}");
            findings.push(Finding::Dispute(said));
        }
    }
}
