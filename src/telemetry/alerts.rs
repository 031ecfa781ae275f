//! Metrics of what the operator is told, and of what the watch does.

use prometheus::IntCounterVec;

use super::Metrics;
use super::registrar::Registrar;
use crate::alerts::AlertName;
use crate::watch::{RULES, RuleName};

pub(super) struct Alerts {
    raised: IntCounterVec,
    deliveries: IntCounterVec,
    tripped: IntCounterVec,
    turned_away: IntCounterVec,
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
            tripped: add.counters(
                (
                    "cloakroom_watch_rules_tripped_total",
                    "Decisions of the watch's rules in this process, and whether they are acted on.",
                ),
                &["rule", "enforced"],
            ),
            turned_away: add.counters(
                (
                    "cloakroom_watch_turned_away_total",
                    "Cards that were not looked at, because of what is done to who sent them.",
                ),
                &["how"],
            ),
        };
        for rule in RULES {
            let labels = [rule.name.name(), "true"];
            families.tripped.with_label_values(&labels);
        }
        for how in ["challenged", "blocked"] {
            families.turned_away.with_label_values(&[how]);
        }
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

    /// A rule has decided.
    pub fn rule_tripped(&self, rule: RuleName, enforced: bool) {
        let labels = [rule.name(), if enforced { "true" } else { "false" }];
        self.alerts().tripped.with_label_values(&labels).inc();
    }

    /// A card was not looked at.
    pub fn turned_away(&self, how: &'static str) {
        self.alerts().turned_away.with_label_values(&[how]).inc();
    }

    /// Somebody was told of an alert, or was not.
    pub fn alert_told(&self, outcome: &'static str) {
        let deliveries = &self.alerts().deliveries;
        deliveries.with_label_values(&[outcome]).inc();
    }
}
