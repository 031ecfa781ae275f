//! The sealed value, byte by byte.
//!
//! ```text
//! version 2 ‖ data key's UUID 16 ‖ nonce 12 ‖ ciphertext 512 ‖ tag 16
//! ```
//!
//! The plaintext is the payload's length (u16, big-endian), the payload, and zeros up to 512 bytes:
//! every sealed value has the same size, so its size tells nothing. AES-256-GCM authenticates, next
//! to the ciphertext, each field of the [`Context`], the data key's id and the version; each is
//! preceded by its length, so that no two contexts give the same bytes.

use std::fmt;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::data_key::DataKey;
use super::{Context, Refused, SealFailed};
use crate::token::{DataKeyId, Environment};

/// Longer payloads are not sealed.
pub const PAYLOAD_BYTES_MAX: usize = 510;

const VERSION: u8 = 2;
const VERSION_BYTES: usize = 1;
const UUID_BYTES: usize = 16;
const LENGTH_BYTES: usize = 2;
const PADDED_BYTES: usize = 512;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = VERSION_BYTES + UUID_BYTES + NONCE_LEN;
const SEALED_BYTES: usize = HEADER_BYTES + PADDED_BYTES + TAG_BYTES;

const _: () = assert!(LENGTH_BYTES + PAYLOAD_BYTES_MAX == PADDED_BYTES);
const _: () = assert!(SEALED_BYTES == 557);

/// A value only its own row can open. Safe to store and to back up; still never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes what the store holds. Whether it opens is for the opener to say.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What the store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The data key this value says it is sealed under; nothing where it is not of a known form.
    #[must_use]
    pub fn data_key(&self, environment: Environment) -> Option<DataKeyId> {
        Parts::of(&self.0).map(|parts| DataKeyId::from_uuid(environment, parts.data_key))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// An opened value, wiped on drop, read through [`expose`](Self::expose) only:
///
/// ```
/// fn length(opened: &cloakroom::seal::Opened) -> usize {
///     opened.expose().len()
/// }
/// ```
/// It has no `Clone`, no `Display` and no `Serialize`:
///
/// ```compile_fail
/// fn twice(opened: cloakroom::seal::Opened) -> (cloakroom::seal::Opened, cloakroom::seal::Opened) {
///     (opened.clone(), opened)
/// }
/// ```
/// ```compile_fail
/// fn shown(opened: cloakroom::seal::Opened) -> String {
///     opened.to_string()
/// }
/// ```
/// ```compile_fail
/// fn sent(opened: cloakroom::seal::Opened) -> String {
///     serde_json::to_string(&opened).unwrap()
/// }
/// ```
pub struct Opened {
    padded: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Opened {
    /// The payload. Each call is a place where the secret is in use.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.padded
            .get(LENGTH_BYTES..)
            .and_then(|payload| payload.get(..self.length))
            .unwrap_or_default()
    }

    /// Takes the padding off, once the tag has shown that the whole is what was sealed. The form is
    /// checked all the same: it is the pair of the assertion made before sealing.
    fn unpad(padded: Zeroizing<Vec<u8>>) -> Result<Self, Refused> {
        let (length, rest) = padded
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or(Refused::Value)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (_, zeros) = rest.split_at_checked(length).ok_or(Refused::Value)?;
        if padded.len() != PADDED_BYTES || zeros.iter().any(|&byte| byte != 0) {
            return Err(Refused::Value);
        }
        Ok(Self { padded, length })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// Seals `payload` under `key` for the one place that `context` names.
pub(super) fn seal(
    key: &DataKey,
    context: &Context<'_>,
    payload: &[u8],
) -> Result<Sealed, SealFailed> {
    let length = u16::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= PAYLOAD_BYTES_MAX)
        .ok_or(SealFailed::PayloadTooLong)?;

    // NIST SP 800-38D, 8.2.2: a random 96-bit nonce. The bound that goes with it, 2^32 values to a
    // key, is kept far off by `sealer::DATA_KEY_SEALS_CEILING`.
    let mut nonce = [0_u8; NONCE_LEN];
    crate::random::fill(&mut nonce);

    // One buffer of the final size, encrypted in place: the plaintext is nowhere else, and the
    // buffer is wiped should the encryption fail.
    let mut sealed = Zeroizing::new(Vec::with_capacity(SEALED_BYTES));
    sealed.push(VERSION);
    sealed.extend_from_slice(key.id().uuid().as_bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&length.to_be_bytes());
    sealed.extend_from_slice(payload);
    sealed.resize(HEADER_BYTES.saturating_add(PADDED_BYTES), 0);

    let aad = authenticated(context, key.id());
    let (_, padded) = sealed
        .split_at_mut_checked(HEADER_BYTES)
        .ok_or(SealFailed::PayloadTooLong)?;
    let tag = key
        .cipher()
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&aad), padded)
        .map_err(|_| SealFailed::KeyUnavailable)?;
    sealed.extend_from_slice(tag.as_ref());
    debug_assert_eq!(
        sealed.len(),
        SEALED_BYTES,
        "every sealed value has one size"
    );
    Ok(Sealed(std::mem::take(&mut *sealed)))
}

/// Opens `sealed` with `key`, if it was sealed with it for the place that `context` names.
pub(super) fn open(
    key: &DataKey,
    context: &Context<'_>,
    sealed: &Sealed,
) -> Result<Opened, Refused> {
    let parts = Parts::of(&sealed.0).ok_or(Refused::Value)?;
    if parts.data_key != key.id().uuid() {
        return Err(Refused::Value);
    }
    let mut padded = Zeroizing::new(parts.body.to_vec());
    let aad = authenticated(context, key.id());
    key.cipher()
        .open_in_place(
            Nonce::assume_unique_for_key(parts.nonce),
            Aad::from(&aad),
            &mut padded,
        )
        .map_err(|_| Refused::Value)?;
    padded.truncate(PADDED_BYTES);
    Opened::unpad(padded)
}

/// A sealed value taken apart: of the known version and exactly of the one length.
struct Parts<'a> {
    data_key: Uuid,
    nonce: [u8; NONCE_LEN],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let whole: &[u8; SEALED_BYTES] = bytes.try_into().ok()?;
        let (version, rest) = whole.split_first_chunk::<VERSION_BYTES>()?;
        let (data_key, rest) = rest.split_first_chunk::<UUID_BYTES>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        (*version == [VERSION]).then_some(Self {
            data_key: Uuid::from_bytes(*data_key),
            nonce: *nonce,
            body,
        })
    }
}

/// The authenticated data: where the value belongs, and under which key and format it is sealed.
fn authenticated(context: &Context<'_>, data_key: DataKeyId) -> Vec<u8> {
    length_prefixed(&[
        context.environment.name().as_bytes(),
        context.account.as_bytes(),
        context.table.as_bytes(),
        context.row.as_bytes(),
        context.column.as_bytes(),
        &[u8::from(context.customer_ref.is_some())],
        context.customer_ref.unwrap_or_default().as_bytes(),
        context.usage.as_bytes(),
        data_key.to_string().as_bytes(),
        &[VERSION],
    ])
}

/// Each part preceded by its length (u32, big-endian), so that `("ab", "c")` and `("a", "bc")` stay
/// two different things.
pub(super) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in parts {
        // A part of 4 GiB would need that much memory in the first place; were there one, the
        // prefix would saturate and still not be that of a shorter part.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(part);
    }
    whole
}
