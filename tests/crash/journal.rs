//! The merchant's journal: what its clients asked for and how they were answered, kept outside of
//! everything that is killed, and held against the service and the processor in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How long the times are that a line of the timeline begins with.
const TIMES: usize = 16;

/// An answer about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChargeAnswer {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) captured: i64,
}

/// A request for a charge, under one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChargeAsked {
    pub(crate) token: String,
    pub(crate) amount: i64,
    /// The request, to be sent once more in the end.
    pub(crate) body: Value,
    pub(crate) answers: Vec<ChargeAnswer>,
    /// Final answers that say no, the issuer's word apart.
    pub(crate) refused: Vec<String>,
}

/// What an authorized charge is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Operation {
    #[default]
    Capture,
    Cancellation,
}

/// A request for a capture or a cancellation, under one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperationAsked {
    pub(crate) charge: String,
    pub(crate) operation: Operation,
    /// What a capture takes.
    pub(crate) amount: i64,
    /// Another key asks for the opposite at the same time: one of the two is refused.
    pub(crate) contested: bool,
    pub(crate) answers: Vec<ChargeAnswer>,
    pub(crate) refused: Vec<String>,
}

/// An answer about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefundAnswer {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) amount: i64,
}

/// A request for a refund, under one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefundAsked {
    pub(crate) charge: String,
    /// All that is left where nothing is said.
    pub(crate) amount: Option<i64>,
    pub(crate) answers: Vec<RefundAnswer>,
    pub(crate) refused: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// By key; the key stands in the charge's metadata, too.
    pub(crate) charges: BTreeMap<String, ChargeAsked>,
    /// By key.
    pub(crate) operations: BTreeMap<String, OperationAsked>,
    /// By key.
    pub(crate) refunds: BTreeMap<String, RefundAsked>,
    /// What reads said.
    pub(crate) reads: Vec<ChargeAnswer>,
    /// By key.
    pub(crate) sessions: BTreeMap<String, BTreeSet<String>>,
    /// By the key of the tokenization or the attachment.
    pub(crate) tokens: BTreeMap<String, BTreeSet<String>>,
    /// Tokens whose deletion was asked for, and whether that was answered.
    pub(crate) deletions: BTreeMap<String, bool>,
    /// Cards handed in whose client never came back: they may be at the processor for nothing.
    pub(crate) forsaken_cards: usize,
    /// Other final answers that say no, where the documented one is the result.
    pub(crate) refusals: Vec<String>,
    /// Requests that got no answer, however long they were repeated.
    pub(crate) endless: Vec<String>,
    /// Requests that got an answer that this load must never get.
    pub(crate) surprises: Vec<String>,
    pub(crate) requests: usize,
    /// How they were answered, by status; 0 where there was no answer.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// What the processor's dashboard was used for, count.
    pub(crate) dashboard_acts: usize,
    /// Everything that was said, for the scan at the end.
    pub(crate) said: Vec<u8>,
    /// Every request, kill and fault in the order of their ends: seconds since the start, seconds
    /// that it took, what it was.
    pub(crate) timeline: Vec<String>,
}

impl Journal {
    /// The tokens that a client knows of, and has not asked to be deleted.
    pub(crate) fn kept_tokens(&self) -> BTreeSet<&str> {
        let tokens = self.tokens.values().flatten().map(String::as_str);
        tokens
            .filter(|token| !self.deletions.contains_key(*token))
            .collect()
    }

    /// Charges, captures, cancellations and refunds that were asked for.
    pub(crate) fn money_operations(&self) -> usize {
        self.charges.len() + self.operations.len() + self.refunds.len()
    }

    /// The lines of the timeline that name one of the things that `text` names; what was asked and
    /// answered as before is counted only.
    pub(crate) fn timeline_of(&self, text: &str) -> Vec<String> {
        let name = |word: &&str| word.starts_with("test_") || word.starts_with("client-");
        let words =
            text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-".contains(letter));
        let names: BTreeSet<&str> = words.filter(name).collect();
        let of = |line: &&String| names.iter().any(|name| line.contains(name));
        let mut lines: Vec<String> = Vec::new();
        let (mut last, mut repeated) = ("", 0);
        for line in self.timeline.iter().filter(of) {
            // After the times.
            let said = line.get(TIMES..).unwrap_or_default();
            if said == last {
                repeated += 1;
                continue;
            }
            lines.extend((repeated > 0).then(|| format!("{repeated} times more")));
            (last, repeated) = (said, 0);
            lines.push(line.clone());
        }
        lines.extend((repeated > 0).then(|| format!("{repeated} times more")));
        lines
    }
}
