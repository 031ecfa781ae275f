//! Makes a backup: one snapshot, sealed once into all places, read back, signed.
//!
//! A process that is killed on the way leaves no backup that is listed, and nothing that the next
//! one does not remove: files get their names when they are whole, the manifest after what it is of.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Failure;
use super::archive::{Archive, MANIFEST, PARTIAL, SEALED, file_of, rename, takes_files, write};
use super::files::{FILE_MODE, Tallied, Tally, beside, create, digest_of, remove_database, sync};
use super::manifest::{Digest, Manifest};
use crate::clock::Timestamp;
use crate::directory;
use crate::seal::backup::{BackupRecipient, Failed, seal};
use crate::seal::hex;
use crate::seal::signing::SigningKey;
use crate::store::{self, CopyFacts};

const SNAPSHOT: &str = "-backup-snapshot";
const LOCK: &str = "-backup-lock";
/// Random bytes of a name: two backups may be made within a second.
const NAME_BYTES: usize = 4;

/// What makes backups.
#[derive(Debug)]
pub struct Maker {
    /// Where they go.
    pub archive: Archive,
    /// The database file. The snapshot is made beside it, on the same disk.
    pub database: PathBuf,
    /// The node's name.
    pub node: String,
    /// Whom they are sealed to.
    pub recipient: BackupRecipient,
    /// The audit log's key.
    pub signing: SigningKey,
    /// How many are kept in each place.
    pub kept_max: u32,
}

/// A backup that was made.
#[derive(Debug)]
pub struct Made {
    /// What was signed.
    pub manifest: Manifest,
    /// Places that have not got it, and why.
    pub failed: Vec<(PathBuf, Failure)>,
    /// Backups that went because newer ones are kept, by name.
    pub removed: Vec<String>,
}

impl Maker {
    /// Makes a backup. Not for an async thread; it gives up once `stop` is set.
    ///
    /// # Errors
    /// [`Failure`] where no place has got it.
    pub fn make(&self, now: Timestamp, stop: &AtomicBool) -> Result<Made, Failure> {
        let _lock = self.lock()?;
        self.remove_leftovers();
        let snapshot = Snapshot::of(&self.database)?;
        let facts = store::inspect(&snapshot.0)?;
        let name = name_at(now);
        let mut copies = Copies::begin(&self.archive.places, name.clone(), stop);
        let plain = copies.seal(&snapshot.0, &self.recipient)?;
        drop(snapshot);
        let sealed = copies.finish();
        let manifest = self.describe((name, now), &facts, (plain, sealed));
        let note = manifest.signed(&self.signing)?;
        let mut failed = copies.publish(&note)?;
        let mut removed = Vec::new();
        for place in &self.archive.places {
            match self.archive.prune(place, (self.kept_max, now)) {
                Ok(names) => removed.extend(names),
                Err(failure) => failed.push((place.clone(), failure)),
            }
        }
        removed.sort();
        removed.dedup();
        Ok(Made {
            manifest,
            failed,
            removed,
        })
    }

    fn describe(
        &self,
        (name, now): (String, Timestamp),
        facts: &CopyFacts,
        (plain, sealed): (Digest, Digest),
    ) -> Manifest {
        Manifest {
            name,
            environment: self.archive.environment,
            node: self.node.clone(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: now.rfc3339(),
            schema_version: facts.schema_version,
            first_event: facts.first_event.clone(),
            audit_size: facts.audit_size,
            audit_root: STANDARD.encode(facts.audit_root),
            audit_checkpoint: facts.checkpoint.clone(),
            keks: facts.keks.iter().map(ToString::to_string).collect(),
            recipient: self.recipient.id().to_owned(),
            tokens: facts.tokens,
            charges: facts.charges,
            refunds: facts.refunds,
            plain,
            sealed,
        }
    }

    /// Removes what a process that was killed has left, unless another one is at work.
    ///
    /// # Errors
    /// [`Failure::Busy`], [`Failure::Io`].
    pub fn tidy(&self) -> Result<(), Failure> {
        let _lock = self.lock()?;
        self.remove_leftovers();
        Ok(())
    }

    /// Whether each place takes files.
    #[must_use]
    pub fn places_that_fail(&self) -> Vec<(PathBuf, Failure)> {
        let tried = self.archive.places.iter().map(|place| {
            let failure = takes_files(place).err()?;
            Some((place.clone(), failure))
        });
        tried.flatten().collect()
    }

    fn remove_leftovers(&self) {
        let snapshot = beside(&self.database, SNAPSHOT);
        let removed = remove_database(&snapshot);
        let tidied = self.archive.places.iter().map(|place| Archive::tidy(place));
        // A place that cannot be tidied fails again when it is written to, and is told then.
        for failure in [removed].into_iter().chain(tidied).filter_map(Result::err) {
            tracing::warn!(%failure, "what an earlier backup left could not be removed");
        }
    }

    fn lock(&self) -> Result<File, Failure> {
        let path = beside(&self.database, LOCK);
        let mut options = File::options();
        options.create(true).append(true).mode(FILE_MODE);
        let opened = options.open(&path);
        let file = opened.map_err(|error| Failure::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy),
            Err(TryLockError::Error(error)) => Err(Failure::io(&path, error)),
        }
    }
}

