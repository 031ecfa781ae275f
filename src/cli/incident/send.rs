//! One message to one customer, by the channel that was chosen.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::super::{Failure, exit};
use super::notify::Arguments;
use crate::alerts::{self, Mail, Mailed, Mailer};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::incident::letter::{
    AFFECTED, Affected, CONTACT_WANTED, Contacts, Heading, Template, document, message_id,
    whereabouts,
};
use crate::service::{mailer, webhook_endpoints};
use crate::store::NoticeState;
use crate::vault::tell::Listener;
use crate::webhooks::{Delivered, Message, Reason};

/// How customers are told.
pub(super) enum Channel {
    /// Mail.
    Mail {
        mailer: Arc<Mailer>,
        template: Template,
        addresses: Addresses,
    },
    /// A signed webhook to the merchant, who knows where its customer is.
    Webhook(Vec<Listener>),
}

/// Where customers' addresses are from. None is kept.
pub(super) enum Addresses {
    /// They were given.
    Given(Contacts),
    /// Each customer's merchant is asked, right before the mail.
    Asked(Vec<Listener>),
}

/// What came of a message: its state, and the receiver's word.
pub(super) type Ended = (NoticeState, String);

impl Channel {
    /// The one that was asked for.
    pub(super) fn of(config: &Config, arguments: &Arguments) -> Result<Self, Failure> {
        let (Some(template), false) = (&arguments.template, arguments.webhook) else {
            return Ok(Self::Webhook(webhook_endpoints(config)?));
        };
        let settings = config.alerts.mail.as_ref().ok_or_else(|| {
            let why = "the configuration has no [alerts.mail] server";
            Failure::new(exit::CONFIG, why)
        })?;
        let unreadable = |error: std::io::Error| Failure::new(exit::NO_INPUT, error);
        let refused = |refused| Failure::new(exit::DATA, refused);
        let template = std::fs::read_to_string(template).map_err(unreadable)?;
        let addresses = match &arguments.contacts {
            Some(contacts) => {
                let contacts = BufReader::new(File::open(contacts).map_err(unreadable)?);
                Addresses::Given(Contacts::read(contacts).map_err(refused)?)
            }
            None => Addresses::Asked(webhook_endpoints(config)?),
        };
        Ok(Self::Mail {
            mailer: mailer(settings).map_err(|reason| Failure::new(exit::CONFIG, reason))?,
            template: Template::parse(&template).map_err(refused)?,
            addresses,
        })
    }

    /// Its name in rows and files.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Mail { .. } => "mail",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Makes one attempt.
    pub(super) async fn tell(
        &self,
        heading: &Heading,
        affected: &Affected,
        clock: &Clock,
    ) -> Ended {
        let id = message_id(&heading.incident, &affected.account, &affected.customer);
        match self {
            Self::Mail {
                mailer,
                template,
                addresses,
            } => {
                let address = match addresses.of(heading, affected, clock).await {
                    Ok(address) => address,
                    Err(ended) => return ended,
                };
                let Ok(to) = alerts::address("a contact", &address) else {
                    return (NoticeState::Refused, "no_address".to_owned());
                };
                let (subject, text) = template.fill(heading, affected);
                let mail = Mail {
                    id: &id,
                    to: &to,
                    subject: &subject,
                    text: &text,
                };
                mailed(mailer.send(&mail).await)
            }
            Self::Webhook(listeners) => {
                let Some(listener) = receiver(listeners, affected, AFFECTED) else {
                    return (NoticeState::NoContact, "no_receiver".to_owned());
                };
                let body = document(AFFECTED, heading, affected);
                deliver(listener, &id, &body, clock.now()).await
            }
        }
    }
}

/// The first of the account's receivers that takes this kind.
fn receiver<'l>(
    listeners: &'l [Listener],
    affected: &Affected,
    kind: &str,
) -> Option<&'l Listener> {
    let mut own = listeners
        .iter()
        .filter(|listener| listener.account.as_str() == affected.account);
    own.find(|listener| {
        let kinds = listener.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.iter().any(|taken| taken == kind))
    })
}

impl Addresses {
    /// Where a customer is; or that nobody knows, or that the merchant could not say it now.
    async fn of(
        &self,
        heading: &Heading,
        affected: &Affected,
        clock: &Clock,
    ) -> Result<String, Ended> {
        let nobody_knows = || (NoticeState::NoContact, "no_contact".to_owned());
        match self {
            Self::Given(contacts) => {
                let address = contacts.of(affected).map(str::to_owned);
                address.ok_or_else(nobody_knows)
            }
            Self::Asked(listeners) => {
                let listener = receiver(listeners, affected, CONTACT_WANTED)
                    .ok_or_else(|| (NoticeState::NoContact, "no_receiver".to_owned()))?;
                let id = message_id(&heading.incident, &affected.account, &affected.customer);
                let message = Message {
                    id: &format!("{id}-contact"),
                    at: clock.now(),
                    body: &document(CONTACT_WANTED, heading, affected),
                };
                // Nothing was sent to the customer yet, so asking again is always safe.
                let later = |word: &str| (NoticeState::Waiting, word.to_owned());
                match listener.endpoint.ask(&message).await {
                    Ok((200, answer)) => match whereabouts(&answer) {
                        Some(address) => address.ok_or_else(nobody_knows),
                        None => Err(later("not_an_address")),
                    },
                    Ok((404, _)) => Err(nobody_knows()),
                    Ok((status, _)) => Err(later(&status.to_string())),
                    Err(reason) => Err(later(reason.name())),
                }
            }
        }
    }
}

async fn deliver(listener: &Listener, id: &str, body: &[u8], at: Timestamp) -> Ended {
    let message = Message { id, at, body };
    match listener.endpoint.deliver(&message).await {
        Delivered::Accepted { status } => (NoticeState::Told, status.to_string()),
        Delivered::Gone => (NoticeState::Refused, "410".to_owned()),
        Delivered::Refused { status, .. } => (NoticeState::Waiting, status.to_string()),
        Delivered::Unreachable(reason @ Reason::MalformedId) => {
            (NoticeState::Refused, reason.name().to_owned())
        }
        // Its receiver may have it, and knows it again by its id.
        Delivered::Unreachable(reason) => (NoticeState::Waiting, reason.name().to_owned()),
    }
}

/// A mail that the server may have taken is never sent again by itself.
fn mailed(mailed: Mailed) -> Ended {
    match mailed {
        Mailed::Accepted => (NoticeState::Told, "accepted".to_owned()),
        Mailed::Refused => (NoticeState::Refused, "refused".to_owned()),
        Mailed::Failed(what @ ("unreachable" | "tls" | "not_offered" | "later")) => {
            (NoticeState::Waiting, what.to_owned())
        }
        Mailed::Failed(what) => (NoticeState::Unknown, what.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mail_that_was_surely_not_taken_is_sent_again() {
        for what in ["unreachable", "tls", "not_offered", "later"] {
            assert_eq!(mailed(Mailed::Failed(what)).0, NoticeState::Waiting);
        }
        for what in ["timeout", "connect"] {
            assert_eq!(mailed(Mailed::Failed(what)).0, NoticeState::Unknown);
        }
        assert_eq!(mailed(Mailed::Refused).0, NoticeState::Refused);
        assert_eq!(mailed(Mailed::Accepted).0, NoticeState::Told);
    }
}
