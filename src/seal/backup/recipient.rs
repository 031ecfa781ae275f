//! Whom backups are sealed to: an HPKE key pair in two JSON documents, the private one under a
//! passphrase.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::hpke::{HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};

use crate::seal::custody::lock::Locked;
use crate::seal::data_key::{KEY_BYTES, KeyBytes, hex};
use crate::seal::envelope::length_prefixed;
use crate::seal::file::hpke::{self, POINT_BYTES};
use crate::seal::file::{self, GenerateFailed, Kdf, KeyFileRefused, Stretch, Why};
use crate::token::Environment;

const PUBLIC_FORMAT: &str = "cloakroom-backup-public/1";
const PRIVATE_FORMAT: &str = "cloakroom-backup-private/1";
const SUITE: &str = "DHKEM(P-256,HKDF-SHA256)/HKDF-SHA256/AES-256-GCM";
/// What the wrapping is for (RFC 9180, 5.1: `info`).
const INFO: &[u8] = b"cloakroom/backup/v1";
/// Bytes of a hash that are enough of a name.
const KEY_HASH_BYTES: usize = 16;

/// What both documents say of the pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicFile {
    format: String,
    environment: Environment,
    recipient: String,
    suite: String,
    public_key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateFile {
    format: String,
    public: PublicFile,
    kdf: Kdf,
    private_key: Locked,
}

/// The public half: seals, and opens nothing.
#[derive(Clone)]
pub struct BackupRecipient {
    environment: Environment,
    id: String,
    key: HpkePublicKey,
}

/// The private half: opens.
pub struct BackupIdentity {
    recipient: BackupRecipient,
    key: HpkePrivateKey,
}

/// The two files of a new pair.
#[derive(Debug)]
pub struct BackupFiles {
    /// For the host that makes backups.
    pub public: Vec<u8>,
    /// To be carried off that host.
    pub private: Vec<u8>,
    /// The id of the pair.
    pub id: String,
}

/// Makes a pair for `environment`, its private half under `passphrase`. It takes a fraction of a
/// second and 64 MiB: not for an async thread.
///
/// # Errors
/// [`GenerateFailed`].
pub fn generate(
    environment: Environment,
    passphrase: &[u8],
) -> Result<BackupFiles, GenerateFailed> {
    file::require_passphrase(passphrase)?;
    let crypto = GenerateFailed::Crypto;
    let (public, private) = hpke::generate().ok_or(crypto)?;
    let public = PublicFile {
        format: PUBLIC_FORMAT.to_owned(),
        environment,
        recipient: id_of(&public.0),
        suite: SUITE.to_owned(),
        public_key: STANDARD.encode(&public.0),
    };
    let kdf = Kdf::new(Stretch::RECOMMENDED);
    let cipher = kdf.cipher(passphrase, environment).map_err(|_| crypto)?;
    let aad = authenticated(&public, &kdf);
    let private_key = Locked::seal(&cipher, &aad, private.secret_bytes()).ok_or(crypto)?;
    let private = PrivateFile {
        format: PRIVATE_FORMAT.to_owned(),
        public: public.clone(),
        kdf,
        private_key,
    };
    Ok(BackupFiles {
        public: json_of(&public).ok_or(crypto)?,
        private: json_of(&private).ok_or(crypto)?,
        id: public.recipient,
    })
}

