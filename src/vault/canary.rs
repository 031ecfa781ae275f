//! The canary: a known plaintext sealed under the KEK, opened at every start and at every look at
//! readiness, so that a process with a wrong key never becomes ready.

use super::{Capture, Internal, Refusal, Witness};
use crate::audit::{Action, Actor, Outcome};
use crate::seal::KekId;

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
