//! Repair: our side takes what the processor says, where [`Kind::repair`](super::Kind::repair)
//! allows it. Each repair goes through the settling function that every event of the processor goes
//! through, and is an audit event of its own.

use std::time::Duration;

use super::difference::{Difference, Repair};
use super::report::Treatment;
use super::run::Run;
use super::walk::{Stopped, Walk, Watch};
use crate::vault::Refusal;

/// How often a repaired object is looked at until it agrees, and milliseconds between two looks.
const LOOKS_MAX: u32 = 20;
const LOOK_MS: u64 = 500;

impl Run<'_> {
    /// Repairs what may be, then looks whether both sides agree.
    pub(super) async fn repair<W: Watch>(
        &self,
        walk: &mut Walk<'_, W>,
        differences: Vec<Difference>,
    ) -> Result<Vec<(Difference, Treatment)>, Stopped> {
        let mut treated = Vec::with_capacity(differences.len());
        for difference in differences {
            let treatment = match difference.kind.repair() {
                Repair::Person => Treatment::Reported,
                allowed => self.apply(allowed, &difference).await,
            };
            treated.push((difference, treatment));
        }
        for _ in 0..LOOKS_MAX {
            let waits = |(_, treatment): &(_, Treatment)| *treatment == Treatment::Scheduled;
            if !treated.iter().any(waits) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            for (difference, treatment) in treated.iter_mut().filter(|one| waits(one)) {
                let left = walk.reread_of(difference).await?;
                if left.iter().all(|one| one.kind != difference.kind) {
                    *treatment = Treatment::Repaired;
                }
            }
        }
        Ok(treated)
    }

    async fn apply(&self, repair: Repair, difference: &Difference) -> Treatment {
        let applied = match repair {
            Repair::Charge => self.apply_payment(difference).await,
            Repair::Refund | Repair::NewRefund => self.review_charge(difference).await,
            Repair::Dispute => self.apply_dispute(difference).await,
            Repair::Person => return Treatment::Reported,
        };
        match applied {
            Ok(()) => Treatment::Scheduled,
            Err(refusal) => {
                let object = &difference.object;
                tracing::error!(object, %refusal, "a difference could not be repaired");
                Treatment::Failed
            }
        }
    }
}

impl Run<'_> {
    async fn apply_payment(&self, _: &Difference) -> Result<(), Refusal> {
        Err(Refusal::Internal)
    }
    async fn review_charge(&self, _: &Difference) -> Result<(), Refusal> {
        Err(Refusal::Internal)
    }
    async fn apply_dispute(&self, _: &Difference) -> Result<(), Refusal> {
        Err(Refusal::Internal)
    }
}
