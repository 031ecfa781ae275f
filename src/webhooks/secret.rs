//! What a sender signs with.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::verify::VerifyingKey;

const HMAC_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// Standard Webhooks: 192 to 512 bits.
const HMAC_BYTES_MIN: usize = 24;
const HMAC_BYTES_MAX: usize = 64;
const SEED_BYTES: usize = 32;
const PAIR_BYTES: usize = 64;
/// No secret's text is longer; a longer one is not decoded.
const TEXT_LENGTH_MAX: usize = 128;

/// A secret that messages are signed with: `whsec_…`, which the receiver has too, or `whsk_…`, of
/// which the receiver has only the public half. Wiped on drop, never printed, never copied:
///
/// ```compile_fail,E0599
/// let secret = cloakroom::webhooks::Secret::parse("whsec_AAAA").unwrap();
/// let _copy = secret.clone();
/// ```
/// ```compile_fail,E0277
/// let secret = cloakroom::webhooks::Secret::parse("whsec_AAAA").unwrap();
/// let _text = format!("{secret}");
/// ```
pub struct Secret(Kind);

enum Kind {
    Hmac(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
}

/// Not a secret; says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret is whsec_ and the base64 of 24 to 64 bytes, or whsk_ and the base64 of an \
     Ed25519 key (its 32 bytes, or those and the 32 of its public key)"
)]
pub struct SecretRefused;

impl Secret {
    /// Takes a secret in its serialized form.
    ///
    /// # Errors
    /// [`SecretRefused`].
    pub fn parse(text: &str) -> Result<Self, SecretRefused> {
        let kind = if let Some(key) = hmac_key(text) {
            Kind::Hmac(key)
        } else {
            Kind::Ed25519(key_pair(text).ok_or(SecretRefused)?)
        };
        Ok(Self(kind))
    }

    /// What receivers of `v1a` signatures verify with: `whpk_…`. A `whsec_` has no public half.
    #[must_use]
    pub fn public_key(&self) -> Option<String> {
        match &self.0 {
            Kind::Hmac(_) => None,
            Kind::Ed25519(pair) => {
                let mut text = PUBLIC_PREFIX.to_owned();
                STANDARD.encode_string(pair.public_key(), &mut text);
                Some(text)
            }
        }
    }

    /// What a receiver verifies with.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Kind::Hmac(key) => VerifyingKey::hmac(key.clone()),
            Kind::Ed25519(pair) => VerifyingKey::ed25519(pair.public_key().as_ref().to_vec()),
        }
    }

    /// The signature of `content` as it stands in the header: `v1,…` or `v1a,…`.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        match &self.0 {
            Kind::Hmac(key) => serialized("v1,", hmac::sign(key, content).as_ref()),
            Kind::Ed25519(pair) => serialized("v1a,", pair.sign(content).as_ref()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn serialized(version: &str, signature: &[u8]) -> String {
    let mut text = version.to_owned();
    STANDARD.encode_string(signature, &mut text);
    text
}

/// The key of a `whsec_…`.
pub(super) fn hmac_key(text: &str) -> Option<Box<hmac::Key>> {
    let bytes = decode(text, HMAC_PREFIX)?;
    (HMAC_BYTES_MIN..=HMAC_BYTES_MAX)
        .contains(&bytes.len())
        .then(|| Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
}

/// The public key of a `whpk_…`.
pub(super) fn public_key(text: &str) -> Option<Vec<u8>> {
    let bytes = decode(text, PUBLIC_PREFIX)?;
    (bytes.len() == SEED_BYTES).then(|| bytes.to_vec())
}

/// The pair of a `whsk_…`. The specification does not say which of Ed25519's two usual private
/// forms it means, and its libraries use both.
fn key_pair(text: &str) -> Option<Ed25519KeyPair> {
    let bytes = decode(text, PRIVATE_PREFIX)?;
    match bytes.len() {
        SEED_BYTES => Ed25519KeyPair::from_seed_unchecked(&bytes).ok(),
        PAIR_BYTES => {
            let (seed, public) = bytes.split_at_checked(SEED_BYTES)?;
            Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()
        }
        _ => None,
    }
}

fn decode(text: &str, prefix: &str) -> Option<Zeroizing<Vec<u8>>> {
    let base64 = text.strip_prefix(prefix)?;
    let fits = base64.len() <= TEXT_LENGTH_MAX;
    // Of its full size from the beginning, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(TEXT_LENGTH_MAX));
    let decoded = fits && STANDARD.decode_vec(base64, &mut bytes).is_ok();
    decoded.then_some(bytes)
}
