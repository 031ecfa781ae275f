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

        // 3. The processor is asked, under a key made from the charge's id.
        //    What it is asked stands in the row, so that every try asks the same.
        let pending = match self
            .setup_pending(witness, &charge, &sealed, &reference)
            .await
        {
            Ok(pending) => pending,
            Err(refusal) => return self.not_sent(witness, charge, attempt, refusal).await,
        };
        let result = self.ask(&charge, &reference, pending).await;
        drop(reference);

        // 4. One transaction writes the outcome and its audit event.
        let now = self.common.now();
        match result {
            Ok(payment) => {
                self.settled(witness, &charge, outcome_of(payment, now))
                    .await
            }
            Err(processor::Failure::Declined(decline)) => {
                self.settled(witness, &charge, declined(decline, None, now))
                    .await
            }
            Err(processor::Failure::CardInvalid(fault)) => {
                let decline = final_decline(fault.name());
                self.settled(witness, &charge, declined(decline, None, now))
                    .await
            }
            Err(failure @ (processor::Failure::Rejected | processor::Failure::Missing)) => {
                tracing::error!(charge = %charge.id, %failure, "the processor refused a charge of ours");
                self.settled(
                    witness,
                    &charge,
                    declined(final_decline("processor_refused"), None, now),
                )
                .await
            }
            Err(
                failure @ (processor::Failure::NotSent
                | processor::Failure::NotAuthorized
                | processor::Failure::RawCardsRefused
                | processor::Failure::RateLimited { .. }),
            ) => {
                self.not_sent(witness, charge, attempt, failure.into())
                    .await
            }
            Err(
                failure @ (processor::Failure::OutcomeUnknown
                | processor::Failure::InFlight { .. }
                | processor::Failure::IdempotencyMismatch),
            ) => {
                // Money may have moved. The charge stays `processing`, under the same key, until
                // the processor has said what happened.
                tracing::warn!(charge = %charge.id, %failure, "the outcome of a charge is not known yet");
                self.common.metrics.charged("unknown");
                Ok(self
                    .common
                    .store
                    .defer_charge(&charge.account, charge.id, self.common.now())
                    .await?)
            }
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
            .setup_state(reference)
            .await;
        call.ended(state.is_ok());
        let pending = state != Ok(SetupState::Succeeded);
        if !pending {
            let subject = Some(sealed.token.to_string());
            let event = common.event(witness, Action::TokenActivated, Outcome::Success, subject);
            common
                .store
                .activate_token(&sealed.account, sealed.token, event)
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
        };
        let call = self.common.metrics.processor_call("charge");
        let result = processor.charge(reference, &order).await;
        call.ended(result.is_ok());
        result
    }

    async fn settled(
        &self,
        witness: &Witness,
        charge: &ChargeRow,
        outcome: ChargeOutcome,
    ) -> Result<ChargeRow, Refusal> {
        let common = &self.common;
        common.metrics.charged(outcome.status.name());
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
        Ok(common
            .store
            .finish_charge(&charge.account, charge.id, outcome, event)
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
        let now = common.now();
        match attempt {
            Try::First => {
                let subject = Some(charge.id.to_string());
                let event = common.event(witness, Action::ChargeSettled, Outcome::Failed, subject);
                common.store.abandon_charge(charge.id, now, event).await?;
            }
            Try::Again => {
                common
                    .store
                    .defer_charge(&charge.account, charge.id, now)
                    .await?;
            }
        }
        Err(refusal)
    }
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

fn outcome_of(payment: Payment, at: Timestamp) -> ChargeOutcome {
    let plain = |status| ChargeOutcome {
        status,
        payment: Some(payment.id.clone()),
        decline: None,
        redirect_url: None,
        at,
    };
    match payment.status {
        PaymentStatus::Succeeded => plain(ChargeStatus::Succeeded),
        PaymentStatus::RequiresCapture => plain(ChargeStatus::RequiresCapture),
        PaymentStatus::Processing => plain(ChargeStatus::Processing),
        PaymentStatus::Canceled => plain(ChargeStatus::Canceled),
        PaymentStatus::RequiresAction { redirect_url } => ChargeOutcome {
            redirect_url: Some(redirect_url),
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
        decline: Some(DeclineRow {
            code: code.to_string(),
            advice: advice.map(|advice| advice.name().to_owned()),
            retryable,
        }),
        redirect_url: None,
        at,
    }
}
