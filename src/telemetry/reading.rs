//! A reading of the process's own metrics, for pages that people look at.
//!
//! The same families that Prometheus reads, at one moment. A metric that has counted nothing yet is
//! nothing, and not zero.

use std::collections::BTreeMap;
use std::fmt;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::Metrics;

/// All metrics at one moment.
pub struct Reading(Vec<MetricFamily>);

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reading({} families)", self.0.len())
    }
}

/// Labels that a series must have.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Metrics {
    /// Everything at this moment.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading(self.registry().gather())
    }
}

impl Reading {
    /// The sum of all series with these labels: a counter's or gauge's value, and how often a
    /// histogram has observed.
    #[must_use]
    pub fn sum(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.series(name, labels)
            .map(|(kind, metric)| value(kind, metric))
            // Not `sum`, which makes -0 of nothing.
            .fold(0.0, |sum, value| sum + value)
    }

    /// The sums by the value of one label, in its order.
    #[must_use]
    pub fn by(&self, name: &str, label: &str, labels: Labels<'_>) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (kind, metric) in self.series(name, labels) {
            if let Some(of) = of_label(metric, label) {
                *sums.entry(of.to_owned()).or_insert(0.0) += value(kind, metric);
            }
        }
        sums
    }

    /// The least bound of a histogram's buckets within which this share of what it observed lies;
    /// nothing where it observed nothing, and infinity where the last bound is too small.
    #[must_use]
    pub fn within(&self, name: &str, labels: Labels<'_>, share: f64) -> Option<f64> {
        let mut observed: f64 = 0.0;
        // By the bits of the bound: positive floats are in the order of their bits.
        let mut below: BTreeMap<u64, f64> = BTreeMap::new();
        for (_, metric) in self.series(name, labels) {
            let histogram = metric.get_histogram();
            observed += float(histogram.get_sample_count());
            for bucket in histogram.get_bucket() {
                let bound = bucket.upper_bound().to_bits();
                *below.entry(bound).or_insert(0.0) += float(bucket.cumulative_count());
            }
        }
        if observed == 0.0 {
            return None;
        }
        let wanted = observed * share;
        let bound = below.into_iter().find(|(_, count)| *count >= wanted);
        Some(bound.map_or(f64::INFINITY, |(bits, _)| f64::from_bits(bits)))
    }

    fn series(
        &self,
        name: &str,
        labels: Labels<'_>,
    ) -> impl Iterator<Item = (MetricType, &Metric)> {
        let family = self.0.iter().filter(move |family| family.name() == name);
        family
            .flat_map(|family| {
                let kind = family.get_field_type();
                family.get_metric().iter().map(move |metric| (kind, metric))
            })
            .filter(move |(_, metric)| {
                let mut labels = labels.iter();
                labels.all(|(label, wanted)| of_label(metric, label) == Some(*wanted))
            })
    }
}

fn of_label<'a>(metric: &'a Metric, label: &str) -> Option<&'a str> {
    let found = metric.get_label().iter().find(|pair| pair.name() == label);
    found.map(prometheus::proto::LabelPair::value)
}

fn value(kind: MetricType, metric: &Metric) -> f64 {
    match kind {
        MetricType::COUNTER => metric.get_counter().get_value(),
        MetricType::GAUGE => metric.get_gauge().get_value(),
        MetricType::HISTOGRAM => float(metric.get_histogram().get_sample_count()),
        // None of ours is of these.
        MetricType::SUMMARY | MetricType::UNTYPED => 0.0,
    }
}

/// A count as a float, exact up to 2^53.
fn float(count: u64) -> f64 {
    let [high, low] = [count >> 32, count & u64::from(u32::MAX)];
    let part = |part: u64| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part(high).mul_add(4_294_967_296.0, part(low))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::telemetry::{Answered, Plane};

    #[test]
    fn series_are_added_up_by_the_labels_that_are_asked_for() {
        let metrics = Metrics::new(&Clock::set_to(Timestamp::from_unix_ms(1_700_000_000_500)));
        for (status, ms) in [(201, 20), (201, 30), (402, 700), (503, 40_000)] {
            metrics.request_answered(&Answered {
                plane: Plane::Internal,
                method: "POST",
                route: "/v1/charges",
                status,
                duration: Duration::from_millis(ms),
            });
        }
        metrics.charged("succeeded");
        let reading = metrics.read();
        let requests = "http_server_request_duration_seconds";
        let internal = [("plane", "internal")];
        assert!((reading.sum(requests, &internal) - 4.0).abs() < f64::EPSILON);
        assert!(reading.sum(requests, &[("plane", "capture")]).abs() < f64::EPSILON);
        let by_status = reading.by(requests, "http_response_status_code", &internal);
        let counts: Vec<_> = by_status
            .iter()
            .map(|(of, n)| format!("{of} {n}"))
            .collect();
        assert_eq!(counts, ["201 2", "402 1", "503 1"]);
        assert_eq!(reading.within(requests, &internal, 0.5), Some(0.05));
        assert_eq!(reading.within(requests, &internal, 0.75), Some(0.75));
        assert_eq!(
            reading.within(requests, &internal, 1.0),
            Some(f64::INFINITY)
        );
        assert_eq!(reading.within(requests, &[("plane", "ops")], 0.5), None);
        assert!((reading.sum("cloakroom_charges_total", &[]) - 1.0).abs() < f64::EPSILON);
        assert_eq!(reading.sum("no_such_metric", &[]).to_string(), "0");
    }

    #[test]
    fn a_count_beyond_32_bits_is_exact() {
        let difference = float((1 << 40) + 7) - 1_099_511_627_783.0;
        assert!(difference.abs() < f64::EPSILON);
    }
}
