//! The two JSON documents of a key pair.
//!
//! Nothing in them is secret in itself: the private document's key is ciphertext. It is kept as if
//! it were, because a passphrase can be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::disk::Why;
use super::hpke::POINT_BYTES;
use super::passphrase::Kdf;
use crate::seal::KekId;
use crate::token::Environment;

const PUBLIC_FORMAT: &str = "cloakroom-kek-public/1";
const PRIVATE_FORMAT: &str = "cloakroom-kek-private/1";
const SUITE: &str = "DHKEM(P-256,HKDF-SHA256)/HKDF-SHA256/AES-256-GCM";

/// The public document, for the capture plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKekFile {
    format: String,
    environment: Environment,
    kek: String,
    suite: String,
    public_key: String,
}

/// The private document, for the internal plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateKekFile {
    pub(super) format: String,
    pub(super) environment: Environment,
    pub(super) kek: String,
    pub(super) suite: String,
    pub(super) public_key: String,
    pub(super) kdf: Kdf,
    pub(super) nonce: String,
    pub(super) sealed_private_key: String,
}

impl PublicKekFile {
    pub(in crate::seal) fn new(environment: Environment, public_key: &[u8]) -> Self {
        Self {
            format: PUBLIC_FORMAT.to_owned(),
            environment,
            kek: KekId::of(public_key).to_string(),
            suite: SUITE.to_owned(),
            public_key: base64_of(public_key),
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json_of(self)
    }

    /// The id of the key-encryption key.
    #[must_use]
    pub fn kek(&self) -> &str {
        &self.kek
    }

    /// The environment that it states.
    pub(in crate::seal) const fn environment(&self) -> Environment {
        self.environment
    }

    pub(in crate::seal) fn parse(text: &[u8]) -> Result<Self, Why> {
        let document: Self = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        if document.format == PUBLIC_FORMAT {
            Ok(document)
        } else {
            Err(Why::Malformed)
        }
    }

    /// The id and the public key, once the document is of `environment`, of the one known suite,
    /// and its `kek` is the hash of its key.
    pub(in crate::seal) fn checked(
        &self,
        environment: Environment,
    ) -> Result<(KekId, Vec<u8>), Why> {
        if self.environment != environment {
            return Err(Why::WrongEnvironment {
                stated: self.environment.name(),
                served: environment.name(),
            });
        }
        let public_key = bytes_of(&self.public_key)?;
        if self.suite != SUITE || public_key.len() != POINT_BYTES {
            return Err(Why::Malformed);
        }
        let kek = KekId::of(&public_key);
        if kek.as_str() == self.kek {
            Ok((kek, public_key))
        } else {
            Err(Why::KekIsNotTheHash)
        }
    }
}

impl PrivateKekFile {
    pub(super) fn new(header: &PublicKekFile, kdf: Kdf, nonce: String) -> Self {
        Self {
            format: PRIVATE_FORMAT.to_owned(),
            environment: header.environment,
            kek: header.kek.clone(),
            suite: header.suite.clone(),
            public_key: header.public_key.clone(),
            kdf,
            nonce,
            sealed_private_key: String::new(),
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json_of(self)
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, Why> {
        let document: Self = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        if document.format == PRIVATE_FORMAT {
            Ok(document)
        } else {
            Err(Why::Malformed)
        }
    }

    /// What the two documents have in common.
    pub(super) fn header(&self) -> PublicKekFile {
        PublicKekFile {
            format: PUBLIC_FORMAT.to_owned(),
            environment: self.environment,
            kek: self.kek.clone(),
            suite: self.suite.clone(),
            public_key: self.public_key.clone(),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "strings and numbers, under string keys, always have a JSON form"
)]
fn json_of(document: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(document).expect("a key document has a JSON form");
    json.push(b'\n');
    json
}

pub(super) fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn bytes_of(base64: &str) -> Result<Vec<u8>, Why> {
    STANDARD.decode(base64).map_err(|_| Why::Malformed)
}
