//! Files that are on the disk when they are said to be, read by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::Failure;
use super::manifest::Digest;
use crate::directory;
use crate::seal::hex;

pub(super) const FILE_MODE: u32 = 0o600;
/// Bytes that are read and hashed at once.
const CHUNK_BYTES: usize = 1 << 16;
/// No manifest or proof is longer.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A new file that only its owner reads.
pub(super) fn create(path: &Path) -> Result<File, Failure> {
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(FILE_MODE);
    new.open(path).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Failure::Exists(path.to_owned())
    } else {
        Failure::io(path, error)
    }
}

/// A note of ours, as text.
pub(super) fn read_note(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(NOTE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The names of directories are on the disk only when the directory is.
pub(super) fn sync(directory: &Path) -> Result<(), Failure> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Failure::io(directory, error))
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io(path, error)),
        _ => Ok(()),
    }
}

/// That path with something behind its name.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a database and what SQLite keeps beside it.
///
/// # Errors
/// [`Failure::Io`] names the file that stays.
pub fn remove_database(path: &Path) -> Result<(), Failure> {
    for suffix in COMPANIONS {
        remove(&beside(path, suffix))?;
    }
    remove(path)
}

/// Whether a database, or what SQLite keeps beside one, is there: a write-ahead log of another
/// database beside a restored one would be read into it.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    let mut all = COMPANIONS.iter().map(|suffix| beside(path, suffix));
    path.symlink_metadata().is_ok() || all.any(|file| file.symlink_metadata().is_ok())
}

/// Gives a whole database its name, unless something of that name is there by now.
///
/// # Errors
/// [`Failure::Exists`], [`Failure::Io`].
pub fn place_new(from: &Path, to: &Path) -> Result<(), Failure> {
    // Renaming would overwrite; a second name is refused where there is one.
    fs::hard_link(from, to).map_err(|error| refused(to, error))?;
    remove_database(from)?;
    sync(directory::of(to))
}

/// A file's length and hash.
pub(super) fn digest_of(path: &Path) -> Result<Digest, Failure> {
    let mut tally = Tally::default();
    let failed = |error| Failure::io(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).map_err(failed)?;
        if length == 0 {
            return Ok(tally.finish());
        }
        tally.add(chunk.get(..length).unwrap_or_default());
    }
}

/// Counts and hashes what goes by.
pub(super) struct Tally {
    hash: Context,
    bytes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            hash: Context::new(&SHA256),
            bytes: 0,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
    }

    pub(super) fn finish(self) -> Digest {
        Digest {
            bytes: self.bytes,
            sha256: hex(self.hash.finish().as_ref()),
        }
    }
}

/// What is read from, or written to, with its tally.
pub(super) struct Tallied<F> {
    pub(super) file: F,
    pub(super) tally: Tally,
}

impl<F> Tallied<F> {
    pub(super) fn new(file: F) -> Self {
        let tally = Tally::default();
        Self { file, tally }
    }
}

impl<F: Read> Read for Tallied<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.tally.add(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

impl<F: Write> Write for Tallied<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.file.write(buffer)?;
        self.tally.add(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
