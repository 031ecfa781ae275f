//! Refund: money goes back once for each idempotency key, and never more than was taken.

use std::sync::Arc;

use serde::Serialize;

use super::charge::RETRY_AFTER_S;
use super::grant::{ChargesRead, Granted, RefundsCreate};
use super::idempotency::IdempotencyKey;
use super::owed::retry_at;
use super::settle::{LISTED_WITHIN_MS, PROCESSOR_KEY_LIFETIME_MS};
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::processor::{self, Effect, RefundState};
use crate::store::{
    Authentic, Begun, ChargeRow, Lease, NewRefund, NoRefund, NothingDone, OwedWork, RefundOutcome,
    RefundRow, RefundWork,
};
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
            client: granted.client().to_owned(),
            charge: order.charge,
            amount: order.amount,
            reason: order.reason,
            processor_key: self.processor_key(&claim),
            created_at: now,
            lease_until: now.plus_ms(common.limits.work_lease_ms),
        };
        let subject = Some(id.to_string());
        let action = Action::RefundRequested;
        let event = common.event(&witness, action, Outcome::Success, subject);
        let (work, replayed) = match common.store.begin_refund(claim, new, event).await? {
            Begun::New(work) => (*work, false),
            Begun::Resumed(work) => (*work, true),
            Begun::Replayed(refund) => {
                return Ok(Refunded {
                    refund: *refund,
                    replayed: true,
                });
            }
            Begun::InFlight => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            Begun::Mismatch => return Err(Refusal::IdempotencyMismatch),
            Begun::Refused(NoRefund::Unknown) => return Err(Refusal::NotFound),
            Begun::Refused(NoRefund::NotRefundable(charge)) => return Err(why_not(&charge)),
        };

        // 2-3. The processor is asked and the outcome is written, even if the caller hangs up.
        let this = Arc::clone(self);
        let work =
            tracing::Instrument::in_current_span(
                async move { this.make_refund(&witness, work).await },
            );
        let refund = self
            .tasks
            .spawn_on(work, &self.common.runtime)
            .await
            .unwrap_or(Err(Refusal::Internal))?;
        Ok(Refunded { refund, replayed })
    }

    /// Asks the processor for the refund that is written down; repeatable, because its key stands in
    /// the row, and past that key's lifetime it is looked up.
    pub(crate) async fn make_refund(
        &self,
        context: &Witness,
        work: RefundWork,
    ) -> Result<RefundRow, Refusal> {
        let RefundWork {
            lease,
            refund,
            charge,
            asked_before,
        } = work;
        let renewal = lease.renewal(OwedWork::Refund, &refund.id, &refund.account);
        let _held = self.common.hold(renewal);
        // Rows may be gone: what was given back for this request before is looked for.
        let known = refund.processor_refund.is_some();
        if !known && (asked_before || self.is_recovering()) {
            match self.find_refund_of_request(&refund, &charge).await {
                Ok(None) => {}
                Ok(Some(found)) => {
                    return self.made_before(context, (lease, refund), found).await;
                }
                Err(failure) => return self.not_asked(context, (lease, refund), failure).await,
            }
        }
        let over = self.age_of(&refund) > PROCESSOR_KEY_LIFETIME_MS;
        let result = if refund.processor_refund.is_some() || over {
            self.find_refund(&refund, &charge).await
        } else {
            self.ask_refund(&refund, &charge).await.map(Some)
        };
        let failure = match result {
            Ok(Some(found)) => return self.refunded(context, (&lease, &refund), found).await,
            // Past the key's lifetime, and not among the payment's refunds: none was made.
            Ok(None) => {
                let nothing = NothingDone::unchanged(lease);
                self.abandon_refund(context, (nothing, refund)).await?;
                return Err(NOT_MADE);
            }
            Err(failure) => failure,
        };
        if refund.processor_refund.is_some() {
            return self.put_refund_off(lease, &refund, &failure).await;
        }
        match failure.effect() {
            Effect::Unknown => self.put_refund_off(lease, &refund, &failure).await,
            Effect::None => self.not_asked(context, (lease, refund), failure).await,
            Effect::Final => {
                tracing::warn!(refund = %refund.id, %failure, "the processor refused a refund");
                let nothing = NothingDone::refused(lease);
                self.abandon_refund(context, (nothing, refund)).await?;
                Err(if let processor::Failure::Invalid(fault) = failure {
                    Refusal::Invalid(fault)
                } else {
                    NOT_MADE
                })
            }
            // Asking again gives the same answer again, which does not tell.
            Effect::AskWhat => match self.find_either(&refund, &charge).await {
                Ok(Some(found)) => self.made_before(context, (lease, refund), found).await,
                Ok(None) if self.age_of(&refund) > LISTED_WITHIN_MS => {
                    let nothing = NothingDone::unchanged(lease);
                    self.abandon_refund(context, (nothing, refund)).await?;
                    Err(NOT_MADE)
                }
                Ok(None) | Err(_) => self.put_refund_off(lease, &refund, &failure).await,
            },
        }
    }

    /// The processor was not asked for the refund.
    async fn not_asked(
        &self,
        context: &Witness,
        (lease, refund): (Lease, Authentic<RefundRow>),
        failure: processor::Failure,
    ) -> Result<RefundRow, Refusal> {
        match NothingDone::never_sent(lease) {
            Ok(nothing) => {
                self.abandon_refund(context, (nothing, refund)).await?;
                Err(failure.into())
            }
            Err(lease) => self.put_refund_off(lease, &refund, &failure).await,
        }
    }

    async fn put_refund_off(
        &self,
        lease: Lease,
        refund: &RefundRow,
        failure: &processor::Failure,
    ) -> Result<RefundRow, Refusal> {
        tracing::warn!(refund = %refund.id, %failure, "the outcome of a refund is not known yet");
        let asked_s = failure.retry_after_s();
        let until = retry_at(self.common.now(), refund.created_at, asked_s);
        let store = &self.common.store;
        let whose = (&refund.account, refund.id);
        Ok(store.defer_refund(lease, whose, until).await?)
    }

    pub(super) async fn abandon_refund(
        &self,
        context: &Witness,
        (nothing, refund): (NothingDone, Authentic<RefundRow>),
    ) -> Result<(), Refusal> {
        let common = &self.common;
        let subject = Some(refund.id.to_string());
        let event = common.event(context, Action::RefundSettled, Outcome::Failed, subject);
        let (now, publish) = (common.now(), common.refund_news());
        let store = &common.store;
        store
            .abandon_refund(nothing, refund.into_claim(), (event, now), publish)
            .await?;
        Ok(())
    }

    async fn ask_refund(
        &self,
        refund: &Authentic<RefundRow>,
        charge: &Authentic<ChargeRow>,
    ) -> Result<processor::Refund, processor::Failure> {
        let processor = processor_of(&self.processors, &refund.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let name = refund.id.to_string();
        let mark = self.request_mark(&refund.processor_key);
        let order = processor::RefundOrder {
            refund: &name,
            request: &mark,
            payment: charge.payment.as_deref().unwrap_or_default(),
            amount: refund.amount,
            currency: &charge.currency,
            reason: refund.reason,
            idempotency_key: &refund.processor_key,
            client: refund.client.as_deref().unwrap_or_default(),
        };
        let call = self.common.metrics.processor_call("refund");
        let result = processor.refund(&order).await;
        call.ended(result.is_ok());
        result
    }

    /// How a refund stands whose name is known, or the one among its payment's that names ours.
    pub(super) async fn find_refund(
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
            let sought = processor::Sought::Own(&name);
            processor.find_refund(payment, sought, client).await
        };
        call.ended(result.is_ok());
        result
    }

    pub(super) async fn refunded(
        &self,
        context: &Witness,
        (lease, refund): (&Lease, &RefundRow),
        found: processor::Refund,
    ) -> Result<RefundRow, Refusal> {
        let common = &self.common;
        let outcome = self.refund_outcome(found, refund.created_at);
        let status = outcome.status;
        if status != refund.status {
            common.metrics.refunded(status.name());
        }
        let did = match status {
            RefundStatus::Failed | RefundStatus::Canceled => Outcome::Failed,
            RefundStatus::Processing | RefundStatus::Succeeded => Outcome::Success,
        };
        let subject = Some(refund.id.to_string());
        let event = common.event(context, Action::RefundSettled, did, subject);
        let publish = common.refund_news();
        let whose = (&refund.account, refund.id);
        Ok(common
            .store
            .settle_refund(lease, whose, outcome, event, publish)
            .await?)
    }

    /// What the processor's refund means for ours.
    pub(super) fn refund_outcome(
        &self,
        found: processor::Refund,
        since: Timestamp,
    ) -> RefundOutcome {
        let now = self.common.now();
        let status = status_of(found.status);
        RefundOutcome {
            status,
            processor_refund: Some(found.id),
            failure_code: found
                .failure
                .filter(|_| status == RefundStatus::Failed)
                .map(|code| code.to_string()),
            retry_at: (status == RefundStatus::Processing).then(|| retry_at(now, since, None)),
            at: now,
        }
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

/// The processor has refused a refund, or never made it.
const NOT_MADE: Refusal = Refusal::Impossible("The processor rejected the refund.");

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
