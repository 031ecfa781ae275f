//! The canary: a known plaintext sealed under the KEK, opened at every start and at every look at
//! readiness, so that a process with a wrong key never becomes ready.

use super::{Capture, Internal, Refusal, Witness};
use crate::audit::{Action, Actor, Outcome};
use crate::seal::KekId;

/// Data keys that are looked at together.
const PAGE_ROWS_MAX: u32 = 1_000;

/// The process itself, as the audit log names it.
pub(crate) fn process() -> Witness {
    Witness {
        actor: Actor::Process,
        account: None,
        origin: "-".to_owned(),
        request_id: None,
    }
}

/// A store with canaries, and none of this process's KEK, is somebody else's: what would be sealed
/// here nobody could open.
fn foreign() -> Refusal {
    tracing::error!("the store's tokens are sealed to another KEK than this process's");
    Refusal::Sealed
}

impl Capture {
    /// Seals a canary under this process's KEK, unless the store has one.
    ///
    /// # Errors
    /// What the store or the key provider refuse.
    pub async fn ensure_canary(&self) -> Result<(), Refusal> {
        let store = &self.common.store;
        let kek = self.sealer.kek();
        let known = store.canary_keks().await?;
        if known.contains(&kek) {
            return Ok(());
        }
        if !known.is_empty() {
            return Err(foreign());
        }
        let canary = self.sealer.canary().await.map_err(|failed| {
            tracing::error!(%failed, "no canary could be sealed");
            Refusal::Sealed
        })?;
        let subject = Some(kek.as_str().to_owned());
        let event = self.common.event(
            &process(),
            Action::KeysCanaryMade,
            Outcome::Success,
            subject,
        );
        Ok(store.put_canary(canary, event).await?)
    }
}

impl Internal {
    /// Opens the canary of this process's KEK. A store that has canaries, and none of this KEK,
    /// is somebody else's.
    ///
    /// # Errors
    /// [`Refusal::Sealed`].
    pub async fn open_canary(&self) -> Result<(), Refusal> {
        self.require_unsealed()?;
        let canaries = self.common.store.canaries().await?;
        if canaries.is_empty() {
            return Ok(());
        }
        let ours = canaries
            .iter()
            .find(|canary| self.opener.holds(&canary.kek));
        let ours = ours.ok_or_else(foreign)?;
        Ok(self.opener.check_canary(ours).await?)
    }

    /// Looks at every wrapped data key: each is one that we have wrapped, to a key-encryption key
    /// that is ours. What somebody else put there is found before anything is opened with it.
    ///
    /// # Errors
    /// Which one is not, and what to look for, in words.
    pub async fn know_data_keys(&self) -> Result<(), String> {
        let mut after = String::new();
        loop {
            let page = self.common.store.data_keys(after, PAGE_ROWS_MAX).await;
            let page = page.map_err(|failure| failure.to_string())?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id.to_string();
            for key in &page {
                let named = self.rotation.names(&key.kek);
                if !named.unwrap_or_else(|| self.is_configured(&key.kek)) {
                    return Err(format!(
                        "{} is wrapped to {}, which is no key of ours",
                        key.id, key.kek
                    ));
                }
                if !self.opener.knows(key) {
                    return Err(format!(
                        "{} was not wrapped by a process with our fingerprint key: the row was \
                         forged, or fingerprint_key_file was replaced without \
                         fingerprint_key_also_file",
                        key.id
                    ));
                }
            }
        }
    }

    /// Whether this process opens with that key, or waits for the custodians to open it.
    fn is_configured(&self, kek: &KekId) -> bool {
        let waits_for_it = |custody: &super::unseal::Custody| custody.kek() == kek;
        self.opener.holds(kek) || self.custody.as_ref().is_some_and(waits_for_it)
    }

    /// While it is sealed: a store that has canaries, and none of `kek`, is somebody else's.
    ///
    /// # Errors
    /// [`Refusal::Sealed`].
    pub async fn expect_canary_of(&self, kek: &KekId) -> Result<(), Refusal> {
        let known = self.common.store.canary_keks().await?;
        if known.is_empty() || known.contains(kek) {
            Ok(())
        } else {
            Err(foreign())
        }
    }
}
