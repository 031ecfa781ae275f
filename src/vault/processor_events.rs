//! Processor events: what the processor reports under its signature.
//!
//! The capture plane checks the signature and writes the event into the inbox; the internal plane
//! applies it. An event about a payment or a refund is only the reason to look at the processor, so
//! that events may come late, twice and in any order. What cannot be applied yet is kept.

use super::grant::Origin;
use super::owed::retry_at;
use super::refund::status_of;
use super::{Capture, Common, Internal, Refusal, Witness, marks};
use crate::audit::{Action, Actor, Outcome};
use crate::processor::webhook::{
    self, DisputePhase, DisputeStatus, NoticeRefused, PaymentState, WebhookSecret, What,
};
use crate::store::{
    Applied, DisputeChange, DisputeRow, DueEvent, News, ProcessorEvent, Publish, Received, Report,
};
use crate::token::{Account, ChargeStatus, Environment};
use crate::view;

/// Milliseconds for which an event is kept whose object is not known here: it may belong to a
/// charge whose outcome we have not heard yet, or to somebody else who uses the account.
const KEPT_FOR_MS: u64 = 24 * 3_600 * 1_000;

/// What an account's processor signs its events with.
#[derive(Debug)]
pub struct EventSource {
    /// The secrets of its endpoint.
    pub secrets: Vec<WebhookSecret>,
    /// The connected account that this one acts for, where it does: `acct_…`.
    pub connected: Option<String>,
}

impl Capture {
    /// Takes an event: `body` as it came, under `signature`.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] where no account's secret made the signature, or it is too
    /// old; [`Refusal::Unreadable`] where the body under a right signature means nothing.
    #[tracing::instrument(name = "processor_event.receive", skip_all)]
    pub async fn receive_processor_event(
        &self,
        signature: &str,
        body: &[u8],
        origin: Origin,
    ) -> Result<(), Refusal> {
        let common = &self.common;

        // 1. The signature says whose it is. The envelope writes a wrong one down as an attempt.
        let read = self.read_event(signature, body).map_err(|refused| {
            tracing::warn!(?refused, "a processor event was refused");
            common.metrics.noticed("refused");
            match refused {
                NoticeRefused::Signature => {
                    Refusal::Unauthenticated("The signature is not the processor's.")
                }
                NoticeRefused::TooOld => Refusal::Unauthenticated("The signature is too old."),
                NoticeRefused::Unreadable => Refusal::Unreadable,
            }
        })?;
        let Some((account, notice)) = read else {
            tracing::info!("a processor event is of an account that is not served here");
            common.metrics.noticed("elsewhere");
            return Ok(());
        };
        if notice.live != (common.environment == Environment::Live) {
            tracing::error!("an event of the processor's other mode was sent here");
            return Err(Refusal::Unreadable);
        }

        // 2. One transaction writes it into the inbox.
        let witness = Witness {
            actor: Actor::Processor(account.as_str().to_owned()),
            account: Some(account.clone()),
            origin: origin.address,
            request_id: Some(origin.request_id),
        };
        let subject = Some(notice.id.clone());
        let audit = common.event(&witness, Action::NoticeTaken, Outcome::Success, subject);
        let report = self.report(&account, notice.what);
        let event = ProcessorEvent {
            account,
            id: notice.id,
            created_at: notice.created,
            now: common.now(),
            report,
        };
        let received = common.store.receive_processor_event(event, audit).await?;
        common.metrics.noticed(match received {
            Received::New => "taken",
            Received::Again => "again",
            Received::Ignored => "elsewhere",
        });
        Ok(())
    }

    /// Tries each account's secrets. Several may have the same one, where one endpoint of a platform
    /// serves its connected accounts: then the event says whose it is. Nothing for the event of an
    /// account that is none of ours.
    fn read_event(
        &self,
        signature: &str,
        body: &[u8],
    ) -> Result<Option<(Account, webhook::Notice)>, NoticeRefused> {
        let now = self.common.now();
        let mut refused = NoticeRefused::Signature;
        let mut signed: Option<webhook::Notice> = None;
        let mut signers: Vec<(&Account, Option<&str>)> = Vec::new();
        for (account, source) in &self.webhook_secrets {
            match webhook::read(&source.secrets, signature, body, now) {
                Ok(notice) => {
                    signers.push((account, source.connected.as_deref()));
                    signed = Some(notice);
                }
                // Another account's secret may fit; what fits but is old or unreadable is said.
                Err(NoticeRefused::Signature) => {}
                Err(other) => refused = other,
            }
        }
        let notice = signed.ok_or(refused)?;
        let owner = owner_of(&signers, notice.account.as_deref()).cloned();
        Ok(owner.map(|owner| (owner, notice)))
    }

