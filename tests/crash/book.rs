//! What the clients were told: kept outside of everything that is killed, and held against what
//! the service and the processor say in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// An answer about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChargeTold {
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
    pub(crate) told: Vec<ChargeTold>,
}

/// A request for a refund, under one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefundAsked {
    pub(crate) charge: String,
    /// All that is left where nothing is said.
    pub(crate) amount: Option<i64>,
    /// Ids, states and amounts.
    pub(crate) told: Vec<(String, String, i64)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// By key; the key stands in the charge's metadata, too.
    pub(crate) charges: BTreeMap<String, ChargeAsked>,
    /// What captures, cancellations and reads said later.
    pub(crate) later: Vec<ChargeTold>,
    /// By key.
    pub(crate) refunds: BTreeMap<String, RefundAsked>,
    /// By the key of the tokenization.
    pub(crate) tokens: BTreeMap<String, BTreeSet<String>>,
    /// Whose cards they are.
    pub(crate) customers: BTreeSet<String>,
    /// Tokenizations whose client never came back: the card may be at the processor for nothing.
    pub(crate) forsaken_cards: usize,
    /// Requests that got an answer that this load must never get.
    pub(crate) surprises: Vec<String>,
    /// Steps and refunds that the service refused for good: nothing of them may have happened.
    pub(crate) refused: usize,
    pub(crate) requests: usize,
    /// Of them those without an answer, or with one that says to ask again.
    pub(crate) unanswered: usize,
    /// Everything that was said, for the scan at the end.
    pub(crate) said: Vec<u8>,
}

impl Book {
    /// The tokens that a client knows of.
    pub(crate) fn acknowledged_tokens(&self) -> BTreeSet<&str> {
        self.tokens.values().flatten().map(String::as_str).collect()
    }
}
