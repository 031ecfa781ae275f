//! The work of rotation: data keys are wrapped to the key in service, values move to fresh data keys.
//!
//! One internal process at a time is at it, and whoever comes next goes on where it stopped. Nothing
//! is out of reach meanwhile: a row is replaced in one write, when what it becomes has been opened
//! and found to be the same.

use std::time::Duration;

use super::super::alert::log_alert;
use super::super::tokenize::sealed_reference;
use super::super::{Internal, Refusal, marks, process};
use super::passes::Passes;
use crate::alerts::{Alert, AlertName};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::processor::Reference;
use crate::store::{KeyJob, KeyWork, Progress, Resealed, ToReseal};

/// Rows that share one write.
const BATCH_ROWS_MAX: u32 = 64;
/// Milliseconds that a node has for a batch before another one takes the job up.
const LEASE_MS: u64 = 15_000;
/// Within so many milliseconds every process has followed a manifest; it looks every five seconds.
const FOLLOWED_WITHIN_MS: u64 = 7_000;
/// Milliseconds between two looks for work.
const IDLE_MS: u64 = 2_000;
/// A data key that seals may be a day old, and is not erased before.
const DATA_KEY_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

impl Internal {
    /// Moves what is asked to be moved, until the process stops.
    pub async fn rotate_forever(self: std::sync::Arc<Self>) {
        loop {
            if let Err(refusal) = self.rotate().await {
                tracing::warn!(%refusal, "the work of rotation rests");
            }
            tokio::time::sleep(Duration::from_millis(IDLE_MS)).await;
        }
    }

    /// Takes a job that nobody is at, and works on it to its end.
    ///
    /// # Errors
    /// What the store refuses; the job waits for whoever takes it next.
    pub async fn rotate(&self) -> Result<(), Refusal> {
        let common = &self.common;
        let now = common.now();
        let node = common.node.to_string();
        let taken = common
            .store
            .take_key_job(node, now, now.plus_ms(LEASE_MS))
            .await?;
        let Some(mut job) = taken else {
            return Ok(());
        };
        tracing::info!(job = job.id, "the work of rotation is taken up");
        // It may have been asked for by whoever has just changed the manifest.
        if self.follow_manifest().await.is_err() {
            return Err(Refusal::Sealed);
        }
        let mut passes = Passes::default();
        loop {
            let began = tokio::time::Instant::now();
            let rows = match job.work {
                KeyWork::Rewrap => self.rewrap_some(&mut job, &mut passes).await?,
                KeyWork::Reseal => self.reseal_some(&mut job, &mut passes).await?,
            };
            if rows == 0 {
                if self.finish(&mut job).await? {
                    return Ok(());
                }
                if let Some(why) = passes.ended() {
                    return self.fail(&job, why).await;
                }
                // What was passed by is looked at again: somebody still sealed under an old key.
                tokio::time::sleep(Duration::from_millis(IDLE_MS)).await;
                continue;
            }
            let pace = Duration::from_secs(1)
                .saturating_mul(rows)
                .checked_div(job.rows_per_s_max)
                .unwrap_or_default();
            tokio::time::sleep(pace.saturating_sub(began.elapsed())).await;
        }
    }

    async fn rewrap_some(&self, job: &mut KeyJob, passes: &mut Passes) -> Result<u32, Refusal> {
        let store = &self.common.store;
        let limit = batch(job);
        let keys = store
            .to_rewrap(self.sealer.kek(), job.after.clone(), limit)
            .await?;
        let Some(last) = keys.last() else {
            return Ok(0);
        };
        job.after = last.id.to_string();
        let rows = u32::try_from(keys.len()).unwrap_or(limit);
        let mut pairs = Vec::with_capacity(keys.len());
        for key in keys {
            match self.opener.rewrapped(&key, &self.sealer).await {
                Ok(rewrapped) => pairs.push((key, rewrapped)),
                Err(refused) => {
                    tracing::error!(%refused, data_key = %key.id, kek = %key.kek, "a data key stays as it is");
                    passes.stays(key.id.to_string(), self.opener.holds(&key.kek), &key.kek);
                }
            }
        }
        passes.moved(pairs.len());
        let event = self.about(Action::KeysRewrapped, &job.id);
        store.rewrapped(pairs, self.progress(job), event).await?;
        Ok(rows)
    }

