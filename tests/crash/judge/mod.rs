//! The judge: holds how the clients were answered, what the service says and what the processor really
//! did against each other, each row in both directions. It is a function of the evidence, so that
//! it can be shown to find what it looks for.

mod charges;
mod disputes;
mod feed;
mod refunds;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeSet;

use crate::evidence::Evidence;

/// Money by what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// One key, or one charge, had its effect more than once.
    Twice(String),
    /// A client knows of it, and it is gone; or it says less than the client was answered.
    Lost(String),
    /// The processor did it, and the service says that it was not done.
    Denied(String),
    /// The service says that money moved, and the processor has not moved it.
    Unbacked(String),
    /// It has no end after recovery.
    Open(String),
    /// A final answer says no, where the documented one is the result, or 409.
    FalseRefusal(String),
    /// Money moved at the processor and no row says so.
    Unrecorded(String),
    /// The service says other amounts than the processor.
    Differs {
        of: String,
        ours: Amounts,
        theirs: Amounts,
    },
    /// The service says of a dispute what is not so.
    Dispute(String),
    /// The feed leaves a place out, has one twice, publishes an end not exactly once, or of an object's
    /// changes in another order than they were made.
    Feed(String),
    /// Cards are kept at the processor that belong to no token.
    OrphanedCards(usize),
    /// An answer that this load must not get.
    Surprise(String),
    /// The evidence is not complete.
    Blind(String),
}

impl Finding {
    /// Every kind, in the order of the totals.
    pub(crate) const KINDS: [&'static str; 13] = [
        "twice",
        "lost",
        "denied",
        "unbacked",
        "open",
        "false refusal",
        "unrecorded",
        "differs",
        "dispute",
        "feed",
        "orphaned cards",
        "surprise",
        "blind",
    ];

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Twice(_) => "twice",
            Self::Lost(_) => "lost",
            Self::Denied(_) => "denied",
            Self::Unbacked(_) => "unbacked",
            Self::Open(_) => "open",
            Self::FalseRefusal(_) => "false refusal",
            Self::Unrecorded(_) => "unrecorded",
            Self::Differs { .. } => "differs",
            Self::Dispute(_) => "dispute",
            Self::Feed(_) => "feed",
            Self::OrphanedCards(_) => "orphaned cards",
            Self::Surprise(_) => "surprise",
            Self::Blind(_) => "blind",
        }
    }
}

pub(crate) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if evidence.forgotten > 0 {
        let forgotten = format!("the processor has forgotten {}", evidence.forgotten);
        findings.push(Finding::Blind(forgotten));
    }
    findings.extend(evidence.open.iter().cloned().map(Finding::Open));
    charges::judge(evidence, &mut findings);
    refunds::judge(evidence, &mut findings);
    disputes::judge(evidence, &mut findings);
    tokens::judge(evidence, &mut findings);
    feed::judge(evidence, &mut findings);
    let journal = &evidence.journal;
    let endless = journal.endless.iter();
    findings.extend(endless.map(|call| Finding::Open(format!("{call} got no answer"))));
    let refusals = journal.refusals.iter().cloned();
    findings.extend(refusals.map(Finding::FalseRefusal));
    let surprises = journal.surprises.iter().cloned();
    findings.extend(surprises.map(Finding::Surprise));
    findings
}

/// One key is one thing, whatever it is asked for how often.
fn one_of_key<'a>(
    key: &str,
    ids: impl Iterator<Item = &'a str>,
    findings: &mut Vec<Finding>,
) -> bool {
    let ids: BTreeSet<&str> = ids.collect();
    if ids.len() > 1 {
        findings.push(Finding::Twice(format!("{key} was answered as {ids:?}")));
    }
    ids.len() <= 1
}