    /// What an event says to the store; the processor's names of cards become keyed fingerprints.
    fn report(&self, account: &Account, what: What) -> Option<Report> {
        let reference = |method: &str| marks::reference(&self.marking, account, method).into();
        match what {
            What::Payment {
                payment,
                charge,
                status,
                captured,
            } => Some(Report::Payment {
                payment,
                charge,
                status: status
                    .and_then(status_word)
                    .map(|word| word.name().to_owned()),
                captured,
            }),
            What::Refund {
                refund,
                payment: Some(payment),
                state,
                ..
            } => Some(Report::Refund {
                payment,
                refund,
                status: status_of(state).name().to_owned(),
            }),
            What::Dispute {
                payment: Some(payment),
                dispute,
                amount,
                currency,
                reason,
                status,
                state,
                phase,
            } => Some(Report::Dispute {
                open: dispute_is_open(state, phase),
                payment,
                dispute,
                amount,
                currency,
                reason,
                status,
            }),
            What::Card {
                payment_method,
                card,
            } => Some(Report::Card {
                reference: reference(&payment_method),
                card,
            }),
            What::Setup { payment_method } => Some(Report::Setup {
                reference: reference(&payment_method),
            }),
            What::Detached { payment_method } => Some(Report::Detached {
                reference: reference(&payment_method),
            }),
            What::Refund { payment: None, .. }
            | What::Dispute { payment: None, .. }
            | What::Other => None,
        }
    }
}

/// Whose event it is, among the accounts whose secret has signed it. An account that acts for no
/// connected one takes what is said of none, and, where it alone has the secret, whatever is said.
fn owner_of<'a>(
    signers: &[(&'a Account, Option<&str>)],
    about: Option<&str>,
) -> Option<&'a Account> {
    let exactly = signers.iter().find(|(_, connected)| *connected == about);
    let alone = match signers {
        [only @ (_, connected)] if connected.is_none() || about.is_none() => Some(only),
        _ => None,
    };
    exactly.or(alone).map(|(account, _)| *account)
}

/// Whether a dispute is not decided, by its own status; one of a status that is not known yet, by
/// the kind of its event.
pub(crate) fn dispute_is_open(state: DisputeStatus, phase: DisputePhase) -> bool {
    let ended = state == DisputeStatus::Unknown && phase == DisputePhase::Closed;
    state.is_open() && !ended
}

/// A payment's state in our word, where it has one.
const fn status_word(state: PaymentState) -> Option<ChargeStatus> {
    match state {
        PaymentState::Succeeded => Some(ChargeStatus::Succeeded),
        PaymentState::RequiresCapture => Some(ChargeStatus::RequiresCapture),
        PaymentState::RequiresAction => Some(ChargeStatus::RequiresAction),
        PaymentState::RequiresPaymentMethod => Some(ChargeStatus::Declined),
        PaymentState::Processing => Some(ChargeStatus::Processing),
        PaymentState::Canceled => Some(ChargeStatus::Canceled),
        PaymentState::RequiresConfirmation | PaymentState::Unknown => None,
    }
}

impl Internal {
    /// Applies one event, or puts it off.
    pub(super) async fn apply_event(&self, due: DueEvent) {
        let common = &self.common;
        let now = common.now();
        let publish = Publish {
            dispute: common.dispute_news(),
            token: common.token_news("updated"),
        };
        let applied = common.store.apply_processor_event(&due, now, publish).await;
        let whose = (&due.account, due.id.clone());
        let written = match applied {
            Ok(Applied::Applied | Applied::Ignored) => return,
            Ok(Applied::NotYet) if now.ms_since(due.received_at) > KEPT_FOR_MS => {
                tracing::warn!(event = due.id, "a processor event is of nothing here");
                common.store.give_up_processor_event(due.lease, whose).await
            }
            Ok(Applied::NotYet) => {
                let until = retry_at(now, due.received_at, None);
                common
                    .store
                    .defer_processor_event(due.lease, whose, until)
                    .await
            }
            Err(failure) => {
                tracing::error!(event = due.id, %failure, "a processor event could not be applied");
                let until = retry_at(now, due.received_at, None);
                common
                    .store
                    .defer_processor_event(due.lease, whose, until)
                    .await
            }
        };
        if let Err(failure) = written {
            // Its lease ends, and it is applied again.
            tracing::warn!(event = due.id, %failure, "a processor event could not be put off");
        }
    }
}

impl Common {
    /// Publishes a dispute: `opened`, `updated`, `closed`.
    pub(crate) fn dispute_news(
        &self,
    ) -> impl Fn(&DisputeRow, DisputeChange) -> News + Clone + Send + Sync + use<> + 'static {
        let common = self.clone();
        move |row, change| {
            let dispute = view::Dispute {
                id: row.id.clone(),
                object: "dispute",
                charge: row.charge.to_string(),
                amount: row.amount,
                currency: row.currency.clone(),
                reason: row.reason.clone(),
                status: row.status.clone(),
            };
            let kind = format!("dispute.{}", change.name());
            common.news(&row.account, kind, &dispute)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_the_connected_account_that_it_names() {
        let names =
            ["one", "two", "platform"].map(|name| Account::try_from(name.to_owned()).unwrap());
        let [one, two, platform] = &names;
        let shared = [
            (one, Some("acct_1")),
            (two, Some("acct_2")),
            (platform, None),
        ];
        for (signers, about, expected) in [
            (&shared[..], Some("acct_1"), Some(one)),
            (&shared[..], Some("acct_2"), Some(two)),
            (&shared[..], None, Some(platform)),
            (&shared[..], Some("acct_3"), None),
            (&shared[..2], None, None),
            (&shared[..1], Some("acct_1"), Some(one)),
            (&shared[..1], Some("acct_2"), None),
            (&shared[..1], None, Some(one)),
            (&shared[2..], Some("acct_3"), Some(platform)),
            (&[][..], None, None),
        ] {
            assert_eq!(owner_of(signers, about), expected, "{about:?}");
        }
    }
}
