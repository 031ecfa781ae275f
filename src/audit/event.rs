//! One event of the audit log: the fields of PCI DSS 10.2.2, and the closed list of acts.

use crate::clock::Timestamp;
use crate::token::{Account, EventId};

/// What happened. The names of the acts are stable: they are what an assessor's queries rely on.
///
/// The fields answer PCI DSS 10.2.2, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's own name, unique and ordered by time.
    pub id: EventId,
    /// User identification: who acted, or tried to.
    pub actor: Actor,
    /// Type of event.
    pub action: Action,
    /// Date and time.
    pub at: Timestamp,
    /// Success or failure indication.
    pub outcome: Outcome,
    /// Origination of the event: the peer's address, or `-` for the process itself.
    pub origin: String,
    /// Identity of the affected data: the id of the token, charge, session or key.
    pub subject: Option<String>,
    /// Whose data it is, where it is known.
    pub account: Option<Account>,
    /// The process that saw it: its node name in the configuration.
    pub node: String,
    /// The request it belongs to, as in `X-Request-Id`.
    pub request_id: Option<String>,
}

impl Event {
    /// Whether it is the service's own act, which nobody asked for.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self.actor, Actor::Process)
    }

    /// The same act, but not allowed: nothing was done.
    #[must_use]
    pub fn refused(self) -> Self {
        Self {
            outcome: Outcome::Refused,
            ..self
        }
    }

    /// The same act, begun and not brought to its end.
    #[must_use]
    pub fn failed(self) -> Self {
        Self {
            outcome: Outcome::Failed,
            ..self
        }
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A service with a client certificate, by the certificate's subject alternative name.
    Client(String),
    /// Whoever holds the secret of a capture session, by the session's id: the shopper's browser.
    Session(String),
    /// A person at the command line, by the name the operating system knows.
    Operator(String),
    /// The processor, by the account whose secret signed what it tells.
    Processor(String),
    /// The service itself: its start and stop, and what it finishes after a crash.
    Process,
    /// Somebody who did not say, or did not prove, who it is.
    Unidentified,
}

impl Actor {
    /// Which kind of actor: the name in the log.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Session(_) => "session",
            Self::Operator(_) => "operator",
            Self::Processor(_) => "processor",
            Self::Process => "process",
            Self::Unidentified => "unidentified",
        }
    }

    /// Which one of its kind, where the kind has more than one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Client(name)
            | Self::Session(name)
            | Self::Operator(name)
            | Self::Processor(name) => Some(name),
            Self::Process | Self::Unidentified => None,
        }
    }

    /// The actor of that kind and name, as the log has it.
    #[must_use]
    pub fn from_parts(kind: &str, name: Option<String>) -> Option<Self> {
        match (kind, name) {
            ("client", Some(name)) => Some(Self::Client(name)),
            ("session", Some(name)) => Some(Self::Session(name)),
            ("operator", Some(name)) => Some(Self::Operator(name)),
            ("processor", Some(name)) => Some(Self::Processor(name)),
            ("process", None) => Some(Self::Process),
            ("unidentified", None) => Some(Self::Unidentified),
            _ => None,
        }
    }
}

/// Defines a closed set of names that stands the same in the log and in the code.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in the log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

pub(super) use names;

