//! Steps: authorized money is taken, or given up. Each in the same four steps as the charge.

use std::sync::Arc;

use serde::Serialize;

use super::charge::{Charged, RETRY_AFTER_S};
use super::grant::{ChargesCreate, Granted};
use super::idempotency::IdempotencyKey;
use super::settle::Try;
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, CancelOrder, CaptureOrder, Payment};
use crate::store::{ChargeRow, NewStep, StepBegun, StepRow};
use crate::token::{ChargeId, ChargeStatus, Step};

/// What an idempotency key of a step is bound to.
#[derive(Serialize)]
struct StepOrder {
    charge: String,
    step: &'static str,
    amount: Option<i64>,
}

impl Internal {
    /// Takes authorized money, all of it or `amount`; what is left is given up.
    ///
    /// # Errors
    /// [`Refusal::Impossible`] where the charge is not waiting for its capture, or less was
    /// authorized.
    #[tracing::instrument(name = "charge.capture", skip_all)]
    pub async fn capture(
        self: &Arc<Self>,
        granted: Granted<ChargesCreate>,
        (id, amount): (ChargeId, Option<i64>),
        key: &IdempotencyKey,
    ) -> Result<Charged, Refusal> {
        self.step(granted, (id, Step::Capture, amount), key).await
    }

    /// Gives an authorized charge up, or one whose shopper has not authenticated.
    ///
    /// # Errors
    /// [`Refusal::Impossible`] where the charge is in another state.
    #[tracing::instrument(name = "charge.cancel", skip_all)]
    pub async fn cancel(
        self: &Arc<Self>,
        granted: Granted<ChargesCreate>,
        id: ChargeId,
        key: &IdempotencyKey,
    ) -> Result<Charged, Refusal> {
        self.step(granted, (id, Step::Cancel, None), key).await
    }

    async fn step(
        self: &Arc<Self>,
        granted: Granted<ChargesCreate>,
        (id, step, amount): (ChargeId, Step, Option<i64>),
        key: &IdempotencyKey,
    ) -> Result<Charged, Refusal> {
        let common = &self.common;

        // 1. One short transaction writes the step down with its key and its audit event.
        let witness = Witness::of(&granted);
        let order = StepOrder {
            charge: id.to_string(),
            step: step.name(),
            amount,
        };
        let claim = common.claim(&granted, key, &order);
        let action = match step {
            Step::Capture => Action::ChargeCaptureRequested,
            Step::Cancel => Action::ChargeCancelRequested,
        };
        let subject = Some(id.to_string());
        let event = common.event(&witness, action, Outcome::Success, subject);
        let new = NewStep {
            account: granted.account().clone(),
            charge: id,
            step,
            amount,
            lease_until: common.now().plus_ms(common.limits.work_lease_ms),
        };
        let charge = match common.store.begin_step(claim, new, event).await? {
            StepBegun::Ask(charge) => *charge,
            StepBegun::Replayed(charge) => {
                return Ok(Charged {
                    charge: *charge,
                    replayed: true,
                });
            }
            StepBegun::InFlight => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            StepBegun::Mismatch => return Err(Refusal::IdempotencyMismatch),
            StepBegun::Unknown => return Err(Refusal::NotFound),
            StepBegun::Impossible(charge) => return Err(why_not(&charge, step)),
        };

        // 2-3. The processor is asked and the outcome is written, even if the caller hangs up.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            this.take_step(&witness, charge, Try::First).await
        });
        let charge = self
            .tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))?;
        Ok(Charged {
            charge,
            replayed: false,
        })
    }

    /// Asks the processor for the step that stands in the charge's row; repeatable, because its
    /// number is in the processor's key.
    pub(crate) async fn take_step(
        &self,
        witness: &Witness,
        charge: ChargeRow,
        attempt: Try,
    ) -> Result<ChargeRow, Refusal> {
        let step = charge.step.ok_or(Refusal::Internal)?;
        // A step of unknown end may have been taken: the payment itself tells.
        if attempt == Try::Again {
            let charge = self.look(witness, &charge).await?;
            if charge.step.is_none() {
                return Ok(charge);
            }
        }
        let failure = match self.ask_step(&charge, step).await {
            Ok(payment) => return self.learned(witness, &charge, payment).await,
            Err(failure) => failure,
        };
        match failure {
            processor::Failure::OutcomeUnknown | processor::Failure::InFlight { .. } => {
                self.unknown(&charge, &failure).await
            }
            processor::Failure::NotSent
            | processor::Failure::NotAuthorized
            | processor::Failure::RawCardsRefused
            | processor::Failure::RateLimited { .. }
                if attempt == Try::First =>
            {
                self.drop_step(witness, charge).await?;
                Err(failure.into())
            }
            processor::Failure::NotSent
            | processor::Failure::NotAuthorized
            | processor::Failure::RawCardsRefused
            | processor::Failure::RateLimited { .. } => self.unknown(&charge, &failure).await,
            // The processor has refused, or keeps an answer that does not tell: how the payment
            // stands is what counts.
            processor::Failure::Invalid(_)
            | processor::Failure::Rejected
            | processor::Failure::Missing
            | processor::Failure::Declined(_)
            | processor::Failure::CardInvalid(_)
            | processor::Failure::FaultKept
            | processor::Failure::IdempotencyMismatch => {
                tracing::warn!(charge = %charge.id, %failure, "the processor did not take a step");
                let after = self.look(witness, &charge).await?;
                if after.step.is_none() {
                    return Ok(after);
                }
                self.drop_step(witness, charge).await?;
                Err(Refusal::Impossible(
                    "The processor does not allow this for the charge.",
                ))
            }
        }
    }

    async fn ask_step(
        &self,
        charge: &ChargeRow,
        StepRow { step, amount }: StepRow,
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let payment = charge.payment.as_deref().unwrap_or_default();
        let key = format!("{}-{}-{}", charge.id, step.name(), charge.steps);
        let call = self.common.metrics.processor_call(step.name());
        let result = match step {
            Step::Capture => {
                let order = CaptureOrder {
                    payment,
                    amount,
                    idempotency_key: &key,
                    client: &charge.client,
                };
                processor.capture(&order).await
            }
            Step::Cancel => {
                let order = CancelOrder {
                    payment,
                    idempotency_key: &key,
                    client: &charge.client,
                };
                processor.cancel(&order).await
            }
        };
        call.ended(result.is_ok());
        result
    }

    async fn drop_step(&self, witness: &Witness, charge: ChargeRow) -> Result<(), Refusal> {
        let subject = Some(charge.id.to_string());
        let action = Action::ChargeStepRefused;
        let event = self.common.event(witness, action, Outcome::Failed, subject);
        Ok(self.common.store.drop_step(charge, event).await?)
    }
}

/// Why a step cannot be taken from where the charge is.
fn why_not(charge: &ChargeRow, step: Step) -> Refusal {
    let waits = charge.status == ChargeStatus::RequiresCapture;
    if step == Step::Capture && waits {
        return Refusal::TooMuch("exceeds_authorized");
    }
    Refusal::Impossible(match charge.status {
        ChargeStatus::Processing => "The charge is still processing.",
        ChargeStatus::Succeeded => {
            "The charge has succeeded; what was taken is given back by a refund."
        }
        ChargeStatus::RequiresAction => "The charge waits for the shopper's authentication.",
        ChargeStatus::Declined => "The charge was declined.",
        ChargeStatus::Canceled => "The charge is canceled.",
        ChargeStatus::RequiresCapture => "The charge cannot take this step.",
    })
}
