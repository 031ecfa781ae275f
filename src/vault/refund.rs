//! Refund: money goes back once for each idempotency key, and never more than was taken.

use std::sync::Arc;

use serde::Serialize;

use super::charge::RETRY_AFTER_S;
use super::grant::{ChargesRead, Granted, RefundsCreate};
use super::idempotency::IdempotencyKey;
use super::settle::{PROCESSOR_KEY_LIFETIME_MS, Try, rest_until};
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, RefundState};
use crate::store::{ChargeRow, NewRefund, RefundBegun, RefundOutcome, RefundRow};
use crate::token::{ChargeId, ChargeStatus, RefundId, RefundReason, RefundStatus};

/// What billing asks for; its JSON form is what an idempotency key is bound to.
#[derive(Clone, Debug, Serialize)]
pub struct RefundOrder {
    /// The charge to give back.
    #[serde(serialize_with = "as_text")]
    pub charge: ChargeId,
    /// In the charge's currency; all that is left where nothing is said.
    pub amount: Option<i64>,
    /// Why.
    #[serde(serialize_with = "as_name")]
    pub reason: Option<RefundReason>,
}

fn as_text<S: serde::Serializer>(id: &ChargeId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives a reference"
)]
fn as_name<S: serde::Serializer>(reason: &Option<RefundReason>, to: S) -> Result<S::Ok, S::Error> {
    reason.map(RefundReason::name).serialize(to)
}

