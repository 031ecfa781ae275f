//! Checkpoints: signed statements of how long the log was and what its root was then.
//!
//! The format is C2SP's: a signed note (<https://c2sp.org/signed-note>) whose text is a
//! tlog-checkpoint (<https://c2sp.org/tlog-checkpoint>), signed with Ed25519. Any witness or
//! monitor of transparency logs reads it. Two extension lines may follow the root: `epoch N SIZE`
//! once an operator has accepted that the database was rolled back, and `key-manifest VERSION` where
//! there is a key manifest.

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::Hash;
use crate::seal::file::{self, KeyFileRefused, Why};
use crate::seal::hex;
use crate::seal::signing::{PUBLIC_KEY_BYTES, SigningKey, verify};

/// Ed25519, as signed-note numbers its algorithms.
const ED25519: u8 = 1;
const KEY_HASH_BYTES: usize = 4;
const EPOCH: &str = "epoch ";
const KEY_MANIFEST: &str = "key-manifest ";

/// How long the log was, and its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Events under it.
    pub size: u64,
    /// The root of the tree of those events.
    pub root: Hash,
    /// The history that it is of.
    pub epoch: Epoch,
    /// The version of the key manifest that was in force.
    pub key_manifest: Option<u32>,
}

/// A history of the log. A new one begins when an operator accepts that the database is older than
/// what was signed of it: what was signed behind that place is another history's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch {
    /// How often a rollback was accepted.
    pub number: u32,
    /// Events that it has in common with the one before.
    pub begins_at: u64,
}

/// The log's public key, with the name that is its origin: a C2SP verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: [u8; PUBLIC_KEY_BYTES],
}

/// Not what the log's key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what the log's key has signed")]
pub struct Forged;

impl LogKey {
    /// The public half of `key`, under the name that the log is to have.
    #[must_use]
    pub fn of(key: &SigningKey) -> Self {
        Self {
            name: format!("cloakroom-audit-{}", key.key_id()),
            key: key.public_key_bytes(),
        }
    }

    /// Reads the key from a file with its verifier key, as [`text`](Self::text) writes it.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path) -> Result<Self, KeyFileRefused> {
        let text = file::read_public(path)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        Self::parse(text.trim()).ok_or_else(|| KeyFileRefused::new(path, Why::Malformed))
    }

    /// The verifier key: name, hash and key.
    #[must_use]
    pub fn text(&self) -> String {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.key);
        let hash = hex(&self.hash());
        format!("{}+{hash}+{}", self.name, STANDARD.encode(key))
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (hash, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let (&algorithm, key) = key.split_first()?;
        let key: [u8; PUBLIC_KEY_BYTES] = key.try_into().ok()?;
        let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
        let read = Self {
            name: name.to_owned(),
            key,
        };
        let matches = algorithm == ED25519 && is_name && read.text() == text && hash.len() == 8;
        matches.then_some(read)
    }

    /// The log's name, in the first line of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> [u8; KEY_HASH_BYTES] {
        let mut message = self.name.clone().into_bytes();
        message.extend_from_slice(&[b'\n', ED25519]);
        message.extend_from_slice(&self.key);
        let mut hash = [0; KEY_HASH_BYTES];
        let digest = digest(&SHA256, &message);
        hash.copy_from_slice(digest.as_ref().get(..KEY_HASH_BYTES).unwrap_or(&[0; 4]));
        hash
    }

    /// The signed note of a checkpoint.
    #[must_use]
    pub fn sign(&self, checkpoint: Checkpoint, key: &SigningKey) -> String {
        self.sign_text(&self.body(checkpoint), key)
    }

    /// The signed note of any text, which ends with a line break and has no empty line. A text that
    /// begins with another line than the log's name is never taken for a checkpoint.
    #[must_use]
    pub fn sign_text(&self, text: &str, key: &SigningKey) -> String {
        let mut signature = self.hash().to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()));
        let signature = STANDARD.encode(signature);
        format!("{text}\n\u{2014} {} {signature}\n", self.name)
    }

    /// Reads a signed note of this log. Signatures of others, as of witnesses, may stand beside
    /// ours.
    ///
    /// # Errors
    /// [`Forged`], whatever is wrong with it.
    pub fn open(&self, note: &str) -> Result<Checkpoint, Forged> {
        let text = self.open_text(note)?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let root = STANDARD.decode(root.ok_or(Forged)?).map_err(|_| Forged)?;
        let mut checkpoint = Checkpoint {
            size: size.and_then(|size| size.parse().ok()).ok_or(Forged)?,
            root: root.try_into().map_err(|_| Forged)?,
            ..Checkpoint::default()
        };
        lines
            .try_for_each(|line| checkpoint.extend(line))
            .ok_or(Forged)?;
        // One way to write it.
        (origin == Some(self.name.as_str()) && self.body(checkpoint) == text)
            .then_some(checkpoint)
            .ok_or(Forged)
    }

    /// The text of a signed note, where this key has signed it.
    ///
    /// # Errors
    /// [`Forged`], whatever is wrong with it.
    pub fn open_text(&self, note: &str) -> Result<String, Forged> {
        let (text, signatures) = note.split_once("\n\n").ok_or(Forged)?;
        let text = format!("{text}\n");
        let prefix = format!("\u{2014} {} ", self.name);
        let is_ours = |line: &str| {
            let signature = line.strip_prefix(&prefix)?;
            let signature = STANDARD.decode(signature).ok()?;
            let (hash, signature) = signature.split_first_chunk::<KEY_HASH_BYTES>()?;
            let holds = *hash == self.hash() && verify(&self.key, text.as_bytes(), signature);
            holds.then_some(())
        };
        signatures.lines().find_map(is_ours).ok_or(Forged)?;
        Ok(text)
    }

    fn body(&self, checkpoint: Checkpoint) -> String {
        let Checkpoint {
            size,
            root,
            epoch,
            key_manifest,
        } = checkpoint;
        let root = STANDARD.encode(root);
        let mut text = format!("{}\n{size}\n{root}\n", self.name);
        // Writing to a text does not fail.
        if epoch != Epoch::default() {
            let _written = writeln!(text, "{EPOCH}{} {}", epoch.number, epoch.begins_at);
        }
        if let Some(version) = key_manifest {
            let _written = writeln!(text, "{KEY_MANIFEST}{version}");
        }
        text
    }
}

