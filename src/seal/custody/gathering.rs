//! Shares on their way to opening a key: from different clients, each share once, and forgotten
//! after a while.

use std::fmt;

use super::CeremonyId;
use super::kek::SharedKek;
use super::shamir::Share;
use crate::clock::Timestamp;
use crate::seal::file::{PrivateKek, Why};

/// Shares that were given so far.
pub struct Gathering {
    shared: SharedKek,
    window_s_max: u32,
    given: Vec<Kept>,
}

struct Kept {
    client: String,
    share: Share,
    at: Timestamp,
}

/// A share as a client gives it.
#[derive(Debug)]
pub struct Given<'a> {
    /// Who gives it: the name in the client's certificate.
    pub client: &'a str,
    /// The key that it says it is of.
    pub kek: &'a str,
    /// The splitting that it says it is of.
    pub ceremony: &'a str,
    /// The share's bytes.
    pub share: &'a [u8],
}

/// Why a share is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveRefused {
    /// Of another key.
    #[error("the share is of another key")]
    OtherKey,
    /// Of another splitting of this key: an old one, perhaps.
    #[error("the share is of another ceremony")]
    OtherCeremony,
    /// Not a share, or altered.
    #[error("the share is not one of this ceremony's")]
    WrongShare,
    /// This client has given one.
    #[error("this client has given a share already; dual control takes another person")]
    SameClient,
    /// Somebody has given this one.
    #[error("this share has been given already")]
    SameShare,
}

impl Gathering {
    /// Nothing yet, for a key whose shares are forgotten `window_s_max` seconds after the first.
    #[must_use]
    pub const fn new(shared: SharedKek, window_s_max: u32) -> Self {
        Self {
            shared,
            window_s_max,
            given: Vec::new(),
        }
    }

    /// The key that waits.
    #[must_use]
    pub const fn shared(&self) -> &SharedKek {
        &self.shared
    }

    /// Shares that are here.
    #[must_use]
    pub fn count(&self) -> u8 {
        u8::try_from(self.given.len()).unwrap_or(u8::MAX)
    }

    /// When those that are here are forgotten.
    #[must_use]
    pub fn forgotten_at(&self) -> Option<Timestamp> {
        let first = self.given.first()?;
        Some(first.at.plus_s(self.window_s_max))
    }

    /// Whether this client has given exactly this share, within the window.
    #[must_use]
    pub fn repeats(&self, given: &Given<'_>) -> bool {
        let Some(share) = Share::from_slice(given.share) else {
            return false;
        };
        self.given.iter().any(|kept| {
            kept.client == given.client
                && aws_lc_rs::constant_time::verify_slices_are_equal(
                    kept.share.expose(),
                    share.expose(),
                )
                .is_ok()
        })
    }

    /// Looks at a share and answers it, checked, without keeping it: what is kept is to be written
    /// down first.
    ///
    /// # Errors
    /// [`GiveRefused`].
    pub fn check(&self, given: &Given<'_>) -> Result<Share, GiveRefused> {
        if given.kek != self.shared.kek().as_str() {
            return Err(GiveRefused::OtherKey);
        }
        if given.ceremony != self.shared.ceremony().as_str() {
            return Err(GiveRefused::OtherCeremony);
        }
        let share = Share::from_slice(given.share).ok_or(GiveRefused::WrongShare)?;
        if !self.shared.knows(&share) {
            return Err(GiveRefused::WrongShare);
        }
        if self.given.iter().any(|kept| kept.client == given.client) {
            return Err(GiveRefused::SameClient);
        }
        if self
            .given
            .iter()
            .any(|kept| kept.share.index() == share.index())
        {
            return Err(GiveRefused::SameShare);
        }
        Ok(share)
    }

    /// Keeps a share that [`check`](Self::check) answered.
    pub fn keep(&mut self, client: &str, share: Share, now: Timestamp) {
        self.given.push(Kept {
            client: client.to_owned(),
            share,
            at: now,
        });
    }

    /// The key, once enough shares are here; then they are forgotten, whether it opened or not.
    pub fn open(&mut self) -> Option<Result<PrivateKek, Why>> {
        if self.count() < self.shared.threshold() {
            return None;
        }
        let opened = self.shared.open(self.given.iter().map(|kept| &kept.share));
        self.given.clear();
        Some(opened)
    }

    /// Forgets what was given too long ago; answers how many shares that were.
    pub fn forget_expired(&mut self, now: Timestamp) -> usize {
        // A clock set back leaves the age unknown: then they go.
        let window_ms = u64::from(self.window_s_max).saturating_mul(1_000);
        let expired = |first: &Kept| now < first.at || now.ms_since(first.at) >= window_ms;
        if self.given.first().is_some_and(expired) {
            let forgotten = self.given.len();
            self.given.clear();
            forgotten
        } else {
            0
        }
    }

    /// The splitting whose shares are gathered.
    #[must_use]
    pub const fn ceremony(&self) -> &CeremonyId {
        self.shared.ceremony()
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("kek", self.shared.kek())
            .field("given", &self.given.len())
            .finish_non_exhaustive()
    }
}
