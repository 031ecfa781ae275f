//! SQLite: one connection that writes, a few that read, and files that only their owner reads.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::connection::Connection;
use super::source::Source;
use super::writer::Writer;
use super::{Failure, Readers, Settings, schema};

/// Only the owner reads and writes the database (PCI DSS 7.2.5: least privilege of processes).
const FILE_MODE: u32 = 0o600;

/// Opens an existing database whose schema is exactly the one this build knows.
pub(super) async fn open(settings: &Settings, path: &Path) -> Result<(Writer, Readers), Failure> {
    if !path.exists() {
        return Err(schema::missing());
    }
    restrict(path)?;
    let options = to_write(settings, path);
    let mut connection: Connection = options.connect().await?.into();
    schema::check(&mut connection).await?;
    let source = Arc::new(Source::Sqlite(Box::new(options)));
    let writer = Writer::start(vec![Some(connection)], &source, settings);
    Ok((writer, Readers::Sqlite(readers(settings, path))))
}

/// A connection that may change the schema; the file is made where there is none.
pub(super) async fn to_migrate(settings: &Settings, path: &Path) -> Result<Connection, Failure> {
    create(path)?;
    Ok(to_write(settings, path).connect().await?.into())
}

/// What every connection has in common.
fn options(settings: &Settings, path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(busy_timeout(settings))
        // Statements are ours and constant; the log gains nothing from them.
        .disable_statement_logging()
}

/// The options of the one connection that writes.
fn to_write(settings: &Settings, path: &Path) -> SqliteConnectOptions {
    options(settings, path)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL loses nothing in a power cut; NORMAL, the usual advice with WAL, loses
        // acknowledged rows.
        .synchronous(SqliteSynchronous::Full)
        // An erased value is overwritten, not left in a free page.
        .pragma("secure_delete", "ON")
}

/// The connections that read: made when first needed, unable to write.
fn readers(settings: &Settings, path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(settings.readers_max.max(1))
        .acquire_timeout(busy_timeout(settings))
        .test_before_acquire(false)
        .connect_lazy_with(options(settings, path).pragma("query_only", "ON"))
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
pub(super) fn restrict(path: &Path) -> Result<(), Failure> {
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
