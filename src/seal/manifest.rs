//! The key manifest: which key-encryption keys there are, and what each may still do.
//!
//! It stands in the store, where every process finds it, and is signed with a key that only the
//! internal plane's operator has. Whoever can write to the database, or has taken a capture host
//! over, cannot put a key of their own into it, so they cannot have values sealed to themselves.
//! Versions only go up; a process never goes back to an older one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::signing::{SigningKey, VerifyingKey};
use super::{KekId, Refused};
use crate::clock::Timestamp;
use crate::token::Environment;

/// The `typ` of its signature: what is signed for another purpose is no manifest.
const TYP: &str = "cloakroom-key-manifest+jws";

/// What a key may still do (NIST SP 800-57 part 1, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KekState {
    /// Made, and given to those who open; nothing is wrapped to it yet.
    Prepared,
    /// New data keys are wrapped to it.
    Active,
    /// It reads data keys back, and wraps none.
    DecryptOnly,
    /// Somebody else may know it. It reads data keys back until they are wrapped anew.
    Compromised,
    /// Nothing is wrapped to it any more, and nobody needs to hold it.
    Destroyed,
}

impl KekState {
    /// Its name in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt_only",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether the internal plane must be able to read data keys back with it.
    #[must_use]
    pub const fn opens(self) -> bool {
        match self {
            Self::Prepared | Self::Active | Self::DecryptOnly | Self::Compromised => true,
            Self::Destroyed => false,
        }
    }
}

/// Who holds a key, and what anybody may know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// A file.
    File {
        /// The public document, as `kek-public.json` has it.
        public: String,
    },
    /// A hardware module.
    Pkcs11 {
        /// The public document.
        public: String,
    },
    /// AWS Key Management Service.
    AwsKms {
        /// The key's ARN.
        key_arn: String,
    },
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id, which must be the hash of what is public of it.
    pub kek: String,
    /// Who holds it.
    pub holder: Holder,
    /// What it may do.
    pub state: KekState,
    /// When it was made, or first seen here; ms since 1970.
    pub created_at_ms: i64,
    /// When it came into service; ms since 1970.
    pub activated_at_ms: Option<i64>,
    /// When it left service; ms since 1970.
    pub retired_at_ms: Option<i64>,
}

impl Entry {
    /// Its id.
    ///
    /// # Errors
    /// [`Refused`] where what is written is none.
    pub fn kek(&self) -> Result<KekId, Refused> {
        KekId::try_from(self.kek.clone()).map_err(|_| Refused::Value)
    }
}

/// All keys of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    environment: Environment,
    version: u32,
    keks: Vec<Entry>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// There is no such key.
    #[error("there is no key {0} in the manifest")]
    Unknown(KekId),
    /// A key goes from one state to some others only.
    #[error("a key that is {from} does not become {to}")]
    State {
        /// What it is.
        from: &'static str,
        /// What was asked for.
        to: &'static str,
    },
    /// The key is there already.
    #[error("the key {0} is in the manifest already")]
    Known(KekId),
}

impl Manifest {
    /// The first version: one key, in service.
    #[must_use]
    pub fn first(environment: Environment, kek: &KekId, holder: Holder, now: Timestamp) -> Self {
        let entry = Entry {
            kek: kek.to_string(),
            holder,
            state: KekState::Active,
            created_at_ms: now.unix_ms(),
            activated_at_ms: Some(now.unix_ms()),
            retired_at_ms: None,
        };
        Self {
            environment,
            version: 1,
            keks: vec![entry],
        }
    }

    /// Which version it is.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Its keys, oldest first.
    #[must_use]
    pub fn keks(&self) -> &[Entry] {
        &self.keks
    }

    /// The key that data keys are wrapped to.
    #[must_use]
    pub fn active(&self) -> Option<&Entry> {
        self.keks.iter().find(|key| key.state == KekState::Active)
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, kek: &KekId) -> Option<&Entry> {
        self.keks.iter().find(|entry| entry.kek == kek.as_str())
    }

