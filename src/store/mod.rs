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
//! `sessions` and `attempts` (a card becomes a token), `tokens` and `forget`, `claims`
//! (idempotency), `charges` and `settle`, `customers`, `keys`, `events`, `upkeep`; then `sqlite`,
//! the engine: one writer with group commit, and a few readers.

mod attempts;
mod charges;
mod claims;
mod customers;
mod events;
mod failure;
mod forget;
mod keys;
mod parse;
mod release;
mod sessions;
mod settle;
mod sqlite;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use crate::clock::Clock;
use crate::token::Environment;

pub use attempts::{Attempt, AttemptClaim, NewToken};
pub use charges::{ChargeBegun, ChargeRow, DeclineRow, NewCharge};
pub use claims::Claim;
pub use failure::{Cause, Failure};
pub use forget::Forget;
pub use sessions::{ClaimFound, NewSession, SessionBegun, SessionRow};
pub use settle::{ChargeOutcome, Lease, Leased};
pub use sqlite::schema::{Migrated, migrate};
pub use tokens::{SealedRow, TokenRow};
pub use upkeep::SWEEP_ROWS_MAX;

/// Where the store is and how much it takes at once.
#[derive(Clone)]
pub struct Settings {
    /// The database file. Its directory holds the write-ahead log beside it.
    pub path: PathBuf,
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
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("path", &self.path)
            .field("batch_ops_max", &self.batch_ops_max)
            .field("queue_ops_max", &self.queue_ops_max)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .field("readers_max", &self.readers_max)
            .finish_non_exhaustive()
    }
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
    engine: Engine,
    environment: Environment,
}

/// What keeps the rows.
#[derive(Clone, Debug)]
enum Engine {
    Sqlite(sqlite::Sqlite),
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
        let store = Self {
            engine: Engine::Sqlite(sqlite::Sqlite::open(settings).await?),
            environment,
        };
        store.probe_write(clock.now()).await?;
        Ok(store)
    }

    /// Takes no more operations, finishes those that wait, moves the write-ahead log into the
    /// database and closes it. Every clone of the handle is closed with it.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] where the write-ahead log could not be moved; nothing that was
    /// acknowledged is lost by that, it stays in the log.
    pub async fn close(&self) -> Result<(), Failure> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
        }
    }

    /// Runs `work` in a transaction that it may share with others, and answers after the commit.
    async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>
            + Send
            + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(work).await,
        }
    }

    /// Runs `work` on a connection that cannot write.
    async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work).await,
        }
    }
}
