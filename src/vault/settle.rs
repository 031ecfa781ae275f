//! Settle: what the processor did about a charge, asked as often as it takes.
//!
//! These are steps 2 to 4 of [`charge`](super::charge), repeatable by whoever finds the charge
//! open, because everything the processor is asked stands in the charge's row.

use std::collections::BTreeMap;

use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::processor::{self, Decline, DeclineCode, Payment, PaymentStatus, Reference, SetupState};
use crate::store::{ChargeOutcome, ChargeRow, DeclineRow, SealedRow};
use crate::token::ChargeStatus;

/// Whether a charge may already have been tried by a process that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Again,
}

/// Milliseconds for which the processor surely remembers an idempotency key (Stripe: at least
/// 24 hours), less an hour for clocks and queues.
pub(super) const PROCESSOR_KEY_LIFETIME_MS: u64 = 23 * 3_600 * 1_000;
/// Milliseconds after which a payment that the processor does not list was never made, once it has
/// said that the question itself is over.
const LOOKED_UP_FOR_MS: u64 = 10 * 60 * 1_000;
/// Milliseconds that an open charge rests at least, and at most, between two questions.
const REST_MS: std::ops::RangeInclusive<u64> = 2_000..=3_600_000;
/// Milliseconds for which a shopper who does not authenticate is waited for by asking; after that
/// only the processor's notice ends the charge.
const AUTHENTICATION_ASKED_FOR_MS: u64 = 24 * 3_600 * 1_000;

impl Internal {
    /// Steps 2 to 4 of a charge; repeatable, because the processor's key is the charge's id.
    pub(crate) async fn settle(
        &self,
        witness: &Witness,
        charge: ChargeRow,
        sealed: SealedRow,
        attempt: Try,
    ) -> Result<ChargeRow, Refusal> {
        // 2. The token is opened; the audit event of the open is already committed.
        let opened = self.open(&sealed).await;
        let reference = match opened {
            Ok(reference) => reference,
            Err(refusal) => return self.not_sent(witness, charge, attempt, refusal).await,
        };

        // 3. The processor is asked, under a key made from the charge's id. What it is asked
        //    stands in the row, so that every try asks the same. Past the key's lifetime asking
        //    again could charge again: then the payment is looked up.
        if self.age_ms(&charge) > PROCESSOR_KEY_LIFETIME_MS {
            return self.look_up(witness, charge, &reference).await;
        }
        let pending = match self
            .setup_pending(witness, &charge, &sealed, &reference)
            .await
        {
            Ok(pending) => pending,
            Err(refusal) => return self.not_sent(witness, charge, attempt, refusal).await,
        };
        let failure = match self.ask(&charge, &reference, pending).await {
            Ok(payment) => return self.learned(witness, &charge, payment).await,
            Err(failure) => failure,
        };

        // 4. One transaction writes the outcome and its audit event.
        match failure {
            processor::Failure::Declined(decline) => self.declined(witness, &charge, decline).await,
            processor::Failure::CardInvalid(fault) => {
                let decline = final_decline(fault.name());
                self.declined(witness, &charge, decline).await
            }
            processor::Failure::Invalid(_)
            | processor::Failure::Rejected
            | processor::Failure::Missing => {
                tracing::error!(charge = %charge.id, %failure, "the processor refused a charge of ours");
                let decline = final_decline("processor_refused");
                self.declined(witness, &charge, decline).await
            }
            processor::Failure::NotSent
            | processor::Failure::NotAuthorized
            | processor::Failure::RawCardsRefused
            | processor::Failure::RateLimited { .. } => {
                let refusal = failure.into();
                self.not_sent(witness, charge, attempt, refusal).await
            }
            processor::Failure::OutcomeUnknown | processor::Failure::InFlight { .. } => {
                self.unknown(&charge, &failure).await
            }
            // Asking again gives the same answer again, which does not tell.
            processor::Failure::FaultKept | processor::Failure::IdempotencyMismatch => {
                tracing::error!(charge = %charge.id, %failure, "the processor's answer does not tell; the payment is looked up");
                self.look_up(witness, charge, &reference).await
            }
        }
    }

    /// Asks how a payment stands whose name is known, and writes it down.
    pub(crate) async fn look(
        &self,
        witness: &Witness,
        charge: &ChargeRow,
    ) -> Result<ChargeRow, Refusal> {
        let payment = charge.payment.as_deref().ok_or(Refusal::Internal)?;
        let call = self.common.metrics.processor_call("payment");
        let asked = processor_of(&self.processors, &charge.account)?
            .payment(payment, &charge.client)
            .await;
        call.ended(asked.is_ok());
        match asked {
            Ok(payment) => self.learned(witness, charge, payment).await,
            Err(failure) => self.unknown(charge, &failure).await,
        }
    }

