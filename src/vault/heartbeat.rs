//! Heartbeat: holds the lease of work that is under way, so that a lease lasts seconds and nobody
//! waits long for a process that died.
//!
//! A process that lives and cannot reach the store loses its lease, and another may begin the same
//! work: both then ask the processor under the same key, and only the owner of the newer lease can
//! end or put off the work.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::Common;
use crate::clock::Timestamp;
use crate::store::{Failure, Renewal, Store};
use crate::token::SessionId;

/// Times that a lease is renewed before it would end.
const BEATS_PER_LEASE: u64 = 4;

/// Renews a lease until it is dropped.
#[must_use = "a lease is held only as long as this lives"]
#[derive(Debug)]
pub(super) struct Heartbeat(AbortHandle);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Leased {
    Work(Renewal),
    /// A capture session, by the number of the attempt.
    Attempt(SessionId, u32),
}

impl Leased {
    async fn renew(&self, store: &Store, until: Timestamp) -> Result<bool, Failure> {
        match self {
            Self::Work(renewal) => store.renew_lease(renewal.clone(), until).await,
            Self::Attempt(session, number) => store.renew_attempt(*session, *number, until).await,
        }
    }
}

impl Common {
    /// Holds the lease of owed work.
    pub(super) fn hold(&self, renewal: Renewal) -> Heartbeat {
        self.beat(Leased::Work(renewal))
    }

    /// Holds a capture session for one attempt.
    pub(super) fn hold_attempt(&self, session: SessionId, number: u32) -> Heartbeat {
        self.beat(Leased::Attempt(session, number))
    }

    fn beat(&self, leased: Leased) -> Heartbeat {
        let common = self.clone();
        let lease_ms = self.limits.work_lease_ms;
        let pause = Duration::from_millis(lease_ms / BEATS_PER_LEASE);
        let beating = self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let until = common.now().plus_ms(lease_ms);
                match leased.renew(&common.store, until).await {
                    Ok(true) => {}
                    // Ended meanwhile, or taken over by another process.
                    Ok(false) => return,
                    Err(failure) => tracing::warn!(%failure, "a lease could not be renewed"),
                }
            }
        });
        Heartbeat(beating.abort_handle())
    }
}
