//! Where copies of checkpoints go, out of the reach of whoever owns the database.
//!
//! A copy is one line of JSON: `at` (RFC 3339), `size`, `note`, the signed note itself, and `peaks`,
//! the roots of the complete subtrees under it, largest first (base64), from which the tree goes on.
//! A file is appended to and synced; syslog takes a datagram of RFC 5424 at facility 13, the log audit; an
//! HTTPS address gets a POST whose idempotency key is made of the size and the note, and answers 2xx when it has it.

use std::fmt;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::note::{Checkpoint, LogKey};
use super::tree::{Edge, leaf_hash};
use crate::clock::Timestamp;
use crate::net;
use crate::seal::hex;

/// PRI of RFC 5424: facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;
/// Bytes of a file of checkpoints that are read at most: some ten million.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Bytes at a file's end in which its newest copy is looked for: some thirty copies.
const TAIL_BYTES_MAX: u64 = 1 << 16;

/// A place for copies.
#[derive(Clone)]
pub enum Sink {
    /// A file that is only appended to.
    File(PathBuf),
    /// The socket of the machine's syslog.
    Syslog(PathBuf),
    /// An address that takes POSTs.
    Https {
        /// The address.
        url: Url,
        /// Whom to trust.
        tls: Box<ClientConfig>,
    },
}

/// A copy of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// When it was signed, RFC 3339.
    pub at: String,
    /// Events under it.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// The tree's edge, base64; copies of before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<String>,
}

/// A checkpoint that the log's key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
    /// The edge of the tree under it, where it is known: it has the root that was signed.
    pub edge: Option<Edge>,
    /// Where it is from, in words.
    pub source: String,
}

impl Attested {
    /// What a note and the peaks beside it come to; none where the log's key has not signed the note.
    #[must_use]
    pub fn open(key: &LogKey, note: &str, peaks: Option<&[u8]>, source: String) -> Option<Self> {
        let checkpoint = key.open(note).ok()?;
        let edge = peaks.and_then(|peaks| Edge::read(checkpoint.size, peaks));
        Some(Self {
            checkpoint,
            note: note.to_owned(),
            edge: edge.filter(|edge| edge.root() == checkpoint.root),
            source,
        })
    }
}

impl Copy {
    /// Of a note that was signed then.
    #[must_use]
    pub fn of(at: Timestamp, size: u64, note: String, peaks: Option<&[u8]>) -> Self {
        Self {
            at: at.rfc3339(),
            size,
            note,
            peaks: peaks.map(|peaks| STANDARD.encode(peaks)),
        }
    }

    fn open(&self, key: &LogKey, source: String) -> Option<Attested> {
        let peaks = self.peaks.as_ref();
        let peaks = peaks.and_then(|peaks| STANDARD.decode(peaks).ok());
        Attested::open(key, &self.note, peaks.as_deref(), source)
    }

    /// The one line.
    fn line(&self) -> String {
        // Strings and a number; nothing that the writer could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Sink {
    /// Hands a copy over. It is there when this has answered; syslog cannot say so of its disk.
    ///
    /// # Errors
    /// Why it is not, in words.
    pub async fn take(&self, copy: &Copy, node: &str) -> Result<(), String> {
        match self {
            Self::File(path) => {
                let (path, line) = (path.clone(), copy.line());
                blocking(move || append(&path, &line)).await
            }
            Self::Syslog(socket) => {
                let (socket, message) = (socket.clone(), syslog(copy, node));
                blocking(move || {
                    UnixDatagram::unbound()?.send_to(message.as_bytes(), &socket)?;
                    Ok(())
                })
                .await
            }
            Self::Https { url, tls } => {
                let body = Zeroizing::new(copy.line().into_bytes());
                // Two histories may have checkpoints of one size.
                let hash = leaf_hash(copy.note.as_bytes());
                let name = hex(hash.get(..8).unwrap_or_default());
                let key = format!("checkpoint-{}-{name}", copy.size);
                let (status, _) = net::once::post_json(url, (**tls).clone(), &key, body).await?;
                let is_taken = (200..300).contains(&status);
                is_taken
                    .then_some(())
                    .ok_or_else(|| format!("it answered {status}"))
            }
        }
    }

    /// The copies that a file holds, where this is one: for whoever verifies. A file that is not
    /// there yet holds none.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn held(&self) -> Result<Vec<(String, String)>, String> {
        match self {
            Self::File(path) if path.exists() => held(path),
            Self::File(_) | Self::Syslog(_) | Self::Https { .. } => Ok(Vec::new()),
        }
    }
}

