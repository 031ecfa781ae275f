//! The private key under a passphrase: Argon2id (RFC 9106), then AES-256-GCM over the key with
//! every field of the document as authenticated data.

use std::collections::BTreeSet;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::crypto::hpke::HpkePrivateKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::GenerateFailed;
use super::disk::Why;
use super::document::{PrivateKekFile, PublicKekFile, base64_of, bytes_of};
use crate::seal::data_key::KEY_BYTES;
use crate::seal::envelope::length_prefixed;
use crate::token::Environment;

/// PCI DSS 8.3.6: twelve characters, letters and digits among them.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
/// Of so many characters, words alone will do: `correct horse battery staple`.
pub const WORDS_CHARS_MIN: usize = 20;
/// `aaaaaaaaaaaa1` is no passphrase.
pub const DISTINCT_CHARS_MIN: usize = 6;
/// A document that asks for more memory is not obeyed.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Nor one that asks for more passes.
pub const PASSES_MAX: u32 = 16;
/// Nor one that asks for more lanes.
pub const LANES_MAX: u32 = 16;

const ALGORITHM: &str = "argon2id";
const SALT_BYTES: usize = 16;

/// Refuses a passphrase that is guessed too soon, whatever is made of it. Characters are counted, not
/// bytes; one that is no UTF-8 is counted by bytes.
pub(in crate::seal) fn require(passphrase: &[u8]) -> Result<(), GenerateFailed> {
    let (count, distinct, has_both) = match std::str::from_utf8(passphrase) {
        Ok(text) => measured(text.chars()),
        Err(_) => measured(passphrase.iter().map(|&byte| char::from(byte))),
    };
    if count < PASSPHRASE_CHARS_MIN {
        return Err(GenerateFailed::PassphraseTooShort);
    }
    if distinct < DISTINCT_CHARS_MIN || (!has_both && count < WORDS_CHARS_MIN) {
        return Err(GenerateFailed::PassphraseTooSimple);
    }
    Ok(())
}

/// How many characters, how many different ones, and whether letters and others are among them.
fn measured(characters: impl Iterator<Item = char> + Clone) -> (usize, usize, bool) {
    let distinct: BTreeSet<char> = characters.clone().collect();
    let has_letter = distinct.iter().any(|character| character.is_alphabetic());
    let has_digit = distinct.iter().any(|character| character.is_numeric());
    (characters.count(), distinct.len(), has_letter && has_digit)
}

/// How hard Argon2id works on the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes of that memory.
    pub lanes: u32,
}

impl Stretch {
    /// RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
    pub const RECOMMENDED: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 4,
    };

    /// Whether these parameters may protect, or be obeyed for, a key of `environment`. A live key
    /// has a floor. A test key guards no card, so it has none, and tests need not wait for it.
    #[must_use]
    pub fn allowed_in(self, environment: Environment) -> bool {
        let bounded = self.memory_kib <= MEMORY_KIB_MAX
            && (1..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
            // RFC 9106, section 3.1: at least 8 KiB a lane.
            && self.memory_kib >= self.lanes.saturating_mul(8);
        match environment {
            Environment::Live => bounded && self.is_strong(),
            Environment::Test => bounded,
        }
    }

    /// Whether it is no less than [`RECOMMENDED`](Self::RECOMMENDED), the floor of a live key.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        self.memory_kib >= Self::RECOMMENDED.memory_kib && self.passes >= Self::RECOMMENDED.passes
    }
}

/// The key-derivation part of the private document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::seal) struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

impl Kdf {
    /// The parameters with a new salt.
    pub(in crate::seal) fn new(stretch: Stretch) -> Self {
        let mut salt = [0_u8; SALT_BYTES];
        crate::random::fill(&mut salt);
        Self {
            name: ALGORITHM.to_owned(),
            memory_kib: stretch.memory_kib,
            passes: stretch.passes,
            lanes: stretch.lanes,
            salt: base64_of(&salt),
        }
    }

