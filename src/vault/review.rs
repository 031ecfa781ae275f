//! Review: a look at the processor that is owed to a charge, in whatever state it is.
//!
//! Whatever happened there without us (an event says so, a person used the dashboard, a kept fault
//! was carried out after all) is read from the processor itself and applied, or kept as a
//! contradiction.

use super::owed::retry_at;
use super::{Internal, Refusal, process, processor_of};
use crate::alerts::AlertName;
use crate::processor::{self, Effect, PaymentStatus};
use crate::store::{
    Authentic, Authority, ChargeRow, DueReview, ListedRefund, OwedWork, RefundTaken,
};
use crate::token::{ChargeStatus, RefundId};

/// Milliseconds after which a charge that somebody holds is looked at again.
const HELD_PAUSE_MS: u64 = 1_000;

/// What a look came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// All that the processor says is applied or kept.
    Done,
    /// Something is to be asked or applied again.
    Again,
    /// Somebody is working on the charge: what they learn may be older than the reason to look.
    Held,
}

impl Internal {
    /// Makes one review, and ends it or puts it off.
    pub(super) async fn review(&self, due: DueReview) {
        let renewal = due
            .lease
            .renewal(OwedWork::Review, &due.charge.id, &due.charge.account);
        let _held = self.common.hold(renewal);
        let looked = self.look_at(&due).await;
        let (store, now) = (&self.common.store, self.common.now());
        let DueReview {
            lease,
            charge,
            requests,
            tries,
            ..
        } = due;
        let id = charge.id;
        let whose = (&charge.account, id);
        let written = match looked {
            Ok(Looked::Done) => store.finish_review(lease, (id, requests)).await,
            Ok(Looked::Held) => {
                let until = now.plus_ms(HELD_PAUSE_MS);
                store.defer_review(lease, whose, until).await
            }
            Ok(Looked::Again) => {
                let since = charge.updated_at;
                let until = retry_at(now, since, Some(1 << tries.min(10)));
                store.defer_review(lease, whose, until).await
            }
            Err(refusal) => {
                tracing::warn!(charge = %id, %refusal, "a charge could not be reviewed");
                let until = retry_at(now, charge.updated_at, None);
                store.defer_review(lease, whose, until).await
            }
        };
        if let Err(failure) = written {
            // Its lease ends, and it is made again.
            tracing::warn!(charge = %id, %failure, "a review could not be written down");
        }
    }

    async fn look_at(&self, due: &DueReview) -> Result<Looked, Refusal> {
        let charge = &due.charge;
        if charge.is_held(self.common.now()) {
            return Ok(Looked::Held);
        }
        let Some(name) = charge.payment.as_deref().or(due.payment.as_deref()) else {
            return self.answer_as_known(charge).await;
        };

        // 1. The payment as it stands. One that another charge has, or none of ours, says nothing.
        let payment = match self.read_payment(charge, name).await {
            Ok(payment) => payment,
            Err(processor::Failure::Missing) => return self.answer_as_known(charge).await,
            Err(failure) => {
                tracing::warn!(charge = %charge.id, %failure, "a payment could not be read");
                return Ok(Looked::Again);
            }
        };
        let named = payment.charge.as_deref() == Some(charge.id.to_string().as_str());
        if charge.payment.is_none() && !named {
            return self.answer_as_known(charge).await;
        }
        let status = payment.status.clone();
        let outcome = self.outcome_of(payment, charge);
        let authority = Authority::Observer;
        let after = self.settled(&process(), authority, charge, outcome).await?;
        let (after, answered) = self.answer_page(charge, after).await?;
        if !answered {
            return Ok(Looked::Again);
        }

        // 2. A payment of a charge that is over must not take money any more.
        if is_over(&after) && may_take_money(&status) {
            return Ok(match self.close(charge, name).await {
                // It may have been too late: what became of it is read once more.
                Err(failure) if failure.effect() == Effect::Final => {
                    let read = self.read_payment(&after, name).await;
                    let closed = read.is_ok_and(|read| !may_take_money(&read.status));
                    if closed { Looked::Done } else { Looked::Again }
                }
                Err(_) => Looked::Again,
                Ok(_) => Looked::Done,
            });
        }

        // 3. Its refunds, ours and those that were made at the processor.
        if after.status == ChargeStatus::Succeeded {
            return self.list_refunds_of(&after, name).await;
        }
        Ok(Looked::Done)
    }

    /// The processor has nothing to say: a page that asks is told what stands here.
    async fn answer_as_known(&self, charge: &Authentic<ChargeRow>) -> Result<Looked, Refusal> {
        let (_, answered) = self.answer_page(charge, ChargeRow::clone(charge)).await?;
        Ok(if answered {
            Looked::Done
        } else {
            Looked::Again
        })
    }

    async fn list_refunds_of(&self, charge: &ChargeRow, payment: &str) -> Result<Looked, Refusal> {
        let common = &self.common;
        let call = common.metrics.processor_call("refunds_of");
        let listed = processor_of(&self.processors, &charge.account)?
            .refunds_of(payment, &charge.client)
            .await;
        call.ended(listed.is_ok());
        let listed = match listed {
            Ok(listed) => listed,
            Err(failure) => {
                tracing::warn!(charge = %charge.id, %failure, "refunds could not be listed");
                return Ok(Looked::Again);
            }
        };
        let (mut looked, mut agree) = (Looked::Done, true);
        // The oldest first: what is left of the charge is given back in that order.
        for refund in listed.into_iter().rev() {
            let ours = refund.refund.as_deref();
            let listed = ListedRefund {
                ours: ours.and_then(|id| RefundId::parse(id, common.environment).ok()),
                id: RefundId::new(common.environment, common.now()),
                amount: refund.amount,
                outcome: self.refund_outcome(refund, common.now()),
            };
            let announce = (common.refund_news(), self.contradiction_alert());
            let whose = (&charge.account, charge.id);
            let taken = common
                .store
                .take_listed_refund(whose, listed, announce)
                .await?;
            match taken {
                RefundTaken::Known | RefundTaken::Changed => {}
                RefundTaken::NotYet => {
                    tracing::warn!(charge = %charge.id, "a refund made at the processor cannot be applied yet");
                    (looked, agree) = (Looked::Again, false);
                }
                RefundTaken::Contradiction => {
                    agree = false;
                    common.metrics.alert_raised(AlertName::ChargeContradicted);
                    let next_step = AlertName::ChargeContradicted.next_step();
                    let subject = charge.id.to_string();
                    tracing::error!(
                        subject,
                        next_step,
                        "the processor contradicts a refund of ours"
                    );
                }
            }
        }
        if agree && charge.contradiction.is_some() {
            let whose = (&charge.account, charge.id);
            common.store.refunds_agree(whose, common.now()).await?;
        }
        Ok(looked)
    }
}

/// Whether the charge ended without money.
fn is_over(charge: &ChargeRow) -> bool {
    matches!(
        charge.status,
        ChargeStatus::Declined | ChargeStatus::Canceled
    )
}

/// Whether a payment could still become one that takes money.
fn may_take_money(status: &PaymentStatus) -> bool {
    match status {
        PaymentStatus::Declined(_)
        | PaymentStatus::RequiresCapture
        | PaymentStatus::RequiresAction { .. }
        | PaymentStatus::ActionUnsupported => true,
        // What is under way cannot be stopped, and is looked at when its event comes.
        PaymentStatus::Processing | PaymentStatus::Succeeded | PaymentStatus::Canceled => false,
    }
}
