//! Metrics of what the operator is told, and of what the watch does.

use prometheus::IntCounterVec;

use super::Metrics;
use super::registrar::Registrar;
use crate::alerts::AlertName;

pub(super) struct Alerts {
    raised: IntCounterVec,
    deliveries: IntCounterVec,
}

impl Alerts {
    pub(super) fn register(add: &Registrar) -> Self {
        let families = Self {
            raised: add.counters(
                (
                    "cloakroom_alerts_total",
                    "Alerts that this process raised, repetitions within a window included.",
                ),
                &["name", "severity"],
            ),
            deliveries: add.counters(
                (
                    "cloakroom_alert_deliveries_total",
                    "Tries to tell an alert to a webhook or a mailbox.",
                ),
                &["outcome"],
            ),
        };
        // A series that is there from the start shows its first increase.
        for name in AlertName::ALL {
            let labels = [name.name(), name.severity().name()];
            families.raised.with_label_values(&labels);
        }
        for outcome in ["delivered", "failed", "given_up"] {
            families.deliveries.with_label_values(&[outcome]);
        }
        families
    }
}

impl Metrics {
    /// An alert was raised.
    pub fn alert_raised(&self, name: AlertName) {
        let labels = [name.name(), name.severity().name()];
        self.alerts().raised.with_label_values(&labels).inc();
    }

    /// Somebody was told of an alert, or was not.
    pub fn alert_told(&self, outcome: &'static str) {
        let deliveries = &self.alerts().deliveries;
        deliveries.with_label_values(&[outcome]).inc();
    }
}
