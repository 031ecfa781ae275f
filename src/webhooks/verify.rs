//! What a receiver does with what it is sent. Our tests are such receivers.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::secret::{self, SecretRefused};
use super::signature::{content, is_id, unix_s};
use crate::clock::Timestamp;

/// Seconds that a message may be older or newer than the receiver's clock.
pub const TOLERANCE_S: u64 = 300;

/// What a receiver verifies with: the shared `whsec_…`, or the sender's public `whpk_…`.
pub struct VerifyingKey(Kind);

enum Kind {
    Hmac(Box<hmac::Key>),
    Ed25519(Vec<u8>),
}

/// The three headers of a message, as they arrived.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

/// Why a message is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// The id has a form that no sender uses.
    #[error("the id is malformed")]
    Id,
    /// The timestamp is not a whole number of seconds.
    #[error("the timestamp is malformed")]
    Timestamp,
    /// It was sent too long ago, so that it may be a replay, or a clock is wrong.
    #[error("the timestamp is more than five minutes away from now")]
    Time,
    /// None of its signatures is by any of the keys.
    #[error("no signature is by a known key")]
    Signature,
}

impl VerifyingKey {
    /// Takes a key in its serialized form, `whsec_…` or `whpk_…`.
    ///
    /// # Errors
    /// [`SecretRefused`].
    pub fn parse(text: &str) -> Result<Self, SecretRefused> {
        if let Some(key) = secret::hmac_key(text) {
            return Ok(Self::hmac(key));
        }
        secret::public_key(text)
            .map(Self::ed25519)
            .ok_or(SecretRefused)
    }

    pub(super) const fn hmac(key: Box<hmac::Key>) -> Self {
        Self(Kind::Hmac(key))
    }

    pub(super) const fn ed25519(public_key: Vec<u8>) -> Self {
        Self(Kind::Ed25519(public_key))
    }

    /// In a time that does not tell where a shared-key signature differs.
    fn made(&self, version: &str, signature: &[u8], content: &[u8]) -> bool {
        match &self.0 {
            Kind::Hmac(key) => version == "v1" && hmac::verify(key, content, signature).is_ok(),
            Kind::Ed25519(key) => {
                let key = UnparsedPublicKey::new(&ED25519, key);
                version == "v1a" && key.verify(content, signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(..)")
    }
}

/// Whether a message was signed with one of `keys` within [`TOLERANCE_S`] of `now`. The body is
/// that of the request, to the byte: what was parsed and written again has another signature.
///
/// # Errors
/// [`NotVerified`]: then nothing of the message is to be believed.
pub fn verify(
    keys: &[VerifyingKey],
    headers: &Headers<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), NotVerified> {
    if !is_id(headers.id) {
        return Err(NotVerified::Id);
    }
    let sent_s: i64 = headers
        .timestamp
        .parse()
        .map_err(|_| NotVerified::Timestamp)?;
    if unix_s(now).abs_diff(sent_s) > TOLERANCE_S {
        return Err(NotVerified::Time);
    }
    let content = content(headers.id, headers.timestamp, body);
    let made = headers.signature.split(' ').any(|signature| {
        let Some((version, base64)) = signature.split_once(',') else {
            return false;
        };
        let Ok(bytes) = STANDARD.decode(base64) else {
            return false;
        };
        keys.iter().any(|key| key.made(version, &bytes, &content))
    });
    if made {
        Ok(())
    } else {
        Err(NotVerified::Signature)
    }
}