    /// The cipher for a passphrase, once the parameters may be obeyed for a key of `environment`.
    pub(in crate::seal) fn cipher(
        &self,
        passphrase: &[u8],
        environment: Environment,
    ) -> Result<LessSafeKey, Why> {
        if self.name != ALGORITHM {
            return Err(Why::Malformed);
        }
        if !self.stretch().allowed_in(environment) {
            return Err(Why::StretchOutOfBounds);
        }
        let salt = bytes_of(&self.salt)?;
        let salt: &[u8; SALT_BYTES] = salt.as_slice().try_into().map_err(|_| Why::Malformed)?;
        cipher(passphrase, salt, self.stretch()).ok_or(Why::Malformed)
    }

    /// What of it is authenticated with the ciphertext: all.
    pub(in crate::seal) fn authenticated(&self) -> Vec<u8> {
        length_prefixed(&[
            self.name.as_bytes(),
            &self.memory_kib.to_be_bytes(),
            &self.passes.to_be_bytes(),
            &self.lanes.to_be_bytes(),
            self.salt.as_bytes(),
        ])
    }

    pub(super) const fn stretch(&self) -> Stretch {
        Stretch {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
        }
    }
}

/// Seals `private` under `passphrase` into the document that belongs to `header`.
pub(super) fn seal(
    header: &PublicKekFile,
    private: &HpkePrivateKey,
    passphrase: &[u8],
    stretch: Stretch,
) -> Option<PrivateKekFile> {
    let mut nonce = [0_u8; NONCE_LEN];
    crate::random::fill(&mut nonce);
    let kdf = Kdf::new(stretch);
    let cipher = kdf.cipher(passphrase, header.environment()).ok()?;
    let mut document = PrivateKekFile::new(header, kdf, base64_of(&nonce));
    let mut sealed = Zeroizing::new(Vec::with_capacity(KEY_BYTES.saturating_mul(2)));
    sealed.extend_from_slice(private.secret_bytes());
    cipher
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(authenticated(&document)),
            &mut *sealed,
        )
        .ok()?;
    document.sealed_private_key = base64_of(&sealed);
    Some(document)
}

/// Opens the private key in `document`.
pub(super) fn open(
    document: &PrivateKekFile,
    passphrase: &[u8],
    environment: Environment,
) -> Result<HpkePrivateKey, Why> {
    let nonce = bytes_of(&document.nonce)?;
    let nonce: [u8; NONCE_LEN] = nonce.as_slice().try_into().map_err(|_| Why::Malformed)?;
    let mut sealed = Zeroizing::new(bytes_of(&document.sealed_private_key)?);

    let private = document
        .kdf
        .cipher(passphrase, environment)?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(authenticated(document)),
            &mut sealed,
        )
        .map_err(|_| Why::NotOpened)?;
    if private.len() != KEY_BYTES {
        return Err(Why::Malformed);
    }
    Ok(HpkePrivateKey::from(private.to_vec()))
}

/// The cipher for a passphrase; the stretched key itself is wiped here.
fn cipher(passphrase: &[u8], salt: &[u8; SALT_BYTES], stretch: Stretch) -> Option<LessSafeKey> {
    let params = Params::new(
        stretch.memory_kib,
        stretch.passes,
        stretch.lanes,
        Some(KEY_BYTES),
    );
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.ok()?);
    let mut key = Box::new(Zeroizing::new([0_u8; KEY_BYTES]));
    argon2
        .hash_password_into(passphrase, salt, key.as_mut_slice())
        .ok()?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}

/// Every field but the nonce, which the cipher authenticates itself, and the ciphertext.
fn authenticated(document: &PrivateKekFile) -> Vec<u8> {
    let kdf = &document.kdf;
    length_prefixed(&[
        document.format.as_bytes(),
        document.environment.name().as_bytes(),
        document.kek.as_bytes(),
        document.suite.as_bytes(),
        document.public_key.as_bytes(),
        kdf.name.as_bytes(),
        &kdf.memory_kib.to_be_bytes(),
        &kdf.passes.to_be_bytes(),
        &kdf.lanes.to_be_bytes(),
        kdf.salt.as_bytes(),
    ])
}
