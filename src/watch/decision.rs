//! What the engine tells: decisions and warnings, blocks, and what it shares of its counts.

use super::rules::{Action, Rule, RuleName};
use super::subject::Subject;
use super::windows::Count;
use crate::clock::Timestamp;

/// What a rule decided, to be written down and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which rule.
    pub rule: Rule,
    /// About whom; nothing where it is a card range, which has no text.
    pub subject: Option<Subject>,
    /// What was counted.
    pub count: Count,
    /// Whether it is done, or only told.
    pub enforced: bool,
    /// When.
    pub at: Timestamp,
    /// Till when; nothing where it lasts until it is lifted.
    pub ends_at: Option<Timestamp>,
}

/// What is done to somebody, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// By which rule; nothing where a later version decided.
    pub rule: Option<RuleName>,
    /// To whom.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// From when on.
    pub placed_at: Timestamp,
    /// Till when; nothing where it lasts until it is lifted.
    pub ends_at: Option<Timestamp>,
    /// When it was lifted.
    pub lifted_at: Option<Timestamp>,
}

impl Block {
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none() && self.ends_at.is_none_or(|end| end > now)
    }
}

/// A bucket of a window, as it is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Of which rule.
    pub rule: RuleName,
    /// About whom.
    pub subject: Subject,
    /// From which of their networks; nothing where it is all that was counted.
    pub network: Option<String>,
    /// When it begins.
    pub bucket_ms: i64,
    /// What was counted in it.
    pub count: Count,
}

impl Decision {
    /// What is done, where anything is and somebody is named.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let subject = self.subject.clone().filter(|_| self.enforced)?;
        Some(Block {
            rule: Some(self.rule.name),
            subject,
            action: self.rule.action,
            placed_at: self.at,
            ends_at: self.ends_at,
            lifted_at: None,
        })
    }
}
