//! Data keys: the random AES-256 keys that values are sealed under, and their wrapped form.
//!
//! A data key in use lives inside AWS-LC's cipher context, which AWS-LC wipes when it frees it; its
//! bytes outside exist only between birth, or unwrapping, and the making of that context.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::Refused;
use super::mac::MacKeys;
use crate::clock::Timestamp;
use crate::token::DataKeyId;

/// An AES-256 key.
pub(super) const KEY_BYTES: usize = 32;

/// Which key-encryption key wrapped a data key: `kek_` and the first 16 bytes, in hexadecimal, of
/// the SHA-256 of its public key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KekId(String);

/// Not the id of a key-encryption key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a key-encryption key")]
pub struct KekIdRefused;

impl KekId {
    const PREFIX: &'static str = "kek_";
    const HASH_BYTES: usize = 16;

    /// The id of the key pair with this public key.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, public_key);
        let hash = hash.as_ref().get(..Self::HASH_BYTES).unwrap_or_default();
        Self(format!("{}{}", Self::PREFIX, hex(hash)))
    }

    /// The id as it stands in files and rows.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KekId {
    type Error = KekIdRefused;

    fn try_from(text: String) -> Result<Self, KekIdRefused> {
        let lower_hex = |letter: u8| letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter);
        let hash = text.strip_prefix(Self::PREFIX).ok_or(KekIdRefused)?;
        let whole = hash.len() == Self::HASH_BYTES.saturating_mul(2) && hash.bytes().all(lower_hex);
        if whole {
            Ok(Self(text))
        } else {
            Err(KekIdRefused)
        }
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A data key as the store keeps it: only the key-encryption key `kek` opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    /// Its name, authenticated in its wrapping and in every value sealed under it.
    pub id: DataKeyId,
    /// What wrapped it.
    pub kek: KekId,
    /// The provider's ciphertext, and behind it the tag of all this: wrapping takes a public key
    /// only, so whoever could write to the store could otherwise put a key of his own there.
    pub wrapped: Vec<u8>,
    /// When it was made; its cryptoperiod counts from here.
    pub created_at: Timestamp,
}

/// What a tag of a wrapped data key is for.
const VOUCHED: &str = "wrapped data key";
/// The bytes of such a tag, HMAC-SHA-256.
const TAG_BYTES: usize = 32;

impl WrappedDataKey {
    /// A data key as it is to be stored, with the tag that says that one of us wrapped it.
    pub(super) fn vouched(
        (id, created_at): (DataKeyId, Timestamp),
        kek: &KekId,
        mut wrapped: Vec<u8>,
        keys: &MacKeys,
    ) -> Self {
        let (name, at) = (id.to_string(), created_at.unix_ms().to_be_bytes());
        let tag = keys.tag(
            VOUCHED,
            &[name.as_bytes(), &at, kek.as_str().as_bytes(), &wrapped],
        );
        wrapped.extend_from_slice(&tag);
        Self {
            id,
            kek: kek.clone(),
            wrapped,
            created_at,
        }
    }

    /// The provider's ciphertext, where one of us wrapped it, to this key-encryption key, under
    /// this name, at this time.
    ///
    /// # Errors
    /// [`Refused`] for whatever else.
    pub fn ciphertext(&self, keys: &MacKeys) -> Result<&[u8], Refused> {
        let (ciphertext, tag) = self
            .wrapped
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(Refused::Value)?;
        let (name, at) = (self.id.to_string(), self.created_at.unix_ms().to_be_bytes());
        let parts = [
            name.as_bytes(),
            &at,
            self.kek.as_str().as_bytes(),
            ciphertext,
        ];
        let is_ours = keys.verify(VOUCHED, &parts, tag);
        is_ours.then_some(ciphertext).ok_or(Refused::Value)
    }
}

impl fmt::Debug for WrappedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedDataKey")
            .field("id", &self.id)
            .field("kek", &self.kek)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// The bytes of a data key. Boxed, so that moving the owner leaves no copy behind; wiped on drop.
pub(super) struct KeyBytes(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl KeyBytes {
    /// A new key that nobody can foresee.
    pub(super) fn random() -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; KEY_BYTES]));
        crate::random::fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key in `bytes`, if that is exactly one.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

/// A data key ready for use.
pub(super) struct DataKey {
    id: DataKeyId,
    cipher: LessSafeKey,
}

impl DataKey {
    /// Takes the bytes, which are wiped here: from now on they are only in the cipher context.
    pub(super) fn new(id: DataKeyId, bytes: KeyBytes) -> Option<Self> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.expose()).ok()?);
        drop(bytes);
        Some(Self { id, cipher })
    }

    pub(super) const fn id(&self) -> DataKeyId {
        self.id
    }

    pub(super) const fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
