//! The `file` key provider: an HPKE key pair in two JSON documents.
//!
//! The capture plane gets the public document and can only wrap. The internal plane gets the
//! private one, whose key is sealed under a passphrase. Both name their environment, so that a test
//! key cannot serve live traffic, and their `kek`, which must be the hash of their public key.
//!
//! - `disk.rs` reads and writes the files and looks at their permissions;
//! - `document.rs` is their form;
//! - `passphrase.rs` stretches the passphrase (Argon2id) and seals the private key;
//! - `hpke.rs` wraps and unwraps data keys (RFC 9180).

mod disk;
mod document;
pub(super) mod hpke;
mod passphrase;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use rustls::crypto::hpke::{HpkePrivateKey, HpkePublicKey};

use super::KekId;
use super::data_key::KeyBytes;
use super::provider::binding;
use crate::token::{DataKeyId, Environment};

pub(super) use hpke::{INFO as HPKE_INFO, POINT_BYTES};

pub use disk::{KeyFileRefused, Why, read_passphrase, read_private, read_public, write_private};
pub use document::{PrivateKekFile, PublicKekFile};
pub(super) use passphrase::Kdf;
pub(in crate::seal) use passphrase::require as require_passphrase;
pub use passphrase::{
    DISTINCT_CHARS_MIN, LANES_MAX, MEMORY_KIB_MAX, PASSES_MAX, PASSPHRASE_CHARS_MIN, Stretch,
    WORDS_CHARS_MIN,
};

/// How hard the passphrase of a private document is stretched, as the document says; the key stays
/// sealed.
///
/// # Errors
/// [`KeyFileRefused`] where it cannot be read, or is no private document under a passphrase.
pub fn stretch_of(path: &Path) -> Result<Stretch, KeyFileRefused> {
    let text = read_private(path)?;
    let document = PrivateKekFile::parse(&text).map_err(|why| KeyFileRefused::new(path, why))?;
    Ok(document.kdf.stretch())
}

/// Why no key pair was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateFailed {
    /// PCI DSS 8.3.6 asks for twelve characters.
    #[error("the passphrase has fewer than {PASSPHRASE_CHARS_MIN} characters")]
    PassphraseTooShort,
    /// PCI DSS 8.3.6 asks for letters and digits.
    #[error(
        "the passphrase has fewer than {DISTINCT_CHARS_MIN} different characters, or no letter, or no \
         digit; without digits it takes {WORDS_CHARS_MIN} characters"
    )]
    PassphraseTooSimple,
    /// The parameters are weaker than this environment allows, or beyond what is ever read.
    #[error("the key-stretching parameters are out of bounds for this environment")]
    StretchOutOfBounds,
    /// The cryptographic library made no key.
    #[error("no key pair could be made")]
    Crypto,
}

/// Makes a key pair for `environment`, its private half under `passphrase`, stretched as RFC 9106
/// recommends. It takes a fraction of a second and 64 MiB: not for an async thread.
///
/// # Errors
/// [`GenerateFailed`].
pub fn generate(
    environment: Environment,
    passphrase: &[u8],
) -> Result<(PublicKekFile, PrivateKekFile), GenerateFailed> {
    generate_with(environment, passphrase, Stretch::RECOMMENDED)
}

/// Like [`generate`], with other stretching parameters. The live environment refuses, here and when
/// reading, any that are weaker than [`Stretch::RECOMMENDED`].
///
/// # Errors
/// [`GenerateFailed`].
pub fn generate_with(
    environment: Environment,
    passphrase: &[u8],
    stretch: Stretch,
) -> Result<(PublicKekFile, PrivateKekFile), GenerateFailed> {
    passphrase::require(passphrase)?;
    generate_beside(environment, passphrase, stretch)
}

/// Like [`generate_with`], under a passphrase that already protects a key: it was judged by the rules
/// of its day, and a rotation must not fail on those of today.
///
/// # Errors
/// [`GenerateFailed`].
pub fn generate_beside(
    environment: Environment,
    passphrase: &[u8],
    stretch: Stretch,
) -> Result<(PublicKekFile, PrivateKekFile), GenerateFailed> {
    if !stretch.allowed_in(environment) {
        return Err(GenerateFailed::StretchOutOfBounds);
    }
    let (public, private) = hpke::generate().ok_or(GenerateFailed::Crypto)?;
    let header = PublicKekFile::new(environment, &public.0);
    let sealed = passphrase::seal(&header, &private, passphrase, stretch);
    Ok((header, sealed.ok_or(GenerateFailed::Crypto)?))
}

