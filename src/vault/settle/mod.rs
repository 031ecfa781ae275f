//! Settle: what the processor did about a charge, asked as often as it takes.
//!
//! These are steps 2 to 4 of [`charge`](super::charge), repeatable by whoever finds the charge
//! open, because everything the processor is asked stands in the charge's row. `outcome` says what a
//! payment means, `write` writes it down.

mod earlier;
mod outcome;
mod write;

use std::collections::BTreeMap;

use super::heartbeat::Heartbeat;
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::{self, CardState, Effect, Payment, Reference, SetupState, Sought};
use crate::store::{
    Authentic, Authority, ChargeRow, ChargeWork, CodeFault, Lease, NothingDone, OwedWork, SealedRow,
};
use crate::token::{ChargeStatus, Usage};

pub(super) use outcome::code;
use outcome::{declined, final_decline, plain};

/// Milliseconds for which the processor surely remembers an idempotency key (Stripe: at least
/// 24 hours), less an hour for clocks and queues.
pub(super) const PROCESSOR_KEY_LIFETIME_MS: u64 = 23 * 3_600 * 1_000;
/// Milliseconds after which what the processor does not list was never made, once it has said that
/// the question itself is over.
pub(super) const LISTED_WITHIN_MS: u64 = 10 * 60 * 1_000;

impl Internal {
    /// Steps 2 to 4 of a charge; repeatable, because the processor's key stands in its row.
    pub(crate) async fn settle(
        &self,
        context: &Witness,
        work: ChargeWork,
    ) -> Result<ChargeRow, Refusal> {
        let ChargeWork {
            lease,
            charge,
            sealed,
            asked_before,
        } = work;
        let _held = self.hold_charge(&lease, &charge);

        // 2. The token is opened; the audit event of the open is already committed.
        let reference = match self.open(&sealed).await {
            Ok(reference) => reference,
            Err(refusal) => return self.not_sent(context, (lease, charge), refusal).await,
        };

        // 3. The processor is asked, under the key in the row. What it is asked stands there too,
        //    so that every try asks the same. Past the key's lifetime asking again could charge
        //    again: then the payment is looked for.
        if self.age_ms(&charge) > PROCESSOR_KEY_LIFETIME_MS {
            return self.find(context, (lease, charge), &reference).await;
        }
        if self.looks_first(asked_before) {
            match self.find_of_request(&charge, &reference).await {
                Ok(None) if self.code_is_late(&charge) => {
                    let refusal = Self::code_refused(CodeFault::Expired);
                    return self.not_sent(context, (lease, charge), refusal).await;
                }
                Ok(None) => {}
                Ok(Some(payment)) => return self.learned(context, &lease, &charge, payment).await,
                // Nothing was asked for yet.
                Err(failure) => {
                    return self
                        .not_sent(context, (lease, charge), failure.into())
                        .await;
                }
            }
        }
        let pending = self
            .setup_pending(context, &charge, &sealed, &reference)
            .await;
        let pending = match pending {
            Ok(pending) => pending,
            Err(refusal) => return self.not_sent(context, (lease, charge), refusal).await,
        };
        let charge = charge.with_setup(pending);

        // 4. One transaction writes the outcome and its audit event.
        match self.ask(&charge, &reference, (pending, sealed.usage)).await {
            Ok(payment) => self.learned(context, &lease, &charge, payment).await,
            Err(failure) => {
                let work = (lease, charge);
                self.failed(context, work, &reference, failure).await
            }
        }
    }

    async fn failed(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
        reference: &Reference,
        failure: processor::Failure,
    ) -> Result<ChargeRow, Refusal> {
        match failure.effect() {
            Effect::None => {
                let refusal = failure.into();
                self.not_sent(context, (lease, charge), refusal).await
            }
            Effect::Unknown => self.put_off(lease, &charge, &failure).await,
            // Asking again gives the same answer again, which does not tell.
            Effect::AskWhat => {
                tracing::error!(charge = %charge.id, %failure, "ambiguous processor response, looking up the payment");
                self.find(context, (lease, charge), reference).await
            }
            Effect::Final => {
                let work = (lease, charge);
                self.refused(context, work, reference, failure).await
            }
        }
    }

