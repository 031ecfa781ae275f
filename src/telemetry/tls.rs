//! Metrics of TLS: when what is in force ends, and how often it was replaced.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::metrics::Plane;
use super::registrar::Registrar;
use crate::clock::Timestamp;

pub(super) struct Tls {
    ends: IntGaugeVec,
    reloads: IntCounterVec,
}

impl Tls {
    pub(super) fn register(add: &Registrar) -> Self {
        let families = Self {
            ends: add.gauges(
                (
                    "cloakroom_tls_end_timestamp_seconds",
                    "When a plane's certificate, or the first of its clients' revocation lists, ends; seconds since the Unix epoch.",
                ),
                &["plane", "what"],
            ),
            reloads: add.counters(
                (
                    "cloakroom_tls_reloads_total",
                    "Changes of a plane's TLS files, by whether they were taken.",
                ),
                &["plane", "outcome"],
            ),
        };
        // A series that is there from the start shows its first increase.
        for plane in Plane::ALL.map(Plane::name) {
            for outcome in ["success", "refused"] {
                families.reloads.with_label_values(&[plane, outcome]);
            }
        }
        families
    }
}

impl Metrics {
    /// What is in force on a plane ends then.
    pub fn tls_ends(&self, plane: Plane, certificate: Timestamp, lists: Option<Timestamp>) {
        for (what, end) in [
            ("certificate", Some(certificate)),
            ("revocation_lists", lists),
        ] {
            if let Some(end) = end {
                let gauge = self.tls().ends.with_label_values(&[plane.name(), what]);
                gauge.set(end.unix_ms().div_euclid(1_000));
            }
        }
    }

    /// A plane's TLS files have changed, and were taken or not.
    pub fn tls_reloaded(&self, plane: Plane, outcome: &'static str) {
        let labels = [plane.name(), outcome];
        self.tls().reloads.with_label_values(&labels).inc();
    }
}
