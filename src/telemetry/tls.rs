//! Metrics of TLS: when what is in force ends, and how often it was replaced.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::metrics::Plane;
use super::registrar::Registrar;
use crate::clock::Timestamp;

/// Why a client certificate is not taken.
const REASONS: [&str; 7] = [
    "no_certificate",
    "expired",
    "not_yet_valid",
    "revoked",
    "unknown_issuer",
    "wrong_use",
    "not_valid",
];

pub(super) struct Tls {
    ends: IntGaugeVec,
    reloads: IntCounterVec,
    clients_refused: IntCounterVec,
    turned_away: IntCounterVec,
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
            clients_refused: add.counters(
                (
                    "cloakroom_tls_clients_refused_total",
                    "Handshakes whose client showed no certificate, or one that is not taken.",
                ),
                &["plane", "reason"],
            ),
            turned_away: add.counters(
                (
                    "cloakroom_connections_turned_away_total",
                    "Connections that ended before their handshake: nothing of TLS came in time, or too many others waited.",
                ),
                &["plane", "why"],
            ),
        };
        for reason in REASONS {
            let labels = [Plane::Internal.name(), reason];
            families.clients_refused.with_label_values(&labels);
        }
        // A series that is there from the start shows its first increase.
        for plane in Plane::ALL.map(Plane::name) {
            for outcome in ["success", "refused"] {
                families.reloads.with_label_values(&[plane, outcome]);
            }
            for why in ["silent", "busy", "crowded_out"] {
                families.turned_away.with_label_values(&[plane, why]);
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

    /// A client was not let in.
    pub fn client_refused(&self, plane: Plane, reason: &'static str) {
        let labels = [plane.name(), reason];
        self.tls().clients_refused.with_label_values(&labels).inc();
    }

    /// A connection ended before its handshake.
    pub fn connection_turned_away(&self, plane: Plane, why: &'static str) {
        let labels = [plane.name(), why];
        self.tls().turned_away.with_label_values(&labels).inc();
    }

    /// A plane's TLS files have changed, and were taken or not.
    pub fn tls_reloaded(&self, plane: Plane, outcome: &'static str) {
        let labels = [plane.name(), outcome];
        self.tls().reloads.with_label_values(&labels).inc();
    }
}
