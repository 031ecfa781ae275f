//! The capture plane's half: seals, and forgets how.
//!
//! A data key serves for a while and for a number of values, whichever ends first; then it is
//! wiped. What was sealed under it can be opened only through the key-encryption key's private
//! half, which this process does not hold.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::data_key::{DataKey, WrappedDataKey};
use super::mac::MacKeys;
use super::{Context, KekId, Refused, SealFailed, SealedValue, WrapKey, envelope};
use crate::clock::{Clock, Timestamp};
use crate::token::{DataKeyId, Environment};

/// No configuration lets a data key seal more values than this.
///
/// NIST SP 800-38D, 8.3, allows 2^32 values under one key with random 96-bit nonces, where two
/// equal nonces have a chance of about 2^-33. At 2^20 that chance is about 2^-57.
const DATA_KEY_SEALS_CEILING: u32 = 1 << 20;
/// No configuration keeps a data key longer than a day: its age is how far back a thief of the
/// capture process can open.
const DATA_KEY_AGE_S_CEILING: u32 = 24 * 60 * 60;

/// 2^32, less a margin of 2^8, and in a `u32`.
const SP_800_38D_SEALS_MAX_WITH_MARGIN: u32 = u32::MAX >> 8;
const _: () = assert!(DATA_KEY_SEALS_CEILING <= SP_800_38D_SEALS_MAX_WITH_MARGIN);
const _: () = assert!(DataKeyLimits::DEFAULT.data_key_seals_max <= DATA_KEY_SEALS_CEILING);
const _: () = assert!(DataKeyLimits::DEFAULT.data_key_age_s_max <= DATA_KEY_AGE_S_CEILING);

/// How long a data key serves, and for how many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataKeyLimits {
    data_key_age_s_max: u32,
    data_key_seals_max: u32,
}

/// Limits outside what is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsRefused {
    /// The age is 0 or more than a day.
    #[error("data_key_age_s_max must be from 1 to {DATA_KEY_AGE_S_CEILING}")]
    Age,
    /// The count is 0 or too near the bound of random nonces.
    #[error("data_key_seals_max must be from 1 to {DATA_KEY_SEALS_CEILING}")]
    Seals,
}

impl DataKeyLimits {
    /// A quarter of an hour, and 65,536 values.
    pub const DEFAULT: Self = Self {
        data_key_age_s_max: 15 * 60,
        data_key_seals_max: 1 << 16,
    };

    /// Limits from the configuration.
    ///
    /// # Errors
    /// [`LimitsRefused`] names the limit and its range.
    pub const fn new(
        data_key_age_s_max: u32,
        data_key_seals_max: u32,
    ) -> Result<Self, LimitsRefused> {
        if data_key_age_s_max == 0 || data_key_age_s_max > DATA_KEY_AGE_S_CEILING {
            return Err(LimitsRefused::Age);
        }
        if data_key_seals_max == 0 || data_key_seals_max > DATA_KEY_SEALS_CEILING {
            return Err(LimitsRefused::Seals);
        }
        Ok(Self {
            data_key_age_s_max,
            data_key_seals_max,
        })
    }
}

impl Default for DataKeyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Seals values under data keys that it makes, counts, and wipes. Shared by all requests.
pub struct Sealer {
    environment: Environment,
    /// Replaced when another key-encryption key comes into service.
    wrap: RwLock<Arc<WrapKey>>,
    /// When the cryptoperiod of the key-encryption key ends; ms since 1970.
    ends_at_ms: AtomicI64,
    limits: DataKeyLimits,
    clock: Clock,
    /// Say that a wrapped data key is one of ours.
    vouching: Arc<MacKeys>,
    /// Held for the length of a comparison, never across an await.
    current: Mutex<Option<Epoch>>,
    /// Held while a data key is made: the provider is asked once, and the others wait for it.
    making: tokio::sync::Mutex<()>,
    created: AtomicU64,
}

/// A data key's time of service.
struct Epoch {
    key: Arc<ServingKey>,
    began_at: Timestamp,
    seals: u32,
}

/// A data key in use and its wrapped form. Whoever is sealing holds it; the last one wipes it.
struct ServingKey {
    key: DataKey,
    wrapped: Arc<WrappedDataKey>,
}

impl Sealer {
    /// A sealer for the environment that the key belongs to. It makes no data key until it must.
    #[must_use]
    pub fn new(wrap: WrapKey, vouching: Arc<MacKeys>, limits: DataKeyLimits, clock: Clock) -> Self {
        Self {
            environment: wrap.environment(),
            wrap: RwLock::new(Arc::new(wrap)),
            ends_at_ms: AtomicI64::new(i64::MAX),
            limits,
            clock,
            vouching,
            current: Mutex::new(None),
            making: tokio::sync::Mutex::const_new(()),
            created: AtomicU64::new(0),
        }
    }

    /// The environment it seals for.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Wraps data keys to another key-encryption key from now on; the data key in service is wiped.
    ///
    /// # Errors
    /// [`Refused`] for a key of the other environment.
    pub fn wrap_with(&self, wrap: WrapKey) -> Result<(), Refused> {
        if wrap.environment() != self.environment {
            return Err(Refused::Value);
        }
        *self.wrap.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(wrap);
        *self.current() = None;
        Ok(())
    }