/// A refund, for the answer.
#[derive(Debug)]
pub struct Refunded {
    /// The refund as it stands.
    pub refund: RefundRow,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

impl Internal {
    /// Gives money back.
    ///
    /// # Errors
    /// [`Refusal::TooMuch`] where the charge has not so much left.
    #[tracing::instrument(name = "refund.create", skip_all)]
    pub async fn refund(
        self: &Arc<Self>,
        granted: Granted<RefundsCreate>,
        order: RefundOrder,
        key: &IdempotencyKey,
    ) -> Result<Refunded, Refusal> {
        let common = &self.common;

        // 1. One short transaction takes the money off the charge and writes the refund with its
        //    key and its audit event.
        let witness = Witness::of(&granted);
        let claim = common.claim(&granted, key, &order);
        let now = common.now();
        let id = RefundId::new(common.environment, now);
        let new = NewRefund {
            id,
            account: granted.account().clone(),
            client: Some(granted.client().to_owned()),
            charge: order.charge,
            amount: order.amount,
            reason: order.reason,
            created_at: now,
            lease_until: now.plus_ms(common.limits.work_lease_ms),
        };
        let subject = Some(id.to_string());
        let action = Action::RefundRequested;
        let event = common.event(&witness, action, Outcome::Success, subject);
        let (refund, charge) = match common.store.begin_refund(claim, new, event).await? {
            RefundBegun::Ask(refund, charge) => (*refund, *charge),
            RefundBegun::Replayed(refund) => {
                return Ok(Refunded {
                    refund: *refund,
                    replayed: true,
                });
            }
            RefundBegun::InFlight => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            RefundBegun::Mismatch => return Err(Refusal::IdempotencyMismatch),
            RefundBegun::Unknown => return Err(Refusal::NotFound),
            RefundBegun::TooMuch(charge) => return Err(why_not(&charge)),
        };

        // 2-3. The processor is asked and the outcome is written, even if the caller hangs up.
        let attempt = if refund.id == id {
            Try::First
        } else {
            Try::Again
        };
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            this.give_back(&witness, (refund, charge), attempt).await
        });
        let refund = self
            .tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))?;
        Ok(Refunded {
            refund,
            replayed: attempt == Try::Again,
        })
    }

    /// Asks the processor for the refund that is written down; repeatable, because its key is the
    /// refund's id, and past that key's lifetime it is looked up.
    pub(crate) async fn give_back(
        &self,
        witness: &Witness,
        (refund, charge): (RefundRow, ChargeRow),
        attempt: Try,
    ) -> Result<RefundRow, Refusal> {
        use processor::Failure;
        let result = if refund.processor_refund.is_some()
            || self.age_of(&refund) > PROCESSOR_KEY_LIFETIME_MS
        {
            self.look_for(&refund, &charge).await
        } else {
            self.ask_refund(&refund, &charge).await.map(Some)
        };
        let failure = match result {
            Ok(Some(told)) => return self.refunded(witness, &refund, told).await,
            // Past the key's lifetime, and not among the payment's refunds: none was made.
            Ok(None) => Failure::Rejected,
            Err(failure) => failure,
        };
        let never_made = match failure {
            Failure::Invalid(_)
            | Failure::Rejected
            | Failure::Missing
            | Failure::Declined(_)
            | Failure::CardInvalid(_) => true,
            Failure::NotSent
            | Failure::NotAuthorized
            | Failure::RawCardsRefused
            | Failure::RateLimited { .. } => attempt == Try::First,
            Failure::FaultKept | Failure::IdempotencyMismatch => {
                match self.look_for(&refund, &charge).await {
                    Ok(Some(told)) => return self.refunded(witness, &refund, told).await,
                    Ok(None) | Err(_) => false,
                }
            }
            Failure::OutcomeUnknown | Failure::InFlight { .. } => false,
        };
        if !never_made || refund.processor_refund.is_some() {
            tracing::warn!(refund = %refund.id, %failure, "the outcome of a refund is not known yet");
            let until = rest_until(self.common.now(), self.age_of(&refund));
            let store = &self.common.store;
            return Ok(store
                .defer_refund(&refund.account, refund.id, until)
                .await?);
        }
        let subject = Some(refund.id.to_string());
        let event = self
            .common
            .event(witness, Action::RefundSettled, Outcome::Failed, subject);
        let now = self.common.now();
        self.common.store.abandon_refund(refund, now, event).await?;
        Err(if matches!(failure, Failure::Rejected | Failure::Missing) {
            Refusal::Impossible("The processor does not give this back.")
        } else {
            failure.into()
        })
    }

    async fn ask_refund(
        &self,
        refund: &RefundRow,
        charge: &ChargeRow,
    ) -> Result<processor::Refund, processor::Failure> {
        let processor = processor_of(&self.processors, &refund.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let name = refund.id.to_string();
        let order = processor::RefundOrder {
            refund: &name,
            payment: charge.payment.as_deref().unwrap_or_default(),
            amount: refund.amount,
            reason: refund.reason,
            idempotency_key: &name,
            client: refund.client.as_deref().unwrap_or_default(),
        };
        let call = self.common.metrics.processor_call("refund");
        let result = processor.refund(&order).await;
        call.ended(result.is_ok());
        result
    }

    /// How a refund stands whose name is known, or the one among its payment's that names ours.
    async fn look_for(
        &self,
        refund: &RefundRow,
        charge: &ChargeRow,
    ) -> Result<Option<processor::Refund>, processor::Failure> {
        let processor = processor_of(&self.processors, &refund.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let client = refund.client.as_deref().unwrap_or_default();
        let call = self.common.metrics.processor_call("refund_state");
        let result = if let Some(name) = &refund.processor_refund {
            processor.refund_state(name, client).await.map(Some)
        } else {
            let payment = charge.payment.as_deref().unwrap_or_default();
            let name = refund.id.to_string();
            processor.find_refund(payment, &name, client).await
        };
        call.ended(result.is_ok());
        result
    }

    async fn refunded(
        &self,
        witness: &Witness,
        refund: &RefundRow,
        told: processor::Refund,
    ) -> Result<RefundRow, Refusal> {
        let common = &self.common;
        let now = common.now();
        let status = status_of(told.status);
        let open = status == RefundStatus::Processing;
        let outcome = RefundOutcome {
            status,
            processor_refund: Some(told.id),
            failure_code: told
                .failure
                .filter(|_| status == RefundStatus::Failed)
                .map(|code| code.to_string()),
            rest_until: open.then(|| rest_until(now, self.age_of(refund))),
            at: now,
        };
        if status != refund.status {
            common.metrics.refunded(status.name());
        }
        let did = match status {
            RefundStatus::Failed | RefundStatus::Canceled => Outcome::Failed,
            RefundStatus::Processing | RefundStatus::Succeeded => Outcome::Success,
        };
        let subject = Some(refund.id.to_string());
        let event = common.event(witness, Action::RefundSettled, did, subject);
        let tell = common.refund_news();
        Ok(common
            .store
            .settle_refund((&refund.account, refund.id), outcome, event, tell)
            .await?)
    }

    fn age_of(&self, refund: &RefundRow) -> u64 {
        self.common.now().ms_since(refund.created_at)
    }

    /// Reads a refund.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] also for what belongs to another account.
    pub async fn read_refund(
        &self,
        granted: &Granted<ChargesRead>,
        id: RefundId,
    ) -> Result<RefundRow, Refusal> {
        let refund = self.common.store.refund(granted.account(), id).await?;
        let refund = refund.ok_or(Refusal::NotFound)?;
        self.common
            .witness_read(granted, Action::RefundRead, id.to_string())
            .await?;
        Ok(refund)
    }

    /// Lists a charge's refunds, newest first.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where there is no such charge.
    pub async fn list_refunds(
        &self,
        granted: &Granted<ChargesRead>,
        charge: ChargeId,
        (limit, starting_after): (u32, Option<RefundId>),
    ) -> Result<Vec<RefundRow>, Refusal> {
        let store = &self.common.store;
        let account = granted.account();
        if store.charge(account, charge).await?.is_none() {
            return Err(Refusal::NotFound);
        }
        let refunds = store
            .refunds_of(account, charge, limit, starting_after)
            .await?;
        self.common
            .witness_read(granted, Action::RefundRead, charge.to_string())
            .await?;
        Ok(refunds)
    }
}

/// The processor's states in our words.
pub(super) const fn status_of(state: RefundState) -> RefundStatus {
    match state {
        RefundState::Pending => RefundStatus::Processing,
        RefundState::Succeeded => RefundStatus::Succeeded,
        RefundState::Failed => RefundStatus::Failed,
        RefundState::Canceled => RefundStatus::Canceled,
    }
}

/// Why nothing, or not so much, can be given back.
fn why_not(charge: &ChargeRow) -> Refusal {
    match charge.status {
        ChargeStatus::Succeeded if charge.refunded == charge.captured => {
            Refusal::Impossible("The charge has been given back in full.")
        }
        ChargeStatus::Succeeded => Refusal::TooMuch("exceeds_captured"),
        ChargeStatus::RequiresCapture => {
            Refusal::Impossible("The charge is only authorized; cancel it instead.")
        }
        ChargeStatus::Processing | ChargeStatus::RequiresAction => {
            Refusal::Impossible("The charge has not succeeded yet.")
        }
        ChargeStatus::Declined | ChargeStatus::Canceled => {
            Refusal::Impossible("No money was taken by the charge.")
        }
    }
}
