//! The internal plane's half: unwraps data keys and opens values.
//!
//! Unwrapping is a curve operation, or a call to a key service, so unwrapped data keys are kept for
//! a few minutes and in a bounded number. Nothing about a refusal is kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::data_key::{DataKey, WrappedDataKey};
use super::mac::MacKeys;
use super::{Context, KekId, Opened, Refused, Sealed, Sealer, UnwrapKey, envelope};
use crate::clock::{Clock, Timestamp};
use crate::token::{DataKeyId, Environment};

/// At most this many unwrapped data keys are kept.
pub const DATA_KEYS_CACHED_MAX: usize = 256;
/// An unwrapped data key is kept at most this long.
pub const DATA_KEY_CACHED_S_MAX: u32 = 5 * 60;

/// Opens values whose data keys were wrapped to a key-encryption key that it holds. Without any it
/// is sealed. Shared by all requests.
pub struct Opener {
    environment: Environment,
    held: RwLock<Vec<Arc<UnwrapKey>>>,
    clock: Clock,
    /// Say that a wrapped data key is one of ours.
    vouching: Arc<MacKeys>,
    /// Held for the length of a look-up, never across an await.
    cache: Mutex<HashMap<DataKeyId, Cached>>,
}

struct Cached {
    key: Arc<DataKey>,
    /// What was unwrapped: the same id over other bytes is not a hit.
    wrapped: Vec<u8>,
    since: Timestamp,
}

impl Opener {
    /// An opener for `environment` that holds no key yet.
    #[must_use]
    pub fn new(environment: Environment, vouching: Arc<MacKeys>, clock: Clock) -> Self {
        Self {
            environment,
            held: RwLock::default(),
            clock,
            vouching,
            cache: Mutex::new(HashMap::with_capacity(DATA_KEYS_CACHED_MAX)),
        }
    }

    /// The environment it opens for.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Holds a key from now on.
    ///
    /// # Errors
    /// [`Refused`] for a key of the other environment.
    pub fn hold(&self, key: UnwrapKey) -> Result<(), Refused> {
        if key.environment() != self.environment {
            return Err(Refused::Value);
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|other| other.kek() != key.kek());
        held.push(Arc::new(key));
        Ok(())
    }

    /// Whether it holds that key-encryption key.
    #[must_use]
    pub fn holds(&self, kek: &KekId) -> bool {
        self.key(kek).is_some()
    }

    /// The key-encryption keys that it holds.
    #[must_use]
    pub fn keks(&self) -> Vec<KekId> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|key| key.kek().clone()).collect()
    }

    fn key(&self, kek: &KekId) -> Option<Arc<UnwrapKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|key| key.kek() == kek).cloned()
    }

    /// Opens `sealed`, which stands in the place that `context` names, with `data_key`.
    ///
    /// # Errors
    /// [`Refused`] for whatever is not exactly right, and no word more.
    pub async fn open(
        &self,
        context: &Context<'_>,
        sealed: &Sealed,
        data_key: &WrappedDataKey,
    ) -> Result<Opened, Refused> {
        let environment = self.environment();
        let is_here =
            context.environment == environment && sealed.data_key(environment) == Some(data_key.id);
        let unwrap = self
            .key(&data_key.kek)
            .filter(|_| is_here)
            .ok_or(Refused::Value)?;
        let key = match self.cached(data_key) {
            Some(key) => key,
            None => self.unwrap(&unwrap, data_key).await?,
        };
        envelope::open(&key, context, sealed)
    }

    /// Whether one of us wrapped that data key.
    #[must_use]
    pub fn knows(&self, data_key: &WrappedDataKey) -> bool {
        data_key.ciphertext(&self.vouching).is_ok()
    }

    /// Lets a key go: it opens nothing more here.
    pub fn let_go(&self, kek: &KekId) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|key| key.kek() != kek);
    }

    /// `data_key`, wrapped to what `sealer` wraps to now. What it became is read back before
    /// anybody relies on it.
    ///
    /// # Errors
    /// [`Refused`], also when this process does not hold the key that it is wrapped to then.
    pub async fn rewrapped(
        &self,
        data_key: &WrappedDataKey,
        sealer: &Sealer,
    ) -> Result<WrappedDataKey, Refused> {
        let old = self.key(&data_key.kek).ok_or(Refused::Value)?;
        let bytes = old.unwrap(data_key, &self.vouching).await?;
        let wrap = sealer.wrap();
        let rewrapped = WrappedDataKey::vouched(
            (data_key.id, data_key.created_at),
            wrap.kek(),
            wrap.wrap(data_key.id, &bytes).await.ok_or(Refused::Value)?,
            &self.vouching,
        );
        let new = self.key(&rewrapped.kek).ok_or(Refused::Value)?;
        let again = new.unwrap(&rewrapped, &self.vouching).await?;
        if again.expose() == bytes.expose() {
            Ok(rewrapped)
        } else {
            Err(Refused::Value)
        }
    }

    /// Wipes the data keys that were kept long enough. Opening does so by itself for the keys it
    /// meets; this is for the others. Call it every few seconds.
    pub fn forget_expired(&self) {
        let now = self.clock.now();
        self.cache().retain(|_, cached| cached.is_fresh(now));
    }

    /// How many unwrapped data keys are held now.
    #[must_use]
    pub fn data_keys_cached(&self) -> usize {
        self.cache().len()
    }

    fn cached(&self, data_key: &WrappedDataKey) -> Option<Arc<DataKey>> {
        let mut cache = self.cache();
        let now = self.clock.now();
        let cached = cache.get(&data_key.id)?;
        if !cached.is_fresh(now) {
            cache.remove(&data_key.id);
            return None;
        }
        (cached.wrapped == data_key.wrapped).then(|| Arc::clone(&cached.key))
    }

    async fn unwrap(
        &self,
        unwrap: &UnwrapKey,
        data_key: &WrappedDataKey,
    ) -> Result<Arc<DataKey>, Refused> {
        let bytes = unwrap.unwrap(data_key, &self.vouching).await?;
        let key = Arc::new(DataKey::new(data_key.id, bytes).ok_or(Refused::Value)?);
        let mut cache = self.cache();
        let since = self.clock.now();
        if cache.len() >= DATA_KEYS_CACHED_MAX && !cache.contains_key(&data_key.id) {
            make_room(&mut cache);
        }
        cache.insert(
            data_key.id,
            Cached {
                key: Arc::clone(&key),
                wrapped: data_key.wrapped.clone(),
                since,
            },
        );
        Ok(key)
    }

    /// Nothing that holds this lock can leave it half-changed, so a poisoned lock is only a lock.
    fn cache(&self) -> MutexGuard<'_, HashMap<DataKeyId, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cached {
    fn is_fresh(&self, now: Timestamp) -> bool {
        // A clock set back leaves the age unknown: then the key goes.
        let age_ms_max = u64::from(DATA_KEY_CACHED_S_MAX).saturating_mul(1_000);
        now >= self.since && now.ms_since(self.since) < age_ms_max
    }
}

/// Drops the key that was kept longest.
fn make_room(cache: &mut HashMap<DataKeyId, Cached>) {
    let oldest = cache
        .iter()
        .min_by_key(|(_, cached)| cached.since)
        .map(|(id, _)| *id);
    if let Some(oldest) = oldest {
        cache.remove(&oldest);
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("keks", &self.keks())
            .finish_non_exhaustive()
    }
}
