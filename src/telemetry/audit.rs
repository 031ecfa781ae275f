//! Metrics of the audit log's copies.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::registrar::Registrar;

pub(super) struct Audit {
    unwitnessed: IntGauge,
    sink_failures: IntCounter,
}

impl Audit {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            unwitnessed: add.add(IntGauge::new(
                "cloakroom_audit_unwitnessed_seconds",
                "Age of the oldest audit event that no copied checkpoint is over; seconds.",
            )),
            sink_failures: add.add(IntCounter::new(
                "cloakroom_audit_sink_failures_total",
                "Copies of checkpoints that a sink did not take.",
            )),
        }
    }
}

impl Metrics {
    /// The oldest event that no copied checkpoint is over is so old.
    pub fn audit_unwitnessed(&self, age_ms: u64) {
        let seconds = i64::try_from(age_ms / 1_000).unwrap_or(i64::MAX);
        self.audit().unwitnessed.set(seconds);
    }

    /// A sink did not take a copy.
    pub fn audit_sink_failed(&self) {
        self.audit().sink_failures.inc();
    }
}
