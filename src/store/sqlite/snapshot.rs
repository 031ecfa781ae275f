//! A copy of the database as it was at one moment, made while the service writes, and what a copy
//! says of itself.
//!
//! The file alone is no copy: what was acknowledged last stands in the write-ahead log beside it.
//! SQLite's stepwise backup begins anew at each write of another process and does not end under
//! load; `VACUUM INTO` reads one snapshot and holds up no writer.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::FILE_MODE;
use crate::audit::tree::{Edge, Hash};
use crate::directory;
use crate::seal::KekId;
use crate::store::Failure;

/// How long a copy waits for a lock that a writer holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a copy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFacts {
    /// Its newest migration.
    pub schema_version: i64,
    /// The first event of its audit log, which names the database; nothing where it has none.
    pub first_event: Option<String>,
    /// Events that have a place in its audit log.
    pub audit_size: u64,
    /// The root of the tree of those events.
    pub audit_root: Hash,
    /// The newest signed checkpoint of that log.
    pub checkpoint: Option<String>,
    /// The keys that its data keys are wrapped to, all of which it needs.
    pub keks: Vec<KekId>,
    /// Its tokens, in whatever state.
    pub tokens: u64,
    /// Its charges.
    pub charges: u64,
    /// Its refunds.
    pub refunds: u64,
}

/// Copies the database into a new file that only its owner reads, and returns when it is on the
/// disk. Not for an async thread.
///
/// # Errors
/// [`Failure::Unavailable`] where the database cannot be read, or the file is there already.
pub fn snapshot(database: &Path, to: &Path) -> Result<(), Failure> {
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(FILE_MODE);
    // SQLite would make it with the rights of the process's umask; into an empty file it writes.
    let file = new.open(to).map_err(|error| Failure::engine(&error))?;
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let name = to
        .to_str()
        .ok_or_else(|| Failure::engine(&"its path is not text"))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    file.sync_all().map_err(|error| Failure::engine(&error))?;
    let synced = File::open(directory::of(to)).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Failure::engine(&error))
}

/// Whether a copy is whole, by SQLite's own check of pages, indexes and foreign keys, and what it
/// says of itself. Not for an async thread.
///
/// # Errors
/// [`Failure::Inconsistent`] where it is damaged, [`Failure::Unavailable`] where it is no database.
pub fn inspect(copy: &Path) -> Result<CopyFacts, Failure> {
    let connection = open(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_integrity(&connection)?;
    let (size, peaks): (i64, Vec<u8>) = connection.query_row(
        "SELECT size, peaks FROM audit_head WHERE id = 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let size = u64::try_from(size).unwrap_or(0);
    let edge = Edge::read(size, &peaks).ok_or_else(|| inconsistent("audit_head", "peaks"))?;
    let mut keks = connection.prepare("SELECT DISTINCT kek FROM data_keys ORDER BY kek")?;
    let keks: Result<Vec<String>, _> = keks.query_map([], |row| row.get(0))?.collect();
    let keks = keks?.into_iter().map(KekId::try_from);
    let keks: Result<Vec<KekId>, _> = keks.collect();
    Ok(CopyFacts {
        schema_version: connection.query_row(
            "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations",
            [],
            |row| row.get(0),
        )?,
        first_event: connection.query_row(
            "SELECT (SELECT event_id FROM audit_log ORDER BY seq LIMIT 1)",
            [],
            |row| row.get(0),
        )?,
        audit_size: edge.size(),
        audit_root: edge.root(),
        checkpoint: connection.query_row(
            "SELECT (SELECT note FROM audit_checkpoints ORDER BY size DESC LIMIT 1)",
            [],
            |row| row.get(0),
        )?,
        keks: keks.map_err(|_| inconsistent("data_keys", "kek"))?,
        tokens: count(&connection, "SELECT COUNT(*) FROM tokens")?,
        charges: count(&connection, "SELECT COUNT(*) FROM charges")?,
        refunds: count(&connection, "SELECT COUNT(*) FROM refunds")?,
    })
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, Failure> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn check_integrity(connection: &Connection) -> Result<(), Failure> {
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(inconsistent("sqlite_schema", "integrity_check"));
    }
    let mut orphans = connection.prepare("PRAGMA foreign_key_check")?;
    if orphans.exists([])? {
        return Err(inconsistent("sqlite_schema", "foreign_key_check"));
    }
    Ok(())
}

fn count(connection: &Connection, rows: &str) -> Result<u64, Failure> {
    let rows: i64 = connection.query_row(rows, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

fn inconsistent(table: &'static str, column: &'static str) -> Failure {
    Failure::Inconsistent {
        table,
        column,
        row: "-".to_owned(),
    }
}
