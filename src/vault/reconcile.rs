//! Reconcile: charges whose outcome a crash or a timeout left open are asked about again, under
//! the same key, until the processor has said what happened.

use std::sync::Arc;
use std::time::Duration;

use super::settle::Try;
use super::{Internal, Refusal, process};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{ChargeRow, Lease, Leased};
use crate::token::ChargeStatus;

/// Milliseconds between two looks for open charges.
const INTERVAL_MS: u64 = 2_000;
/// Milliseconds that a charge rests between two tries.
const REST_MS: u64 = 2_000;
/// Charges taken at one look.
const BATCH_CHARGES_MAX: u32 = 32;
/// Milliseconds for which the processor surely remembers an idempotency key (Stripe: at least
/// 24 hours), less an hour for clocks and queues.
const PROCESSOR_KEY_LIFETIME_MS: u64 = 23 * 3_600 * 1_000;

impl Internal {
    /// Settles open charges until the process stops.
    pub async fn reconcile_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
            match self.reconcile().await {
                Ok(0) => {}
                Ok(settled) => tracing::info!(settled, "charges reconciled"),
                Err(refusal) => tracing::warn!(%refusal, "charges could not be reconciled"),
            }
        }
    }

    /// Settles a batch of open charges that nobody is working on; answers how many were settled.
    ///
    /// # Errors
    /// What the store refuses.
    #[tracing::instrument(name = "charge.reconcile", skip_all)]
    pub async fn reconcile(&self) -> Result<usize, Refusal> {
        let now = self.common.now();
        let lease = now.plus_ms(self.common.limits.work_lease_ms);
        let rested = Timestamp::from_unix_ms(now.unix_ms().saturating_sub_unsigned(REST_MS));
        let lease = Lease {
            now: rested,
            older_than: now,
            lease_until: lease,
            limit: BATCH_CHARGES_MAX,
        };
        let common = self.common.clone();
        let opened = move |charge: &ChargeRow| {
            let subject = Some(charge.token.to_string());
            common.event(&process(), Action::TokenOpened, Outcome::Success, subject)
        };
        let Leased {
            charges: open,
            unreadable,
        } = self.common.store.lease_unsettled(lease, opened).await?;
        for failure in unreadable {
            tracing::error!(%failure, "an open charge cannot be read and needs a person");
        }
        let mut settled: usize = 0;
        for (charge, sealed) in open {
            if now.ms_since(charge.created_at) > PROCESSOR_KEY_LIFETIME_MS {
                // Asking again could charge again: the processor may have forgotten the key.
                tracing::error!(charge = %charge.id, "a charge is past the processor's memory and needs a person");
                self.common.metrics.charged("stranded");
                continue;
            }
            let id = charge.id;
            match self.settle(&process(), charge, sealed, Try::Again).await {
                Ok(charge) if charge.status != ChargeStatus::Processing => {
                    settled = settled.saturating_add(1);
                }
                Ok(_) => {}
                Err(refusal) => tracing::warn!(charge = %id, %refusal, "a charge stays open"),
            }
        }
        Ok(settled)
    }
}
