//! Rotation: every process follows the key manifest, and the internal plane moves what is sealed.
//!
//! 1. A process looks at the manifest every few seconds. It believes only what the manifest key has
//!    signed, and never an older version than it has seen.
//! 2. The internal plane gets hold of each key that opens, and says that it has.
//! 3. Both planes wrap new data keys to the key in service.
//! 4. One internal process at a time moves what was asked to be moved: data keys to the key in
//!    service, values to fresh data keys. Nothing is out of reach meanwhile: a row is replaced in
//!    one write, when what it becomes has been opened and found to be the same.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::tokenize::sealed_reference;
use super::{Capture, Common, Internal, Refusal, process};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::seal::manifest::{Entry, Manifest};
use crate::seal::signing::VerifyingKey;
use crate::seal::{Opener, SealedValue, Sealer, UnwrapKey, WrapKey};
use crate::store::{KeyJob, KeyWork, Progress, ToReseal};

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
/// Days before the end of a key's cryptoperiod at which readiness starts to warn.
const CRYPTOPERIOD_WARNING_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// Makes the halves of a key out of what the manifest says of it; the configuration knows how.
pub trait KeyMaker: Send + Sync {
    /// The half that wraps.
    ///
    /// # Errors
    /// Why not, in words.
    fn wrap(&self, entry: &Entry) -> Result<WrapKey, String>;

    /// The half that reads back.
    ///
    /// # Errors
    /// Why not, in words.
    fn unwrap(&self, entry: &Entry) -> Result<UnwrapKey, String>;
}

/// What a process knows of the manifest.
pub struct Rotation {
    /// Checks the manifest; a store that has one is not believed without.
    pub verifying: Option<VerifyingKey>,
    /// Makes keys.
    pub maker: Box<dyn KeyMaker>,
    /// Days that a key-encryption key is in service.
    pub kek_age_days_max: u32,
    version: AtomicU32,
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    complaint: Option<String>,
    in_service_until: Option<Timestamp>,
}

/// How the keys of a process are, for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no manifest: the configured key is the only one.
    Alone,
    /// All is well until then.
    Until(Timestamp),
    /// Well, and the key in service is to be replaced before then.
    Soon(Timestamp),
    /// The cryptoperiod is over, or the manifest is not to be believed.
    Wrong(String),
}

impl Rotation {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(
        verifying: Option<VerifyingKey>,
        maker: Box<dyn KeyMaker>,
        kek_age_days_max: u32,
    ) -> Self {
        Self {
            verifying,
            maker,
            kek_age_days_max,
            version: AtomicU32::new(0),
            seen: Mutex::default(),
        }
    }

    /// How the keys are.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let seen = self.seen().clone();
        match (seen.complaint, seen.in_service_until) {
            (Some(complaint), _) => Standing::Wrong(complaint),
            (None, None) => Standing::Alone,
            (None, Some(until)) if now >= until => Standing::Wrong(format!(
                "the KEK in service was to be replaced before {}: run `cloakroom keys rotate`",
                until.rfc3339()
            )),
            (None, Some(until)) if until.ms_since(now) < CRYPTOPERIOD_WARNING_MS => {
                Standing::Soon(until)
            }
            (None, Some(until)) => Standing::Until(until),
        }
    }

    /// Reads the manifest that is in force now.
    async fn read(&self, common: &Common) -> Result<Option<Manifest>, String> {
        let stored = common.store.manifest().await;
        let Some((version, jws)) = stored.map_err(|failure| failure.to_string())? else {
            return Ok(None);
        };
        let key = self.verifying.as_ref().ok_or(
            "the store has a key manifest, and keys.manifest_public_key_file is not configured",
        )?;
        let manifest = Manifest::open(&jws, key, common.environment, version)
            .map_err(|_| "the key manifest is not one that our key has signed")?;
        if version < self.version.load(Ordering::Acquire) {
            return Err("the key manifest is older than one that was in force".to_owned());
        }
        self.version.store(version, Ordering::Release);
        Ok(Some(manifest))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what the manifest says in force.
    async fn follow(
        &self,
        common: &Common,
        sealer: &Sealer,
        opener: Option<&Opener>,
    ) -> Result<(), String> {
        let followed = self.try_follow(common, sealer, opener).await;
        if let Err(complaint) = &followed {
            tracing::error!(complaint, "the key manifest is not followed");
        }
        self.seen().complaint = followed.clone().err();
        followed
    }

    async fn try_follow(
        &self,
        common: &Common,
        sealer: &Sealer,
        opener: Option<&Opener>,
    ) -> Result<(), String> {
        let Some(manifest) = self.read(common).await? else {
            return Ok(());
        };
        if let Some(opener) = opener {
            self.hold(&manifest, opener);
        }
        let refused = |_| "the key manifest names a key that is none".to_owned();
        let active = manifest.active().ok_or("no key is in service")?;
        let kek = active.kek().map_err(refused)?;
        if kek != sealer.kek() {
            let wrap = self.maker.wrap(active)?;
            if *wrap.kek() != kek {
                return Err("the key in service is not the one of its name".to_owned());
            }
            sealer
                .wrap_with(wrap)
                .map_err(|_| "the key in service is of the other environment".to_owned())?;
            tracing::info!(%kek, "data keys are wrapped to another KEK");
        }
        let age_ms_max = u64::from(self.kek_age_days_max).saturating_mul(DAY_MS);
        let since = active.activated_at_ms.unwrap_or(active.created_at_ms);
        let until = Timestamp::from_unix_ms(since).plus_ms(age_ms_max);
        self.seen().in_service_until = Some(until);
        // PCI DSS 3.7.4: at the end of its cryptoperiod a key protects nothing new.
        sealer.make_no_keys_after(until);
        Ok(())
    }

    /// Gets hold of the keys that open, and lets the others go.
    fn hold(&self, manifest: &Manifest, opener: &Opener) {
        for entry in manifest.keks() {
            let Ok(kek) = entry.kek() else { continue };
            if !entry.state.opens() {
                opener.let_go(&kek);
            } else if !opener.holds(&kek) {
                let held = self.maker.unwrap(entry).and_then(|key| {
                    let is_it = *key.kek() == kek && opener.hold(key).is_ok();
                    is_it.then_some(()).ok_or("it is another key".to_owned())
                });
                match held {
                    Ok(()) => tracing::info!(%kek, "this process can open with a further KEK"),
                    Err(reason) => {
                        tracing::warn!(%kek, reason, "this process cannot open with a KEK");
                    }
                }
            }
        }
    }
}

