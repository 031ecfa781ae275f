//! A key whose row is gone, and what it made is not.

use super::{Claim, Won, made_of, stands_for};
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::connection::Connection;

/// What every processor's key that was made of one of the caller's begins with.
#[must_use]
pub fn first_processor_key(processor_key: &str) -> &str {
    made_of(processor_key).0
}

impl Claim {
    /// What was made before then is of an earlier life of the key.
    pub(in crate::store) fn lives_since(&self) -> Timestamp {
        let lives_ms = self.expires_at.ms_since(self.now);
        let now_ms = self.now.unix_ms();
        Timestamp::from_unix_ms(now_ms.saturating_sub_unsigned(lives_ms).max(0))
    }
}

/// Turns a key that was won to what an earlier request under it has made: its row was lost, and what
/// it stood for was not.
pub(in crate::store) async fn turn(
    tx: &mut Connection,
    _won: Won,
    claim: &Claim,
    earlier: &str,
) -> Result<(), Failure> {
    tracing::warn!(
        subject = earlier,
        "an idempotency key without its row answers with what it made"
    );
    stands_for(tx, claim, earlier).await
}
