//! Metrics of the audit log's copies.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::registrar::Registrar;
use crate::clock::Timestamp;

pub(super) struct Audit {
    unwitnessed: IntGauge,
    sink_failures: IntCounter,
    verified: IntGauge,
    findings: IntGauge,
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
            verified: add.add(IntGauge::new(
                "cloakroom_audit_verified_timestamp_seconds",
                "When this process last verified the whole audit log; Unix time, 0 before the first.",
            )),
            findings: add.add(IntGauge::new(
                "cloakroom_audit_findings",
                "Places at which the audit log was not what was signed, at the last verification.",
            )),
        }
    }
}

impl Metrics {
    /// The oldest event that no copied checkpoint is over is so old.
    pub fn audit_unwitnessed(&self, age_ms: u64) {
        // Rounded up: what is over a limit in milliseconds is over it in seconds.
        let seconds = i64::try_from(age_ms.div_ceil(1_000)).unwrap_or(i64::MAX);
        self.audit().unwitnessed.set(seconds);
    }

    /// The whole log was verified, with so many findings.
    pub fn audit_verified(&self, at: Timestamp, findings: u64) {
        let audit = self.audit();
        audit.verified.set(at.unix_ms() / 1_000);
        audit
            .findings
            .set(i64::try_from(findings).unwrap_or(i64::MAX));
    }

    /// How old the oldest event is that no copied checkpoint is over, as this process has seen it.
    #[must_use]
    pub fn audit_unpublished_s(&self) -> u64 {
        u64::try_from(self.audit().unwitnessed.get()).unwrap_or(0)
    }

    /// A sink did not take a copy.
    pub fn audit_sink_failed(&self) {
        self.audit().sink_failures.inc();
    }
}