names! {
    /// Whether it was done.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was not allowed, or its conditions did not hold; nothing was done.
        Refused = "refused",
        /// It was begun and could not be brought to its end.
        Failed = "failed",
    }

    /// What was done. The requirement behind each is named where one asks for it.
    Action {
        /// A client made a capture session (PCI DSS 10.2.1.5: a credential was made).
        SessionCreated = "session.created",
        /// A card, or the security code of a saved one, was posted to a session (10.2.1.1).
        CardAttempted = "card.attempted",
        /// A card became a token, or its token was found (10.2.1.7: a system-level object was made).
        TokenCreated = "token.created",
        /// A card did not become a token (10.2.1.4 where the access was invalid).
        TokenRefused = "token.refused",
        /// A session's token was answered once more to who posted its card again (10.2.1.1).
        TokenRepeated = "token.repeated",
        /// Another card was posted under the key of one before (10.2.1.4).
        CardMismatched = "card.mismatched",
        /// The security code of a saved card was given to the processor for one charge (10.2.1.1).
        CardCodeTaken = "card.code_taken",
        /// One was not taken (10.2.1.4 where the access was invalid).
        CardCodeRefused = "card.code_refused",
        /// A sealed value was, or is about to be, opened (10.2.1.1: access to account data).
        TokenOpened = "token.opened",
        /// What the world may know of one token was read (10.2.1.1).
        TokenRead = "token.read",
        /// What the world may know of a customer's tokens was read (10.2.1.1).
        TokenListed = "token.listed",
        /// The issuer's wish for authentication was met; the token can be charged freely.
        TokenActivated = "token.activated",
        /// The processor was found to have let go of a token's card.
        TokenDetached = "token.detached",
        /// The card that a customer posted again took the place of the one before (10.2.1.1).
        TokenCardReplaced = "token.card_replaced",
        /// A deletion began; the sealed value is opened once more to detach it at the processor
        /// (10.2.1.1).
        TokenDeletionStarted = "token.deletion_started",
        /// A sealed value was erased (10.2.1.7: a system-level object was deleted).
        TokenDeleted = "token.deleted",
        /// A client asked for money (10.2.1.1).
        ChargeRequested = "charge.requested",
        /// The processor said what became of it.
        ChargeSettled = "charge.settled",
        /// A row was found that nobody who may has ordered; nothing is done on it.
        RowQuarantined = "row.quarantined",
        /// What is known of one charge was read (10.2.1.1).
        ChargeRead = "charge.read",
        /// What is known of an account's charges was read (10.2.1.1).
        ChargeListed = "charge.listed",
        /// A client asked for authorized money (10.2.1.1).
        ChargeCaptureRequested = "charge.capture_requested",
        /// A client gave an authorized charge up (10.2.1.1).
        ChargeCancelRequested = "charge.cancel_requested",
        /// What was asked of an authorized charge was not done.
        ChargeStepRefused = "charge.step_refused",
        /// A client gives money back (10.2.1.1).
        RefundRequested = "refund.requested",
        /// The processor said what became of it.
        RefundSettled = "refund.settled",
        /// How a capture session stands was read (10.2.1.1).
        SessionRead = "session.read",
        /// What is known of a charge's refunds was read (10.2.1.1).
        RefundRead = "refund.read",
        /// A card that a token stands for already was vaulted again, and is forgotten.
        CardMatched = "card.matched",
        /// A card that became no token is about to be forgotten at the processor: its reference is
        /// opened (10.2.1.1).
        CardDetachStarted = "card.detach_started",
        /// It was forgotten there.
        CardDetached = "card.detached",
        /// The processor renewed what the world may know of a token's card.
        TokenUpdated = "token.updated",
        /// The processor told something, under its signature.
        NoticeTaken = "notice.taken",
        /// Somebody reported abuse or an incident.
        ReportTaken = "report.taken",
        /// Reports were read (10.2.1.1).
        ReportsRead = "reports.read",
        /// The feed of what happened was read (10.2.1.1).
        EventsRead = "events.read",
        /// The status page was looked at.
        StatusRead = "status.read",
        /// Somebody was refused: no certificate, no such scope, no such secret (10.2.1.4).
        GrantRefused = "grant.refused",
        /// A client certificate was missing or not taken (10.2.1.4).
        TlsClientRefused = "tls.client_refused",
        /// A process began to serve (10.2.1.6: logging was started).
        ProcessStarted = "process.started",
        /// A process stopped serving (10.2.1.6: logging was stopped).
        ProcessStopped = "process.stopped",
        /// Certificates, authorities or revocation lists were replaced, or what was put there was
        /// not taken (10.2.1.5: credentials and access rights were changed).
        TlsReloaded = "tls.reloaded",
        /// A key came into service, with the canary that vouches for it (10.2.1.7).
        KeysCanaryMade = "keys.canary_made",
        /// Another key manifest was put in force: a KEK was prepared, came into service or left it
        /// (10.2.1.5).
        KeysManifestChanged = "keys.manifest_changed",
        /// Data keys under a KEK that the manifest does not name were removed, or were to be and are
        /// in use (10.2.1.7).
        KeysRepaired = "keys.repaired",
        /// Work of rotation was asked for.
        KeysWorkAsked = "keys.work_asked",
        /// Data keys were wrapped to the KEK in service.
        KeysRewrapped = "keys.rewrapped",
        /// Work of rotation came to its end.
        KeysWorkDone = "keys.work_done",
        /// A sealed value was opened and sealed under a fresh data key (10.2.1.1).
        TokenResealed = "token.resealed",
        /// A custodian gave a share of a sealed key, or tried to (10.2.1.2: an administrative act).
        KeysShareGiven = "keys.share_given",
        /// Shares that had been given were forgotten, since too few came in time.
        KeysSharesForgotten = "keys.shares_forgotten",
        /// Custodians opened a sealed key together (10.2.1.2), or their shares did not open it.
        KeysUnsealed = "keys.unsealed",
        /// An incident was opened.
        IncidentOpened = "incident.opened",
        /// The log was searched for whom an incident touched (10.2.1.3: access to audit logs).
        IncidentScoped = "incident.scoped",
        /// Affected customers begin to be told of an incident.
        IncidentNotifyStarted = "incident.notify_started",
        /// A run that tells customers came to its end.
        IncidentNotifyEnded = "incident.notify_ended",
        /// Customers whose message had an unknown end are told again, by an operator's word.
        IncidentNoticeReleased = "incident.notice_released",
        /// An incident was closed.
        IncidentClosed = "incident.closed",
        /// A rule of the watch stopped somebody for a time (10.2.1.5: access rights were changed).
        WatchActed = "watch.acted",
        /// Somebody has come near a threshold of the watch; nothing is done yet.
        WatchWarned = "watch.warned",
        /// An operator let them in again (10.2.1.2: an administrative act).
        WatchLifted = "watch.lifted",
        /// The store was compared with the processor, and agreed with it.
        ReconciliationAgreed = "reconciliation.agreed",
        /// The store was compared with the processor, and differed from it.
        ReconciliationDiffered = "reconciliation.differed",
        /// A row takes what the processor says, because a comparison found that it differs.
        ReconciliationRepaired = "reconciliation.repaired",
        /// A backup of the database was made, or could not be (10.2.1.7: a system-level object).
        BackupCreated = "backup.created",
        /// The copies of a backup were held against what was signed of them.
        BackupVerified = "backup.verified",
        /// A backup was opened with its private key, and what is in it was held against what was
        /// signed (10.2.1.1).
        BackupProved = "backup.proved",
        /// A backup went because newer ones are kept (10.2.1.7: a system-level object was deleted).
        BackupRemoved = "backup.removed",
        /// This database was put in place from a backup; what came after that is lost here
        /// (10.2.1.2: an administrative act).
        BackupRestored = "backup.restored",
        /// An operator brought the schema up to a build's version (10.2.1.2: an administrative act;
        /// 10.2.1.7: system-level objects).
        SchemaMigrated = "schema.migrated",
        /// The service verified the whole log (10.3.4), and it was what was signed, or was not.
        AuditVerified = "audit.verified",
        /// An operator accepted that the database is older than what was signed of it, or another.
        AuditRollbackAccepted = "audit.rollback_accepted",
        /// The log itself was read (10.2.1.3: access to audit logs).
        AuditRead = "audit.read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_act() {
        for &action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(action));
            assert!(action.name().contains('.'), "{action:?} is noun.verb");
        }
        for &outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        assert_eq!(Action::from_name("token.detokenized"), None);
    }

    #[test]
    fn an_actor_is_read_back_as_it_was_written() {
        for actor in [
            Actor::Client("spiffe://shop.example/checkout".into()),
            Actor::Session("test_cs_01h455vb4pex5vsknk084sn02q".into()),
            Actor::Operator("anna".into()),
            Actor::Processor("default".into()),
            Actor::Process,
            Actor::Unidentified,
        ] {
            let name = actor.name().map(str::to_owned);
            assert_eq!(Actor::from_parts(actor.kind(), name), Some(actor));
        }
        assert_eq!(Actor::from_parts("client", None), None);
        assert_eq!(Actor::from_parts("process", Some("me".into())), None);
        assert_eq!(Actor::from_parts("root", Some("me".into())), None);
    }
}