    /// Looks among the customer's payments for the one that names this charge.
    async fn look_up(
        &self,
        witness: &Witness,
        charge: ChargeRow,
        reference: &Reference,
    ) -> Result<ChargeRow, Refusal> {
        let name = charge.id.to_string();
        let call = self.common.metrics.processor_call("find_payment");
        let found = processor_of(&self.processors, &charge.account)?
            .find_payment(
                reference.customer(),
                &name,
                charge.created_at,
                &charge.client,
            )
            .await;
        call.ended(found.is_ok());
        match found {
            Ok(Some(payment)) => self.learned(witness, &charge, payment).await,
            Ok(None) if self.age_ms(&charge) > LOOKED_UP_FOR_MS => {
                tracing::error!(charge = %charge.id, "the processor has no payment of this charge: none was made");
                self.common.metrics.charged("never_made");
                let outcome = ChargeOutcome {
                    status: ChargeStatus::Canceled,
                    payment: None,
                    captured: 0,
                    decline: None,
                    redirect_url: None,
                    rest_until: None,
                    at: self.common.now(),
                };
                self.settled(witness, &charge, outcome).await
            }
            Ok(None) => self.rests(&charge).await,
            Err(failure) => self.unknown(&charge, &failure).await,
        }
    }

    /// Whether the token's set-up still waits for the shopper's authentication; then the charge is
    /// made on-session, where the issuer asks again. A set-up that is done is noted on the token.
    async fn setup_pending(
        &self,
        witness: &Witness,
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
            Err(
                failure @ (processor::Failure::NotSent
                | processor::Failure::RateLimited { .. }
                | processor::Failure::NotAuthorized),
            ) => return Err(failure.into()),
            Err(_) => true,
        };
        if !pending {
            let subject = Some(sealed.token.to_string());
            let event = common.event(witness, Action::TokenActivated, Outcome::Success, subject);
            common
                .store
                .activate_token(
                    &sealed.account,
                    sealed.token,
                    event,
                    common.token_news("updated"),
                )
                .await?;
        }
        common.store.note_setup(charge.id, pending).await?;
        Ok(pending)
    }

    async fn ask(
        &self,
        charge: &ChargeRow,
        reference: &Reference,
        setup_pending: bool,
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let metadata: BTreeMap<String, String> =
            serde_json::from_str(&charge.metadata).unwrap_or_default();
        let name = charge.id.to_string();
        let order = processor::ChargeOrder {
            charge: &name,
            amount: charge.amount,
            currency: &charge.currency,
            capture: charge.capture,
            off_session: charge.off_session,
            setup_pending,
            description: charge.description.as_deref(),
            statement_descriptor_suffix: charge.statement_descriptor_suffix.as_deref(),
            metadata: &metadata,
            return_url: &self.return_url,
            idempotency_key: &name,
            client: &charge.client,
        };
        let call = self.common.metrics.processor_call("charge");
        let result = processor.charge(reference, &order).await;
        call.ended(result.is_ok());
        result
    }

    /// Writes down how the processor says that a payment stands.
    pub(crate) async fn learned(
        &self,
        witness: &Witness,
        charge: &ChargeRow,
        payment: Payment,
    ) -> Result<ChargeRow, Refusal> {
        let age_ms = self.age_ms(charge);
        let outcome = outcome_of(payment, charge, (self.common.now(), age_ms));
        self.settled(witness, charge, outcome).await
    }

    async fn declined(
        &self,
        witness: &Witness,
        charge: &ChargeRow,
        decline: Decline,
    ) -> Result<ChargeRow, Refusal> {
        let outcome = declined(decline, None, self.common.now());
        self.settled(witness, charge, outcome).await
    }

    async fn settled(
        &self,
        witness: &Witness,
        charge: &ChargeRow,
        outcome: ChargeOutcome,
    ) -> Result<ChargeRow, Refusal> {
        let common = &self.common;
        if outcome.status != charge.status {
            common.metrics.charged(outcome.status.name());
        }
        let event = common.event(
            witness,
            Action::ChargeSettled,
            if outcome.status == ChargeStatus::Declined {
                Outcome::Failed
            } else {
                Outcome::Success
            },
            Some(charge.id.to_string()),
        );
        let tell = common.charge_news();
        Ok(common
            .store
            .settle_charge((&charge.account, charge.id), outcome, event, tell)
            .await?)
    }

    /// Money may have moved, or not: the charge stays open, under the same key, until the
    /// processor has said what happened.
    pub(crate) async fn unknown(
        &self,
        charge: &ChargeRow,
        failure: &processor::Failure,
    ) -> Result<ChargeRow, Refusal> {
        tracing::warn!(charge = %charge.id, %failure, "the outcome of a charge is not known yet");
        self.common.metrics.charged("unknown");
        self.rests(charge).await
    }

    async fn rests(&self, charge: &ChargeRow) -> Result<ChargeRow, Refusal> {
        let until = rest_until(self.common.now(), self.age_ms(charge));
        Ok(self
            .common
            .store
            .defer_charge(&charge.account, charge.id, until)
            .await?)
    }

    /// The processor was not reached. If nobody tried before, nothing has happened: the charge is
    /// canceled and its key is free again. After an earlier try of unknown end it stays open.
    async fn not_sent(
        &self,
        witness: &Witness,
        charge: ChargeRow,
        attempt: Try,
        refusal: Refusal,
    ) -> Result<ChargeRow, Refusal> {
        let common = &self.common;
        common.metrics.charged("not_sent");
        match attempt {
            Try::First => {
                let now = common.now();
                let subject = Some(charge.id.to_string());
                let event = common.event(witness, Action::ChargeSettled, Outcome::Failed, subject);
                common.store.abandon_charge(charge, now, event).await?;
            }
            Try::Again => {
                self.rests(&charge).await?;
            }
        }
        Err(refusal)
    }

    fn age_ms(&self, charge: &ChargeRow) -> u64 {
        self.common.now().ms_since(charge.created_at)
    }
}

