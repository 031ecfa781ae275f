//! A custodian's own keys: one pair that opens what is encrypted to them (HPKE), and one that signs
//! what they acknowledge (Ed25519). Both private halves are under the custodian's passphrase.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::hpke::{HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::lock::Locked;
use super::signed::{Document, Signed, to_json};
use super::{CustodianName, Refused};
use crate::clock::Timestamp;
use crate::seal::data_key::{KEY_BYTES, hex};
use crate::seal::envelope::length_prefixed;
use crate::seal::file::hpke::{self, POINT_BYTES};
use crate::seal::file::{self, GenerateFailed, Kdf, KeyFileRefused, Stretch, Why};
use crate::seal::signing::{PUBLIC_KEY_BYTES, SigningKey};
use crate::token::Environment;

const PRIVATE_FORMAT: &str = "cloakroom-custodian-private/1";
/// Custodians guard live keys, so their own have the live keys' floor.
const FLOOR: Environment = Environment::Live;
/// Bytes of a hash that are enough of a name.
const KEY_HASH_BYTES: usize = 16;

/// What the world may know of a custodian, as it stands in their public file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custodian {
    /// Their name.
    pub name: CustodianName,
    /// The key check value of both public keys: `cust_` and 32 hexadecimal characters. Read it to
    /// each other before a ceremony.
    pub key: String,
    /// The HPKE public key, base64.
    pub hpke_public_key: String,
    /// The Ed25519 public key, base64.
    pub signing_public_key: String,
    /// When they were made.
    pub made_at: String,
}

impl Document for Custodian {
    const FORMAT: &'static str = "cloakroom-custodian-public/1";
}

impl Custodian {
    /// Reads a custodian's public file: signed by the key that is in it, and named by the hash of
    /// both.
    ///
    /// # Errors
    /// [`Refused`] names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let text = file::read_public(path)?;
        let signed = Signed::<Self>::parse(&text).map_err(|why| Refused::signed(path, why))?;
        let whole = signed.document().signing_public_key() == signed.signer()
            && signed.document().is_whole();
        if whole {
            Ok(signed.into_document())
        } else {
            Err(KeyFileRefused::new(path, Why::Malformed).into())
        }
    }

    /// Whether both keys are keys, and the key check value is theirs.
    pub(super) fn is_whole(&self) -> bool {
        match (self.hpke_public_key(), self.signing_public_key()) {
            (Some(hpke), Some(signing)) => self.key == key_of(&hpke.0, &signing),
            _ => false,
        }
    }

    pub(super) fn hpke_public_key(&self) -> Option<HpkePublicKey> {
        let point = STANDARD.decode(&self.hpke_public_key).ok()?;
        (point.len() == POINT_BYTES).then_some(HpkePublicKey(point))
    }

    pub(super) fn signing_public_key(&self) -> Option<[u8; PUBLIC_KEY_BYTES]> {
        STANDARD
            .decode(&self.signing_public_key)
            .ok()?
            .try_into()
            .ok()
    }
}

/// The key check value of a custodian's two public keys.
fn key_of(hpke: &[u8], signing: &[u8]) -> String {
    let both = length_prefixed(&[b"cloakroom/custodian/v1", hpke, signing]);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &both);
    let hash = hash.as_ref().get(..KEY_HASH_BYTES).unwrap_or_default();
    format!("cust_{}", hex(hash))
}

/// The custodian's private file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateFile {
    format: String,
    custodian: Custodian,
    kdf: Kdf,
    /// The HPKE private key, and the signing key as PEM.
    keys: Locked,
}

impl PrivateFile {
    fn authenticated(custodian: &Custodian, kdf: &Kdf) -> Vec<u8> {
        length_prefixed(&[
            PRIVATE_FORMAT.as_bytes(),
            custodian.name.as_str().as_bytes(),
            custodian.key.as_bytes(),
            custodian.hpke_public_key.as_bytes(),
            custodian.signing_public_key.as_bytes(),
            custodian.made_at.as_bytes(),
            &kdf.authenticated(),
        ])
    }
}

/// A custodian with their private keys, in the memory of a command that they run.
pub struct CustodianKey {
    custodian: Custodian,
    hpke: HpkePrivateKey,
    signing: SigningKey,
}