/// `20261129T081500123Z-1f2e3d4c`: names have the order of time, to the millisecond.
fn name_at(now: Timestamp) -> String {
    let mut random = [0; NAME_BYTES];
    crate::random::fill(&mut random);
    let time = now.rfc3339();
    let compact: String = time
        .chars()
        .filter(|letter| !"-:.".contains(*letter))
        .collect();
    format!("{compact}-{}", hex(&random))
}

/// The snapshot, in clear as the database is, and removed as soon as it has been read.
struct Snapshot(PathBuf);

impl Snapshot {
    fn of(database: &Path) -> Result<Self, Failure> {
        let snapshot = Self(beside(database, SNAPSHOT));
        store::snapshot(database, &snapshot.0)?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(failure) = remove_database(&self.0) {
            tracing::warn!(%failure, "the snapshot of a backup could not be removed");
        }
    }
}

/// The sealed files, written at once. One that fails is given up, and the others go on.
struct Copies<'a> {
    name: String,
    open: Vec<Copy>,
    failed: Vec<(PathBuf, Failure)>,
    tally: Tally,
    stop: &'a AtomicBool,
}

struct Copy {
    place: PathBuf,
    path: PathBuf,
    file: File,
}

impl<'a> Copies<'a> {
    fn begin(places: &[PathBuf], name: String, stop: &'a AtomicBool) -> Self {
        let mut copies = Self {
            name,
            open: Vec::new(),
            failed: Vec::new(),
            tally: Tally::default(),
            stop,
        };
        for place in places {
            let path = file_of(place, &copies.name, &format!("{SEALED}{PARTIAL}"));
            match create(&path) {
                Ok(file) => copies.open.push(Copy {
                    place: place.clone(),
                    path,
                    file,
                }),
                Err(failure) => copies.failed.push((place.clone(), failure)),
            }
        }
        copies
    }

    /// Seals the snapshot into all of them; its own digest.
    fn seal(&mut self, snapshot: &Path, recipient: &BackupRecipient) -> Result<Digest, Failure> {
        let opened = File::open(snapshot);
        let mut plain = Tallied::new(opened.map_err(|error| Failure::io(snapshot, error))?);
        let name = self.name.clone();
        match seal(recipient, &name, &mut plain, self) {
            Ok(()) => Ok(plain.tally.finish()),
            Err(_) if self.stop.load(Ordering::Relaxed) => Err(Failure::Stopped),
            Err(failed) => Err(self.why_none(failed)),
        }
    }

    /// Brings them to the disk, reads each back, and answers what they are.
    fn finish(&mut self) -> Digest {
        let sealed = std::mem::take(&mut self.tally).finish();
        for copy in std::mem::take(&mut self.open) {
            let synced = copy.file.sync_all();
            let synced = synced.map_err(|error| Failure::io(&copy.path, error));
            match synced.and_then(|()| digest_of(&copy.path)) {
                Ok(read) if read == sealed => self.open.push(copy),
                Ok(_) => {
                    let failure = Failure::ReadBack(copy.path.clone());
                    self.give_up(copy, failure);
                }
                Err(failure) => self.give_up(copy, failure),
            }
        }
        sealed
    }

    /// Gives them their names, and each its manifest; the places that failed on the way.
    fn publish(mut self, note: &str) -> Result<Vec<(PathBuf, Failure)>, Failure> {
        let mut published = 0_usize;
        for copy in std::mem::take(&mut self.open) {
            match publish(&copy, &self.name, note) {
                Ok(()) => published = published.saturating_add(1),
                Err(failure) => self.give_up(copy, failure),
            }
        }
        if published == 0 {
            return Err(self.first_failure());
        }
        Ok(std::mem::take(&mut self.failed))
    }

    fn give_up(&mut self, copy: Copy, failure: Failure) {
        // The next backup removes it where it cannot be removed now.
        drop(std::fs::remove_file(&copy.path));
        self.failed.push((copy.place, failure));
    }

    fn first_failure(&mut self) -> Failure {
        let failed = self.failed.drain(..).next();
        failed.map_or(Failure::Unknown, |(_, failure)| failure)
    }

    fn why_none(&mut self, failed: Failed) -> Failure {
        if self.open.is_empty() && !self.failed.is_empty() {
            return self.first_failure();
        }
        let path = PathBuf::from(&self.name);
        Failure::Stream {
            path,
            source: failed,
        }
    }
}

fn publish(copy: &Copy, name: &str, note: &str) -> Result<(), Failure> {
    let place = &copy.place;
    let manifest = file_of(place, name, &format!("{MANIFEST}{PARTIAL}"));
    write(&manifest, note.as_bytes())?;
    rename(&copy.path, &file_of(place, name, SEALED))?;
    rename(&manifest, &file_of(place, name, MANIFEST))?;
    sync(directory::of(&copy.path))
}

impl Write for Copies<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process stops"));
        }
        for mut copy in std::mem::take(&mut self.open) {
            match copy.file.write_all(buffer) {
                Ok(()) => self.open.push(copy),
                Err(error) => {
                    let failure = Failure::io(&copy.path, error);
                    self.give_up(copy, failure);
                }
            }
        }
        if self.open.is_empty() {
            return Err(io::Error::other("no place takes it"));
        }
        self.tally.add(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Copies<'_> {
    fn drop(&mut self) {
        for copy in std::mem::take(&mut self.open) {
            drop(std::fs::remove_file(&copy.path));
        }
    }
}
