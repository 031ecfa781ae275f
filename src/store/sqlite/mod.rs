//! SQLite: one writer that groups commits, a few readers, and files that only their owner reads.

pub(super) mod schema;
mod writer;

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{Failure, Settings};
use writer::Writer;

/// Only the owner reads and writes the database (PCI DSS 7.2.5: least privilege of processes).
const FILE_MODE: u32 = 0o600;

/// The engine: where reads and writes go.
#[derive(Clone, Debug)]
pub(super) struct Sqlite {
    writer: Writer,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens an existing database whose schema is exactly the one this build knows.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        if !settings.path.exists() {
            return Err(schema::missing());
        }
        restrict(&settings.path)?;
        let mut connection = to_write(settings).connect().await?;
        schema::check(&mut connection).await?;
        let readers = readers(settings);
        Ok(Self {
            writer: Writer::start(connection, settings),
            readers,
        })
    }

    pub(super) async fn close(&self) -> Result<(), Failure> {
        // Readers first: a snapshot that is still read keeps the log from being moved.
        self.readers.close().await;
        self.writer.close().await
    }

    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>
            + Send
            + 'static,
    {
        self.writer.write(work).await
    }

    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>,
    {
        let mut connection = self.readers.acquire().await?;
        work(&mut connection).await
    }

    /// Moves the write-ahead log into the database and cuts it to nothing, so that a value erased
    /// from the database is not still in the log. Says whether it could: a reader may be in the way.
    pub(super) async fn checkpoint(&self) -> Result<bool, Failure> {
        self.writer.checkpoint().await
    }
}

/// What every connection has in common.
fn options(settings: &Settings) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&settings.path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(busy_timeout(settings))
        // Statements are ours and constant; the log gains nothing from them.
        .disable_statement_logging()
}

/// The options of the one connection that writes.
fn to_write(settings: &Settings) -> SqliteConnectOptions {
    options(settings)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL loses nothing in a power cut; NORMAL, the usual advice with WAL, loses
        // acknowledged rows.
        .synchronous(SqliteSynchronous::Full)
        // An erased value is overwritten, not left in a free page.
        .pragma("secure_delete", "ON")
}

/// The connections that read: made when first needed, unable to write.
fn readers(settings: &Settings) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(settings.readers_max.max(1))
        .acquire_timeout(busy_timeout(settings))
        .test_before_acquire(false)
        .connect_lazy_with(options(settings).pragma("query_only", "ON"))
}

fn busy_timeout(settings: &Settings) -> Duration {
    Duration::from_millis(settings.busy_timeout_ms.into())
}

/// Makes the database file where there is none, so that it never exists with wider rights.
fn create(path: &Path) -> Result<(), Failure> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Failure::engine(&error)),
    }
}

/// Takes the rights of others off the database and its companions, if somebody gave them.
fn restrict(path: &Path) -> Result<(), Failure> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        match std::fs::set_permissions(&file, Permissions::from_mode(FILE_MODE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::engine(&error));
            }
            _ => {}
        }
    }
    Ok(())
}