impl Sink {
    /// The newest copy that it holds, where it can be read: a file. Nothing where it holds none yet.
    ///
    /// # Errors
    /// Why it cannot be read, or that it holds no copy that the log's key has signed, in words.
    pub async fn newest(&self, key: &LogKey) -> Result<Option<Attested>, String> {
        match self {
            Self::File(path) => {
                let (path, key) = (path.clone(), key.clone());
                let read = tokio::task::spawn_blocking(move || newest(&path, &key));
                read.await.map_err(|_| "it was broken off".to_owned())?
            }
            Self::Syslog(_) | Self::Https { .. } => Ok(None),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Syslog(socket) => write!(f, "syslog:{}", socket.display()),
            // What may stand behind the host (a secret path, say) is not for logs.
            Self::Https { url, .. } => write!(f, "{}", url.origin().ascii_serialization()),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({self})")
    }
}

/// The notes in a file, each with where it is from: of a file that a sink wrote, or one bare note.
///
/// # Errors
/// Why it cannot be read, in words.
pub fn held(path: &Path) -> Result<Vec<(String, String)>, String> {
    let name = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| format!("{name}: {error}"))?;
    if !text.starts_with('{') {
        return Ok(vec![(name.to_string(), text)]);
    }
    let read = |(number, line): (usize, &str)| {
        let from = format!("{name}, line {}", number.saturating_add(1));
        // What is no copy is as good as a forged one, and is told as one.
        let copy = serde_json::from_str::<Copy>(line);
        (from, copy.map(|copy| copy.note).unwrap_or_default())
    };
    Ok(text.lines().enumerate().map(read).collect())
}

fn newest(path: &Path, key: &LogKey) -> Result<Option<Attested>, String> {
    let Some(tail) = tail(path)? else {
        return Ok(None);
    };
    let open = |line: &str| {
        let copy: Copy = serde_json::from_str(line).ok()?;
        copy.open(key, path.display().to_string())
    };
    let newest = tail.lines().rev().find_map(open);
    if newest.is_none() && !tail.contains('\n') {
        // The first copy was broken off.
        return Ok(None);
    }
    newest.map(Some).ok_or_else(|| {
        let path = path.display();
        format!("{path} ends with no checkpoint that the log's key has signed")
    })
}

/// The end of a file; nothing where it is not there, or empty.
fn tail(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error| format!("{}: {error}", path.display());
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let length = file.metadata().map_err(unreadable)?.len();
    if length == 0 {
        return Ok(None);
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))
        .and_then(|_| file.take(TAIL_BYTES_MAX).read_to_end(&mut tail))
        .map_err(unreadable)?;
    Ok(Some(String::from_utf8_lossy(&tail).into_owned()))
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)?;
    // A line that was broken off by a crash does not spoil the next one.
    let broken_off = !is_at_a_line_start(&mut file)?;
    let start = if broken_off { "\n" } else { "" };
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    file.sync_all()
}

