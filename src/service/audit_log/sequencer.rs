//! Events get their places, and the log is signed as long as it goes on from what was signed last.

use std::sync::Arc;
use std::time::Duration;

use super::history::{self, Present, Unknown};
use super::{AuditLog, Epoch, LOOK_INTERVAL_MS};
use crate::audit::note::{Checkpoint, LogKey};
use crate::clock::Timestamp;
use crate::seal::signing::SigningKey;
use crate::store::{Failure, KeptCheckpoint};
use crate::vault::Common;

/// Events that get their places in one transaction.
const BATCH_EVENTS_MAX: u32 = 500;
/// Milliseconds for which a node that gives places is the only one.
const LEASE_MS: u64 = 10_000;

pub(super) async fn run_forever(common: Common, log: Arc<AuditLog>) {
    let mut signed_at = Timestamp::from_unix_ms(0);
    loop {
        let is_due = common.now().ms_since(signed_at) >= log.interval_ms;
        match log.sequence_and_sign(&common, is_due).await {
            Ok(true) => signed_at = common.now(),
            Ok(false) => {}
            Err(failure) => {
                tracing::warn!(%failure, "the audit log could not be sequenced; retrying");
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

impl AuditLog {
    /// One round; whether something was signed.
    pub(super) async fn sequence_and_sign(
        &self,
        common: &Common,
        is_due: bool,
    ) -> Result<bool, Failure> {
        // Another process, on which a rollback was accepted, may have the lease.
        if self.differs() {
            return Ok(false);
        }
        let Some(size) = sequence(common).await? else {
            return Ok(false);
        };
        let Some(signing) = &self.signing else {
            common.store.witnessed(None, size, common.now()).await?;
            return Ok(true);
        };
        if !is_due || size == 0 {
            return Ok(false);
        }
        match self.sign(common, signing).await {
            Ok(()) => Ok(true),
            Err(Unknown::Store(failure)) => Err(failure),
            Err(Unknown::Differs(differs)) => {
                self.report(common, &differs).await;
                Ok(false)
            }
        }
    }

    /// Signs the log as it stands, where it goes on from what is known of it.
    async fn sign(
        &self,
        common: &Common,
        (key, log): &(SigningKey, LogKey),
    ) -> Result<(), Unknown> {
        let mut known = self.known.lock().await;
        let store = &common.store;
        let next = match known.as_ref() {
            Some(known) => history::next(store, self, known).await?,
            None => Present::read(store, self)
                .await?
                .into_known(Epoch::default()),
        };
        let checkpoint = Checkpoint {
            size: next.edge.size(),
            root: next.edge.root(),
            epoch: next.epoch,
            key_manifest: next.key_manifest,
        };
        let kept = KeptCheckpoint {
            size: checkpoint.size,
            note: log.sign(checkpoint, key),
            peaks: Some(next.edge.bytes()),
            at: common.now(),
        };
        common.store.put_checkpoint(kept).await?;
        *known = Some(next);
        Ok(())
    }
}

/// Gives places until nothing waits; how long the log is then, where this node has the lease and
/// something has come since the last checkpoint.
async fn sequence(common: &Common) -> Result<Option<u64>, Failure> {
    if !common.store.log_has_work().await? {
        return Ok(None);
    }
    loop {
        let now = common.now();
        let lease = (now, now.plus_ms(LEASE_MS));
        let node = common.node.to_string();
        let sequenced = common.store.sequence(node, lease, BATCH_EVENTS_MAX).await?;
        let Some(sequenced) = sequenced else {
            return Ok(None);
        };
        if usize::try_from(BATCH_EVENTS_MAX) != Ok(sequenced.events) {
            return Ok(Some(sequenced.edge.size()));
        }
    }
}
