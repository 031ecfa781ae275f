//! Alert: the operator is told, durably and in the background; whoever raises one waits for nobody.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::owed::{Pace, work_off};
use super::{Common, Internal};
use crate::alerts::{self, Alert, Destination, Told};
use crate::store::{AlertTold, DueAlert, Failure, NewAlert, Take};
use crate::token::AlertId;

/// Milliseconds between two looks for what is to be told.
const INTERVAL_MS: u64 = 500;
/// Alerts that are routed at one look.
const BATCH_ALERTS_MAX: u32 = 16;
/// How each destination's are delivered.
const PACE: Pace = Pace {
    interval_ms: INTERVAL_MS,
    at_once_max: 16,
};
/// Milliseconds after which what a dead process was about to tell is told by another.
const LEASE_MS: u64 = 120_000;

impl Common {
    /// Raises an alert: once for each name and subject in a window, on all nodes together.
    ///
    /// # Errors
    /// What the store refuses; the log has it all the same.
    pub async fn raise(&self, alert: Alert) -> Result<(), Failure> {
        let new = self.new_alert(alert);
        self.metrics.alert_raised(new.alert.name);
        log_alert(&new.alert);
        self.store.raise(new).await.map(drop)
    }

    /// The same, where nobody can do anything about a failure but say so.
    pub async fn raise_or_log(&self, alert: Alert) {
        if let Err(failure) = self.raise(alert).await {
            tracing::error!(%failure, "an alert could not be written down");
        }
    }

    /// An alert of now and of this node.
    pub(crate) fn new_alert(&self, alert: Alert) -> NewAlert {
        let at = self.now();
        NewAlert {
            id: AlertId::new(self.environment, at),
            alert,
            node: self.node.to_string(),
            window_ms: u64::from(self.limits.alert_window_s).saturating_mul(1_000),
            at,
        }
    }
}

/// Says in the log what is raised, about whom, and what to do next.
pub(super) fn log_alert(alert: &Alert) {
    let (name, subject, seen) = (alert.name, &alert.subject, &alert.seen);
    let next_step = name.next_step();
    tracing::error!(
        alert = name.name(),
        subject,
        seen,
        next_step,
        "an alert is raised"
    );
}

impl Internal {
    /// Tells alerts until the process stops.
    pub async fn alert_forever(self: Arc<Self>) {
        let names = || self.alert_destinations.iter().map(Destination::name);
        let route = async {
            loop {
                let names = names().collect();
                let now = self.common.now();
                let store = &self.common.store;
                if let Err(failure) = store.route_alerts(names, BATCH_ALERTS_MAX, now).await {
                    tracing::warn!(%failure, "alerts could not be routed");
                }
                pause().await;
            }
        };
        // Each at its own pace, so that one that is silent holds up no other.
        let tell = join_all(self.alert_destinations.iter().map(|to| self.tell_all(to)));
        tokio::join!(route, tell);
    }

    async fn tell_all(&self, to: &Destination) {
        let take = async |limit| {
            let now = self.common.now();
            let take = Take {
                scope: to.name(),
                now,
                until: now.plus_ms(LEASE_MS),
                limit,
            };
            Ok(self.common.store.lease_alerts(take).await?)
        };
        let one = async |due| {
            self.tell_one(to, due).await;
            ControlFlow::Continue(())
        };
        work_off(PACE, take, one).await;
    }

    async fn tell_one(&self, to: &Destination, due: DueAlert) {
        let common = &self.common;
        let at = common.now();
        let (told, answer) = to.tell(&due.raised, common.environment, at).await;
        let attempt = due.attempts.saturating_add(1);
        let pause_ms = match told {
            Told::Later(retry_after_s) => {
                alerts::pause_ms_after(&due.raised.severity, attempt, retry_after_s)
            }
            Told::Taken | Told::Never => None,
        };
        let taken = told == Told::Taken;
        common.metrics.alert_told(if taken {
            "delivered"
        } else if pause_ms.is_some() {
            "failed"
        } else {
            "given_up"
        });
        let alert = due.raised.id;
        if !taken {
            tracing::warn!(%alert, answer, attempt, "an alert was not taken");
        }
        let written = AlertTold {
            alert,
            destination: to.name(),
            answer,
            taken,
            next: pause_ms.map(|pause_ms| at.plus_ms(pause_ms)),
            at,
        };
        if let Err(failure) = common.store.alert_told(due.lease, written).await {
            // Its lease ends, and it is told again under the same id.
            tracing::warn!(%alert, %failure, "how an alert was told could not be written down");
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(INTERVAL_MS)).await;
}