/// When to ask again about what is that old: often in the beginning, then less and less.
pub(super) fn rest_until(now: Timestamp, age_ms: u64) -> Timestamp {
    now.plus_ms((age_ms / 4).clamp(*REST_MS.start(), *REST_MS.end()))
}

pub(super) fn code(text: &str) -> DeclineCode {
    DeclineCode::parse(text).unwrap_or_else(DeclineCode::generic)
}

/// A refusal that the same card will meet again.
fn final_decline(reason: &str) -> Decline {
    Decline {
        code: code(reason),
        advice: None,
        retryable: false,
    }
}

fn outcome_of(
    payment: Payment,
    charge: &ChargeRow,
    (at, age_ms): (Timestamp, u64),
) -> ChargeOutcome {
    let plain = |status| ChargeOutcome {
        status,
        payment: Some(payment.id.clone()),
        captured: 0,
        decline: None,
        redirect_url: None,
        rest_until: None,
        at,
    };
    match payment.status {
        PaymentStatus::Succeeded => ChargeOutcome {
            // What the processor does not tell is what it was asked for.
            captured: if (1..=charge.amount).contains(&payment.captured) {
                payment.captured
            } else {
                charge.amount
            },
            ..plain(ChargeStatus::Succeeded)
        },
        PaymentStatus::RequiresCapture => plain(ChargeStatus::RequiresCapture),
        PaymentStatus::Processing | PaymentStatus::ActionUnsupported => ChargeOutcome {
            rest_until: Some(rest_until(at, age_ms)),
            ..plain(ChargeStatus::Processing)
        },
        PaymentStatus::Canceled => plain(ChargeStatus::Canceled),
        PaymentStatus::RequiresAction { redirect_url } => ChargeOutcome {
            redirect_url: Some(redirect_url),
            rest_until: (age_ms < AUTHENTICATION_ASKED_FOR_MS).then(|| rest_until(at, age_ms)),
            ..plain(ChargeStatus::RequiresAction)
        },
        PaymentStatus::Declined(decline) => declined(decline, Some(payment.id), at),
    }
}

fn declined(decline: Decline, payment: Option<String>, at: Timestamp) -> ChargeOutcome {
    let Decline {
        code,
        advice,
        retryable,
    } = decline;
    ChargeOutcome {
        status: ChargeStatus::Declined,
        payment,
        captured: 0,
        decline: Some(DeclineRow {
            code: code.to_string(),
            advice: advice.map(|advice| advice.name().to_owned()),
            retryable,
        }),
        redirect_url: None,
        rest_until: None,
        at,
    }
}
