//! Backups of the embedded database: made while the service runs, sealed to a key whose private half
//! is elsewhere, kept in several places, proved, and restored.
//!
//! A backup is two files of one name in each place: `NAME.sealed`, the database as a stream that only
//! the recipient opens, and `NAME.manifest`, what is said of it under the audit log's key. A third,
//! `NAME.proof`, says that somebody has opened it. A place is a directory; which disk or machine is
//! behind it is the operator's choice, and `check` says when two places are one device.
//!
//! - [`manifest`] is what is signed;
//! - `archive.rs` is what stands in the places;
//! - `make.rs` makes a backup, `open.rs` compares the copies with what was signed and opens one;
//! - `schedule.rs` is when one is due, and what is old.
//!
//! What is opened here is proved and put in place by [`crate::service`], which has the keys of the
//! rows. For PostgreSQL other programs make backups; [`pgbackrest`] is what one says of them.

mod archive;
mod files;
mod make;
pub mod manifest;
mod open;
pub mod pgbackrest;
mod schedule;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::seal::backup::Failed;
use crate::store;

pub use archive::{Archive, Backup, Fault, Listing};
pub use files::{beside, is_there, place_new, remove_database};
pub use make::{Made, Maker};
pub use open::Verified;
pub use schedule::Ages;

/// Why a backup was not made, or is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or a directory.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database, or a copy of it.
    #[error("the database: {0}")]
    Store(#[from] store::Failure),
    /// Sealing or opening.
    #[error("{path}: {source}", path = .path.display())]
    Stream {
        /// The sealed file.
        path: PathBuf,
        /// What is wrong.
        source: Failed,
    },
    /// Another process makes one.
    #[error("another backup is being made")]
    Busy,
    /// The process stops.
    #[error("the process stops; no backup was made")]
    Stopped,
    /// It has no signature.
    #[error("its manifest could not be signed")]
    Unsigned,
    /// What was written is not what is read.
    #[error("{path}: what is read there is not what was written", path = .0.display())]
    ReadBack(PathBuf),
    /// What is kept is not what was signed.
    #[error("{path}: {why}", path = .path.display())]
    NotAsSigned {
        /// The file.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// There is none, or none of that name.
    #[error("there is no such backup in the configured places")]
    Unknown,
    /// The newest one by its name has not the longest audit log.
    #[error(
        "the newest backup has a shorter audit log than an older one: a clock was wrong, or the log \
         was rolled back; see `cloakroom backup list`, and name one with --backup"
    )]
    Unclear,
    /// It is sealed to another key.
    #[error("backup {name} is sealed to {sealed_to}; the private key that was given is {given}")]
    OtherRecipient {
        /// The backup.
        name: String,
        /// The key that it is sealed to.
        sealed_to: String,
        /// The key that was given.
        given: String,
    },
    /// A file that is never overwritten.
    #[error("{path} exists already, and a database is never overwritten", path = .0.display())]
    Exists(PathBuf),
}

impl Failure {
    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }
}
