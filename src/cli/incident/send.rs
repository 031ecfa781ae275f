//! One message to one customer, by the channel that was chosen.

use std::sync::Arc;

use crate::alerts::{self, Mail, Mailed, Mailer};
use crate::clock::{Clock, Timestamp};
use crate::incident::letter::KIND;
use crate::incident::letter::{Affected, Contacts, Heading, Template, document, message_id};
use crate::store::NoticeState;
use crate::vault::tell::Listener;
use crate::webhooks::{Delivered, Message, Reason};

/// How customers are told.
pub(super) enum Channel {
    /// Mail to addresses that were given.
    Mail {
        mailer: Arc<Mailer>,
        template: Template,
        contacts: Contacts,
    },
    /// A signed webhook to the merchant, who knows where its customer is.
    Webhook(Vec<Listener>),
}

/// What came of a message: its state, and the receiver's word.
pub(super) type Ended = (NoticeState, String);

impl Channel {
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
                contacts,
            } => {
                let Some(address) = contacts.of(affected) else {
                    return (NoticeState::NoContact, "no_contact".to_owned());
                };
                let Ok(to) = alerts::address("a contact", address) else {
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
                let wants = |listener: &&Listener| {
                    let kinds = listener.kinds.as_ref();
                    let wanted = kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind == KIND));
                    wanted && listener.account.as_str() == affected.account
                };
                let Some(listener) = listeners.iter().find(wants) else {
                    return (NoticeState::NoContact, "no_receiver".to_owned());
                };
                let body = document(heading, affected);
                deliver(listener, &id, &body, clock.now()).await
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
