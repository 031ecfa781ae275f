//! Notices: what the processor tells under its signature. A notice about a payment is only the
//! hint to ask how it stands, so that notices may come late, twice and in any order.

use super::grant::Origin;
use super::news::Dispute;
use super::refund::status_of;
use super::settle::rest_until;
use super::{Capture, Common, Refusal, Witness, marks};
use crate::audit::{Action, Actor, Outcome};
use crate::processor::webhook::{self, DisputePhase, NoticeRefused, What};
use crate::store::{NewRefund, Notice, Noticed, RefundOutcome, Tellers, Tells, ToldRefund};
use crate::token::{Account, ChargeId, Environment, RefundId, RefundStatus};

impl Capture {
    /// Takes what the processor tells: `body` as it came, under `signature`.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] where no account's secret made the signature, or it is too
    /// old; [`Refusal::Unreadable`] where the body under a right signature means nothing.
    #[tracing::instrument(name = "notice.take", skip_all)]
    pub async fn take_notice(
        &self,
        signature: &str,
        body: &[u8],
        origin: Origin,
    ) -> Result<(), Refusal> {
        let common = &self.common;

        // 1. The signature says whose it is. The envelope writes a wrong one down as an attempt.
        let (account, notice) = self.read_notice(signature, body).map_err(|refused| {
            tracing::warn!(?refused, "a notice was refused");
            common.metrics.noticed("refused");
            match refused {
                NoticeRefused::Signature => {
                    Refusal::Unauthenticated("The signature is not the processor's.")
                }
                NoticeRefused::TooOld => Refusal::Unauthenticated("The signature is too old."),
                NoticeRefused::Unreadable => Refusal::Unreadable,
            }
        })?;
        if notice.live != (common.environment == Environment::Live) {
            tracing::error!("a notice of the processor's other mode was sent here");
            return Err(Refusal::Unreadable);
        }

        // 2. One transaction notes that it came, writes what it changes and tells of it.
        let tells = self.tells(&account, &notice.what);
        let dispute = dispute_of(&notice.what);
        let witness = Witness {
            actor: Actor::Processor(account.as_str().to_owned()),
            account: Some(account.clone()),
            origin: origin.address,
            request_id: Some(origin.request_id),
        };
        let subject = Some(notice.id.clone());
        let event = common.event(&witness, Action::NoticeTaken, Outcome::Success, subject);
        let tellers = Tellers {
            refund: common.refund_news(),
            charge: common.dispute_news(&account, dispute),
            token: common.token_news("updated"),
        };
        let notice = Notice {
            account,
            id: notice.id,
            now: common.now(),
            tells,
        };
        let noticed = common.store.take_notice(notice, event, tellers).await?;
        common.metrics.noticed(match noticed {
            Noticed::Taken => "taken",
            Noticed::Again => "again",
            Noticed::Elsewhere => "elsewhere",
        });
        Ok(())
    }

    /// Tries each account's secrets.
    fn read_notice(
        &self,
        signature: &str,
        body: &[u8],
    ) -> Result<(Account, webhook::Notice), NoticeRefused> {
        let now = self.common.now();
        let mut refused = NoticeRefused::Signature;
        for (account, secrets) in &self.webhook_secrets {
            match webhook::read(secrets, signature, body, now) {
                Ok(notice) => return Ok((account.clone(), notice)),
                // Another account's secret may fit; what fits but is old or unreadable is said.
                Err(NoticeRefused::Signature) => {}
                Err(other) => refused = other,
            }
        }
        Err(refused)
    }

    /// What a notice is to the store.
    fn tells(&self, account: &Account, what: &What) -> Tells {
        let common = &self.common;
        let id = |text: &Option<String>| text.as_deref().and_then(|text| common.charge_id(text));
        match what {
            What::Payment { payment, charge } => Tells::Payment {
                payment: payment.clone(),
                charge: id(charge),
            },
            What::Refund {
                payment: Some(payment),
                ..
            } => match common.told_refund(account, what) {
                Some(refund) => Tells::Refund {
                    payment: payment.clone(),
                    refund: Box::new(refund),
                },
                None => Tells::Nothing,
            },
            What::Dispute {
                payment: Some(payment),
                phase,
                ..
            } => Tells::Dispute {
                payment: payment.clone(),
                open: *phase != DisputePhase::Closed,
            },
            What::Card {
                payment_method,
                card,
            } => Tells::Card {
                reference: marks::reference(&self.marking, account, payment_method),
                card: card.clone(),
            },
            What::Setup { payment_method } => Tells::Setup {
                reference: marks::reference(&self.marking, account, payment_method),
            },
            What::Refund { payment: None, .. }
            | What::Dispute { payment: None, .. }
            | What::Other => Tells::Nothing,
        }
    }
}

impl Common {
    fn charge_id(&self, text: &str) -> Option<ChargeId> {
        ChargeId::parse(text, self.environment).ok()
    }

    /// A refund that the processor tells of, ours or made there by somebody else.
    fn told_refund(&self, account: &Account, what: &What) -> Option<ToldRefund> {
        let What::Refund {
            refund,
            ours,
            amount,
            state,
            failure,
            ..
        } = what
        else {
            return None;
        };
        let now = self.now();
        let status = status_of(*state);
        let new = NewRefund {
            id: RefundId::new(self.environment, now),
            account: account.clone(),
            client: None,
            // The store puts the payment's charge here.
            charge: ChargeId::new(self.environment, now),
            amount: Some(*amount),
            reason: None,
            created_at: now,
            lease_until: now,
        };
        Some(ToldRefund {
            ours: ours
                .as_deref()
                .and_then(|ours| RefundId::parse(ours, self.environment).ok()),
            refund: new,
            outcome: RefundOutcome {
                status,
                processor_refund: Some(refund.clone()),
                failure_code: failure
                    .as_ref()
                    .filter(|_| status == RefundStatus::Failed)
                    .map(ToString::to_string),
                rest_until: (status == RefundStatus::Processing).then(|| rest_until(now, 0)),
                at: now,
            },
        })
    }
}

fn dispute_of(what: &What) -> (&'static str, Option<Dispute>) {
    let What::Dispute {
        dispute,
        amount,
        currency,
        reason,
        status,
        phase,
        ..
    } = what
    else {
        return ("updated", None);
    };
    let kind = match phase {
        DisputePhase::Opened => "opened",
        DisputePhase::Updated => "updated",
        DisputePhase::Closed => "closed",
    };
    let dispute = Dispute {
        id: dispute.clone(),
        object: "dispute",
        charge: String::new(),
        amount: *amount,
        currency: currency.clone(),
        reason: reason.clone(),
        status: status.clone(),
    };
    (kind, Some(dispute))
}