    /// The processor has refused for good: because of the card, or because of the request.
    async fn refused(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
        reference: &Reference,
        failure: processor::Failure,
    ) -> Result<ChargeRow, Refusal> {
        let decline = if let processor::Failure::Declined(decline) = failure {
            decline
        } else if let processor::Failure::CardInvalid(fault) = failure {
            final_decline(fault.name())
        } else if matches!(
            failure,
            processor::Failure::Rejected | processor::Failure::Missing
        ) && self.is_detached(&charge, reference).await
        {
            self.mark_detached(context, &charge).await?;
            final_decline("card_detached")
        } else {
            tracing::warn!(charge = %charge.id, %failure, "the processor refused the request");
            let nothing = NothingDone::refused(lease);
            self.abandon(context, (nothing, charge)).await?;
            return Err(if let processor::Failure::Invalid(fault) = failure {
                Refusal::Invalid(fault)
            } else {
                Refusal::Impossible("The processor refused the request.")
            });
        };
        let outcome = declined(decline, None, self.common.now());
        let authority = Authority::Holder(&lease);
        self.settled(context, authority, &charge, outcome).await
    }

    /// Whether the processor has let go of the card; false where it does not say, and where the
    /// issuer has not agreed yet: such a card is attached to nobody until the shopper has
    /// authenticated.
    async fn is_detached(&self, charge: &ChargeRow, reference: &Reference) -> bool {
        if charge.setup_pending != Some(false) {
            return false;
        }
        let Ok(processor) = processor_of(&self.processors, &charge.account) else {
            return false;
        };
        let call = self.common.metrics.processor_call("card_state");
        let state = processor.card_state(reference, &charge.client).await;
        call.ended(state.is_ok());
        state == Ok(CardState::Detached)
    }

    async fn mark_detached(&self, context: &Witness, charge: &ChargeRow) -> Result<(), Refusal> {
        let common = &self.common;
        let subject = Some(charge.token.to_string());
        let event = common.event(context, Action::TokenDetached, Outcome::Success, subject);
        common
            .store
            .mark_token_detached(
                (&charge.account, charge.token),
                (event, common.now()),
                common.token_news("updated"),
            )
            .await?;
        Ok(())
    }

    /// Asks how a payment stands whose name is known, and writes it down.
    pub(crate) async fn look(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
    ) -> Result<ChargeRow, Refusal> {
        let _held = self.hold_charge(&lease, &charge);
        let name = charge.payment.as_deref().ok_or(Refusal::Internal)?;
        match self.read_payment(&charge, name).await {
            Ok(payment) => self.learned(context, &lease, &charge, payment).await,
            Err(failure) => self.put_off(lease, &charge, &failure).await,
        }
    }

    /// Holds the lease of a charge's work.
    pub(super) fn hold_charge(&self, lease: &Lease, charge: &ChargeRow) -> Heartbeat {
        let renewal = lease.renewal(OwedWork::Charge, &charge.id, &charge.account);
        self.common.hold(renewal)
    }

    /// How a payment stands now.
    pub(crate) async fn read_payment(
        &self,
        charge: &ChargeRow,
        name: &str,
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let call = self.common.metrics.processor_call("payment");
        let read = processor.payment(name, &charge.client).await;
        call.ended(read.is_ok());
        read
    }

