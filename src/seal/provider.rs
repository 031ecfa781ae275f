//! The seam to what holds the key-encryption key, in two halves that never meet in one plane.
//!
//! [`WrapKey`] makes data keys and cannot read them back; [`UnwrapKey`] reads them back. A further
//! provider is a new file beside `file` and one arm in each enum. The provider *makes* the data
//! key rather than only wrapping one, since a key service does so in one call, and both halves are
//! `async`, since it answers over the network and a hardware module blocks.
//!
//! Every provider binds the same three things into the wrapping, see [`binding`]: a wrapped key
//! moved to another id, key-encryption key or environment does not unwrap.

use super::data_key::{KeyBytes, WrappedDataKey};
use super::envelope::length_prefixed;
use super::mac::MacKeys;
use super::{KekId, Refused, SealFailed, aws_kms, file, pkcs11};
use crate::token::{DataKeyId, Environment};

/// The half that makes wrapped data keys.
#[derive(Debug)]
pub enum WrapKey {
    /// A public key in a file; its private half is in a file or in a hardware module.
    File(file::PublicKek),
    /// A key of AWS Key Management Service.
    AwsKms(Box<aws_kms::Kms>),
}

/// The half that reads them back.
#[derive(Debug)]
pub enum UnwrapKey {
    /// A private key in a file, under a passphrase.
    File(file::PrivateKek),
    /// A private key in a hardware module.
    Pkcs11(Box<pkcs11::HsmKek>),
    /// A key of AWS Key Management Service.
    AwsKms(Box<aws_kms::Kms>),
}

/// A data key at birth: in clear for its maker, wrapped for the store.
#[derive(Debug)]
pub(super) struct FreshKey {
    pub(super) bytes: KeyBytes,
    pub(super) wrapped: Vec<u8>,
}

impl WrapKey {
    /// The key-encryption key's id.
    #[must_use]
    pub const fn kek(&self) -> &KekId {
        match self {
            Self::File(public) => public.kek(),
            Self::AwsKms(kms) => kms.kek(),
        }
    }

    /// The one environment the key belongs to.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        match self {
            Self::File(public) => public.environment(),
            Self::AwsKms(kms) => kms.environment(),
        }
    }

    /// Makes the data key that will be called `id`.
    pub(super) async fn make(&self, id: DataKeyId) -> Result<FreshKey, SealFailed> {
        match self {
            Self::File(public) => {
                let bytes = KeyBytes::random();
                let wrapped = public.wrap(id, &bytes).ok_or(SealFailed::KeyUnavailable)?;
                Ok(FreshKey { bytes, wrapped })
            }
            Self::AwsKms(kms) => kms.make(id).await,
        }
    }
}

impl WrapKey {
    /// Wraps a data key that there is already, under its own name.
    pub(super) async fn wrap(&self, id: DataKeyId, key: &KeyBytes) -> Option<Vec<u8>> {
        match self {
            Self::File(public) => public.wrap(id, key),
            Self::AwsKms(kms) => kms.wrap(id, key).await,
        }
    }
}

impl UnwrapKey {
    /// The key-encryption key's id.
    #[must_use]
    pub const fn kek(&self) -> &KekId {
        match self {
            Self::File(private) => private.kek(),
            Self::Pkcs11(hsm) => hsm.kek(),
            Self::AwsKms(kms) => kms.kek(),
        }
    }

    /// The one environment the key belongs to.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        match self {
            Self::File(private) => private.environment(),
            Self::Pkcs11(hsm) => hsm.environment(),
            Self::AwsKms(kms) => kms.environment(),
        }
    }

    /// Reads a data key back that one of us has wrapped.
    pub(super) async fn unwrap(
        &self,
        key: &WrappedDataKey,
        keys: &MacKeys,
    ) -> Result<KeyBytes, Refused> {
        let ciphertext = key.ciphertext(keys)?;
        match self {
            Self::File(private) => private.unwrap(key.id, ciphertext).ok_or(Refused::Value),
            Self::Pkcs11(hsm) => hsm.unwrap(key.id, ciphertext).await,
            Self::AwsKms(kms) => kms.unwrap(key.id, ciphertext).await,
        }
    }
}

/// What every provider authenticates with a wrapped data key.
pub(super) fn binding(environment: Environment, kek: &KekId, id: DataKeyId) -> Vec<u8> {
    length_prefixed(&[
        environment.name().as_bytes(),
        kek.as_str().as_bytes(),
        id.to_string().as_bytes(),
    ])
}
