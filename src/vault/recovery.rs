//! After a rollback: rows are gone, and what they stood for is at the processor.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Timestamp;

/// When an operator last accepted that the database is older than what was known of it.
#[derive(Debug, Default)]
pub struct Recovery {
    /// 0 where nobody ever has.
    accepted_at_ms: AtomicI64,
}

impl Recovery {
    /// Notes that a rollback was accepted then.
    pub fn accepted(&self, at: Timestamp) {
        self.accepted_at_ms
            .fetch_max(at.unix_ms(), Ordering::Relaxed);
    }

    /// Whether one was accepted since that moment.
    #[must_use]
    pub fn is_since(&self, since: Timestamp) -> bool {
        let accepted_at_ms = self.accepted_at_ms.load(Ordering::Relaxed);
        accepted_at_ms > 0 && accepted_at_ms > since.unix_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_is_recovered_from_until_the_last_key_that_it_lost_is_over() {
        let at = Timestamp::from_unix_ms;
        let recovery = Recovery::default();
        assert!(!recovery.is_since(at(0)));
        recovery.accepted(at(5_000));
        recovery.accepted(at(4_000));
        assert!(recovery.is_since(at(4_999)));
        assert!(!recovery.is_since(at(5_000)));
    }
}
