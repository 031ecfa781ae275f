//! Metrics of what waits to be finished: rows that the reconciler and the senders take from.

use prometheus::IntGaugeVec;

use super::Metrics;
use super::registrar::Registrar;

pub(super) struct Work {
    rows: IntGaugeVec,
    overdue: IntGaugeVec,
}

impl Work {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            rows: add.gauges(
                (
                    "cloakroom_open_work_rows",
                    "Rows of the store that are not finished, by table; the same on every node.",
                ),
                &["table"],
            ),
            overdue: add.gauges(
                (
                    "cloakroom_open_work_overdue_seconds",
                    "Seconds for which the first unfinished row could have been taken up, and was not.",
                ),
                &["table"],
            ),
        }
    }
}

impl Metrics {
    /// So many rows of a table are open, and nobody took up the first of them for so long.
    pub fn open_work(&self, table: &'static str, rows: u64, overdue_ms: u64) {
        let work = self.work();
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        work.rows.with_label_values(&[table]).set(whole(rows));
        let overdue = work.overdue.with_label_values(&[table]);
        overdue.set(whole(overdue_ms / 1_000));
    }

    /// Nobody knows what is open: an old figure would be taken for a new one.
    pub fn open_work_unknown(&self) {
        self.work().rows.reset();
        self.work().overdue.reset();
    }
}
