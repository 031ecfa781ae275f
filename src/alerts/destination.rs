//! Where alerts go, and what comes of one attempt to bring one there.

use std::sync::Arc;

use lettre::message::Mailbox;

use super::mail::{self, Mail, MailRefused, Mailed, Mailer};
use super::{Raised, document};
use crate::clock::Timestamp;
use crate::token::Environment;
use crate::webhooks::{Delivered, Endpoint, Message, Reason};

/// One receiver of alerts.
#[derive(Debug)]
pub enum Destination {
    /// A signed webhook.
    Webhook(Box<Endpoint>),
    /// A mailbox.
    Mail(Arc<Mailer>, Mailbox),
}

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The receiver has it.
    Taken,
    /// It is tried again, and not before so many seconds where the receiver says so.
    Later(Option<u32>),
    /// It can never be taken.
    Never,
}

impl Destination {
    /// A mailbox behind a mail server.
    ///
    /// # Errors
    /// [`MailRefused::Address`].
    pub fn mail(mailer: Arc<Mailer>, to: &str) -> Result<Self, MailRefused> {
        Ok(Self::Mail(mailer, mail::address("to", to)?))
    }

    /// Its name in rows and logs.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Webhook(endpoint) => endpoint.name().to_owned(),
            Self::Mail(_, to) => to.email.to_string(),
        }
    }

    /// Makes one attempt; also answers the word for its row.
    pub async fn tell(
        &self,
        raised: &Raised,
        environment: Environment,
        at: Timestamp,
    ) -> (Told, String) {
        let id = raised.id.to_string();
        match self {
            Self::Webhook(endpoint) => {
                let body = document::json(raised, environment);
                let message = Message {
                    id: &id,
                    at,
                    body: &body,
                };
                judged(endpoint.deliver(&message).await)
            }
            Self::Mail(mailer, to) => {
                let mail = Mail {
                    id: &id,
                    to,
                    subject: &document::line(raised, environment),
                    text: &document::text(raised, environment),
                };
                match mailer.send(&mail).await {
                    Mailed::Accepted => (Told::Taken, "accepted".to_owned()),
                    Mailed::Refused => (Told::Never, "refused".to_owned()),
                    Mailed::Failed(what) => (Told::Later(None), what.to_owned()),
                }
            }
        }
    }
}

fn judged(delivered: Delivered) -> (Told, String) {
    match delivered {
        Delivered::Accepted { status } => (Told::Taken, status.to_string()),
        Delivered::Gone => (Told::Never, "410".to_owned()),
        Delivered::Refused {
            status,
            retry_after_s,
        } => (Told::Later(retry_after_s), status.to_string()),
        Delivered::Unreachable(reason @ Reason::MalformedId) => {
            (Told::Never, reason.name().to_owned())
        }
        Delivered::Unreachable(reason) => (Told::Later(None), reason.name().to_owned()),
    }
}