    /// Looks among the customer's payments for the one that names this charge.
    async fn find(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
        reference: &Reference,
    ) -> Result<ChargeRow, Refusal> {
        let name = charge.id.to_string();
        let sought = Sought::Own(&name);
        let customer = reference.customer();
        let call = self.common.metrics.processor_call("find_payment");
        let found = processor_of(&self.processors, &charge.account)?
            .find_payment(customer, sought, charge.created_at, &charge.client)
            .await;
        call.ended(found.is_ok());
        // What the processor knows the key of may have been made for a charge that is lost.
        let found = match found {
            Ok(None) => self.find_of_request(&charge, reference).await,
            found => found,
        };
        match found {
            Ok(Some(payment)) => self.learned(context, &lease, &charge, payment).await,
            Ok(None) if self.age_ms(&charge) > LISTED_WITHIN_MS => {
                tracing::error!(charge = %charge.id, "the processor has no payment of this charge: none was made");
                self.common.metrics.charged("never_made");
                let outcome = plain(ChargeStatus::Canceled, None, self.common.now());
                let authority = Authority::Holder(&lease);
                self.settled(context, authority, &charge, outcome).await
            }
            Ok(None) => self.retry_later(lease, &charge, None).await,
            Err(failure) => self.put_off(lease, &charge, &failure).await,
        }
    }

    /// Whether the token's set-up still waits for the shopper's authentication; then the charge is
    /// made on-session, where the issuer asks again. A set-up that is done is noted on the token.
    async fn setup_pending(
        &self,
        context: &Witness,
        charge: &ChargeRow,
        sealed: &SealedRow,
        reference: &Reference,
    ) -> Result<bool, Refusal> {
        if let Some(pending) = charge.setup_pending {
            return Ok(pending);
        }
        let common = &self.common;
        let call = common.metrics.processor_call("setup_state");
        let state = processor_of(&self.processors, &sealed.account)?
            .setup_state(reference, &charge.client)
            .await;
        call.ended(state.is_ok());
        let pending = match state {
            Ok(state) => state != SetupState::Succeeded,
            // Nothing was said, so nothing may be charged differently because of it.
            Err(failure) if failure.effect() == Effect::None => return Err(failure.into()),
            Err(_) => true,
        };
        if !pending {
            let subject = Some(sealed.token.to_string());
            let event = common.event(context, Action::TokenActivated, Outcome::Success, subject);
            common
                .store
                .activate_token(
                    &sealed.account,
                    sealed.token,
                    (event, common.now()),
                    common.token_news("updated"),
                )
                .await?;
        }
        common.store.note_setup(charge.id, pending).await?;
        Ok(pending)
    }

    async fn ask(
        &self,
        charge: &Authentic<ChargeRow>,
        reference: &Reference,
        (setup_pending, usage): (bool, Usage),
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        // What was asked first is asked again, or nothing is: never the same with less in it.
        let metadata: BTreeMap<String, String> =
            serde_json::from_str(&charge.metadata).map_err(|_| processor::Failure::NotSent)?;
        let name = charge.id.to_string();
        let return_url = self.way_back(charge);
        let code = charge.security_code_token.as_deref();
        let code = code.map(|code| self.opened_code((&charge.account, charge.token), code));
        let code = code.transpose().map_err(|_| {
            tracing::error!(charge = %charge.id, "the security code of a charge does not open");
            processor::Failure::NotSent
        })?;
        let mark = self.request_mark(&charge.processor_key);
        let order = processor::ChargeOrder {
            charge: &name,
            request: &mark,
            amount: charge.amount,
            currency: &charge.currency,
            capture: charge.capture,
            off_session: charge.off_session,
            setup_pending,
            usage,
            description: charge.description.as_deref(),
            statement_descriptor_suffix: charge.statement_descriptor_suffix.as_deref(),
            metadata: &metadata,
            return_url: &return_url,
            security_code: code.as_deref(),
            idempotency_key: &charge.processor_key,
            client: &charge.client,
        };
        let call = self.common.metrics.processor_call("charge");
        let result = processor.charge(reference, &order).await;
        call.ended(result.is_ok());
        result
    }
}