    /// The next version, with a further key that is prepared.
    ///
    /// # Errors
    /// [`ChangeRefused::Known`].
    pub fn with(&self, kek: &KekId, holder: Holder, now: Timestamp) -> Result<Self, ChangeRefused> {
        if self.find(kek).is_some() {
            return Err(ChangeRefused::Known(kek.clone()));
        }
        let mut next = self.next();
        next.keks.push(Entry {
            kek: kek.to_string(),
            holder,
            state: KekState::Prepared,
            created_at_ms: now.unix_ms(),
            activated_at_ms: None,
            retired_at_ms: None,
        });
        Ok(next)
    }

    /// The next version, in which a prepared key is in service and the one before it opens only.
    ///
    /// # Errors
    /// [`ChangeRefused`].
    pub fn activated(&self, kek: &KekId, now: Timestamp) -> Result<Self, ChangeRefused> {
        self.expect(kek, KekState::Active, |from| from == KekState::Prepared)?;
        let mut next = self.next();
        for entry in &mut next.keks {
            if entry.kek == kek.as_str() {
                entry.state = KekState::Active;
                entry.activated_at_ms = Some(now.unix_ms());
            } else if entry.state == KekState::Active {
                entry.state = KekState::DecryptOnly;
                entry.retired_at_ms = Some(now.unix_ms());
            }
        }
        Ok(next)
    }

    /// The next version, in which a key that is out of service is compromised or destroyed.
    ///
    /// # Errors
    /// [`ChangeRefused`]; the key in service is replaced first.
    pub fn retired(
        &self,
        kek: &KekId,
        to: KekState,
        now: Timestamp,
    ) -> Result<Self, ChangeRefused> {
        self.expect(kek, to, |from| match to {
            KekState::Compromised => from == KekState::DecryptOnly || from == KekState::Prepared,
            KekState::Destroyed => from != KekState::Active && from != KekState::Destroyed,
            KekState::Prepared | KekState::Active | KekState::DecryptOnly => false,
        })?;
        let mut next = self.next();
        for entry in &mut next.keks {
            if entry.kek == kek.as_str() {
                entry.state = to;
                entry.retired_at_ms = entry.retired_at_ms.or(Some(now.unix_ms()));
            }
        }
        Ok(next)
    }

    fn expect(
        &self,
        kek: &KekId,
        to: KekState,
        allows: impl Fn(KekState) -> bool,
    ) -> Result<(), ChangeRefused> {
        let entry = self
            .find(kek)
            .ok_or_else(|| ChangeRefused::Unknown(kek.clone()))?;
        if allows(entry.state) {
            Ok(())
        } else {
            Err(ChangeRefused::State {
                from: entry.state.name(),
                to: to.name(),
            })
        }
    }

    fn next(&self) -> Self {
        let mut next = self.clone();
        next.version = self.version.saturating_add(1);
        next
    }

    /// The manifest under the signature of `key`.
    ///
    /// # Errors
    /// [`Refused`] when it cannot be written down.
    pub fn signed(&self, key: &SigningKey) -> Result<String, Refused> {
        let json = serde_json::to_vec(self).map_err(|_| Refused::Value)?;
        Ok(key.jws(TYP, &json))
    }

    /// Reads a manifest that `key` has signed, for a process that serves `environment`.
    ///
    /// # Errors
    /// [`Refused`] for another signature, another environment, another version than `version`, ids
    /// that are not those of the keys, two keys of one id, or two in service.
    pub fn open(
        jws: &str,
        key: &VerifyingKey,
        environment: Environment,
        version: u32,
    ) -> Result<Self, Refused> {
        let json = key.open_jws(TYP, jws).ok_or(Refused::Value)?;
        let manifest: Self = serde_json::from_slice(&json).map_err(|_| Refused::Value)?;
        let ids: BTreeSet<&String> = manifest.keks.iter().map(|entry| &entry.kek).collect();
        let in_service = manifest
            .keks
            .iter()
            .filter(|key| key.state == KekState::Active);
        let is_sound = manifest.environment == environment
            && manifest.version == version
            && ids.len() == manifest.keks.len()
            && in_service.count() == 1
            && manifest.keks.iter().all(|entry| entry.kek().is_ok());
        is_sound.then_some(manifest).ok_or(Refused::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_392_000_000);

    fn kek(name: &str) -> KekId {
        KekId::of(name.as_bytes())
    }

    fn holder() -> Holder {
        Holder::AwsKms {
            key_arn: "arn".to_owned(),
        }
    }

    fn keys() -> (SigningKey, VerifyingKey, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("private"), dir.path().join("public"));
        let text = SigningKey::generate().unwrap();
        super::super::file::write_private(&private, text.as_bytes()).unwrap();
        let key = SigningKey::read(&private).unwrap();
        super::super::file::write_private(&public, key.jwk().as_bytes()).unwrap();
        (key, VerifyingKey::read(&public).unwrap(), dir)
    }

