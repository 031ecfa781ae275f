//! Where copies of checkpoints go, out of the reach of whoever owns the database.
//!
//! A copy is one line of JSON: `at` (RFC 3339), `size`, and `note`, the signed note itself. A file
//! is appended to and synced; syslog takes a datagram of RFC 5424 at facility 13, the log audit; an
//! HTTPS address gets a POST with the size as its idempotency key, and answers 2xx when it has it.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::net;

/// PRI of RFC 5424: facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;
/// Bytes of a file of checkpoints that are read at most: some ten million.
const FILE_BYTES_MAX: u64 = 4 << 30;

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
}

impl Copy {
    /// Of a note that was signed then.
    #[must_use]
    pub fn of(at: Timestamp, size: u64, note: String) -> Self {
        let at = at.rfc3339();
        Self { at, size, note }
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
                let key = format!("checkpoint-{}", copy.size);
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
pub fn held(path: &std::path::Path) -> Result<Vec<(String, String)>, String> {
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

fn append(path: &std::path::Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
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
        Copy::of(Timestamp::from_unix_ms(0), size, format!("note {size}\n"))
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
