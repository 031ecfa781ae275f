//! Repair: our side takes what the processor says, where [`Kind::repair`](super::Kind::repair)
//! allows it. Each repair goes through the settling function that every event of the processor goes
//! through, and is an audit event of its own.

use std::time::Duration;

use super::difference::{Difference, Object, Repair};
use super::report::Treatment;
use super::run::Run;
use super::walk::{Stopped, Walk, Watch};
use crate::audit::{Action, Outcome};
use crate::processor::webhook::{DisputePhase, DisputeStatus};
use crate::store::{self, Authority, DisputeRow};
use crate::vault::{Refusal, dispute_is_open, processor_of};

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
                allowed @ (Repair::Charge
                | Repair::Refund
                | Repair::NewRefund
                | Repair::Dispute) => self.apply(allowed, &difference).await,
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
        if repair == Repair::Charge && self.gave_back_more(difference).await {
            return Treatment::Reported;
        }
        if let Err(failure) = self.record(difference).await {
            tracing::error!(%failure, "a repair could not be recorded and is not made");
            return Treatment::Failed;
        }
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
    /// What is not recorded is not done.
    async fn record(&self, difference: &Difference) -> Result<(), store::Failure> {
        let subject = match (difference.refund, difference.charge) {
            (Some(refund), _) => refund.to_string(),
            (None, Some(charge)) => charge.to_string(),
            (None, None) => difference.object.clone(),
        };
        let common = &self.internal.common;
        let action = Action::ReconciliationRepaired;
        let mut context = self.order.context.clone();
        context.account = Some(self.order.account.clone());
        let event = common.event(&context, action, Outcome::Success, Some(subject));
        common.store.record(event).await
    }

    /// Whether more of the charge was given back than the processor says was taken. What was given back
    /// was taken, whatever the payment says now: that is a person's to decide.
    async fn gave_back_more(&self, difference: &Difference) -> bool {
        let Some(id) = difference.charge else {
            return false;
        };
        let charge = self.internal.common.store.charge(self.order.account, id);
        let Ok(Some(charge)) = charge.await else {
            return false;
        };
        if charge.refunded == 0 {
            return false;
        }
        let object = &difference.object;
        let Ok(payment) = self.internal.read_payment(&charge, object).await else {
            return false;
        };
        let more = charge.refunded > self.internal.outcome_of(payment, &charge).captured;
        if more {
            tracing::warn!(object, charge = %id, "more was given back than the processor says was taken; left to a person");
        }
        more
    }

    /// The charge takes what the payment says, its final state included; then it is reviewed, by
    /// which a payment of a charge that is over is canceled at the processor.
    async fn apply_payment(&self, difference: &Difference) -> Result<(), Refusal> {
        let common = &self.internal.common;
        let (account, context) = (self.order.account, &self.order.context);
        let id = difference.charge.ok_or(Refusal::NotFound)?;
        let charge = common.store.charge(account, id).await?;
        let charge = charge.ok_or(Refusal::NotFound)?;
        let name = &difference.object;
        // Who holds the charge learns by itself what the processor says.
        if !charge.is_held(common.now()) {
            let payment = self.internal.read_payment(&charge, name).await?;
            // The charge's own payment, or the one that names it where it has none.
            let own = match &charge.payment {
                Some(own) => own == name,
                None => payment.charge.as_deref() == Some(id.to_string().as_str()),
            };
            if !own {
                return Err(Refusal::NotFound);
            }
            let outcome = self.internal.outcome_of(payment, &charge);
            let repair = Authority::Repair;
            self.internal
                .settled(context, repair, &charge, outcome)
                .await?;
        }
        self.review_charge(difference).await
    }

    /// The charge's payment and its refunds are read and applied by whichever node comes first.
    async fn review_charge(&self, difference: &Difference) -> Result<(), Refusal> {
        let common = &self.internal.common;
        let id = difference.charge.ok_or(Refusal::NotFound)?;
        let payment = match difference.kind.object() {
            Object::Payment => Some(difference.object.clone()),
            Object::Refund | Object::Dispute => None,
        };
        let store = &common.store;
        let known = store.request_review(self.order.account, id, payment, common.now());
        if known.await? {
            Ok(())
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// The dispute's row takes what the processor says.
    async fn apply_dispute(&self, difference: &Difference) -> Result<(), Refusal> {
        let common = &self.internal.common;
        let charge = difference.charge.ok_or(Refusal::NotFound)?;
        let processor = processor_of(&self.internal.processors, self.order.account)?;
        let there = processor.listed_dispute(&difference.object).await?;
        let now = common.now();
        let said = DisputeRow {
            account: self.order.account.clone(),
            charge,
            amount: there.amount,
            currency: there.currency,
            reason: there.reason,
            open: dispute_is_open(
                DisputeStatus::from_name(&there.status),
                DisputePhase::Updated,
            ),
            status: there.status,
            id: there.id,
            // Read now, it is newer than whatever an event said.
            changed_at: now,
        };
        let store = &common.store;
        store.put_dispute(said, now, common.dispute_news()).await?;
        Ok(())
    }
}
