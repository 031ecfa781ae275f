//! The store: ciphertext and what the world may know, kept so that what was acknowledged stays.
//!
//! Each method of [`Store`] is a verb of the domain and one transaction; it writes the audit event
//! of its act in that same transaction, so neither stands without the other. The store takes only
//! sealed bytes: it cannot name a card, and no method gives a reference to the processor in clear.
//!
//! # Rules that every operation keeps
//!
//! - **Acknowledged means durable.** A write is answered after its commit has reached the disk
//!   (SQLite's WAL with `synchronous = FULL`). Writes that arrive together share one commit; when
//!   that commit fails, each of them fails.
//! - **Refused acts are recorded as refused.** An event given to an operation that does not do what
//!   it was asked is written with the outcome [`Refused`](crate::audit::Outcome::Refused).
//! - **A replay writes.** The repetition of an earlier answer changes a row before it is given. On
//!   a replicated engine a transaction that writes nothing waits for no replica, and would
//!   acknowledge what a failover then loses.
//! - **Money is decided inside write transactions**, never on what a reader saw before.
//! - **A row that does not parse** is [`Failure::Inconsistent`] and names table, column and row.
//!
//! # Where to read next
//!
//! `claims` (idempotency: begin once), `owed` (open work and its leases) and `orders` (which rows are
//! believed) first: every verb about money stands on them. Then `sessions`, `attempts` and `same_card` (a card becomes a token),
//! `tokens`, `deletions` and `orphans`, `charges`, `refunds` and `disputes`, `processor_events` (the
//! inbox of what the processor reports) and `reviews` (looks at the processor that are owed),
//! `outbox` (what we publish), `customers`, `keys`, `manifests`, `rotation_lease` and `key_jobs` (rotation), `events` (the audit log), `upkeep`, `alerts` and `alert_orders` (what the operator is told), `watch` and `watch_orders`,
//! `incidents` (what customers are told), `reconciliation` (what is compared with the processor), `protections` (what the database itself forbids), `archiver` (PostgreSQL's own backup); then the way to
//! the engines: `sql` and `row` (statements and what they give), `writer` and `batch` (group
//! commit), `schema`, `sqlite` and `postgres`.

mod alert_orders;
mod alerts;
mod archiver;
mod attempts;
mod audit_log;
mod backlog;
mod batch;
mod charge_pages;
mod charges;
mod claims;
mod connection;
mod customers;
mod deletions;
mod disputes;
mod events;
mod failure;
mod incidents;
mod key_jobs;
mod key_repair;
mod keys;
mod manifests;
mod orders;
mod orphan_orders;
mod orphans;
mod outbox;
mod owed;
mod parse;
mod postgres;
mod processor_events;
mod protections;
mod reconciliation;
mod refunds;
mod repetitions;
mod reports;
mod reviews;
mod rotation_lease;
mod row;
mod same_card;
mod schema;
mod sealed;
mod sessions;
mod source;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;
mod watch;
mod watch_orders;
mod witness;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::token::Environment;
use connection::Connection;
use writer::Writer;

pub use alerts::{AlertTold, DueAlert, NewAlert};
pub use archiver::Archiver;
pub use attempts::{Attempt, AttemptClaim};
pub use audit_log::{KeptCheckpoint, LogLength, Sequenced};
pub use backlog::{KekFigures, OpenWork, StoreFigures};
pub use charge_pages::{Asked, NewPage, PAGE_QUESTIONS_MAX, PageAnswer, PageRow};
pub use charges::{
    Announce, Authority, ChargeBegun, ChargeFilter, ChargeOutcome, ChargeRow, ChargeWork,
    CodeFault, Contradiction, DeclineRow, DetailsRow, DueCharge, DueCharges, NewCharge,
    NewOperation, NewSecurityCode, NoOperation, NotChargeable, OperationBegun, OperationRow,
};
pub use claims::{Begun, Claim, first_processor_key};
pub use deletions::{DeletionBegun, DeletionWork, NoDeletion};
pub use disputes::{DisputeChange, DisputeRow};
pub use failure::{Cause, Failure};
pub use incidents::{
    Exposed, Incident, NewIncident, NoticeKey, NoticeRow, NoticeSettled, NoticeState, Run,
};
pub use key_jobs::{KeyJob, KeyWork, Progress, Resealed, ToReseal};
pub use key_repair::{Repaired, Stranger};
pub use manifests::{Held, SignedManifest, UnderKek};
pub use orders::{Authentic, Forged, ForgeryReport, Orders};
pub use orphans::{Adopted, OrphanRow, OrphanWork};
pub use outbox::{Due, News, Subscriber, Told};
pub use owed::{Lease, NothingDone, OwedWork, Renewal, Take};
pub use postgres::{Duty, Host, Postgres, PrimaryServer, Replication};
pub use processor_events::{
    Applied, DueEvent, ProcessorEvent, Publish, Received, Reference, Report,
};
pub use protections::{Protections, Texts};
pub use reconciliation::{
    ChargeView, Comparison, ComparisonDone, ComparisonLease, DisputeRefs, DisputeView, OfDispute,
    OfPayment, OfRefund, PaymentRefs, RefundRefs, RefundView,
};
pub use refunds::{
    DueRefunds, ListedRefund, NewRefund, NoRefund, RefundBegun, RefundOutcome, RefundRow,
    RefundTaken, RefundWork,
};
pub use repetitions::{
    CardOfToken, REPEATED_POSTS_MAX, REPETITION_AGE_MS_MAX, RepeatedCard, RepetitionCost,
    VaultedAnew,
};
pub use reports::{ReportBudget, ReportRow, ReportTaken};
pub use reviews::DueReview;
pub use rotation_lease::KeyOperator;
pub use same_card::{Attached, NewToken, Owner, TokenKept};
pub use schema::{Migrated, migrate};
pub use sealed::SealedRow;
pub use sessions::{NewSession, SessionBegun, SessionRow};
pub use sqlite::{CopyFacts, inspect, snapshot};
pub use tokens::TokenRow;
pub use upkeep::SWEEP_ROWS_MAX;
pub use watch::{BlockRow, BucketRow};