impl Checkpoint {
    /// Takes what an extension line says; none where it says nothing that we know.
    fn extend(&mut self, line: &str) -> Option<()> {
        if let Some(epoch) = line.strip_prefix(EPOCH) {
            let (number, begins_at) = epoch.split_once(' ')?;
            self.epoch = Epoch {
                number: number.parse().ok()?,
                begins_at: begins_at.parse().ok()?,
            };
        } else {
            let version = line.strip_prefix(KEY_MANIFEST)?;
            self.key_manifest = Some(version.parse().ok()?);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tree::HASH_BYTES;

    fn key() -> SigningKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        file::write_private(&path, SigningKey::generate().unwrap().as_bytes()).unwrap();
        SigningKey::read(&path).unwrap()
    }

    #[test]
    fn a_checkpoint_is_read_back_and_nothing_else_is() {
        let (ours, theirs) = (key(), key());
        let log = LogKey::of(&ours);
        let checkpoint = Checkpoint {
            size: 7_204,
            root: [9; HASH_BYTES],
            ..Checkpoint::default()
        };
        let note = log.sign(checkpoint, &ours);
        assert_eq!(log.open(&note), Ok(checkpoint));
        let witnessed = format!("{note}\u{2014} witness.example AAAA\n");
        assert_eq!(log.open(&witnessed), Ok(checkpoint));

        assert_eq!(LogKey::of(&theirs).open(&note), Err(Forged));
        assert_eq!(log.open(&log.sign(checkpoint, &theirs)), Err(Forged));
        for (from, to) in [
            ("7204", "7203"),
            ("7204", "07204"),
            ("CQ", "CA"),
            ("\n\n", "\n"),
        ] {
            assert!(note.contains(from), "{from}");
            assert_eq!(log.open(&note.replacen(from, to, 1)), Err(Forged), "{to}");
        }
        assert_eq!(log.open(""), Err(Forged));
    }

    #[test]
    fn extension_lines_are_signed_and_read_back_in_one_form() {
        let ours = key();
        let log = LogKey::of(&ours);
        let checkpoint = Checkpoint {
            size: 40,
            epoch: Epoch {
                number: 1,
                begins_at: 25,
            },
            key_manifest: Some(7),
            ..Checkpoint::default()
        };
        let note = log.sign(checkpoint, &ours);
        assert!(note.contains("\nepoch 1 25\nkey-manifest 7\n\n"), "{note}");
        assert_eq!(log.open(&note), Ok(checkpoint));
        let root = STANDARD.encode([0; HASH_BYTES]);
        for lines in [
            "epoch 0 0",
            "epoch 1",
            "key-manifest 07",
            "key-manifest 7\nepoch 1 25",
            "key-manifest 7\nkey-manifest 7",
            "other",
        ] {
            let text = format!("{}\n40\n{root}\n{lines}\n", log.name());
            assert_eq!(
                log.open(&log.sign_text(&text, &ours)),
                Err(Forged),
                "{lines}"
            );
        }
    }

    #[test]
    fn a_verifier_key_is_read_back_and_an_altered_one_is_refused() {
        let log = LogKey::of(&key());
        let text = log.text();
        assert_eq!(LogKey::parse(&text), Some(log));
        let altered = text.replacen("cloakroom", "cloakr00m", 1);
        for other in [altered.as_str(), "", "a+b+c", text.trim_start_matches('c')] {
            assert_eq!(LogKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_verifier_key_of_the_specifications_example_is_ours_too() {
        // C2SP signed-note, "Verifier keys": PeterNeumann's key.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let log = LogKey::parse(text).unwrap();
        assert_eq!((log.name(), log.text().as_str()), ("PeterNeumann", text));
    }
}
