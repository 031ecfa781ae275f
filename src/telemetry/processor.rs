//! Metrics of what is asked of the processor: how long calls take, which wait for their turn, which
//! are refused before they are sent, and whether the processor is left alone.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::metrics::histogram;
use super::registrar::Registrar;
use super::{Metrics, Plane};

/// A card network takes hundreds of milliseconds, and our patience ends at about a minute.
const BUCKETS_S: &[f64] = &[
    0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Why a call is refused and not sent.
const REASONS: [&str; 2] = ["rate_limited", "breaker_open"];

pub(super) struct Processor {
    requests: HistogramVec,
    waiting: IntGaugeVec,
    refused: IntCounterVec,
    breaker_open: IntGaugeVec,
}

impl Processor {
    pub(super) fn register(add: &Registrar) -> Self {
        Self {
            requests: add.histograms(
                histogram(
                    "cloakroom_processor_request_duration_seconds",
                    "Duration of calls to the processor, retries included.",
                    BUCKETS_S,
                ),
                &["operation", "outcome"],
            ),
            waiting: add.gauges(
                (
                    "cloakroom_processor_waiting_requests",
                    "Calls to the processor that wait for their turn.",
                ),
                &["plane"],
            ),
            refused: add.counters(
                (
                    "cloakroom_processor_refusals_total",
                    "Calls to the processor that were refused here and not sent.",
                ),
                &["plane", "reason"],
            ),
            breaker_open: add.gauges(
                (
                    "cloakroom_processor_breaker_open",
                    "Processor accounts that are left alone because they failed.",
                ),
                &["plane"],
            ),
        }
    }
}

/// The metrics of one plane's calls to one processor account.
#[derive(Clone, Debug)]
pub struct Egress {
    plane: Plane,
    waiting: IntGauge,
    refused: IntCounterVec,
    breaker_open: IntGauge,
}

impl Egress {
    /// A call waits for its turn.
    pub fn waits(&self) {
        self.waiting.inc();
    }

    /// A call does not wait any more.
    pub fn waits_no_more(&self) {
        self.waiting.dec();
    }

    /// A call was refused and not sent.
    pub fn refused(&self, reason: &'static str) {
        let labels = [self.plane.name(), reason];
        self.refused.with_label_values(&labels).inc();
    }

    /// The processor is left alone from now on, or asked again.
    pub fn breaker(&self, open: bool) {
        if open {
            self.breaker_open.inc();
        } else {
            self.breaker_open.dec();
        }
    }
}

impl Metrics {
    /// The processor has answered, or has not.
    pub fn processor_answered(
        &self,
        operation: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        let requests = &self.processor().requests;
        let requests = requests.with_label_values(&[operation, outcome]);
        requests.observe(duration.as_secs_f64());
    }

    /// Where one plane's calls to a processor account are counted. Its series are there from now on.
    #[must_use]
    pub fn egress(&self, plane: Plane) -> Egress {
        let families = self.processor();
        for reason in REASONS {
            families.refused.with_label_values(&[plane.name(), reason]);
        }
        Egress {
            plane,
            waiting: families.waiting.with_label_values(&[plane.name()]),
            refused: families.refused.clone(),
            breaker_open: families.breaker_open.with_label_values(&[plane.name()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::{Clock, Timestamp};

    #[test]
    fn what_waits_is_refused_or_left_alone_is_rendered_by_plane() {
        let metrics = Metrics::new(&Clock::set_to(Timestamp::from_unix_ms(1_700_000_000_500)));
        let capture = metrics.egress(Plane::Capture);
        let internal = metrics.egress(Plane::Internal);
        for _ in 0..3 {
            internal.waits();
        }
        internal.waits_no_more();
        internal.refused("rate_limited");
        // Two accounts of one plane: the gauge counts them.
        internal.breaker(true);
        metrics.egress(Plane::Internal).breaker(true);
        capture.breaker(true);
        capture.breaker(false);

        let text = metrics.render();
        for line in [
            r#"cloakroom_processor_waiting_requests{plane="internal"} 2"#,
            r#"cloakroom_processor_waiting_requests{plane="capture"} 0"#,
            r#"cloakroom_processor_refusals_total{plane="internal",reason="rate_limited"} 1"#,
            r#"cloakroom_processor_breaker_open{plane="internal"} 2"#,
            r#"cloakroom_processor_breaker_open{plane="capture"} 0"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
