//! Reconcile: what a crash, a timeout or the shopper left open is asked about again, until the
//! processor has said what happened. Any node may do it: rows are leased.

use std::sync::Arc;
use std::time::Duration;

use super::settle::Try;
use super::{Internal, Refusal, process};
use crate::audit::{Action, Outcome};
use crate::store::{ChargeRow, Failure, Lease, Leased, LeasedRefunds, SealedRow};
use crate::token::{ChargeStatus, RefundStatus};

/// Milliseconds between two looks for what is open.
const INTERVAL_MS: u64 = 1_000;
/// Rows of each kind taken at one look.
const BATCH_ROWS_MAX: u32 = 32;

impl Internal {
    /// Settles what is open until the process stops.
    pub async fn reconcile_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
            match self.reconcile().await {
                Ok(0) => {}
                Ok(settled) => tracing::info!(settled, "reconciled"),
                Err(refusal) => tracing::warn!(%refusal, "what is open could not be reconciled"),
            }
        }
    }

    /// Settles a batch of open charges and refunds that nobody is working on, and has orphans
    /// forgotten; answers how many came to their end.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn reconcile(&self) -> Result<usize, Refusal> {
        let refunds = self.reconcile_refunds().await?;
        // What needs a token opened waits until the custodians have been here.
        if self.is_sealed() {
            return Ok(refunds);
        }
        let charges = self.reconcile_charges().await?;
        let orphans = self.forget_orphans().await?;
        Ok(charges.saturating_add(refunds).saturating_add(orphans))
    }

    #[tracing::instrument(name = "charge.reconcile", skip_all)]
    async fn reconcile_charges(&self) -> Result<usize, Refusal> {
        let common = self.common.clone();
        let opened = move |charge: &ChargeRow| {
            let subject = Some(charge.token.to_string());
            common.event(&process(), Action::TokenOpened, Outcome::Success, subject)
        };
        let Leased {
            charges,
            unreadable,
        } = self
            .common
            .store
            .lease_open_charges(self.lease(), opened)
            .await?;
        self.alarm(&unreadable);
        let mut settled: usize = 0;
        for (charge, sealed) in charges {
            let id = charge.id;
            match self.go_on(charge, sealed).await {
                Ok(after) if after.status != ChargeStatus::Processing => {
                    settled = settled.saturating_add(1);
                }
                Ok(_) => {}
                Err(refusal) => tracing::warn!(charge = %id, %refusal, "a charge stays open"),
            }
        }
        Ok(settled)
    }

    /// What is open about a charge is its step, its payment, or whether there is one.
    async fn go_on(
        &self,
        charge: ChargeRow,
        sealed: Option<SealedRow>,
    ) -> Result<ChargeRow, Refusal> {
        match (charge.step, sealed) {
            (Some(_), _) => self.take_step(&process(), charge, Try::Again).await,
            (None, Some(sealed)) => self.settle(&process(), charge, sealed, Try::Again).await,
            (None, None) => self.look(&process(), &charge).await,
        }
    }

    #[tracing::instrument(name = "refund.reconcile", skip_all)]
    async fn reconcile_refunds(&self) -> Result<usize, Refusal> {
        let LeasedRefunds {
            refunds,
            unreadable,
        } = self.common.store.lease_open_refunds(self.lease()).await?;
        self.alarm(&unreadable);
        let mut settled: usize = 0;
        for both in refunds {
            let id = both.0.id;
            match self.give_back(&process(), both, Try::Again).await {
                Ok(after) if after.status != RefundStatus::Processing => {
                    settled = settled.saturating_add(1);
                }
                Ok(_) => {}
                Err(refusal) => tracing::warn!(refund = %id, %refusal, "a refund stays open"),
            }
        }
        Ok(settled)
    }

    fn lease(&self) -> Lease {
        let now = self.common.now();
        Lease {
            now,
            lease_until: now.plus_ms(self.common.limits.work_lease_ms),
            limit: BATCH_ROWS_MAX,
        }
    }

    fn alarm(&self, unreadable: &[Failure]) {
        for failure in unreadable {
            self.common.metrics.charged("unreadable");
            tracing::error!(%failure, "an open row cannot be read and needs a person");
        }
    }
}
