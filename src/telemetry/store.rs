//! Metrics of the store: its commits, its queue, its primary and replicas.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

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
    primary: IntGaugeVec,
    timeline: IntGauge,
    primary_changes: IntCounter,
    failed_commits: IntCounter,
    raising: Mutex<()>,
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
                    "Synchronous replicas of the database: required by the configuration, attached, and awaited by a commit.",
                ),
                &["kind"],
            ),
            primary: add.gauges(
                (
                    "cloakroom_store_primary",
                    "1 for the database server that is the primary.",
                ),
                &["host"],
            ),
            timeline: add.add(IntGauge::new(
                "cloakroom_store_timeline",
                "Timeline of the primary; each promotion begins one.",
            )),
            primary_changes: add.add(IntCounter::new(
                "cloakroom_store_primary_changes_total",
                "Changes of the primary since the process began.",
            )),
            failed_commits: add.add(IntCounter::new(
                "cloakroom_store_failed_commits_total",
                "Batches that came to no durable end: the engine was away, full or not replicated.",
            )),
            raising: Mutex::default(),
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

    /// The server that is the primary, its timeline, and how often it has changed.
    pub fn store_primary(&self, host: &str, timeline: u32, changes: u64) {
        let store = self.store();
        store.primary.reset();
        store.primary.with_label_values(&[host]).set(1);
        store.timeline.set(i64::from(timeline));
        self.raise(&store.primary_changes, changes);
    }

    /// So many commits have failed since the process began.
    pub fn store_failed_commits(&self, count: u64) {
        self.raise(&self.store().failed_commits, count);
    }

    /// Brings a counter to what the store has counted, also where two scrapes meet.
    fn raise(&self, counter: &IntCounter, count: u64) {
        let raising = &self.store().raising;
        let _one_at_a_time = raising.lock().unwrap_or_else(PoisonError::into_inner);
        counter.inc_by(count.saturating_sub(counter.get()));
    }

    /// So many synchronous replicas are required, attached, and waited for.
    pub fn store_replicas(&self, kinds: [(&str, u32); 3]) {
        let replicas = &self.store().replicas;
        for (kind, count) in kinds {
            replicas.with_label_values(&[kind]).set(i64::from(count));
        }
    }
}
