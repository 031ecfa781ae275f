//! Metrics of backups.

use prometheus::IntGauge;

use super::Metrics;
use super::registrar::Registrar;
use crate::backup::Ages;
use crate::clock::Timestamp;

pub(super) struct Backup {
    places: IntGauge,
    last_success: IntGauge,
    last_proof: IntGauge,
}

impl Backup {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            places: add.add(IntGauge::new(
                "cloakroom_backup_places",
                "Places that get every backup; 0 where this process makes none.",
            )),
            last_success: add.add(IntGauge::new(
                "cloakroom_backup_last_success_timestamp_seconds",
                "When the newest backup was made of the place that has waited longest for one, Unix time; 0 where a place has none.",
            )),
            last_proof: add.add(IntGauge::new(
                "cloakroom_backup_last_proof_timestamp_seconds",
                "When a backup that is kept was last opened and proved, Unix time; 0 where none was.",
            )),
        }
    }
}

impl Metrics {
    /// What the places hold, and how many there are.
    pub fn backups(&self, places: usize, ages: &Ages) {
        let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.unix_ms().div_euclid(1_000));
        let families = self.backup();
        families
            .places
            .set(i64::try_from(places).unwrap_or(i64::MAX));
        families.last_success.set(seconds(ages.everywhere_at));
        families.last_proof.set(seconds(ages.proved_at));
    }
}