    /// Makes no data key after that moment: the key-encryption key's cryptoperiod is over then.
    pub fn make_no_keys_after(&self, end: Timestamp) {
        self.ends_at_ms.store(end.unix_ms(), Ordering::Relaxed);
    }

    /// What wraps data keys now.
    pub(super) fn wrap(&self) -> Arc<WrapKey> {
        Arc::clone(&self.wrap.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seals `payload` for the one place that `context` names. It waits only when a new data key is
    /// due.
    ///
    /// # Errors
    /// [`SealFailed`], before anything was sealed.
    pub async fn seal(
        &self,
        context: &Context<'_>,
        payload: &[u8],
    ) -> Result<SealedValue, SealFailed> {
        if context.environment != self.environment() {
            return Err(SealFailed::WrongEnvironment);
        }
        // Before a data key is spent on it.
        if payload.len() > super::PAYLOAD_BYTES_MAX {
            return Err(SealFailed::PayloadTooLong);
        }
        let serving = self.serving_key().await?;
        serving.seal(context, payload)
    }

    /// Seals `payload` under a data key of its own, which serves for nothing else.
    pub(super) async fn seal_alone(
        &self,
        context: &Context<'_>,
        payload: &[u8],
    ) -> Result<SealedValue, SealFailed> {
        self.make().await?.seal(context, payload)
    }

    /// How many data keys it has made, for `cloakroom_data_keys_created_total`.
    #[must_use]
    pub fn data_keys_created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// The id of the key-encryption key.
    #[must_use]
    pub fn kek(&self) -> KekId {
        self.wrap().kek().clone()
    }

    /// Wipes the data key if its time is over. Sealing does so by itself; this is for the quiet
    /// hours, when nobody seals and an old key would stay in memory. Call it every few seconds.
    pub fn retire_expired(&self) {
        let mut current = self.current();
        if let Some(epoch) = &*current
            && !self.may_serve(epoch)
        {
            *current = None;
        }
    }

    /// The data key to seal one more value under, made if there is none.
    async fn serving_key(&self) -> Result<Arc<ServingKey>, SealFailed> {
        if let Some(serving) = self.take() {
            return Ok(serving);
        }
        let _turn = self.making.lock().await;
        // Another request may have made one while this one waited for its turn.
        if let Some(serving) = self.take() {
            return Ok(serving);
        }
        let serving = Arc::new(self.make().await?);
        if serving.wrapped.kek != self.kek() {
            // Another key-encryption key came into service meanwhile: this data key seals once.
            return Ok(serving);
        }
        *self.current() = Some(Epoch {
            key: Arc::clone(&serving),
            began_at: serving.wrapped.created_at,
            seals: 1,
        });
        Ok(serving)
    }

    /// Counts one seal against the present data key; drops the key when it may serve no more.
    fn take(&self) -> Option<Arc<ServingKey>> {
        let mut current = self.current();
        if let Some(epoch) = &mut *current
            && self.may_serve(epoch)
        {
            epoch.seals = epoch.seals.saturating_add(1);
            return Some(Arc::clone(&epoch.key));
        }
        *current = None;
        None
    }

    fn may_serve(&self, epoch: &Epoch) -> bool {
        // The clock is read under the lock, so `now` is not before `began_at` unless the clock was
        // set back; then the key's age cannot be told any more, and its service ends.
        let now = self.clock.now();
        let age_ms_max = u64::from(self.limits.data_key_age_s_max).saturating_mul(1_000);
        now >= epoch.began_at
            && now.ms_since(epoch.began_at) < age_ms_max
            && epoch.seals < self.limits.data_key_seals_max
    }

    /// Asks the provider for a new data key.
    async fn make(&self) -> Result<ServingKey, SealFailed> {
        let created_at = self.clock.now();
        if created_at.unix_ms() >= self.ends_at_ms.load(Ordering::Relaxed) {
            tracing::error!("the KEK's cryptoperiod is over: no data key is made, rotate it");
            return Err(SealFailed::KeyUnavailable);
        }
        let id = DataKeyId::new(self.environment(), created_at);
        let wrap = self.wrap();
        let fresh = wrap.make(id).await?;
        let key = DataKey::new(id, fresh.bytes).ok_or(SealFailed::KeyUnavailable)?;
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(ServingKey {
            key,
            wrapped: Arc::new(WrappedDataKey::vouched(
                (id, created_at),
                wrap.kek(),
                fresh.wrapped,
                &self.vouching,
            )),
        })
    }

    /// Nothing that holds this lock can leave it half-changed, so a poisoned lock is only a lock.
    fn current(&self) -> MutexGuard<'_, Option<Epoch>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServingKey {
    fn seal(&self, context: &Context<'_>, payload: &[u8]) -> Result<SealedValue, SealFailed> {
        Ok(SealedValue {
            sealed: envelope::seal(&self.key, context, payload)?,
            data_key: Arc::clone(&self.wrapped),
        })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("kek", &self.kek())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
