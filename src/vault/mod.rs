//! The heart: what Cloakroom does with a card and with a token, each verb in plain numbered steps.
//!
//! Two halves share no secret that opens anything. [`Capture`] meets the internet: it holds a
//! sealing key and a processor key that can only vault cards. [`Internal`] meets billing: it holds
//! the opening key and the processor key that can charge. Read [`tokenize`], then [`charge`],
//! [`operations`] and [`refund`], then `owed`, which finishes what a crash left open, then
//! [`processor_events`] (what the processor reports) and `review` (how it is looked at), [`tell`]
//! (what we publish) and `deliver` (to whom).
//! [`alert`] is how the operator is told. [`unseal`] is how custodians open the key of a process that started sealed.
//!
//! No verb here keeps a transaction open across the network, and the audit event of an act commits
//! with the act, or the act does not happen.

pub mod alert;
pub mod attach;
mod canary;
pub mod charge;
pub mod charge_page;
mod charge_return;
pub mod deletion;
mod deliver;
pub mod grant;
mod heartbeat;
pub mod idempotency;
mod marks;
mod news;
pub mod operations;
mod orphans;
mod owed;
mod presentation;
pub mod processor_events;
pub mod recovery;
pub mod refund;
mod refund_earlier;
mod refusal;
pub mod refusals;
mod repetition;
pub mod report;
mod review;
pub mod rotation;
pub mod security_code;
pub mod session;
mod settle;
pub mod status;
pub mod tell;
pub mod tokenize;
pub mod unseal;
pub mod watch;
mod watch_told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::alerts::Destination;
use crate::audit::{self, Action, Actor, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::processor::Processor;
use crate::seal::mac::{MacKey, MacKeys};
use crate::seal::signing::SigningKey;
use crate::seal::{Opener, Sealer};
use crate::store::{Forged, Store};
use crate::telemetry::Metrics;
use crate::token::{Account, Environment, EventId};

pub(crate) use canary::process;
pub use processor_events::EventSource;
pub(crate) use processor_events::dispute_is_open;
pub use refusal::{CardFault, Refusal};

/// What both halves need and neither keeps secret.
#[derive(Clone, Debug)]
pub struct Common {
    /// The environment that this process serves.
    pub environment: Environment,
    /// This node's name in audit events.
    pub node: Arc<str>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where rows are kept.
    pub store: Store,
    /// Where counts go.
    pub metrics: Metrics,
    /// Limits of the verbs.
    pub limits: Limits,
    /// Who tries cards, and what is done about it.
    pub watch: Arc<watch::Watcher>,
    /// Refused attempts of the minutes that are not over.
    pub refusals: Arc<refusals::Refusals>,
    /// Whether rows may be gone whose payments are at the processor.
    pub recovery: Arc<recovery::Recovery>,
    /// The runtime that outlives every worker thread: work that must go on when its caller has
    /// hung up, and when the caller's worker stops, runs here.
    pub runtime: Handle,
}

/// Limits of the verbs; units are in the names.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attempts to turn a card into a token that one session allows.
    pub session_attempts_max: u32,
    /// Seconds that a session may live.
    pub session_lifetime_s_max: u32,
    /// Seconds that an idempotency key is remembered.
    pub idempotency_key_lifetime_s: u32,
    /// Milliseconds after which work that a dead process left behind may be taken up by another;
    /// who lives renews its lease.
    pub work_lease_ms: u64,
    /// Charges being asked of the processor at one time.
    pub charges_in_flight_max: usize,
    /// Reports that are taken from one address within an hour.
    pub reports_of_an_address_per_hour_max: u32,
    /// Reports that are taken within an hour.
    pub reports_per_hour_max: u32,
    /// Seconds that an event may be without a copied checkpoint over it, where that is asked for.
    pub audit_sink_outage_s_max: Option<u32>,
    /// Seconds in which an alert of one name about one subject is told once.
    pub alert_window_s: u32,
}

/// The processors of all accounts, with the keys of one plane.
pub type Processors = BTreeMap<Account, Processor>;