    async fn reseal_some(&self, job: &mut KeyJob, passes: &mut Passes) -> Result<u32, Refusal> {
        let store = &self.common.store;
        let limit = batch(job);
        let tokens = store
            .to_reseal(job.created_at, job.after.clone(), limit)
            .await?;
        let Some(last) = tokens.last() else {
            return Ok(0);
        };
        job.after = last.token.to_string();
        let rows = u32::try_from(tokens.len()).unwrap_or(limit);
        let mut moves = Vec::with_capacity(tokens.len());
        let mut events = Vec::with_capacity(tokens.len());
        for token in tokens {
            match self.resealed(&token).await {
                Ok(value) => {
                    events.push(self.about(Action::TokenResealed, &token.token.to_string()));
                    moves.push((token, value));
                }
                Err(refusal) => {
                    let kek = &token.data_key.kek;
                    tracing::error!(%refusal, token = %token.token, %kek, "a value stays as it is");
                    passes.stays(token.token.to_string(), self.opener.holds(kek), kek);
                }
            }
        }
        passes.moved(moves.len());
        store.resealed(moves, self.progress(job), events).await?;
        Ok(rows)
    }

    /// The value under a fresh data key. It is opened again before anybody relies on it.
    async fn resealed(&self, token: &ToReseal) -> Result<Resealed, Refusal> {
        let row = token.token.to_string();
        let environment = self.common.environment;
        let owned_by = (token.customer_ref.as_deref(), token.usage);
        let place = sealed_reference(environment, token.account.as_str(), &row, owned_by);
        let Some(sealed) = &token.sealed else {
            // Of a token that was deleted only the name of a data key is left.
            let value = self.sealer.seal(&place, b"").await;
            return Ok(Resealed {
                value: value.map_err(|_| Refusal::Sealed)?,
                reference: None,
            });
        };
        let opened = self.opener.open(&place, sealed, &token.data_key).await?;
        let value = self.sealer.seal(&place, opened.expose()).await;
        let value = value.map_err(|_| Refusal::Sealed)?;
        let again = self
            .opener
            .open(&place, &value.sealed, &value.data_key)
            .await?;
        if again.expose() != opened.expose() {
            return Err(Refusal::Sealed);
        }
        // The mark of the processor's name may be of a key that is being replaced.
        let known = Reference::decode(opened.expose()).map_err(|_| Refusal::Sealed)?;
        let mark = marks::reference(&self.marking, &token.account, known.payment_method());
        Ok(Resealed {
            value,
            reference: Some(mark),
        })
    }

    /// Ends a job of which nothing is left; otherwise it begins anew with what is.
    async fn finish(&self, job: &mut KeyJob) -> Result<bool, Refusal> {
        let store = &self.common.store;
        let first = String::new();
        let is_done = match job.work {
            KeyWork::Rewrap => store
                .to_rewrap(self.sealer.kek(), first, 1)
                .await?
                .is_empty(),
            KeyWork::Reseal => store.to_reseal(job.created_at, first, 1).await?.is_empty(),
        };
        // Whoever has not followed the manifest yet still wraps to the key before.
        let since = self.common.now().ms_since(job.created_at);
        if !is_done || since < FOLLOWED_WITHIN_MS {
            job.after.clear();
            store
                .rewrapped(
                    Vec::new(),
                    self.progress(job),
                    self.about(Action::KeysRewrapped, &job.id),
                )
                .await?;
            return Ok(false);
        }
        let now = self.common.now();
        let day_ago = now.unix_ms().saturating_sub_unsigned(DATA_KEY_KEPT_MS);
        let before = job.created_at.min(Timestamp::from_unix_ms(day_ago));
        let event = self.about(Action::KeysWorkDone, &job.id);
        let erased = store
            .finish_key_job(job.id.clone(), before, now, event)
            .await?;
        tracing::info!(job = job.id, erased, "the work of rotation is done");
        Ok(true)
    }

    /// Ends a job that cannot be done, and tells the operator.
    async fn fail(&self, job: &KeyJob, why: String) -> Result<(), Refusal> {
        let common = &self.common;
        let event = common.event(
            &process(),
            Action::KeysWorkDone,
            Outcome::Failed,
            Some(job.id.clone()),
        );
        let alert = Alert::new(AlertName::RotationFailed, &job.id, &why);
        log_alert(&alert);
        common.metrics.alert_raised(alert.name);
        let alert = common.new_alert(alert);
        let ended = (job.id.clone(), why);
        common
            .store
            .fail_key_job(ended, common.now(), event, alert)
            .await?;
        Ok(())
    }

    fn progress(&self, job: &KeyJob) -> Progress {
        Progress {
            id: job.id.clone(),
            after: job.after.clone(),
            lease_until: self.common.now().plus_ms(LEASE_MS),
        }
    }

    fn about(&self, action: Action, subject: &str) -> crate::audit::Event {
        let subject = Some(subject.to_owned());
        self.common
            .event(&process(), action, Outcome::Success, subject)
    }
}

/// No more at once than a second allows.
fn batch(job: &KeyJob) -> u32 {
    job.rows_per_s_max.clamp(1, BATCH_ROWS_MAX)
}
