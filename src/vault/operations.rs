//! Operations: authorized money is captured, or an authorization canceled. Each in the same four
//! steps as the charge.

use std::sync::Arc;

use serde::Serialize;

use super::charge::{Charged, RETRY_AFTER_S};
use super::grant::{ChargesCreate, Granted};
use super::idempotency::IdempotencyKey;
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, CancelOrder, CaptureOrder, Effect, Payment};
use crate::store::{
    Authentic, Begun, ChargeRow, Lease, NewOperation, NoOperation, NothingDone, OperationRow,
};
use crate::token::{ChargeId, ChargeOperation, ChargeStatus};

/// What an idempotency key of an operation is bound to.
#[derive(Serialize)]
struct OperationOrder {
    charge: String,
    operation: &'static str,
    amount: Option<i64>,
}

impl Internal {
    /// Captures authorized money, all of it or `amount`; what is left is released.
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
        let operation = (id, ChargeOperation::Capture, amount);
        self.begin_operation(granted, operation, key).await
    }

    /// Cancels an authorized charge, or one whose shopper has not authenticated.
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
        let operation = (id, ChargeOperation::Cancel, None);
        self.begin_operation(granted, operation, key).await
    }

    async fn begin_operation(
        self: &Arc<Self>,
        granted: Granted<ChargesCreate>,
        (id, operation, amount): (ChargeId, ChargeOperation, Option<i64>),
        key: &IdempotencyKey,
    ) -> Result<Charged, Refusal> {
        let common = &self.common;

        // 1. One short transaction writes the operation down with its key and its audit event.
        let context = Witness::of(&granted);
        let order = OperationOrder {
            charge: id.to_string(),
            operation: operation.name(),
            amount,
        };
        let claim = common.claim(&granted, key, &order);
        let action = match operation {
            ChargeOperation::Capture => Action::ChargeCaptureRequested,
            ChargeOperation::Cancel => Action::ChargeCancelRequested,
        };
        let subject = Some(id.to_string());
        let event = common.event(&context, action, Outcome::Success, subject);
        let new = NewOperation {
            account: granted.account().clone(),
            charge: id,
            id: operation_id(id),
            operation,
            amount,
            processor_key: self.processor_key(&claim),
            lease_until: common.now().plus_ms(common.limits.work_lease_ms),
        };
        let ((lease, charge), replayed) =
            match common.store.begin_operation(claim, new, event).await? {
                Begun::New(work) => (work, false),
                Begun::Resumed(work) => (work, true),
                Begun::Replayed(charge) => {
                    return Ok(Charged {
                        page: None,
                        charge: *charge,
                        replayed: true,
                    });
                }
                Begun::InFlight => {
                    return Err(Refusal::InFlight {
                        retry_after_s: RETRY_AFTER_S,
                    });
                }
                Begun::Mismatch => return Err(Refusal::IdempotencyMismatch),
                Begun::Refused(NoOperation::Unknown) => return Err(Refusal::NotFound),
                Begun::Refused(NoOperation::InvalidState(charge)) => {
                    return Err(why_not(&charge, operation));
                }
            };

        // 2-4. The processor is asked and the outcome is written, even if the caller hangs up.
        let this = Arc::clone(self);
        let work = tracing::Instrument::in_current_span(async move {
            this.operate(&context, (lease, *charge)).await
        });
        let charge = self
            .tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))?;
        Ok(Charged {
            page: None,
            charge,
            replayed,
        })
    }

    /// Asks the processor for the operation that stands in the charge's row; repeatable, because so
    /// does its key.
    pub(crate) async fn operate(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
    ) -> Result<ChargeRow, Refusal> {
        let _held = self.hold_charge(&lease, &charge);
        let operation = charge.operation.clone().ok_or(Refusal::Internal)?;

        // An earlier owner may have had it done: the payment itself says.
        if lease.is_resumed() {
            let after = match self.read_payment(&charge, payment_of(&charge)).await {
                Ok(payment) => self.learned(context, &lease, &charge, payment).await?,
                Err(failure) => return self.put_off(lease, &charge, &failure).await,
            };
            if after.operation.is_none() {
                return Ok(after);
            }
        }
        match self.ask_operation(&charge, &operation).await {
            Ok(payment) => self.learned(context, &lease, &charge, payment).await,
            Err(failure) => {
                let work = (lease, charge);
                self.operation_failed(context, work, failure).await
            }
        }
    }

    async fn operation_failed(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
        failure: processor::Failure,
    ) -> Result<ChargeRow, Refusal> {
        match failure.effect() {
            Effect::Unknown => self.put_off(lease, &charge, &failure).await,
            Effect::None => match NothingDone::never_sent(lease) {
                Ok(nothing) => {
                    self.abandon_operation(context, nothing, charge).await?;
                    Err(failure.into())
                }
                Err(lease) => self.put_off(lease, &charge, &failure).await,
            },
            // The processor has refused, or keeps an answer that does not tell: how the payment
            // stands after that is what counts, and without it nothing is given up.
            Effect::Final | Effect::AskWhat => {
                tracing::warn!(charge = %charge.id, %failure, "the processor did not carry out an operation");
                let after = match self.read_payment(&charge, payment_of(&charge)).await {
                    Ok(payment) => self.learned(context, &lease, &charge, payment).await?,
                    Err(unread) => return self.put_off(lease, &charge, &unread).await,
                };
                if after.operation.is_none() {
                    return Ok(after);
                }
                let nothing = if failure.effect() == Effect::Final {
                    NothingDone::refused(lease)
                } else {
                    NothingDone::unchanged(lease)
                };
                self.abandon_operation(context, nothing, charge).await?;
                Err(if let processor::Failure::Invalid(fault) = failure {
                    Refusal::Invalid(fault)
                } else {
                    Refusal::Impossible("The processor does not allow this for the charge.")
                })
            }
        }
    }

    async fn ask_operation(
        &self,
        charge: &Authentic<ChargeRow>,
        operation: &OperationRow,
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let payment = payment_of(charge);
        let name = operation.operation.name();
        let call = self.common.metrics.processor_call(name);
        let result = match operation.operation {
            ChargeOperation::Capture => {
                let order = CaptureOrder {
                    payment,
                    amount: operation.amount,
                    currency: &charge.currency,
                    idempotency_key: &operation.processor_key,
                    client: &charge.client,
                };
                processor.capture(&order).await
            }
            ChargeOperation::Cancel => {
                let order = CancelOrder {
                    payment,
                    idempotency_key: &operation.processor_key,
                    client: &charge.client,
                };
                processor.cancel(&order).await
            }
        };
        call.ended(result.is_ok());
        result
    }

    async fn abandon_operation(
        &self,
        context: &Witness,
        nothing: NothingDone,
        charge: Authentic<ChargeRow>,
    ) -> Result<(), Refusal> {
        let common = &self.common;
        let subject = Some(charge.id.to_string());
        let action = Action::ChargeStepRefused;
        let event = common.event(context, action, Outcome::Failed, subject);
        let now = common.now();
        let store = &common.store;
        Ok(store
            .abandon_operation(nothing, charge.into_claim(), now, event)
            .await?)
    }
}

/// An operation's id: its charge's, and what no other has.
fn operation_id(charge: ChargeId) -> String {
    let mut random = [0_u8; 8];
    crate::random::fill(&mut random);
    format!("{charge}/{:016x}", u64::from_le_bytes(random))
}

fn payment_of(charge: &ChargeRow) -> &str {
    charge.payment.as_deref().unwrap_or_default()
}

/// Why an operation does not begin from where the charge is.
fn why_not(charge: &ChargeRow, operation: ChargeOperation) -> Refusal {
    let waits = charge.status == ChargeStatus::RequiresCapture;
    if operation == ChargeOperation::Capture && waits {
        return Refusal::TooMuch("exceeds_authorized");
    }
    Refusal::Impossible(match charge.status {
        ChargeStatus::Processing => "The charge is still processing.",
        ChargeStatus::Succeeded => "The charge has succeeded; refund it instead.",
        ChargeStatus::RequiresAction => "The charge waits for the shopper's authentication.",
        ChargeStatus::Declined => "The charge was declined.",
        ChargeStatus::Canceled => "The charge is canceled.",
        ChargeStatus::RequiresCapture => "The charge does not allow this operation.",
    })
}