fn is_at_a_line_start(file: &mut std::fs::File) -> std::io::Result<bool> {
    let mut last = [0];
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn syslog(copy: &Copy, node: &str) -> String {
    let process = std::process::id();
    let node: String = node
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    let line = copy.line();
    format!(
        "<{PRIORITY}>1 {} {node} cloakroom {process} checkpoint - {line}",
        copy.at
    )
}

/// A disk, or a daemon that reads slowly, keeps nobody else waiting.
async fn blocking(
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> Result<(), String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("it was broken off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(size: u64) -> Copy {
        let note = format!("note {size}\n");
        Copy::of(Timestamp::from_unix_ms(0), size, note, None)
    }

    fn key() -> (LogKey, crate::seal::signing::SigningKey) {
        use crate::seal::signing::SigningKey;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        crate::seal::file::write_private(&path, SigningKey::generate().unwrap().as_bytes())
            .unwrap();
        let key = SigningKey::read(&path).unwrap();
        (LogKey::of(&key), key)
    }

    #[tokio::test]
    async fn the_newest_copy_of_a_file_is_found_behind_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints");
        let sink = Sink::File(path.clone());
        let (log, signing) = key();
        assert_eq!(sink.newest(&log).await, Ok(None));
        let mut edge = Edge::default();
        for number in 1..=300_u64 {
            edge.append([7; 32]);
            let checkpoint = Checkpoint {
                size: number,
                root: edge.root(),
                ..Checkpoint::default()
            };
            let note = log.sign(checkpoint, &signing);
            let peaks = edge.bytes();
            let copy = Copy::of(Timestamp::from_unix_ms(0), number, note, Some(&peaks));
            append(&path, &copy.line()).unwrap();
        }
        // A crash while the next one was written.
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(br#"{"at":"2026"#))
            .unwrap();
        let newest = sink.newest(&log).await.unwrap().unwrap();
        assert_eq!(newest.checkpoint.size, 300);
        assert_eq!(newest.edge, Some(edge.clone()));
        append(&path, "{}").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("{\"at\":\"2026\n{}\n"));

        // Peaks that are of another tree are none, and another key has signed nothing here.
        let note = log.sign(newest.checkpoint, &signing);
        edge.append([8; 32]);
        let opened = Attested::open(&log, &note, Some(&edge.bytes()), String::new());
        assert_eq!(opened.unwrap().edge, None);
        assert!(sink.newest(&key().0).await.is_err());
        std::fs::write(&path, r#"{"at":"20"#).unwrap();
        assert_eq!(sink.newest(&log).await, Ok(None));
    }

    #[tokio::test]
    async fn a_file_is_appended_to_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints");
        let sink = Sink::File(path.clone());
        assert_eq!(sink.held(), Ok(vec![]));
        for size in [1, 2] {
            sink.take(&copy(size), "node").await.unwrap();
        }
        std::fs::write(dir.path().join("bare"), "log\n1\nroot\n").unwrap();
        let held = sink.held().unwrap();
        let notes: Vec<_> = held.iter().map(|(_, note)| note.as_str()).collect();
        assert_eq!(notes, ["note 1\n", "note 2\n"]);
        assert!(held[1].0.ends_with("checkpoints, line 2"), "{held:?}");
        assert_eq!(
            super::held(&dir.path().join("bare")).unwrap()[0].1,
            "log\n1\nroot\n"
        );
        append(&path, "not a copy").unwrap();
        assert_eq!(sink.held().unwrap()[2].1, "");
        let gone = Sink::File(dir.path().join("no/such"));
        assert!(gone.take(&copy(3), "node").await.is_err());
    }

    #[tokio::test]
    async fn syslog_gets_a_message_of_rfc_5424() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let sink = Sink::Syslog(path.clone());
        assert!(
            sink.take(&copy(7), "pay 1").await.is_err(),
            "nobody listens"
        );
        let socket = UnixDatagram::bind(&path).unwrap();
        sink.take(&copy(7), "pay 1").await.unwrap();
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).unwrap();
        let message = str::from_utf8(&bytes[..length]).unwrap();
        let expected = format!(
            "<109>1 1970-01-01T00:00:00.000Z pay1 cloakroom {} checkpoint - {{\"at\"",
            std::process::id()
        );
        assert!(message.starts_with(&expected), "{message}");
        assert!(
            message.ends_with(r#""size":7,"note":"note 7\n"}"#),
            "{message}"
        );
    }
}
