//! The custody ledger: who holds a share of which key, since when, and until when. It refuses one
//! person two shares.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::signed::{Document, Signed};
use super::{CeremonyId, Custodian, CustodianName, Refused};
use crate::seal::file;
use crate::seal::signing::SigningKey;

/// The whole ledger; it is only ever added to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    custodies: Vec<Custody>,
}

/// Who holds the shares of one splitting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Custody {
    pub(super) kek: String,
    pub(super) ceremony: CeremonyId,
    pub(super) since: String,
    /// When another splitting took its place.
    pub(super) until: Option<String>,
    pub(super) threshold: u8,
    /// In the order of their shares.
    pub(super) custodians: Vec<Custodian>,
}

impl Document for Ledger {
    const FORMAT: &'static str = "cloakroom-custody-ledger/1";
}

/// Why the ledger does not take a custody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerRefused {
    /// A name twice in one ceremony.
    #[error("{0} would hold two shares: custodians are different people")]
    SameName(CustodianName),
    /// A key twice in one ceremony.
    #[error("{0} and {1} have one key: custodians are different people")]
    SameKey(CustodianName, CustodianName),
    /// A key that the ledger knows under another name.
    #[error("the key of {now} is {before}'s in the ledger")]
    KnownUnderAnotherName {
        /// The name that the ledger has for the key.
        before: CustodianName,
        /// The name that it comes with.
        now: CustodianName,
    },
    /// A public file whose key check value is not that of its keys.
    #[error("the public keys of {0} do not have the key check value that its file states")]
    NotWhole(CustodianName),
}

impl Ledger {
    /// Reads the ledger, signed.
    ///
    /// # Errors
    /// [`Refused`] names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Signed<Self>, Refused> {
        let text = file::read_public(path)?;
        Signed::parse(&text).map_err(|why| Refused::signed(path, why))
    }

    /// Checks that these are different people, before anything is made for them.
    ///
    /// # Errors
    /// [`LedgerRefused`] names who would hold two.
    pub fn admits(&self, custodians: &[Custodian]) -> Result<(), LedgerRefused> {
        let mut names = BTreeSet::new();
        for (place, custodian) in custodians.iter().enumerate() {
            if !custodian.is_whole() {
                return Err(LedgerRefused::NotWhole(custodian.name.clone()));
            }
            if !names.insert(&custodian.name) {
                return Err(LedgerRefused::SameName(custodian.name.clone()));
            }
            let mut before = custodians.iter().take(place);
            if let Some(twin) = before.find(|other| have_a_key_in_common(custodian, other)) {
                let twin = twin.name.clone();
                return Err(LedgerRefused::SameKey(twin, custodian.name.clone()));
            }
            let known = self
                .custodies
                .iter()
                .flat_map(|custody| &custody.custodians);
            for other in known {
                if other.name != custodian.name && have_a_key_in_common(custodian, other) {
                    return Err(LedgerRefused::KnownUnderAnotherName {
                        before: other.name.clone(),
                        now: custodian.name.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Enters a custody, which ends the one before it of the same key.
    pub(super) fn enter(&mut self, custody: Custody) {
        for before in &mut self.custodies {
            if before.kek == custody.kek && before.until.is_none() {
                before.until = Some(custody.since.clone());
            }
        }
        self.custodies.push(custody);
    }

    /// The custody of a splitting.
    pub(super) fn custody(&self, ceremony: &CeremonyId) -> Option<&Custody> {
        self.custodies
            .iter()
            .find(|custody| custody.ceremony == *ceremony)
    }

    pub(super) fn custodies(&self) -> &[Custody] {
        &self.custodies
    }

    /// The bytes of the file.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        Signed::new(self.clone(), key).to_json()
    }
}

fn have_a_key_in_common(one: &Custodian, other: &Custodian) -> bool {
    one.key == other.key
        || one.hpke_public_key == other.hpke_public_key
        || one.signing_public_key == other.signing_public_key
}