    #[test]
    fn a_key_goes_from_prepared_to_active_to_decrypt_only_to_destroyed() {
        let (a, b) = (kek("a"), kek("b"));
        let first = Manifest::first(Environment::Test, &a, holder(), NOW);
        let second = first.with(&b, holder(), NOW).unwrap();
        assert_eq!(second.active().unwrap().kek, a.to_string());
        let third = second.activated(&b, NOW).unwrap();
        assert_eq!(third.active().unwrap().kek, b.to_string());
        assert_eq!(third.find(&a).unwrap().state, KekState::DecryptOnly);
        let gone = third.retired(&a, KekState::Destroyed, NOW).unwrap();
        assert_eq!(gone.version(), 4);
        assert!(!gone.find(&a).unwrap().state.opens());

        for refused in [
            first.with(&a, holder(), NOW),
            first.activated(&a, NOW),
            first.activated(&b, NOW),
            third.activated(&a, NOW),
            third.retired(&b, KekState::Destroyed, NOW),
            third.retired(&b, KekState::Compromised, NOW),
            third.retired(&a, KekState::Active, NOW),
            gone.retired(&a, KekState::Compromised, NOW),
        ] {
            assert!(refused.is_err(), "{refused:?}");
        }
    }

    #[test]
    fn only_what_the_key_has_signed_as_a_manifest_of_this_world_is_read() {
        let (key, public, _dir) = keys();
        let (stranger, another, _other) = keys();
        let manifest = Manifest::first(Environment::Test, &kek("a"), holder(), NOW);
        let jws = manifest.signed(&key).unwrap();
        let open = |jws: &str, key: &VerifyingKey, environment, version| {
            Manifest::open(jws, key, environment, version)
        };
        assert_eq!(open(&jws, &public, Environment::Test, 1).unwrap(), manifest);
        assert!(open(&jws, &another, Environment::Test, 1).is_err());
        assert!(open(&jws, &public, Environment::Live, 1).is_err());
        // A row whose version is not the signed one: an old manifest under a new number.
        assert!(open(&jws, &public, Environment::Test, 2).is_err());
        let forged = manifest.signed(&stranger).unwrap();
        assert!(open(&forged, &public, Environment::Test, 1).is_err());
        let receipt = key.jws("receipt+jws", &serde_json::to_vec(&manifest).unwrap());
        assert!(open(&receipt, &public, Environment::Test, 1).is_err());
        for at in [0, jws.len() / 2, jws.len() - 1] {
            let mut altered = jws.clone().into_bytes();
            altered[at] ^= 1;
            let altered = String::from_utf8(altered).unwrap();
            assert!(
                open(&altered, &public, Environment::Test, 1).is_err(),
                "{at}"
            );
        }
    }

    #[test]
    fn two_keys_in_service_or_of_one_name_are_refused() {
        let (key, public, _dir) = keys();
        let first = Manifest::first(Environment::Test, &kek("a"), holder(), NOW);
        let mut two = first.with(&kek("b"), holder(), NOW).unwrap();
        two.keks[1].state = KekState::Active;
        let mut twice = first.clone();
        twice.keks.push(Entry {
            state: KekState::Prepared,
            ..twice.keks[0].clone()
        });
        for (manifest, version) in [(two, 2), (twice, 1)] {
            let jws = manifest.signed(&key).unwrap();
            assert!(Manifest::open(&jws, &public, Environment::Test, version).is_err());
        }
    }
}
