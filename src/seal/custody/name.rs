//! The names of custodians and of ceremonies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::seal::data_key::hex;

/// Characters of a custodian's name, which is also part of file names.
const NAME_LENGTH_MAX: usize = 40;
/// Random bytes in the name of a ceremony.
const CEREMONY_BYTES: usize = 16;

/// A custodian: 1 to 40 of `a` to `z`, digits and hyphens, so that a name is one person's whatever
/// the case in which it is typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustodianName(String);

/// Not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a custodian's name is 1 to {NAME_LENGTH_MAX} of a-z, 0-9 and hyphens")]
pub struct NameRefused;

impl CustodianName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CustodianName {
    type Error = NameRefused;

    fn try_from(name: String) -> Result<Self, NameRefused> {
        let allowed =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        if (1..=NAME_LENGTH_MAX).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('-')
        {
            Ok(Self(name))
        } else {
            Err(NameRefused)
        }
    }
}

impl std::str::FromStr for CustodianName {
    type Err = NameRefused;

    fn from_str(name: &str) -> Result<Self, NameRefused> {
        Self::try_from(name.to_owned())
    }
}

impl From<CustodianName> for String {
    fn from(name: CustodianName) -> Self {
        name.0
    }
}

impl fmt::Display for CustodianName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One splitting of one key: `cer_` and 32 hexadecimal characters, never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CeremonyId(String);

/// Not the name of a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a ceremony")]
pub struct CeremonyRefused;

impl CeremonyId {
    const PREFIX: &'static str = "cer_";

    pub(super) fn random() -> Self {
        let mut bytes = [0; CEREMONY_BYTES];
        crate::random::fill(&mut bytes);
        Self(format!("{}{}", Self::PREFIX, hex(&bytes)))
    }

    /// The name as it stands in files.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CeremonyId {
    type Error = CeremonyRefused;

    fn try_from(text: String) -> Result<Self, CeremonyRefused> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(CeremonyRefused)?;
        let lower_hex = |letter: u8| letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter);
        if digits.len() == CEREMONY_BYTES.saturating_mul(2) && digits.bytes().all(lower_hex) {
            Ok(Self(text))
        } else {
            Err(CeremonyRefused)
        }
    }
}

impl From<CeremonyId> for String {
    fn from(id: CeremonyId) -> Self {
        id.0
    }
}

impl fmt::Display for CeremonyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custodians_name_fits_into_a_file_name_and_has_one_spelling() {
        for name in ["alice", "a", "bob-2", &"x".repeat(40)] {
            assert_eq!(name.parse::<CustodianName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "Alice",
            "a b",
            "../x",
            "-x",
            "ä",
            "a/b",
            "a.b",
            &"x".repeat(41),
        ] {
            assert_eq!(name.parse::<CustodianName>(), Err(NameRefused), "{name}");
        }
    }

    #[test]
    fn a_ceremonys_name_is_read_back_and_nothing_else_is() {
        let id = CeremonyId::random();
        assert_ne!(id, CeremonyId::random());
        assert_eq!(CeremonyId::try_from(id.to_string()), Ok(id));
        for text in ["", "cer_", "cer_00", &format!("kek_{}", "0".repeat(32))] {
            assert!(CeremonyId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
