//! Documents with a signature: the signature is over the document's compact JSON, which has one
//! form, because its members stand in a fixed order and unknown ones are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::seal::signing::{self, PUBLIC_KEY_BYTES, SigningKey};

/// A kind of document, so that a signature of one is none of another.
pub trait Document: Serialize + DeserializeOwned {
    /// Its name and version.
    const FORMAT: &'static str;
}

/// A document, who signed it, and the signature (Ed25519).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<D> {
    format: String,
    document: D,
    #[serde(rename = "signed_by")]
    signer: String,
    signature: String,
}

/// Not such a document, or its signature is not that of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedRefused {
    /// Of another kind, or not JSON of the expected form.
    #[error("not a document of the expected form")]
    Malformed,
    /// Altered, or never signed.
    #[error("its signature is not that of its content")]
    Signature,
}

impl<D: Document> Signed<D> {
    pub(super) fn new(document: D, key: &SigningKey) -> Self {
        let signature = key.sign(&message(&document));
        Self {
            format: D::FORMAT.to_owned(),
            document,
            signer: STANDARD.encode(key.public_key_bytes()),
            signature: STANDARD.encode(signature),
        }
    }

    /// Reads a document and checks that it was signed by the key that it names.
    ///
    /// # Errors
    /// [`SignedRefused`].
    pub fn parse(text: &[u8]) -> Result<Self, SignedRefused> {
        let signed: Self = serde_json::from_slice(text).map_err(|_| SignedRefused::Malformed)?;
        if signed.format != D::FORMAT {
            return Err(SignedRefused::Malformed);
        }
        let signature = STANDARD
            .decode(&signed.signature)
            .map_err(|_| SignedRefused::Malformed)?;
        let key = signed.signer().ok_or(SignedRefused::Malformed)?;
        if signing::verify(&key, &message(&signed.document), &signature) {
            Ok(signed)
        } else {
            Err(SignedRefused::Signature)
        }
    }

    /// The document, whose signature was checked when it was read.
    #[must_use]
    pub const fn document(&self) -> &D {
        &self.document
    }

    pub(super) fn into_document(self) -> D {
        self.document
    }

    /// The public key that signed it.
    #[must_use]
    pub fn signer(&self) -> Option<[u8; PUBLIC_KEY_BYTES]> {
        STANDARD.decode(&self.signer).ok()?.try_into().ok()
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

fn message<D: Document>(document: &D) -> Vec<u8> {
    let mut message = format!("{}\n", D::FORMAT).into_bytes();
    message.extend(serde_json::to_vec(document).unwrap_or_default());
    message
}

/// The readable form of a document of names, numbers and base64.
pub(super) fn to_json(document: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(document).unwrap_or_default();
    json.push(b'\n');
    json
}