/// The two files of a new custodian.
#[derive(Debug)]
pub struct CustodianFiles {
    /// For everybody.
    pub public: Vec<u8>,
    /// For the custodian alone.
    pub private: Vec<u8>,
    /// The key check value, to be read aloud.
    pub key: String,
}

/// Makes a custodian's keys. It takes a fraction of a second and 64 MiB.
///
/// # Errors
/// [`GenerateFailed`].
pub fn generate(
    name: CustodianName,
    passphrase: &[u8],
    now: Timestamp,
) -> Result<CustodianFiles, GenerateFailed> {
    file::require_passphrase(passphrase)?;
    let crypto = GenerateFailed::Crypto;
    let (key, pem) = CustodianKey::make(name, now).ok_or(crypto)?;
    let custodian = key.custodian.clone();
    let kdf = Kdf::new(Stretch::RECOMMENDED);
    let cipher = kdf.cipher(passphrase, FLOOR).map_err(|_| crypto)?;
    let capacity = KEY_BYTES.saturating_add(pem.len());
    let mut keys = Zeroizing::new(Vec::with_capacity(capacity));
    keys.extend_from_slice(key.hpke.secret_bytes());
    keys.extend_from_slice(pem.as_bytes());
    let aad = PrivateFile::authenticated(&custodian, &kdf);
    let private = PrivateFile {
        format: PRIVATE_FORMAT.to_owned(),
        custodian: custodian.clone(),
        kdf,
        keys: Locked::seal(&cipher, &aad, &keys).ok_or(crypto)?,
    };
    Ok(CustodianFiles {
        key: custodian.key.clone(),
        public: Signed::new(custodian, &key.signing).to_json(),
        private: to_json(&private),
    })
}

impl CustodianKey {
    /// Reads a custodian's private file. Stretching the passphrase takes a fraction of a second.
    ///
    /// # Errors
    /// [`KeyFileRefused`]; a wrong passphrase cannot be told from an altered file.
    pub fn read(path: &Path, passphrase: &[u8]) -> Result<Self, KeyFileRefused> {
        let text = file::read_private(path)?;
        Self::parse(&text, passphrase).map_err(|why| KeyFileRefused::new(path, why))
    }

    pub(super) fn parse(text: &[u8], passphrase: &[u8]) -> Result<Self, Why> {
        let file: PrivateFile = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        if file.format != PRIVATE_FORMAT {
            return Err(Why::Malformed);
        }
        let aad = PrivateFile::authenticated(&file.custodian, &file.kdf);
        let cipher = file.kdf.cipher(passphrase, FLOOR)?;
        let keys = file.keys.open(&cipher, &aad)?;
        let (hpke, pem) = keys.split_at_checked(KEY_BYTES).ok_or(Why::Malformed)?;
        let signing = SigningKey::parse(pem).ok_or(Why::Malformed)?;
        let whole = file.custodian.is_whole()
            && file.custodian.signing_public_key() == Some(signing.public_key_bytes());
        if !whole {
            return Err(Why::KeysDoNotMatch);
        }
        Ok(Self {
            custodian: file.custodian,
            hpke: HpkePrivateKey::from(hpke.to_vec()),
            signing,
        })
    }

    /// New keys, and the text of the one that signs.
    pub(super) fn make(name: CustodianName, now: Timestamp) -> Option<(Self, Zeroizing<String>)> {
        let (public, hpke) = hpke::generate()?;
        let pem = SigningKey::generate().ok()?;
        let signing = SigningKey::parse(pem.as_bytes())?;
        let custodian = Custodian {
            name,
            key: key_of(&public.0, &signing.public_key_bytes()),
            hpke_public_key: STANDARD.encode(&public.0),
            signing_public_key: STANDARD.encode(signing.public_key_bytes()),
            made_at: now.rfc3339(),
        };
        let key = Self {
            custodian,
            hpke,
            signing,
        };
        Some((key, pem))
    }

    /// What the world may know of them.
    #[must_use]
    pub const fn custodian(&self) -> &Custodian {
        &self.custodian
    }

    pub(super) const fn hpke(&self) -> &HpkePrivateKey {
        &self.hpke
    }

    pub(super) const fn signing(&self) -> &SigningKey {
        &self.signing
    }
}

impl fmt::Debug for CustodianKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustodianKey({})", self.custodian.name)
    }
}
