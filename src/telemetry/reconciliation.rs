//! Metrics of the comparison with the processor.

use prometheus::{IntGauge, IntGaugeVec};

use super::Metrics;
use super::registrar::Registrar;
use crate::clock::Timestamp;
use crate::reconciliation::Kind;

pub(super) struct Reconciliation {
    differences: IntGaugeVec,
    last_success: IntGauge,
}

impl Reconciliation {
    pub(super) fn register(add: &Registrar) -> Self {
        let families = Self {
            differences: add.gauges(
                (
                    "cloakroom_reconciliation_differences",
                    "Open differences between the store and the processor, as the newest comparison of each account found them; the same on every node.",
                ),
                &["kind"],
            ),
            last_success: add.add(IntGauge::new(
                "cloakroom_reconciliation_last_success_timestamp_seconds",
                "When the account that waits longest was last compared with its processor, Unix time; 0 where one never was.",
            )),
        };
        // A series that is there from the start shows its first increase.
        for kind in Kind::ALL {
            families.differences.with_label_values(&[kind.name()]);
        }
        families
    }
}

impl Metrics {
    /// So many differences of a kind are open.
    pub fn reconciliation_differences(&self, kind: &'static str, count: u64) {
        let gauge = self.reconciliation().differences.with_label_values(&[kind]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Every account was compared at that moment or later.
    pub fn reconciled_at(&self, at: Timestamp) {
        let seconds = at.unix_ms().div_euclid(1_000);
        self.reconciliation().last_success.set(seconds);
    }
}
