//! Metrics of the store: its commits, its queue, its replicas.

use std::time::Duration;

use prometheus::{Histogram, IntGauge, IntGaugeVec};

use super::Metrics;
use super::metrics::histogram;
use super::registrar::Registrar;

/// A commit takes what the disk's flush takes.
const COMMIT_BUCKETS_S: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

pub(super) struct Store {
    commit: Histogram,
    batch: Histogram,
    queue: IntGauge,
    replicas: IntGaugeVec,
}

impl Store {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            commit: add.add(Histogram::with_opts(histogram(
                "cloakroom_store_commit_duration_seconds",
                "Duration of the store's durable commits.",
                COMMIT_BUCKETS_S,
            ))),
            batch: add.add(Histogram::with_opts(histogram(
                "cloakroom_store_batch_operations",
                "Operations that shared one commit.",
                BATCH_BUCKETS,
            ))),
            queue: add.add(IntGauge::new(
                "cloakroom_store_queue_operations",
                "Operations that wait for the store's writer.",
            )),
            replicas: add.gauges(
                (
                    "cloakroom_store_synchronous_replicas",
                    "Synchronous replicas of the database: required by the configuration, and attached.",
                ),
                &["kind"],
            ),
        }
    }
}

impl Metrics {
    /// The store has committed so many operations at once.
    pub fn store_committed(&self, operations: usize, duration: Duration) {
        let operations = u32::try_from(operations).unwrap_or(u32::MAX);
        self.store().batch.observe(f64::from(operations));
        self.store().commit.observe(duration.as_secs_f64());
    }

    /// So many operations wait for the store's writer.
    pub fn store_queue(&self, operations: usize) {
        let operations = i64::try_from(operations).unwrap_or(i64::MAX);
        self.store().queue.set(operations);
    }

    /// So many synchronous replicas are required, and so many attached.
    pub fn store_replicas(&self, required: u32, attached: u32) {
        let replicas = &self.store().replicas;
        let kinds = [("required", required), ("attached", attached)];
        for (kind, count) in kinds {
            replicas.with_label_values(&[kind]).set(i64::from(count));
        }
    }
}
