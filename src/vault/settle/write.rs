//! What became of a charge is written down, or that nobody knows yet.

use super::outcome::{NOT_AUTHENTICATED, declined, final_decline, outcome_of};
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Outcome};
use crate::processor::{self, CancelOrder, Payment, PaymentStatus};
use crate::store::{
    Announce, Authentic, Authority, ChargeOutcome, ChargeRow, Lease, NewAlert, NothingDone,
};
use crate::token::ChargeStatus;
use crate::vault::owed::retry_at;
use crate::vault::{Internal, Refusal, Witness, processor_of};

impl Internal {
    /// Writes down how the processor says that a payment stands. One that waits for what no shopper
    /// can be sent to is given up.
    pub(crate) async fn learned(
        &self,
        context: &Witness,
        lease: &Lease,
        charge: &Authentic<ChargeRow>,
        payment: Payment,
    ) -> Result<ChargeRow, Refusal> {
        let authority = Authority::Holder(lease);
        let outcome = if payment.status == PaymentStatus::ActionUnsupported {
            match self.close(charge, &payment.id).await {
                Ok(_) => {
                    tracing::error!(charge = %charge.id, "the issuer wants an authentication that no shopper can be sent to; the payment was canceled");
                    let decline = final_decline("authentication_not_supported");
                    declined(decline, Some(payment.id), self.common.now())
                }
                // It stays open, and is asked about again.
                Err(_) => self.outcome_of(payment, charge),
            }
        } else if self.is_waited_for_no_more(charge, &payment) {
            match self.close(charge, &payment.id).await {
                Ok(_) => {
                    let decline = final_decline(NOT_AUTHENTICATED);
                    declined(decline, Some(payment.id), self.common.now())
                }
                Err(_) => self.outcome_of(payment, charge),
            }
        } else {
            self.outcome_of(payment, charge)
        };
        self.settled(context, authority, charge, outcome).await
    }

    /// Whether a payment waits for a shopper whose page is over.
    fn is_waited_for_no_more(&self, charge: &ChargeRow, payment: &Payment) -> bool {
        let waits = matches!(payment.status, PaymentStatus::RequiresAction { .. });
        let now = self.common.now();
        waits && charge.page_until.is_some_and(|until| until <= now)
    }

    /// Cancels a payment that must not take money any more.
    pub(crate) async fn close(
        &self,
        charge: &Authentic<ChargeRow>,
        payment: &str,
    ) -> Result<Payment, processor::Failure> {
        let processor = processor_of(&self.processors, &charge.account)
            .map_err(|_| processor::Failure::NotSent)?;
        let key = format!("{}-close", charge.id);
        let order = CancelOrder {
            payment,
            idempotency_key: &key,
            client: &charge.client,
        };
        let call = self.common.metrics.processor_call("cancel");
        let closed = processor.cancel(&order).await;
        call.ended(closed.is_ok());
        closed
    }

    /// What a payment means for its charge.
    pub(crate) fn outcome_of(&self, payment: Payment, charge: &ChargeRow) -> ChargeOutcome {
        outcome_of(payment, charge, self.common.now())
    }

    /// Writes an outcome down, with what is announced by it.
    pub(crate) async fn settled(
        &self,
        context: &Witness,
        authority: Authority<'_>,
        charge: &ChargeRow,
        outcome: ChargeOutcome,
    ) -> Result<ChargeRow, Refusal> {
        let common = &self.common;
        if outcome.status != charge.status {
            common.metrics.charged(outcome.status.name());
        }
        let ended = if outcome.status == ChargeStatus::Declined {
            Outcome::Failed
        } else {
            Outcome::Success
        };
        let subject = Some(charge.id.to_string());
        let event = common.event(context, Action::ChargeSettled, ended, subject);
        let announce = Announce {
            publish: common.charge_news(),
            alert: self.contradiction_alert(),
        };
        let whose = (&charge.account, charge.id);
        let after = common
            .store
            .settle_charge(authority, whose, outcome, event, announce)
            .await?;
        if let Some(contradiction) = &after.contradiction
            && after.contradiction != charge.contradiction
        {
            common.metrics.alert_raised(AlertName::ChargeContradicted);
            let (name, seen) = (AlertName::ChargeContradicted, &contradiction.code);
            let (alert, next_step) = (name.name(), name.next_step());
            tracing::error!(alert, subject = %after.id, seen, next_step, "the processor contradicts a charge");
        }
        Ok(after)
    }

    /// The alert that the processor contradicts a charge.
    pub(crate) fn contradiction_alert(
        &self,
    ) -> impl Fn(&ChargeRow) -> NewAlert + Clone + Send + Sync + use<> + 'static {
        let common = self.common.clone();
        move |charge| {
            let code = charge.contradiction.as_ref().map_or("", |one| &one.code);
            let seen = format!(
                "The charge is {} here; the processor says: {code}.",
                charge.status.name()
            );
            let subject = charge.id.to_string();
            common.new_alert(Alert::new(AlertName::ChargeContradicted, &subject, &seen))
        }
    }

    /// Money may have moved, or not: the charge stays open, under the same key, until the
    /// processor has said what happened.
    pub(crate) async fn put_off(
        &self,
        lease: Lease,
        charge: &ChargeRow,
        failure: &processor::Failure,
    ) -> Result<ChargeRow, Refusal> {
        tracing::warn!(charge = %charge.id, %failure, "the outcome of a charge is not known yet");
        self.common.metrics.charged("unknown");
        self.retry_later(lease, charge, failure.retry_after_s())
            .await
    }

    pub(super) async fn retry_later(
        &self,
        lease: Lease,
        charge: &ChargeRow,
        asked_s: Option<u32>,
    ) -> Result<ChargeRow, Refusal> {
        let until = retry_at(self.common.now(), charge.created_at, asked_s);
        let store = &self.common.store;
        let whose = (&charge.account, charge.id);
        Ok(store.defer_charge(lease, whose, until).await?)
    }

    /// The processor was not reached. If nobody tried before, nothing has happened: the charge is
    /// canceled and its key is free again. After an earlier try of unknown end it stays open.
    pub(super) async fn not_sent(
        &self,
        context: &Witness,
        (lease, charge): (Lease, Authentic<ChargeRow>),
        refusal: Refusal,
    ) -> Result<ChargeRow, Refusal> {
        self.common.metrics.charged("not_sent");
        match NothingDone::never_sent(lease) {
            Ok(nothing) => self.abandon(context, (nothing, charge)).await?,
            Err(lease) => drop(self.retry_later(lease, &charge, None).await?),
        }
        Err(refusal)
    }

    pub(super) async fn abandon(
        &self,
        context: &Witness,
        (nothing, charge): (NothingDone, Authentic<ChargeRow>),
    ) -> Result<(), Refusal> {
        let common = &self.common;
        let subject = Some(charge.id.to_string());
        let event = common.event(context, Action::ChargeSettled, Outcome::Failed, subject);
        let (now, publish) = (common.now(), common.charge_news());
        let store = &common.store;
        store
            .abandon_charge(nothing, charge.into_claim(), (event, now), publish)
            .await?;
        Ok(())
    }

    pub(super) fn age_ms(&self, charge: &ChargeRow) -> u64 {
        self.common.now().ms_since(charge.created_at)
    }
}
