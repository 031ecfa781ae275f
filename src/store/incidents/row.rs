//! The record of a customer's message, read.

use super::notices::NoticeKey;
use crate::clock::Timestamp;
use crate::store::row::row;

row! {
    /// What became of a customer's message.
    #[derive(Debug)]
    pub struct NoticeRow {
        account: String,
        customer_ref: String,
        state: String,
        attempts: i64,
        answer: Option<String>,
        settled_at_ms: Option<i64>,
    }
}

impl NoticeRow {
    /// Whose message.
    #[must_use]
    pub fn key(&self) -> NoticeKey {
        NoticeKey {
            account: self.account.clone(),
            customer: self.customer_ref.clone(),
        }
    }

    /// Its state's name.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Messages begun.
    #[must_use]
    pub const fn attempts(&self) -> i64 {
        self.attempts
    }

    /// The receiver's word.
    #[must_use]
    pub fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// When it was settled.
    #[must_use]
    pub fn settled_at(&self) -> Option<Timestamp> {
        self.settled_at_ms.map(Timestamp::from_unix_ms)
    }
}
