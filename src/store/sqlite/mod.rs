//! SQLite: one connection that writes, a few that read, and files that only their owner reads.

mod readers;
mod snapshot;

use std::fs::{OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::OpenFlags;

use super::connection::Connection;
use super::source::Source;
use super::writer::Writer;
use super::{Failure, Settings, schema};
use crate::directory;

pub(super) use readers::Readers;
pub use snapshot::{CopyFacts, inspect, snapshot};

/// Only the owner reads and writes the database (PCI DSS 7.2.5: least privilege of processes).
const FILE_MODE: u32 = 0o600;
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS_KEPT_MAX: usize = 256;

/// A database file, and how its connections are made.
#[derive(Clone, Debug)]
pub(super) struct Database {
    path: PathBuf,
    busy_timeout: Duration,
}

impl Database {
    fn new(settings: &Settings, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            busy_timeout: Duration::from_millis(settings.busy_timeout_ms.into()),
        }
    }

    /// The one connection that writes. FULL loses nothing in a power cut; NORMAL, the usual advice
    /// with WAL, loses acknowledged rows. An erased value is overwritten, not left in a free page.
    pub(super) fn to_write(&self) -> Result<Connection, Failure> {
        self.connect(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON",
        )
    }

    /// A connection that cannot write.
    fn to_read(&self) -> Result<Connection, Failure> {
        self.connect("PRAGMA query_only = ON")
    }

    fn connect(&self, settings: &str) -> Result<Connection, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.execute_batch("PRAGMA foreign_keys = ON")?;
        connection.execute_batch(settings)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
        Ok(connection.into())
    }
}

/// Opens an existing database whose schema is exactly the one this build knows.
pub(super) async fn open(settings: &Settings, path: &Path) -> Result<(Writer, Readers), Failure> {
    if !path.exists() {
        let directory = directory::of(path);
        if !directory.exists() {
            return Err(no_directory(directory));
        }
        return Err(schema::missing());
    }
    restrict(path)?;
    let database = Database::new(settings, path);
    let mut connection = database.to_write()?;
    schema::check(&mut connection).await?;
    let readers = Readers::start(&database, settings)?;
    let source = Arc::new(Source::Sqlite(database));
    let writer = Writer::start(vec![Some(connection)], &source, settings)?;
    Ok((writer, readers))
}

/// A connection that may change the schema; the file is made where there is none.
pub(super) fn to_migrate(settings: &Settings, path: &Path) -> Result<Connection, Failure> {
    create(path)?;
    Database::new(settings, path).to_write()
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
        Err(error) if error.kind() == ErrorKind::NotFound => Err(no_directory(directory::of(path))),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

/// The directory is the operator's to make, with the owner and the rights of the service.
fn no_directory(directory: &Path) -> Failure {
    let missing = Error::new(ErrorKind::NotFound, "there is no such directory; make it");
    Failure::file(directory, &missing)
}

/// Takes the rights of others off the database and its companions, if somebody gave them.
pub(super) fn restrict(path: &Path) -> Result<(), Failure> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        match std::fs::set_permissions(&file, Permissions::from_mode(FILE_MODE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::file(&file, &error));
            }
            _ => {}
        }
    }
    Ok(())
}