/// The public half: wraps data keys, and reads none back.
pub struct PublicKek {
    environment: Environment,
    kek: KekId,
    public_key: HpkePublicKey,
}

impl PublicKek {
    /// Reads the public document at `path`, for a process that serves `environment`.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path, environment: Environment) -> Result<Self, KeyFileRefused> {
        let text = read_public(path)?;
        Self::parse(&text, environment).map_err(|why| KeyFileRefused::new(path, why))
    }

    /// Reads the text of a public document, wherever it stood.
    ///
    /// # Errors
    /// [`Why`].
    pub fn from_document(text: &[u8], environment: Environment) -> Result<Self, Why> {
        Self::parse(text, environment)
    }

    fn parse(text: &[u8], environment: Environment) -> Result<Self, Why> {
        let document = PublicKekFile::parse(text)?;
        let (kek, public_key) = document.checked(environment)?;
        let public = Self {
            environment,
            kek,
            public_key: HpkePublicKey(public_key),
        };
        // A point off the curve is found now, not at the first card.
        let probe = DataKeyId::from_uuid(environment, uuid::Uuid::nil());
        public
            .wrap(probe, &KeyBytes::random())
            .ok_or(Why::Malformed)?;
        Ok(public)
    }

    pub(super) const fn kek(&self) -> &KekId {
        &self.kek
    }

    pub(super) const fn environment(&self) -> Environment {
        self.environment
    }

    /// The public key, as an uncompressed point.
    pub(super) fn point(&self) -> &[u8] {
        &self.public_key.0
    }

    pub(super) fn wrap(&self, id: DataKeyId, key: &KeyBytes) -> Option<Vec<u8>> {
        let aad = binding(self.environment, &self.kek, id);
        hpke::wrap(&self.public_key, &aad, key)
    }
}

/// The private half: reads data keys back.
pub struct PrivateKek {
    environment: Environment,
    kek: KekId,
    private_key: HpkePrivateKey,
}

impl PrivateKek {
    /// Reads the private document at `path`, for a process that serves `environment`. Stretching
    /// the passphrase takes a fraction of a second: not for an async thread.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend. It carries nothing of the
    /// key or the passphrase, and does not tell a wrong passphrase from an altered file.
    pub fn read(
        path: &Path,
        passphrase: &[u8],
        environment: Environment,
    ) -> Result<Self, KeyFileRefused> {
        let text = read_private(path)?;
        Self::parse(&text, passphrase, environment).map_err(|why| KeyFileRefused::new(path, why))
    }

    fn parse(text: &[u8], passphrase: &[u8], environment: Environment) -> Result<Self, Why> {
        let document = PrivateKekFile::parse(text)?;
        let header = document.header();
        header.checked(environment)?;
        let private_key = passphrase::open(&document, passphrase, environment)?;
        Self::of(&header, private_key, environment)
    }

    /// The private half of the pair that `header` describes, if it is that.
    pub(super) fn of(
        header: &PublicKekFile,
        private_key: HpkePrivateKey,
        environment: Environment,
    ) -> Result<Self, Why> {
        let (kek, public_key) = header.checked(environment)?;
        let private = Self {
            environment,
            kek: kek.clone(),
            private_key,
        };
        let public = PublicKek {
            environment,
            kek,
            public_key: HpkePublicKey(public_key),
        };
        if private.is_half_of(&public) {
            Ok(private)
        } else {
            Err(Why::KeysDoNotMatch)
        }
    }

    /// The key itself, for who puts it under other shares.
    pub(super) fn expose(&self) -> &[u8] {
        self.private_key.secret_bytes()
    }

    /// Whether what `public` wraps is read back.
    fn is_half_of(&self, public: &PublicKek) -> bool {
        let id = DataKeyId::from_uuid(self.environment, uuid::Uuid::nil());
        let probe = KeyBytes::random();
        public
            .wrap(id, &probe)
            .and_then(|wrapped| self.unwrap(id, &wrapped))
            .is_some_and(|read| read.expose() == probe.expose())
    }

    pub(super) const fn kek(&self) -> &KekId {
        &self.kek
    }

    pub(super) const fn environment(&self) -> Environment {
        self.environment
    }

    pub(super) fn unwrap(&self, id: DataKeyId, wrapped: &[u8]) -> Option<KeyBytes> {
        let aad = binding(self.environment, &self.kek, id);
        hpke::unwrap(&self.private_key, &aad, wrapped)
    }
}

impl fmt::Debug for PublicKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKek({})", self.kek)
    }
}

impl fmt::Debug for PrivateKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKek({})", self.kek)
    }
}
