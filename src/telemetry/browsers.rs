//! Metrics of what browsers report: that they kept a page of ours from something.

use prometheus::IntCounterVec;

use super::Metrics;
use super::registrar::Registrar;

pub(super) struct Browsers {
    reports: IntCounterVec,
    addresses: IntCounterVec,
}

impl Browsers {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            reports: add.counters(
                (
                    "cloakroom_browser_reports_total",
                    "Reports of browsers that kept a page of ours from something.",
                ),
                &["violated"],
            ),
            addresses: add.counters(
                (
                    "cloakroom_browser_report_addresses_total",
                    "Addresses from which a serious violation was reported, each once an hour.",
                ),
                &["violated"],
            ),
        }
    }
}

impl Metrics {
    /// Browsers may report that this was violated; its series are there from now on.
    pub fn browsers_may_report(&self, violated: &'static str, is_serious: bool) {
        self.browsers().reports.with_label_values(&[violated]);
        if is_serious {
            self.browsers().addresses.with_label_values(&[violated]);
        }
    }

    /// A browser reported that a page of ours was kept from something.
    pub fn browser_reported(&self, violated: &'static str) {
        let reports = &self.browsers().reports;
        reports.with_label_values(&[violated]).inc();
    }

    /// An address reported something serious for the first time within the hour.
    pub fn browser_reporter_counted(&self, violated: &'static str) {
        let addresses = &self.browsers().addresses;
        addresses.with_label_values(&[violated]).inc();
    }
}