/// The internet-facing half. It can seal and cannot open.
#[derive(Debug)]
pub struct Capture {
    /// What both halves need.
    pub common: Common,
    /// Seals processor references.
    pub sealer: Sealer,
    /// Which key-encryption keys there are.
    pub rotation: Arc<rotation::Rotation>,
    /// Restricted keys: vault a card, nothing else.
    pub processors: Processors,
    /// Checks session secrets.
    pub session_verify_key: MacKey,
    /// Marks vaulted cards, so that they are known again.
    pub marking: Arc<MacKeys>,
    /// What each account's processor signs its notices with.
    pub webhook_secrets: BTreeMap<Account, EventSource>,
    /// Where the issuer's authentication page returns the shopper.
    pub return_url: String,
    /// Where security.txt says to write, before our own page.
    pub security_contacts: Vec<String>,
    /// The origin of the frame and the hosted page.
    pub public_origin: String,
    /// Cards on their way to the processor when their sender has hung up.
    pub tasks: TaskTracker,
}

/// The half of merchant backends and billing.
#[derive(Debug)]
pub struct Internal {
    /// What both halves need.
    pub common: Common,
    /// Opens processor references.
    pub opener: Opener,
    /// What opens when its custodians have given their shares; none where a passphrase opened it.
    pub custody: Option<unseal::Custody>,
    /// Seals those of cards that a browser vaulted at the processor itself.
    pub sealer: Sealer,
    /// Which key-encryption keys there are.
    pub rotation: Arc<rotation::Rotation>,
    /// Marks vaulted cards, so that they are known again.
    pub marking: Arc<MacKeys>,
    /// Who is told of what happened.
    pub endpoints: Vec<tell::Listener>,
    /// Who is told of alerts.
    pub alert_destinations: Vec<Destination>,
    /// Keys that charge and detach.
    pub processors: Processors,
    /// Checks session secrets.
    pub session_verify_key: MacKey,
    /// Makes session secrets.
    pub session_issue_key: MacKey,
    /// Signs deletion receipts.
    pub receipt_key: SigningKey,
    /// Where the issuer's authentication page returns the shopper.
    pub return_url: String,
    /// Charges that go on when their caller has hung up.
    pub tasks: TaskTracker,
    /// Bounds them.
    pub charges_in_flight: Arc<tokio::sync::Semaphore>,
}

/// Who does something, and from where: what every audit event repeats.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(crate) actor: Actor,
    pub(crate) account: Option<Account>,
    pub(crate) origin: String,
    pub(crate) request_id: Option<String>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

impl Witness {
    /// The holder of a grant.
    pub(crate) fn of<S: grant::Scope>(granted: &grant::Granted<S>) -> Self {
        Self {
            actor: granted.actor(),
            account: Some(granted.account().clone()),
            origin: granted.origin().address.clone(),
            request_id: Some(granted.origin().request_id.clone()),
        }
    }
}

impl Common {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Quarantines a row that does not say what it said when it was ordered.
    pub(crate) async fn quarantine(&self, table: &'static str, row: &str) {
        let row = row.to_owned();
        if let Err(failure) = self.store.quarantine(Forged { table, row }).await {
            tracing::error!(%failure, "a row could not be quarantined");
        }
    }

    /// Writes that something was read, before it is answered (PCI DSS 10.2.1.1).
    pub(crate) async fn witness_read<S: grant::Scope>(
        &self,
        granted: &grant::Granted<S>,
        action: Action,
        subject: String,
    ) -> Result<(), Refusal> {
        let event = self.event(
            &Witness::of(granted),
            action,
            Outcome::Success,
            Some(subject),
        );
        Ok(self.store.record(event).await?)
    }

    /// An audit event of now.
    pub(crate) fn event(
        &self,
        witness: &Witness,
        action: Action,
        outcome: Outcome,
        subject: Option<String>,
    ) -> audit::Event {
        let at = self.now();
        audit::Event {
            id: EventId::new(self.environment, at),
            at,
            actor: witness.actor.clone(),
            action,
            outcome,
            account: witness.account.clone(),
            subject,
            origin: witness.origin.clone(),
            node: self.node.to_string(),
            request_id: witness.request_id.clone(),
        }
    }
}

/// The processor of an account that a row or a grant names.
pub(crate) fn processor_of<'a>(
    processors: &'a Processors,
    account: &Account,
) -> Result<&'a Processor, Refusal> {
    processors.get(account).ok_or_else(|| {
        tracing::error!(account = account.as_str(), "account without a processor");
        Refusal::Internal
    })
}