/// Where the store is and how much it takes at once.
#[derive(Clone)]
pub struct Settings {
    /// Which engine, and where.
    pub place: Place,
    /// The most operations that share one commit.
    pub batch_ops_max: u32,
    /// The most operations that wait for the writer; one more is refused as unavailable.
    pub queue_ops_max: u32,
    /// How long a connection waits for a lock that another process holds, and a read for a reader.
    pub busy_timeout_ms: u32,
    /// The most connections that read.
    pub readers_max: u32,
    /// Told of every commit.
    pub observer: Option<Observer>,
    /// What rows are ordered and believed with.
    pub orders: Orders,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("place", &self.place)
            .field("batch_ops_max", &self.batch_ops_max)
            .field("queue_ops_max", &self.queue_ops_max)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .field("readers_max", &self.readers_max)
            .finish_non_exhaustive()
    }
}

/// An engine, and where its rows are.
#[derive(Clone, Debug)]
pub enum Place {
    /// SQLite, embedded.
    Sqlite {
        /// The database file. Its directory holds the write-ahead log beside it.
        path: PathBuf,
    },
    /// PostgreSQL 15 or later.
    Postgres(Box<Postgres>),
}

/// Who is told of each commit; the caller makes metrics of it.
pub type Observer = Arc<dyn Fn(Commit) + Send + Sync>;

/// A commit that has reached the disk.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// From the transaction's begin to its durable end.
    pub duration: Duration,
    /// How many operations shared it.
    pub operations: usize,
    /// How many were waiting for the next one when it ended.
    pub queued: usize,
}

/// The store: a handle that is cheap to clone. Its operations stand with their nouns.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Writer,
    readers: Readers,
    environment: Environment,
    orders: Orders,
}

/// Connections that read.
#[derive(Clone, Debug)]
enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(postgres::Readers),
}

impl Readers {
    /// Runs `work` on a connection. One that was lost since its last use is not the caller's to
    /// see: it is tried once more on a new one.
    async fn read<T: Send + 'static>(&self, work: impl batch::Work<T>) -> Result<T, Failure> {
        match self {
            Self::Sqlite(readers) => readers.read(work).await,
            Self::Postgres(readers) => match readers.read(work.clone()).await {
                Err(Failure::Unavailable(Cause::Engine(_))) => readers.read(work).await,
                answer => answer,
            },
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(readers) => readers.close().await,
            Self::Postgres(readers) => readers.close().await,
        }
    }
}

impl Store {
    /// Opens the store that [`migrate`] has prepared. It never changes the schema itself, and
    /// makes one durable write before it gives out the first read.
    ///
    /// # Errors
    /// [`Failure::SchemaTooOld`], [`Failure::SchemaUnknown`] or [`Failure::SchemaChanged`] where
    /// the schema is not the one this build knows; [`Failure::Unavailable`] where it cannot write.
    pub async fn open(
        settings: &Settings,
        environment: Environment,
        clock: &Clock,
    ) -> Result<Self, Failure> {
        let (writer, readers) = match &settings.place {
            Place::Sqlite { path } => {
                let (writer, readers) = sqlite::open(settings, path).await?;
                (writer, Readers::Sqlite(readers))
            }
            Place::Postgres(postgres) => {
                let (writer, readers) = postgres::open(settings, postgres).await?;
                (writer, Readers::Postgres(readers))
            }
        };
        let store = Self {
            writer,
            readers,
            environment,
            orders: settings.orders.clone(),
        };
        store.probe_write(clock.now()).await?;
        Ok(store)
    }

    /// Whether somebody outside of the database vouches for the audit log. While nobody does, every
    /// act but the service's own is refused as unavailable.
    pub fn set_witnessed(&self, is_there: bool) {
        self.writer.set_witnessed(is_there);
    }

    /// Takes no more operations, finishes those that wait and closes every connection; SQLite's
    /// write-ahead log is moved into the database. Every clone of the handle is closed with it.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] where the write-ahead log could not be moved; nothing that was
    /// acknowledged is lost by that, it stays in the log.
    pub async fn close(&self) -> Result<(), Failure> {
        // Readers first: a snapshot that is still read keeps SQLite's log from being moved.
        self.readers.close().await;
        self.writer.close().await
    }

    /// Runs `work` in a transaction that it may share with others, and answers after the commit.
    /// It may be run more than once before that, each time as if for the first.
    async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, Failure>>
            + Clone
            + Send
            + 'static,
    {
        self.writer.write(work).await
    }

    /// Runs `work` on a connection that only reads.
    async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, Failure>>
            + Clone
            + Send
            + 'static,
    {
        self.readers.read(work).await
    }

    /// Commits that failed since the process began: the engine was away, full or not replicated.
    #[must_use]
    pub fn failed_commits(&self) -> u64 {
        self.writer.failed_commits()
    }

    /// Which server is the primary; nothing where the engine has no servers.
    #[must_use]
    pub fn primary(&self) -> Option<PrimaryServer> {
        match &self.readers {
            Readers::Sqlite(_) => None,
            Readers::Postgres(readers) => readers.cluster().primary(),
        }
    }

    /// How many copies are promised and made; nothing where the engine makes none.
    #[must_use]
    pub fn replication(&self) -> Option<Replication> {
        match &self.readers {
            Readers::Sqlite(_) => None,
            Readers::Postgres(readers) => Some(readers.cluster().replication()),
        }
    }
}
