//! A share as its custodian keeps it: encrypted to their public key from the moment it exists.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::custodian::{Custodian, CustodianKey};
use super::shamir::Share;
use super::signed::to_json;
use super::{CeremonyId, CustodianName, Refused};
use crate::seal::KekId;
use crate::seal::data_key::hex;
use crate::seal::envelope::length_prefixed;
use crate::seal::file::{self, KeyFileRefused, Why, hpke};
use crate::token::Environment;

const FORMAT: &str = "cloakroom-custodian-share/1";
const INFO: &[u8] = b"cloakroom/custodian-share/v1";

/// Which splitting of which key a share is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splitting {
    pub(super) environment: Environment,
    pub(super) kek: KekId,
    pub(super) ceremony: CeremonyId,
    pub(super) threshold: u8,
    pub(super) shares: u8,
}

/// A custodian's share file. Only the custodian's private key opens it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareFile {
    format: String,
    environment: Environment,
    kek: String,
    ceremony: CeremonyId,
    threshold: u8,
    shares: u8,
    index: u8,
    custodian: CustodianName,
    custodian_key: String,
    sealed_share: String,
}

impl ShareFile {
    /// Encrypts `share` to `custodian`.
    pub(super) fn seal(
        splitting: &Splitting,
        share: &Share,
        custodian: &Custodian,
    ) -> Option<Self> {
        let mut file = Self {
            format: FORMAT.to_owned(),
            environment: splitting.environment,
            kek: splitting.kek.to_string(),
            ceremony: splitting.ceremony.clone(),
            threshold: splitting.threshold,
            shares: splitting.shares,
            index: share.index(),
            custodian: custodian.name.clone(),
            custodian_key: custodian.key.clone(),
            sealed_share: String::new(),
        };
        let public = custodian.hpke_public_key()?;
        let sealed = hpke::seal_to(&public, INFO, &file.authenticated(), share.expose())?;
        file.sealed_share = STANDARD.encode(sealed);
        Some(file)
    }

    /// Reads a share file; its bytes are answered too, since they are what a transcript's hash and
    /// an acknowledgement are of.
    ///
    /// # Errors
    /// [`Refused`] names the file and what is wrong.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), Refused> {
        let text = file::read_private(path)?;
        let share = Self::parse(&text).map_err(|why| KeyFileRefused::new(path, why))?;
        Ok((share, text.to_vec()))
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, Why> {
        let file: Self = serde_json::from_slice(text).map_err(|_| Why::Malformed)?;
        if file.format == FORMAT {
            Ok(file)
        } else {
            Err(Why::Malformed)
        }
    }

    /// Opens the share, for its custodian only.
    ///
    /// # Errors
    /// [`Why::KeysDoNotMatch`] where it is another custodian's, [`Why::NotOpened`] where it was
    /// altered.
    pub fn open(&self, key: &CustodianKey) -> Result<Share, Why> {
        let owner = key.custodian();
        if owner.key != self.custodian_key || owner.name != self.custodian {
            return Err(Why::KeysDoNotMatch);
        }
        let sealed = STANDARD
            .decode(&self.sealed_share)
            .map_err(|_| Why::Malformed)?;
        let opened = hpke::open_with(key.hpke(), INFO, &self.authenticated(), &sealed)
            .ok_or(Why::NotOpened)?;
        Share::from_slice(&opened)
            .filter(|share| share.index() == self.index)
            .ok_or(Why::Malformed)
    }

    /// The key of which it is a share.
    #[must_use]
    pub fn kek(&self) -> &str {
        &self.kek
    }

    /// The splitting of which it is a share.
    #[must_use]
    pub const fn ceremony(&self) -> &CeremonyId {
        &self.ceremony
    }

    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Every field but the ciphertext.
    fn authenticated(&self) -> Vec<u8> {
        length_prefixed(&[
            self.format.as_bytes(),
            self.environment.name().as_bytes(),
            self.kek.as_bytes(),
            self.ceremony.as_str().as_bytes(),
            &[self.threshold, self.shares, self.index],
            self.custodian.as_str().as_bytes(),
            self.custodian_key.as_bytes(),
        ])
    }
}

/// The check value of a share, which stands in public: by it a wrong share is known when it is
/// given, and not only when the key does not open. It is a hash of 256 random bits, so it helps
/// nobody to find them.
pub(super) fn check_of(kek: &KekId, ceremony: &CeremonyId, share: &Share) -> String {
    let bytes = zeroize::Zeroizing::new(length_prefixed(&[
        b"cloakroom/share-check/v1",
        kek.as_str().as_bytes(),
        ceremony.as_str().as_bytes(),
        share.expose(),
    ]));
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref())
}