impl Capture {
    /// Puts what the key manifest says in force.
    ///
    /// # Errors
    /// Why it is not believed, in words.
    pub async fn follow_manifest(&self) -> Result<(), String> {
        self.rotation.follow(&self.common, &self.sealer, None).await
    }
}

impl Internal {
    /// Puts what the key manifest says in force, and says which keys this process holds.
    ///
    /// # Errors
    /// Why it is not believed, in words.
    pub async fn follow_manifest(&self) -> Result<(), String> {
        self.rotation
            .follow(&self.common, &self.sealer, Some(&self.opener))
            .await?;
        let node = self.common.node.to_string();
        let held = self.opener.keks();
        let noted = self.common.store.note_held(node, held, self.common.now());
        noted.await.map_err(|failure| failure.to_string())
    }

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
        loop {
            let began = tokio::time::Instant::now();
            let rows = match job.work {
                KeyWork::Rewrap => self.rewrap_some(&mut job).await?,
                KeyWork::Reseal => self.reseal_some(&mut job).await?,
            };
            if rows == 0 {
                if self.finish(&mut job).await? {
                    return Ok(());
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

    async fn rewrap_some(&self, job: &mut KeyJob) -> Result<u32, Refusal> {
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
                Err(refused) => tracing::error!(%refused, data_key = %key.id, "it stays as it is"),
            }
        }
        let event = self.about(Action::KeysRewrapped, &job.id);
        store.rewrapped(pairs, self.progress(job), event).await?;
        Ok(rows)
    }

    async fn reseal_some(&self, job: &mut KeyJob) -> Result<u32, Refusal> {
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
                    tracing::error!(%refusal, token = %token.token, "it stays as it is");
                }
            }
        }
        store.resealed(moves, self.progress(job), events).await?;
        Ok(rows)
    }

    /// The value under a fresh data key. It is opened again before anybody relies on it.
    async fn resealed(&self, token: &ToReseal) -> Result<SealedValue, Refusal> {
        let row = token.token.to_string();
        let place = sealed_reference(self.common.environment, token.account.as_str(), &row);
        let Some(sealed) = &token.sealed else {
            // Of a token that was deleted only the name of a data key is left.
            return self
                .sealer
                .seal(&place, b"")
                .await
                .map_err(|_| Refusal::Sealed);
        };
        let opened = self.opener.open(&place, sealed, &token.data_key).await?;
        let value = self.sealer.seal(&place, opened.expose()).await;
        let value = value.map_err(|_| Refusal::Sealed)?;
        let again = self
            .opener
            .open(&place, &value.sealed, &value.data_key)
            .await?;
        if again.expose() == opened.expose() {
            Ok(value)
        } else {
            Err(Refusal::Sealed)
        }
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

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
