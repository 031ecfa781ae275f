//! Rotation: every process follows the key manifest, and the internal plane moves what is sealed.
//!
//! 1. A process looks at the manifest every few seconds. It believes only what the manifest key has
//!    signed, and never an older version than it has seen.
//! 2. The internal plane gets hold of each key that opens, and says that it has.
//! 3. Both planes wrap new data keys to the key in service.
//! 4. One internal process at a time moves what was asked to be moved: see `work`.

mod passes;
mod work;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Capture, Common, Internal};
use crate::clock::Timestamp;
use crate::seal::manifest::{Entry, Manifest};
use crate::seal::signing::VerifyingKey;
use crate::seal::{KekId, Opener, Sealer, UnwrapKey, WrapKey};
use crate::store::{Failure, KeyJob};

/// Days before the end of a key's cryptoperiod at which readiness starts to warn.
const CRYPTOPERIOD_WARNING_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 86_400_000;
/// Milliseconds without anybody at work after which a job stands still.
const NOBODY_AT_WORK_MS: u64 = 60_000;

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
    /// What of rotation's work stands still, and why.
    stalled: Vec<Stall>,
    in_service_until: Option<Timestamp>,
    /// What the manifest names.
    keks: Option<Vec<KekId>>,
}

/// Why a key manifest was not put in force.
#[derive(Debug, thiserror::Error)]
enum NotFollowed {
    /// The store did not answer: that says nothing of the manifest.
    #[error("{0}")]
    Unread(#[from] Failure),
    /// The manifest, or a key that it names, is not to be believed.
    #[error("{0}")]
    Refused(String),
}

impl From<String> for NotFollowed {
    fn from(complaint: String) -> Self {
        Self::Refused(complaint)
    }
}

impl From<&str> for NotFollowed {
    fn from(complaint: &str) -> Self {
        Self::Refused(complaint.to_owned())
    }
}

/// A job of rotation that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The job.
    pub job: String,
    /// Why.
    pub why: String,
    /// Whether it has ended as failed, and was told then.
    pub has_failed: bool,
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

    /// What of rotation's work failed, or has nobody at work on it.
    #[must_use]
    pub fn stalled(&self) -> Vec<Stall> {
        self.seen().stalled.clone()
    }

    /// Whether the manifest names that key; nothing where there is no manifest.
    pub(super) fn names(&self, kek: &KekId) -> Option<bool> {
        self.seen().keks.as_ref().map(|keks| keks.contains(kek))
    }

    /// Reads the manifest that is in force now.
    async fn read(&self, common: &Common) -> Result<Option<Manifest>, NotFollowed> {
        let Some((version, jws)) = common.store.manifest().await? else {
            return Ok(None);
        };
        let key = self.verifying.as_ref().ok_or(
            "the store has a key manifest, and keys.manifest_public_key_file is not configured",
        )?;
        let manifest = Manifest::open(&jws, key, common.environment, version)
            .map_err(|_| "the key manifest is not one that our key has signed")?;
        if version < self.version.load(Ordering::Acquire) {
            return Err("the key manifest is older than one that was in force".into());
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
        let complaint = match &followed {
            Ok(()) => None,
            // What was followed before stands; the store's trouble has a check of its own.
            Err(NotFollowed::Unread(failure)) => {
                tracing::warn!(%failure, "the key manifest could not be read");
                return Err(failure.to_string());
            }
            Err(NotFollowed::Refused(complaint)) => {
                tracing::error!(complaint, "the key manifest is not followed");
                Some(complaint.clone())
            }
        };
        self.seen().complaint.clone_from(&complaint);
        complaint.map_or(Ok(()), Err)
    }

    async fn try_follow(
        &self,
        common: &Common,
        sealer: &Sealer,
        opener: Option<&Opener>,
    ) -> Result<(), NotFollowed> {
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
                return Err("the key in service is not the one of its name".into());
            }
            sealer
                .wrap_with(wrap)
                .map_err(|_| "the key in service is of the other environment".to_owned())?;
            tracing::info!(%kek, "data keys are wrapped to another KEK");
        }
        let age_ms_max = u64::from(self.kek_age_days_max).saturating_mul(DAY_MS);
        let since = active.activated_at_ms.unwrap_or(active.created_at_ms);
        let until = Timestamp::from_unix_ms(since).plus_ms(age_ms_max);
        let keks = manifest.keks().iter().filter_map(|entry| entry.kek().ok());
        let keks = keks.collect();
        let mut seen = self.seen();
        seen.in_service_until = Some(until);
        seen.keks = Some(keks);
        drop(seen);
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
        noted.await.map_err(|failure| failure.to_string())?;
        let jobs = self.common.store.key_jobs().await;
        let jobs = jobs.map_err(|failure| failure.to_string())?;
        let now = self.common.now();
        let stalled = jobs.iter().filter_map(|job| stall_of(job, now));
        self.rotation.seen().stalled = stalled.collect();
        Ok(())
    }
}

/// Why a job stands still, where it does.
fn stall_of(job: &KeyJob, now: Timestamp) -> Option<Stall> {
    let stall = |why, has_failed| Stall {
        job: job.id.clone(),
        why,
        has_failed,
    };
    if let Some(failure) = &job.failure {
        return Some(stall(format!("failed: {failure}"), true));
    }
    let idle_ms = now.ms_since(job.lease_until.max(job.created_at));
    let is_idle = job.finished_at.is_none() && idle_ms > NOBODY_AT_WORK_MS;
    let why = || format!("no process is at work on it for {} s", idle_ms / 1_000);
    is_idle.then(|| stall(why(), false))
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KeyWork;

    #[test]
    fn work_stands_still_where_it_failed_or_nobody_is_at_it_for_a_minute() {
        let start = Timestamp::from_unix_ms(1_800_000_000_000);
        let running = KeyJob {
            id: "rewrap-1".into(),
            work: KeyWork::Rewrap,
            after: String::new(),
            done: 0,
            total: 1,
            rows_per_s_max: 1,
            created_at: start,
            finished_at: None,
            failure: None,
            // Nobody has taken it yet.
            lease_until: Timestamp::from_unix_ms(0),
        };
        assert_eq!(stall_of(&running, start.plus_s(60)), None);
        let stall = stall_of(&running, start.plus_s(61)).unwrap();
        assert!(!stall.has_failed && stall.why.contains("61 s"), "{stall:?}");
        let held = KeyJob {
            lease_until: start.plus_s(50),
            ..running.clone()
        };
        assert_eq!(stall_of(&held, start.plus_s(100)), None);
        let done = KeyJob {
            finished_at: Some(start),
            ..running.clone()
        };
        assert_eq!(stall_of(&done, start.plus_s(9_999)), None);
        let failed = KeyJob {
            failure: Some("no key".into()),
            ..done
        };
        let stall = stall_of(&failed, start).unwrap();
        assert!(
            stall.has_failed && stall.why == "failed: no key",
            "{stall:?}"
        );
    }
}
