//! One operator at a time replaces a key: the lease that is taken before anything is made or
//! changed, and that lapses by itself when the command is killed.

use super::super::{Failure, exit, operator};
use super::{Keys, unavailable};
use crate::store::KeyOperator;
use crate::token::EventId;

/// Milliseconds after which a command that was killed keeps nobody out any more.
const LEASE_MS: u64 = 15_000;

/// The right to change the key manifest.
pub(super) struct Lease(KeyOperator);

impl Lease {
    /// Takes it, or says who has it.
    pub(super) async fn take(keys: &Keys) -> Result<Self, Failure> {
        let now = keys.clock.now();
        let mut lease = Self(KeyOperator {
            run: EventId::new(keys.config.environment, now).to_string(),
            by: operator(),
            node: keys.config.node.clone(),
            began_at: now,
            lease_until: now,
        });
        lease.hold(keys).await?;
        Ok(lease)
    }

    /// Holds it longer.
    pub(super) async fn hold(&mut self, keys: &Keys) -> Result<(), Failure> {
        let now = keys.clock.now();
        self.0.lease_until = now.plus_ms(LEASE_MS);
        let leased = keys.store.lease_rotation(self.0.clone(), now).await;
        let Some(other) = leased.map_err(unavailable)? else {
            return Ok(());
        };
        let why = format_args!(
            "{} on {} replaces a key since {}, and nothing was changed here: try again when that \
             has ended, or, if it was killed, after {}",
            other.by, other.node, other.began_at, other.lease_until
        );
        Err(Failure::new(exit::UNAVAILABLE, why))
    }

    /// Lets the next operator in.
    pub(super) async fn release(self, keys: &Keys) {
        let released = keys.store.release_rotation(self.0.run).await;
        if let Err(failure) = released {
            // It lapses by itself.
            tracing::warn!(%failure, "the lease of rotation could not be released");
        }
    }
}
