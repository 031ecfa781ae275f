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
use super::{KekId, Refused, SealFailed, file};
use crate::token::{DataKeyId, Environment};

/// The half that makes wrapped data keys.
#[derive(Debug)]
pub enum WrapKey {
    /// A public key in a file.
    File(file::PublicKek),
}

/// The half that reads them back.
#[derive(Debug)]
pub enum UnwrapKey {
    /// A private key in a file, under a passphrase.
    File(file::PrivateKek),
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
        }
    }

    /// The one environment the key belongs to.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        match self {
            Self::File(public) => public.environment(),
        }
    }

    /// Makes the data key that will be called `id`.
    #[expect(
        clippy::unused_async,
        reason = "the file's answer is at hand, but a key service's or a hardware module's is not"
    )]
    pub(super) async fn make(&self, id: DataKeyId) -> Result<FreshKey, SealFailed> {
        match self {
            Self::File(public) => {
                let bytes = KeyBytes::random();
                let wrapped = public.wrap(id, &bytes).ok_or(SealFailed::KeyUnavailable)?;
                Ok(FreshKey { bytes, wrapped })
            }
        }
    }
}

impl UnwrapKey {
    /// The key-encryption key's id.
    #[must_use]
    pub const fn kek(&self) -> &KekId {
        match self {
            Self::File(private) => private.kek(),
        }
    }

    /// The one environment the key belongs to.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        match self {
            Self::File(private) => private.environment(),
        }
    }

    /// Reads a data key back.
    #[expect(
        clippy::unused_async,
        reason = "the file's answer is at hand, but a key service's or a hardware module's is not"
    )]
    pub(super) async fn unwrap(&self, key: &WrappedDataKey) -> Result<KeyBytes, Refused> {
        match self {
            Self::File(private) => private.unwrap(key.id, &key.wrapped).ok_or(Refused),
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
