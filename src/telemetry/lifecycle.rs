//! Metrics of what comes after a charge: refunds, what the processor tells, what we tell.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::registrar::Registrar;

pub(super) struct Lifecycle {
    refunds: IntCounterVec,
    notices: IntCounterVec,
    deliveries: IntCounterVec,
    reports: IntCounterVec,
    endpoints_disabled: IntGaugeVec,
}

impl Lifecycle {
    pub(super) fn register(add: &Registrar) -> Self {
        let families = Self {
            refunds: add.counters(("cloakroom_refunds_total", "Refunds."), &["outcome"]),
            notices: add.counters(
                (
                    "cloakroom_processor_notices_total",
                    "Notices of the processor, by what became of them.",
                ),
                &["outcome"],
            ),
            deliveries: add.counters(
                (
                    "cloakroom_webhook_deliveries_total",
                    "Tries to deliver an event to an endpoint.",
                ),
                &["outcome"],
            ),
            reports: add.counters(
                (
                    "cloakroom_reports_total",
                    "Reports of abuse or an incident, by what they are about; kept ones the operator is not told of one by one, refused ones are past the budget.",
                ),
                &["about"],
            ),
            endpoints_disabled: add.gauges(
                (
                    "cloakroom_webhook_endpoint_disabled",
                    "Whether an endpoint answered 410 Gone and is told nothing more.",
                ),
                &["endpoint"],
            ),
        };
        // A series that is there from the start shows its first increase.
        for about in [
            "abuse",
            "incident",
            "vulnerability",
            "other",
            "kept",
            "refused",
        ] {
            families.reports.with_label_values(&[about]);
        }
        for outcome in ["delivered", "failed", "given_up"] {
            families.deliveries.with_label_values(&[outcome]);
        }
        for outcome in ["taken", "again", "elsewhere", "refused"] {
            families.notices.with_label_values(&[outcome]);
        }
        families
    }
}

impl Metrics {
    /// A refund has reached a state.
    pub fn refunded(&self, outcome: &'static str) {
        let refunds = &self.lifecycle().refunds;
        refunds.with_label_values(&[outcome]).inc();
    }

    /// The processor, or somebody in its name, has told something.
    pub fn noticed(&self, outcome: &'static str) {
        let notices = &self.lifecycle().notices;
        notices.with_label_values(&[outcome]).inc();
    }

    /// Somebody has reported something.
    pub fn reported(&self, about: &'static str) {
        let reports = &self.lifecycle().reports;
        reports.with_label_values(&[about]).inc();
    }

    /// An endpoint was told something, or was not.
    pub fn told(&self, outcome: &'static str) {
        let deliveries = &self.lifecycle().deliveries;
        deliveries.with_label_values(&[outcome]).inc();
    }

    /// An endpoint is told what happens, or is told nothing more.
    pub fn endpoint_disabled(&self, endpoint: &str, disabled: bool) {
        let endpoints = &self.lifecycle().endpoints_disabled;
        endpoints
            .with_label_values(&[endpoint])
            .set(disabled.into());
    }
}
