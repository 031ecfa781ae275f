//! The private document of a key whose opening takes custodians: the private key is sealed under a
//! random secret that exists nowhere but in shares.

use std::path::Path;

use rustls::crypto::hpke::HpkePrivateKey;
use serde::{Deserialize, Serialize};

use super::lock::{Locked, cipher_of};
use super::shamir::{self, SHARES_MAX, Share, THRESHOLD_MIN};
use super::share::{Splitting, check_of};
use super::signed::to_json;
use super::{CeremonyId, CustodianName};
use crate::seal::KekId;
use crate::seal::data_key::{KEY_BYTES, KeyBytes};
use crate::seal::envelope::length_prefixed;
use crate::seal::file::{self, KeyFileRefused, PrivateKek, PublicKekFile, Why};
use crate::token::Environment;

const FORMAT: &str = "cloakroom-kek-private-shares/1";
const INFO: &[u8] = b"cloakroom/kek-private-shares/v1";

/// One share, as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holder {
    pub(super) index: u8,
    pub(super) custodian: CustodianName,
    pub(super) check: String,
}

/// The private document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedKekFile {
    format: String,
    /// The pair's public document.
    public: PublicKekFile,
    ceremony: CeremonyId,
    threshold: u8,
    holders: Vec<Holder>,
    private_key: Locked,
}

impl SharedKekFile {
    /// Seals `private_key` under `secret`.
    pub(super) fn seal(
        public: &PublicKekFile,
        splitting: &Splitting,
        holders: &[Holder],
        secret: &KeyBytes,
        private_key: &[u8],
    ) -> Option<Self> {
        let aad = authenticated(public, splitting, holders);
        let cipher = cipher_of(secret, splitting.ceremony.as_str().as_bytes(), INFO)?;
        Some(Self {
            format: FORMAT.to_owned(),
            public: public.clone(),
            ceremony: splitting.ceremony.clone(),
            threshold: splitting.threshold,
            holders: holders.to_vec(),
            private_key: Locked::seal(&cipher, &aad, private_key)?,
        })
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// A private document that waits for its custodians.
#[derive(Clone, Debug)]
pub struct SharedKek {
    file: SharedKekFile,
    splitting: Splitting,
}

impl SharedKek {
    /// Whether the file at `path` is a private document of this kind, and not one under a
    /// passphrase.
    ///
    /// # Errors
    /// [`KeyFileRefused`] where it cannot be read at all.
    pub fn is_at(path: &Path) -> Result<bool, KeyFileRefused> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let text = file::read_private(path)?;
        let document = serde_json::from_slice::<Format>(&text);
        Ok(document.is_ok_and(|document| document.format == FORMAT))
    }

    /// Reads the document at `path`, for a process that serves `environment`.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file and what is wrong.
    pub fn read(path: &Path, environment: Environment) -> Result<Self, KeyFileRefused> {
        let text = file::read_private(path)?;
        Self::parse(&text, environment).map_err(|why| KeyFileRefused::new(path, why))
    }

    pub(super) fn parse(text: &[u8], environment: Environment) -> Result<Self, Why> {
        let file: SharedKekFile = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        let (kek, _) = file.public.checked(environment)?;
        let shares = u8::try_from(file.holders.len()).map_err(|_| Why::Malformed)?;
        let numbered = file.holders.iter().zip(1..).all(|(h, n)| h.index == n);
        let bounded = (THRESHOLD_MIN..=shares).contains(&file.threshold) && shares <= SHARES_MAX;
        if file.format != FORMAT || !numbered || !bounded {
            return Err(Why::Malformed);
        }
        let splitting = Splitting {
            environment,
            kek,
            ceremony: file.ceremony.clone(),
            threshold: file.threshold,
            shares,
        };
        Ok(Self { file, splitting })
    }

    /// The id of the key-encryption key.
    #[must_use]
    pub const fn kek(&self) -> &KekId {
        &self.splitting.kek
    }

    /// The splitting whose shares open it.
    #[must_use]
    pub const fn ceremony(&self) -> &CeremonyId {
        &self.splitting.ceremony
    }

    /// Shares that open it.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.splitting.threshold
    }

    /// Shares that there are.
    #[must_use]
    pub const fn shares(&self) -> u8 {
        self.splitting.shares
    }

    pub(super) const fn public(&self) -> &PublicKekFile {
        &self.file.public
    }

    /// Who holds the share of that number.
    #[must_use]
    pub fn custodian_of(&self, index: u8) -> Option<&CustodianName> {
        self.holder(index).map(|holder| &holder.custodian)
    }

    fn holder(&self, index: u8) -> Option<&Holder> {
        self.file
            .holders
            .iter()
            .find(|holder| holder.index == index)
    }

    /// Whether it is the share of its number, byte for byte.
    #[must_use]
    pub fn knows(&self, share: &Share) -> bool {
        let check = check_of(self.kek(), self.ceremony(), share);
        self.holder(share.index())
            .is_some_and(|holder| holder.check == check)
    }

    /// Opens the private key with shares of as many custodians as it takes, and checks that it
    /// belongs to its public half.
    ///
    /// # Errors
    /// [`Why::NotOpened`] with too few shares, or wrong ones.
    pub fn open<'a>(&self, shares: impl IntoIterator<Item = &'a Share>) -> Result<PrivateKek, Why> {
        let secret = shamir::combine(shares).ok_or(Why::NotOpened)?;
        let salt = self.ceremony().as_str().as_bytes();
        let cipher = cipher_of(&secret, salt, INFO).ok_or(Why::NotOpened)?;
        drop(secret);
        let aad = authenticated(&self.file.public, &self.splitting, &self.file.holders);
        let key = self.file.private_key.open(&cipher, &aad)?;
        if key.len() != KEY_BYTES {
            return Err(Why::Malformed);
        }
        let key = HpkePrivateKey::from(key.to_vec());
        PrivateKek::of(&self.file.public, key, self.splitting.environment)
    }
}

/// Every field but the ciphertext.
fn authenticated(public: &PublicKekFile, splitting: &Splitting, holders: &[Holder]) -> Vec<u8> {
    let public = public.to_json();
    let mut fields = vec![
        FORMAT.as_bytes(),
        &public,
        splitting.ceremony.as_str().as_bytes(),
        std::slice::from_ref(&splitting.threshold),
    ];
    for holder in holders {
        fields.push(std::slice::from_ref(&holder.index));
        fields.push(holder.custodian.as_str().as_bytes());
        fields.push(holder.check.as_bytes());
    }
    length_prefixed(&fields)
}
