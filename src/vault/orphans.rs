//! Orphans: cards that the processor vaulted and that became no token of their own. The card that a
//! customer posted again takes the place of the one before; what is left over is detached.

use super::owed::retry_at;
use super::tokenize::sealed_reference;
use super::{Internal, Refusal, marks, process, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::Reference;
use crate::store::{Adopted, OrphanRow, OrphanWork, OwedWork, Take};
use crate::token::TokenId;

/// On whose behalf the processor is asked.
const CLIENT: &str = "cloakroom";
/// Milliseconds until a token that is being charged is looked at again.
const BUSY_PAUSE_MS: u64 = 2_000;

/// What working on an orphan came to.
enum Ended {
    /// It is over, or another row's work now.
    Over,
    /// Its token is being charged.
    Busy,
}

impl Internal {
    /// Takes orphans that are due.
    pub(super) async fn due_orphans(&self, take: Take) -> Result<Vec<OrphanWork>, Refusal> {
        let common = self.common.clone();
        let opened = move |orphan: &OrphanRow| {
            let subject = Some(orphan.id.to_string());
            let action = Action::CardDetachStarted;
            common.event(&process(), action, Outcome::Success, subject)
        };
        Ok(self.common.store.take_due_orphans(take, opened).await?)
    }

    /// Has an orphan adopted or detached, or puts it off.
    pub(super) async fn go_on_with_orphan(&self, work: OrphanWork) {
        let OrphanWork { lease, orphan } = &work;
        let renewal = lease.renewal(OwedWork::Orphan, &orphan.id, &orphan.account);
        let _held = self.common.hold(renewal);
        let ended = match work.orphan.adopt_for {
            Some(token) => self.adopt(&work, token).await,
            None => self.detach_orphan(&work.orphan).await,
        };
        let OrphanWork { lease, orphan } = work;
        let now = self.common.now();
        let until = match ended {
            Ok(Ended::Over) => return,
            Ok(Ended::Busy) => now.plus_ms(BUSY_PAUSE_MS),
            Err(refusal) => {
                tracing::warn!(orphan = %orphan.id, %refusal, "a card is not detached yet");
                retry_at(now, now, Some(10 << orphan.tries.min(8)))
            }
        };
        let whose = (&orphan.account, orphan.id);
        if let Err(failure) = self.common.store.defer_orphan(lease, whose, until).await {
            tracing::warn!(orphan = %orphan.id, %failure, "a card could not be put off");
        }
    }

    /// The card that was vaulted last takes the place of the one before.
    async fn adopt(&self, work: &OrphanWork, token: TokenId) -> Result<Ended, Refusal> {
        let common = &self.common;
        let account = &work.orphan.account;

        // 1. Its reference is sealed anew, for the token.
        let reference = self.open_orphan(&work.orphan).await?;
        let mark = marks::reference(&self.marking, account, reference.payment_method());
        let name = token.to_string();
        let owned_by = (work.orphan.customer_ref.as_deref(), work.orphan.usage);
        let context = sealed_reference(common.environment, account.as_str(), &name, owned_by);
        let sealed = self.sealer.seal(&context, &reference.encode()).await;
        drop(reference);
        let value = sealed.map_err(|failed| {
            tracing::error!(%failed, "no data key could be made");
            Refusal::Sealed
        })?;

        // 2. One transaction exchanges the two, and writes the audit event.
        let action = Action::TokenCardReplaced;
        let event = common.event(&process(), action, Outcome::Success, Some(name));
        let publish = common.token_news("updated");
        let adopted = common
            .store
            .adopt_orphan(work, (token, mark, value), (event, common.now()), publish)
            .await?;
        Ok(match adopted {
            Adopted::Yes | Adopted::Lost => Ended::Over,
            Adopted::NotYet | Adopted::Gone => Ended::Busy,
        })
    }

    async fn detach_orphan(&self, orphan: &OrphanRow) -> Result<Ended, Refusal> {
        let common = &self.common;

        // 1. The processor detaches what belongs to no token.
        let reference = self.open_orphan(orphan).await?;
        let call = common.metrics.processor_call("detach");
        let detached = processor_of(&self.processors, &orphan.account)?
            .detach(&reference, CLIENT)
            .await;
        call.ended(detached.is_ok());
        detached?;

        // 2. The row goes, with its audit event.
        let subject = Some(orphan.id.to_string());
        let action = Action::CardDetached;
        let event = common.event(&process(), action, Outcome::Success, subject);
        common.store.orphan_detached(orphan.id, event).await?;
        Ok(Ended::Over)
    }

    async fn open_orphan(&self, orphan: &OrphanRow) -> Result<Reference, Refusal> {
        let name = orphan.sealed_for.to_string();
        let account = orphan.account.as_str();
        let owned_by = (orphan.customer_ref.as_deref(), orphan.usage);
        let context = sealed_reference(self.common.environment, account, &name, owned_by);
        let opened = self
            .opener
            .open(&context, &orphan.sealed, &orphan.data_key)
            .await?;
        Reference::decode(opened.expose()).map_err(|_| Refusal::Sealed)
    }
}
