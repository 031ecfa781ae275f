//! Orphans: cards that the processor vaulted and that became no token are forgotten there.

use super::tokenize::sealed_reference;
use super::{Internal, Refusal, process, processor_of};
use crate::audit::{Action, Outcome};
use crate::processor::Reference;
use crate::store::{Lease, OrphanRow, Renewal};

/// On whose behalf the processor is asked.
const CLIENT: &str = "cloakroom";
/// Cards taken at one look.
const BATCH_CARDS_MAX: u32 = 32;
/// Milliseconds that a card rests after the first failed try; doubled with each later one.
const REST_MS: u64 = 10_000;
/// And at most.
const REST_MS_MAX: u64 = 3_600_000;

impl Internal {
    /// Forgets a batch of orphans; answers how many are gone.
    ///
    /// # Errors
    /// What the store refuses.
    #[tracing::instrument(name = "orphans.forget", skip_all)]
    pub async fn forget_orphans(&self) -> Result<usize, Refusal> {
        let common = self.common.clone();
        let now = common.now();
        let lease = Lease {
            now,
            lease_until: now.plus_ms(common.limits.work_lease_ms),
            limit: BATCH_CARDS_MAX,
        };
        let opened = move |orphan: &OrphanRow| {
            let subject = Some(orphan.id.to_string());
            let action = Action::CardDetachStarted;
            common.event(&process(), action, Outcome::Success, subject)
        };
        let store = &self.common.store;
        let mut gone: usize = 0;
        for orphan in store.lease_orphans(lease, opened).await? {
            let (id, tries) = (orphan.id, orphan.tries);
            match self.forget_orphan(orphan).await {
                Ok(()) => gone = gone.saturating_add(1),
                Err(refusal) => {
                    tracing::warn!(orphan = %id, %refusal, "a card is not forgotten yet");
                    let rest_ms = REST_MS.saturating_mul(1 << tries.min(16)).min(REST_MS_MAX);
                    store
                        .orphan_rests(id, self.common.now().plus_ms(rest_ms))
                        .await?;
                }
            }
        }
        Ok(gone)
    }

    async fn forget_orphan(&self, orphan: OrphanRow) -> Result<(), Refusal> {
        let common = &self.common;
        let processor = processor_of(&self.processors, &orphan.account)?;

        // 1. Where the card came back with another expiry, its token's card gets it.
        if let Some(renewal) = &orphan.renew {
            self.renew(&orphan, renewal).await?;
        }

        // 2. The processor forgets what became no token.
        let reference = self.open_orphan(&orphan).await?;
        let call = common.metrics.processor_call("detach");
        let detached = processor.detach(&reference, CLIENT).await;
        call.ended(detached.is_ok());
        detached?;

        // 3. The row goes, with its audit event.
        let subject = Some(orphan.id.to_string());
        let action = Action::CardDetached;
        let event = common.event(&process(), action, Outcome::Success, subject);
        Ok(common.store.orphan_forgotten(orphan.id, event).await?)
    }

    async fn renew(&self, orphan: &OrphanRow, renewal: &Renewal) -> Result<(), Refusal> {
        // A token that is forgotten meanwhile needs no expiry.
        let Some(token) = &renewal.token else {
            return Ok(());
        };
        let reference = self.open(token).await?;
        let key = format!("{}-renew", orphan.id);
        let call = self.common.metrics.processor_call("update_expiry");
        let updated = processor_of(&self.processors, &orphan.account)?
            .update_expiry(
                &reference,
                (renewal.exp_month, renewal.exp_year),
                &key,
                CLIENT,
            )
            .await;
        call.ended(updated.is_ok());
        Ok(updated?)
    }

    async fn open_orphan(&self, orphan: &OrphanRow) -> Result<Reference, Refusal> {
        // The value was sealed for the token that it would have become.
        let name = orphan.id.to_string();
        let account = orphan.account.as_str();
        let context = sealed_reference(self.common.environment, account, &name);
        let opened = self
            .opener
            .open(&context, &orphan.sealed, &orphan.data_key)
            .await?;
        Reference::decode(opened.expose()).map_err(|_| Refusal::Sealed)
    }
}
