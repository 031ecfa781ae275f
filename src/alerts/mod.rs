//! Alerts: what the operator must know, with what to do next, and the ways to tell it.
//!
//! An [`Alert`] is of a closed set of [`AlertName`]s; each brings its severity and its next step, so
//! that nobody who is woken has to guess. It is raised by writing a row (once for each name and
//! subject in a window, whichever node sees it) and told from there by the internal plane: signed
//! webhooks ([`crate::webhooks`]) and mail ([`Mailer`]). Both senders know nothing of alerts and may
//! carry other messages. Nothing in an alert comes from a card; subjects are addresses, shops,
//! clients and ids.

mod destination;
mod document;
mod mail;
mod retry;

pub use destination::{Destination, Told};
pub use mail::{Mail, MailRefused, MailSettings, Mailed, Mailer, Security, address};
pub use retry::pause_ms_after;

use crate::clock::Timestamp;
use crate::token::AlertId;

/// Bytes of a subject and of what was seen; more is cut.
const TEXT_BYTES_MAX: usize = 1_024;

/// Whom an alert wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// It waits for the morning.
    Ticket,
}

impl Severity {
    /// The name in rows, labels and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

macro_rules! alerts {
    ($($(#[$doc:meta])* $name:ident = $text:literal $severity:ident $next:literal,)+) => {
        /// What there are alerts of. The names are stable: receivers rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AlertName {
            $($(#[$doc])* $name,)+
        }

        impl AlertName {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in rows, labels and messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whom it wakes.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What to do next.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)+ }
            }
        }
    };
}

alerts! {
    /// A rule of the watch stopped somebody who tries cards.
    CardTesting = "card_testing" Page
        "Look at `cloakroom watch list`; have the merchant put a check for humans before the checkout, tell the processor, and lift what turns out to be honest with `cloakroom watch lift`.",
    /// A client opened more than its budget and was cut off.
    ClientCutOff = "client_cut_off" Page
        "Ask the client's owner whether the load is theirs. If not, revoke its certificate and treat it as an incident; if so, raise its budget and run `cloakroom watch lift`.",
    /// Somebody has come to four fifths of a threshold that stops them.
    ThresholdNear = "threshold_near" Ticket
        "Nobody is stopped yet. If the load is honest, raise the rule's threshold under [watch.rules] before it trips; a client can read what is left to it in the RateLimit fields of its responses.",
    /// A client does more than it usually does.
    ClientBusy = "client_busy" Ticket
        "Ask the client's owner whether the load is theirs; if so, raise the rule's threshold under [watch.rules].",
    /// More cards than usual are posted in a shop.
    ShopBusy = "shop_busy" Ticket
        "Compare with the shop's sales; if nobody there knows of a campaign, look at the decline ratio and at `cloakroom watch list`.",
    /// Somebody is refused again and again.
    GrantsRefused = "grants_refused" Ticket
        "The audit events grant.refused name the certificate and the address; a misconfigured client asks the same again and again, an intruder asks many things.",
    /// A certificate or a revocation list ends soon.
    CertificateEnds = "certificate_ends" Ticket
        "Put the new file in place of the old one; it is taken within a second, without a restart.",
    /// A key is past its cryptoperiod or near its end, or the key manifest is not to be believed.
    KeyAge = "key_age" Ticket
        "Run `cloakroom keys status`, then `cloakroom keys rotate`; see pci-docs/keys.md.",
    /// The work of rotation failed.
    RotationFailed = "rotation_failed" Page
        "Run `cloakroom keys status`: it names what was not moved and why. Give every internal host the key that is missing, then ask for the same work again; see pci-docs/keys.md.",
    /// Checkpoints of the audit log do not get out of the database.
    AuditUnwitnessed = "audit_unwitnessed" Page
        "The log names the sinks that take nothing: mend one before audit.sink_outage_s_max, when nothing is answered any more. What they missed follows by itself.",
    /// The database is shorter than what was signed of its audit log, or has another history.
    AuditHistoryDiffers = "audit_history_differs" Page
        "Nothing is answered while it lasts. Find out who restored or rewrote the database; bring the right one back, or restart with `cloakroom serve --accept-rollback REASON` and run `cloakroom reconcile` then.",
    /// The daily verification found the audit log to be other than what was signed.
    AuditLogAltered = "audit_log_altered" Page
        "Run `cloakroom audit verify` to see each place. Somebody has written to the database as its owner: treat it as an incident, and keep the database and the sinks' files as they are.",
    /// The processor says otherwise than the final state of a charge.
    ChargeContradicted = "charge_contradicted" Page
        "Look at the charge (GET /v1/charges/{id}: member `contradiction`) and at its payment in the processor's dashboard; run `cloakroom reconcile` and, where the processor is right, `cloakroom reconcile --repair`.",
    /// A row was found that nobody who may has ordered.
    RowQuarantined = "row_quarantined" Page
        "Somebody writes to the database who should not, or a restored copy is older than what it tells of: treat it as an incident, change the database's logins, and compare with `cloakroom audit verify` and `cloakroom reconcile`.",
    /// The store and the processor differ.
    ReconciliationDiffers = "reconciliation_differs" Page
        "Run `cloakroom reconcile` to see each difference; follow the runbook of reconciliation in pci-docs/runbooks.md, then `cloakroom reconcile --repair` for what may be repaired.",
    /// Somebody reported abuse or an incident.
    ReportTaken = "report_taken" Page
        "Read it at GET /v1/reports on the internal plane within the hour; an incident is handled by your incident plan.",
}

/// Something that the operator must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is.
    pub name: AlertName,
    /// Whom or what it is about.
    pub subject: String,
    /// What was seen, in words.
    pub seen: String,
}

impl Alert {
    /// That alert, its texts cut to what is kept.
    #[must_use]
    pub fn new(name: AlertName, subject: &str, seen: &str) -> Self {
        Self {
            name,
            subject: cut(subject),
            seen: cut(seen),
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// An alert as it is kept and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its id, the same however often it is sent.
    pub id: AlertId,
    /// [`AlertName::name`], perhaps of a later version.
    pub name: String,
    /// [`Severity::name`].
    pub severity: String,
    /// Whom or what it is about.
    pub subject: String,
    /// What was seen.
    pub seen: String,
    /// What to do next.
    pub next_step: String,
    /// Which process saw it first.
    pub node: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_a_name_of_its_own_and_says_what_to_do_next() {
        let names: std::collections::BTreeSet<_> =
            AlertName::ALL.iter().map(|name| name.name()).collect();
        assert_eq!(names.len(), AlertName::ALL.len());
        for name in AlertName::ALL {
            let next = name.next_step();
            assert!(next.len() > 40 && next.len() <= TEXT_BYTES_MAX, "{next}");
            assert!(next.ends_with('.'), "{next}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_letters() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let alert = Alert::new(AlertName::ShopBusy, &long, "x");
        assert_eq!(alert.subject.len(), TEXT_BYTES_MAX);
        assert!(alert.subject.chars().all(|letter| letter == 'é'));
    }
}
