//! Key files on disk: who may read them, how they are read, how they are written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::directory;
use zeroize::Zeroizing;

/// No key file is larger.
const FILE_BYTES_MAX: usize = 16 * 1024;

const READABLE_BY_OTHERS: u32 = 0o077;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A key file that is not used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}", path = .path.display())]
pub struct KeyFileRefused {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and the mend where there is one.
    pub why: Why,
}

/// What is wrong with a key file. Nothing of its contents is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The operating system does not let it be read or written.
    #[error("the operating system refuses: {0}")]
    Io(io::ErrorKind),
    /// A directory, a socket, or another thing without contents.
    #[error("not a regular file")]
    NotAFile,
    /// Too long to be a key.
    #[error("longer than any key file")]
    TooLong,
    /// A secret that others can read, or change, is none.
    #[error("group or others have access to it; mend with `chmod 600`")]
    OpenToOthers,
    /// Whoever can change a public key can have cards sealed to their own.
    #[error("group or others can change it; mend with `chmod go-w`")]
    WritableByOthers,
    /// There is a file of that name already, and a key is never overwritten.
    #[error("exists already, and a key file is never overwritten; move it away first")]
    Exists,
    /// Not of the expected form.
    #[error("not a key file of the expected form")]
    Malformed,
    /// A test key in a live process, or a live key in a test process.
    #[error("a key of the {stated} environment, but this process serves {served}")]
    WrongEnvironment {
        /// The file's environment.
        stated: &'static str,
        /// The process's environment.
        served: &'static str,
    },
    /// The public key was exchanged, or the id.
    #[error("its `kek` is not the hash of its public key")]
    KekIsNotTheHash,
    /// Too weak for a live key, or so costly that reading the file would exhaust the machine.
    #[error("its key-stretching parameters are out of bounds for its environment")]
    StretchOutOfBounds,
    /// The passphrase is wrong or the file was altered; nobody can tell which.
    #[error("does not open: the passphrase is wrong, or the file was altered")]
    NotOpened,
    /// The private key belongs to another public key.
    #[error("its private key does not belong to its public key")]
    KeysDoNotMatch,
}

impl KeyFileRefused {
    pub(crate) fn new(path: &Path, why: Why) -> Self {
        Self {
            path: path.to_owned(),
            why,
        }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self::new(path, Why::Io(error.kind()))
    }
}

/// Reads a passphrase: the file's text without the newline that editors put at its end.
///
/// # Errors
/// As [`read_private`].
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileRefused> {
    let mut text = read_private(path)?;
    let length = text.trim_ascii_end().len();
    text.truncate(length);
    Ok(text)
}

/// Reads a secret file, which nobody but its owner may read.
///
/// # Errors
/// [`KeyFileRefused`] names the file and what is wrong.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileRefused> {
    read(path, READABLE_BY_OTHERS, Why::OpenToOthers)
}

/// Reads a public file, which nobody but its owner may change.
///
/// # Errors
/// [`KeyFileRefused`] names the file and what is wrong.
pub fn read_public(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileRefused> {
    read(path, WRITABLE_BY_OTHERS, Why::WritableByOthers)
}

fn read(path: &Path, forbidden: u32, why: Why) -> Result<Zeroizing<Vec<u8>>, KeyFileRefused> {
    let file = File::open(path).map_err(|error| KeyFileRefused::io(path, &error))?;
    // Of the open file, not of the path: what is looked at is what is read.
    let metadata = file
        .metadata()
        .map_err(|error| KeyFileRefused::io(path, &error))?;
    if !metadata.is_file() {
        return Err(KeyFileRefused::new(path, Why::NotAFile));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(KeyFileRefused::new(path, why));
    }
    let limit = FILE_BYTES_MAX.saturating_add(1);
    // Of its full size from the beginning, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    file.take(u64::try_from(limit).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(|error| KeyFileRefused::io(path, &error))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(KeyFileRefused::new(path, Why::TooLong));
    }
    Ok(bytes)
}

/// Writes a new secret file that only its owner can read, and returns when it is on the disk. A
/// file that exists is left as it is.
///
/// # Errors
/// [`KeyFileRefused`] names the file and what is wrong.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileRefused> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                KeyFileRefused::new(path, Why::Exists)
            } else {
                KeyFileRefused::io(path, &error)
            }
        })?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory_of(path));
    written.map_err(|error| {
        // Half a key is worse than none. That it could not be removed either is not the news.
        drop(std::fs::remove_file(path));
        KeyFileRefused::io(path, &error)
    })
}

/// A file's name is on the disk only when its directory is.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory::of(path))?.sync_all()
}