impl BackupRecipient {
    /// Reads the public document at `path`, for a process that serves `environment`.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path, environment: Environment) -> Result<Self, KeyFileRefused> {
        let text = file::read_public(path)?;
        let parsed = serde_json::from_slice(&text).map_err(|_| Why::Malformed);
        parsed
            .and_then(|document| Self::of(&document, environment))
            .map_err(|why| KeyFileRefused::new(path, why))
    }

    fn of(document: &PublicFile, environment: Environment) -> Result<Self, Why> {
        if document.format != PUBLIC_FORMAT || document.suite != SUITE {
            return Err(Why::Malformed);
        }
        if document.environment != environment {
            return Err(Why::WrongEnvironment {
                stated: document.environment.name(),
                served: environment.name(),
            });
        }
        let key = STANDARD.decode(&document.public_key);
        let key = key.map_err(|_| Why::Malformed)?;
        if key.len() != POINT_BYTES || id_of(&key) != document.recipient {
            return Err(Why::Malformed);
        }
        let recipient = Self {
            environment,
            id: document.recipient.clone(),
            key: HpkePublicKey(key),
        };
        // A point off the curve is found now, not at the first backup.
        let probe = recipient.wrap("probe", &KeyBytes::random());
        probe.map(|_| recipient).ok_or(Why::Malformed)
    }

    /// The pair's id: `bkp_` and 32 hexadecimal characters of its public key's hash.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Wraps the key of the stream of that name.
    pub(super) fn wrap(&self, name: &str, key: &KeyBytes) -> Option<Vec<u8>> {
        hpke::seal_to(&self.key, INFO, &self.binding(name), key.expose())
    }

    fn binding(&self, name: &str) -> Vec<u8> {
        let environment = self.environment.name().as_bytes();
        length_prefixed(&[environment, self.id.as_bytes(), name.as_bytes()])
    }
}

impl BackupIdentity {
    /// Reads the private document at `path`, for backups of `environment`. Stretching the
    /// passphrase takes a fraction of a second: not for an async thread.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file and what is wrong. It does not tell a wrong passphrase from
    /// an altered file.
    pub fn read(
        path: &Path,
        passphrase: &[u8],
        environment: Environment,
    ) -> Result<Self, KeyFileRefused> {
        let text = file::read_private(path)?;
        Self::parse(&text, passphrase, environment).map_err(|why| KeyFileRefused::new(path, why))
    }

    fn parse(text: &[u8], passphrase: &[u8], environment: Environment) -> Result<Self, Why> {
        let document: PrivateFile = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        if document.format != PRIVATE_FORMAT {
            return Err(Why::Malformed);
        }
        let recipient = BackupRecipient::of(&document.public, environment)?;
        let cipher = document.kdf.cipher(passphrase, environment)?;
        let aad = authenticated(&document.public, &document.kdf);
        let key = document.private_key.open(&cipher, &aad)?;
        if key.len() != KEY_BYTES {
            return Err(Why::Malformed);
        }
        let identity = Self {
            recipient,
            key: HpkePrivateKey::from(key.to_vec()),
        };
        if identity.is_whole() {
            Ok(identity)
        } else {
            Err(Why::KeysDoNotMatch)
        }
    }

    /// Whether what the public half wraps is read back.
    fn is_whole(&self) -> bool {
        let probe = KeyBytes::random();
        self.recipient
            .wrap("probe", &probe)
            .and_then(|wrapped| self.unwrap("probe", &wrapped))
            .is_some_and(|read| read.expose() == probe.expose())
    }

    /// The pair's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.recipient.id
    }

    /// Reads back the key of the stream of that name.
    pub(super) fn unwrap(&self, name: &str, wrapped: &[u8]) -> Option<KeyBytes> {
        let aad = self.recipient.binding(name);
        KeyBytes::from_slice(&hpke::open_with(&self.key, INFO, &aad, wrapped)?)
    }
}

fn id_of(public_key: &[u8]) -> String {
    let named = length_prefixed(&[b"cloakroom/backup-recipient/v1", public_key]);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &named);
    let hash = hash.as_ref().get(..KEY_HASH_BYTES).unwrap_or_default();
    format!("bkp_{}", hex(hash))
}

/// Every field but the ciphertext.
fn authenticated(public: &PublicFile, kdf: &Kdf) -> Vec<u8> {
    length_prefixed(&[
        PRIVATE_FORMAT.as_bytes(),
        public.environment.name().as_bytes(),
        public.recipient.as_bytes(),
        public.suite.as_bytes(),
        public.public_key.as_bytes(),
        &kdf.authenticated(),
    ])
}

fn json_of(document: &impl Serialize) -> Option<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(document).ok()?;
    json.push(b'\n');
    Some(json)
}

impl fmt::Debug for BackupRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupRecipient({})", self.id)
    }
}

impl fmt::Debug for BackupIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupIdentity({})", self.recipient.id)
    }
}
