//! AES-256-GCM of one small secret in a document: a nonce and a ciphertext, in base64.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::data_key::{KEY_BYTES, KeyBytes};
use crate::seal::file::Why;

/// Bytes of GCM's tag.
const TAG_BYTES: usize = 16;

/// A secret that only its key opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::seal) struct Locked {
    nonce: String,
    sealed: String,
}

impl Locked {
    /// Locks `secret` in the document that `aad` describes.
    pub(in crate::seal) fn seal(key: &LessSafeKey, aad: &[u8], secret: &[u8]) -> Option<Self> {
        let mut nonce = [0_u8; NONCE_LEN];
        crate::random::fill(&mut nonce);
        let capacity = secret.len().saturating_add(TAG_BYTES);
        let mut sealed = Zeroizing::new(Vec::with_capacity(capacity));
        sealed.extend_from_slice(secret);
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut *sealed,
        )
        .ok()?;
        Some(Self {
            nonce: STANDARD.encode(nonce),
            sealed: STANDARD.encode(&*sealed),
        })
    }

    /// Opens it in the same document.
    pub(in crate::seal) fn open(
        &self,
        key: &LessSafeKey,
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Why> {
        let bytes = |text: &String| STANDARD.decode(text).map_err(|_| Why::Malformed);
        let nonce: [u8; NONCE_LEN] = bytes(&self.nonce)?.try_into().map_err(|_| Why::Malformed)?;
        let mut sealed = Zeroizing::new(bytes(&self.sealed)?);
        let length = key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(|_| Why::NotOpened)?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

/// The cipher whose key HKDF (RFC 5869) makes of a random secret, for one use and one document.
pub(super) fn cipher_of(secret: &KeyBytes, salt: &[u8], info: &[u8]) -> Option<LessSafeKey> {
    let info = [info];
    let okm = Salt::new(HKDF_SHA256, salt).extract(secret.expose());
    let okm = okm.expand(&info, HKDF_SHA256).ok()?;
    let mut key = Box::new(Zeroizing::new([0_u8; KEY_BYTES]));
    okm.fill(key.as_mut_slice()).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}
