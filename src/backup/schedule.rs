//! When a backup is due, and how old what there is has become.

use std::path::PathBuf;

use super::archive::Listing;
use crate::clock::Timestamp;

/// How old backups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// When the newest one of any place was made.
    pub newest_at: Option<Timestamp>,
    /// When the newest one of that place was made which has waited longest; nothing where a place
    /// has none.
    pub everywhere_at: Option<Timestamp>,
    /// When one was last opened and proved.
    pub proved_at: Option<Timestamp>,
}

impl Ages {
    /// The ages of what stands in the places. What claims to be made later than now counts for nothing.
    #[must_use]
    pub fn of(listing: &Listing, places: &[PathBuf], now: Timestamp) -> Self {
        let newest = listing.past(now).next();
        let proof = listing.proof.as_ref();
        Self {
            newest_at: newest.and_then(|backup| backup.manifest.made_at()),
            everywhere_at: listing.newest_in_every_place(places, now),
            proved_at: proof.and_then(|proof| Timestamp::parse_rfc3339(&proof.proved_at)),
        }
    }

    /// Whether a backup is to be made now. A place that takes none makes none due: the others would
    /// fill with new ones, and their old ones go.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, interval_s: u32) -> bool {
        let late_ms = u64::from(interval_s).saturating_mul(1_000);
        self.newest_at
            .is_none_or(|newest| now.ms_since(newest) >= late_ms)
    }
}
