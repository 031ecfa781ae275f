//! What is said of a backup, under the audit log's key: anybody who has the verifier key can tell
//! whether a file is that backup, without opening it.
//!
//! It is a C2SP signed note whose text is a line that names it and one JSON object. That line is not
//! the log's name, so a manifest is never taken for a checkpoint. Size and root of the log are what
//! the database says of itself, which is never signed as a checkpoint: the newest one that the log's
//! publisher has signed stands in the object, for `audit verify --checkpoint`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Failure;
use crate::audit::note::LogKey;
use crate::clock::Timestamp;
use crate::seal::KekId;
use crate::seal::signing::SigningKey;
use crate::store::CopyFacts;
use crate::token::Environment;

const MANIFEST: &str = "cloakroom-backup-manifest/1";
const PROOF: &str = "cloakroom-backup-proof/1";

/// What is said of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name, by which its files are called; names have the order of time.
    pub name: String,
    /// `test` or `live`.
    pub environment: Environment,
    /// The node that made it.
    pub node: String,
    /// The version of the program that made it.
    pub release: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// The newest migration of its database.
    pub schema_version: i64,
    /// The first event of its audit log, which names the database.
    pub first_event: Option<String>,
    /// Events in its audit log.
    pub audit_size: u64,
    /// The root of the tree of those events, base64.
    pub audit_root: String,
    /// The newest signed checkpoint in it.
    pub audit_checkpoint: Option<String>,
    /// The key-encryption keys without which its tokens cannot be opened.
    pub keks: Vec<String>,
    /// The backup key that it is sealed to.
    pub recipient: String,
    /// Its tokens, in whatever state.
    pub tokens: u64,
    /// Its charges.
    pub charges: u64,
    /// Its refunds.
    pub refunds: u64,
    /// The database.
    pub plain: Digest,
    /// The file as it is kept.
    pub sealed: Digest,
}

/// A file, as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// How long it is.
    pub bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// That a backup was opened with the private half, and what was found in it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The backup.
    pub name: String,
    /// The SHA-256 of its sealed file, hexadecimal.
    pub sealed_sha256: String,
    /// When, RFC 3339.
    pub proved_at: String,
    /// Whether the key of its tokens was at hand and opened the canary.
    pub canary: bool,
}

impl Manifest {
    /// Which of the things that a copy says of itself are others than were signed.
    #[must_use]
    pub fn differences(&self, facts: &CopyFacts) -> Vec<&'static str> {
        let keks: Vec<String> = facts.keks.iter().map(ToString::to_string).collect();
        let same = [
            (
                "schema_version",
                self.schema_version == facts.schema_version,
            ),
            ("first_event", self.first_event == facts.first_event),
            ("audit_size", self.audit_size == facts.audit_size),
            (
                "audit_root",
                self.audit_root == STANDARD.encode(facts.audit_root),
            ),
            (
                "audit_checkpoint",
                self.audit_checkpoint == facts.checkpoint,
            ),
            ("keks", self.keks == keks),
            ("tokens", self.tokens == facts.tokens),
            ("charges", self.charges == facts.charges),
            ("refunds", self.refunds == facts.refunds),
        ];
        let others = same.into_iter().filter(|(_, is_same)| !is_same);
        others.map(|(name, _)| name).collect()
    }

    /// When it was made.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        Timestamp::parse_rfc3339(&self.made_at)
    }

    /// Whether its tokens are sealed under that key.
    #[must_use]
    pub fn needs(&self, kek: &KekId) -> bool {
        self.keks.iter().any(|needed| needed == kek.as_str())
    }

    pub(super) fn signed(&self, key: &SigningKey) -> Result<String, Failure> {
        sign(MANIFEST, self, key)
    }

    pub(super) fn open(note: &str, key: &LogKey) -> Option<Self> {
        read(MANIFEST, note, key)
    }
}

impl Proof {
    pub(super) fn signed(&self, key: &SigningKey) -> Result<String, Failure> {
        sign(PROOF, self, key)
    }

    pub(super) fn open(note: &str, key: &LogKey) -> Option<Self> {
        read(PROOF, note, key)
    }
}

fn sign(what: &str, said: &impl Serialize, key: &SigningKey) -> Result<String, Failure> {
    // Without an empty line, as a note must be: line breaks within texts are escaped.
    let json = serde_json::to_string_pretty(said).map_err(|_| Failure::Unsigned)?;
    Ok(LogKey::of(key).sign_text(&format!("{what}\n{json}\n"), key))
}

fn read<T: DeserializeOwned>(what: &str, note: &str, key: &LogKey) -> Option<T> {
    let text = key.open_text(note).ok()?;
    let json = text.strip_prefix(what)?.strip_prefix('\n')?;
    serde_json::from_str(json).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::seal::file::write_private;

    pub(in crate::backup) fn signing_key(dir: &std::path::Path) -> SigningKey {
        let path = dir.join("checkpoint.key");
        write_private(&path, SigningKey::generate().unwrap().as_bytes()).unwrap();
        SigningKey::read(&path).unwrap()
    }

    pub(in crate::backup) fn sample(name: &str) -> Manifest {
        let digest = Digest {
            bytes: 1,
            sha256: "ab".repeat(32),
        };
        Manifest {
            name: name.to_owned(),
            environment: Environment::Test,
            node: "n".to_owned(),
            release: "0.1.0".to_owned(),
            made_at: "2026-11-29T08:00:00.000Z".to_owned(),
            schema_version: 17,
            first_event: None,
            audit_size: 0,
            audit_root: String::new(),
            audit_checkpoint: Some("a\n\nb\n".to_owned()),
            keks: vec![format!("kek_{}", "0".repeat(32))],
            recipient: "bkp_0".to_owned(),
            tokens: 1,
            charges: 2,
            refunds: 3,
            plain: digest.clone(),
            sealed: digest,
        }
    }

    #[test]
    fn a_manifest_is_read_back_and_an_edited_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let key = signing_key(dir.path());
        let log = LogKey::of(&key);
        let manifest = sample("monday");
        let note = manifest.signed(&key).unwrap();
        assert_eq!(Manifest::open(&note, &log), Some(manifest));
        for (from, to) in [
            ("monday", "friday"),
            ("\"tokens\": 1", "\"tokens\": 9"),
            ("manifest/1", "manifest/2"),
        ] {
            assert!(note.contains(from), "{from}");
            assert_eq!(Manifest::open(&note.replacen(from, to, 1), &log), None);
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let other = LogKey::of(&signing_key(elsewhere.path()));
        assert_eq!(Manifest::open(&note, &other), None);
        // Neither is the other, nor a checkpoint.
        assert_eq!(Proof::open(&note, &log), None);
        assert!(log.open(&note).is_err());
    }
}
