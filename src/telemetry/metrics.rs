//! Metrics: what Prometheus reads from `/metrics`.
//!
//! Names follow OpenTelemetry's HTTP conventions where there is one and `cloakroom_*` for the
//! domain. Every label's value is a constant of this program (`&'static str`, an enum, a status
//! code): nothing that a caller sends can become a label, neither a secret nor a million series.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use super::alerts::Alerts;
use super::audit::Audit;
use super::backup::Backup;
use super::browsers::Browsers;
use super::lifecycle::Lifecycle;
use super::processor::Processor;
use super::reconciliation::Reconciliation;
use super::registrar::Registrar;
use super::store::Store;
use super::tls::Tls;
use super::work::Work;
use crate::clock::Clock;

/// The buckets that OpenTelemetry's HTTP conventions advise for `http.server.request.duration`.
const HTTP_BUCKETS_S: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// One of the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// The internet's.
    Capture,
    /// The merchant's own services'.
    Internal,
    /// The operator's.
    Ops,
}

impl Plane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Capture, Self::Internal, Self::Ops];

    /// The plane's name in the configuration and in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Internal => "internal",
            Self::Ops => "ops",
        }
    }
}

/// A request that has been answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The listener it came in by.
    pub plane: Plane,
    /// Its method, from [`known_method`].
    pub method: &'static str,
    /// The pattern of its route, never its path.
    pub route: &'static str,
    /// The answer's status code.
    pub status: u16,
    /// From the request's head to the answer's.
    pub duration: Duration,
}

/// The method's name for a label: any that HTTP does not define is `_OTHER`, as OpenTelemetry has it.
#[must_use]
pub fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("_OTHER")
}

/// The process's metrics; cheap to clone, every clone counts into the same.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    requests: HistogramVec,
    active_requests: IntGaugeVec,
    tokenizations: IntCounterVec,
    charges: IntCounterVec,
    processor: Processor,
    lifecycle: Lifecycle,
    store: Store,
    tls: Tls,
    audit: Audit,
    backup: Backup,
    work: Work,
    reconciliation: Reconciliation,
    alerts: Alerts,
    data_keys_created: IntCounter,
    log_redactions: IntCounter,
    log_lines_lost: IntCounter,
    grants_refused: IntCounterVec,
    browsers: Browsers,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

fn requests(add: &Registrar) -> HistogramVec {
    add.histograms(
        histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, from the request's head to the answer's.",
            HTTP_BUCKETS_S,
        ),
        &[
            "plane",
            "http_request_method",
            "http_route",
            "http_response_status_code",
        ],
    )
}

impl Metrics {
    /// All metrics at zero, in a registry of their own. `clock` says when the process started,
    /// which is now.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let add = Registrar::default();
        let families = Families {
            requests: requests(&add),
            active_requests: add.gauges(
                (
                    "http_server_active_requests",
                    "HTTP requests being answered now.",
                ),
                &["plane"],
            ),
            tokenizations: add.counters(
                (
                    "cloakroom_tokenizations_total",
                    "Attempts to turn a card into a token.",
                ),
                &["outcome"],
            ),
            charges: add.counters(("cloakroom_charges_total", "Charges."), &["outcome"]),
            processor: Processor::register(&add),
            lifecycle: Lifecycle::register(&add),
            store: Store::register(&add),
            tls: Tls::register(&add),
            audit: Audit::register(&add),
            backup: Backup::register(&add),
            work: Work::register(&add),
            reconciliation: Reconciliation::register(&add),
            alerts: Alerts::register(&add),
            data_keys_created: add.add(IntCounter::new(
                "cloakroom_data_keys_created_total",
                "Data keys made by this process.",
            )),
            log_redactions: add.add(IntCounter::new(
                "cloakroom_log_redactions_total",
                "Card numbers and secrets taken out of log lines; each one is a defect elsewhere.",
            )),
            log_lines_lost: add.add(IntCounter::new(
                "cloakroom_log_lines_lost_total",
                "Log lines that could not be written, or that nobody read in time.",
            )),
            browsers: Browsers::register(&add),
            grants_refused: add.counters(
                (
                    "cloakroom_grants_refused_total",
                    "Requests whose client lacked the right.",
                ),
                &["plane"],
            ),
            registry: add.process(clock),
        };
        // A series that is there from the start shows its first increase.
        for plane in Plane::ALL.map(Plane::name) {
            families.active_requests.with_label_values(&[plane]);
            families.grants_refused.with_label_values(&[plane]);
        }
        families.charges.with_label_values(&["unreadable"]);
        Self(Arc::new(families))
    }

    /// Everything, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        // It fails only for families without a name or of a kind unknown to it.
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .unwrap_or_default()
    }

    /// A request has been answered.
    pub fn request_answered(&self, answered: &Answered) {
        let status = answered.status.to_string();
        let labels = [
            answered.plane.name(),
            answered.method,
            answered.route,
            status.as_str(),
        ];
        let requests = self.0.requests.with_label_values(&labels);
        requests.observe(answered.duration.as_secs_f64());
    }

    /// A request has begun; it has ended when the answer of this is dropped.
    #[must_use]
    pub fn request_begun(&self, plane: Plane) -> ActiveRequest {
        let gauge = self.0.active_requests.with_label_values(&[plane.name()]);
        gauge.inc();
        ActiveRequest(gauge)
    }

    /// An attempt to make a token has ended.
    pub fn tokenized(&self, outcome: &'static str) {
        self.0.tokenizations.with_label_values(&[outcome]).inc();
    }

    /// A charge has ended, or is known not to have yet.
    pub fn charged(&self, outcome: &'static str) {
        self.0.charges.with_label_values(&[outcome]).inc();
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.0.audit
    }

    pub(super) fn backup(&self) -> &Backup {
        &self.0.backup
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.0.tls
    }

    pub(super) fn browsers(&self) -> &Browsers {
        &self.0.browsers
    }

    pub(super) fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    pub(super) fn reconciliation(&self) -> &Reconciliation {
        &self.0.reconciliation
    }

    pub(super) fn work(&self) -> &Work {
        &self.0.work
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    pub(super) fn processor(&self) -> &Processor {
        &self.0.processor
    }

    /// So many data keys have been made since the process started.
    pub fn data_keys_created(&self, total: u64) {
        let counted = self.0.data_keys_created.get();
        self.0
            .data_keys_created
            .inc_by(total.saturating_sub(counted));
    }

    /// So many things that must not be read were taken out of a log line.
    pub fn log_redacted(&self, count: u64) {
        self.0.log_redactions.inc_by(count);
    }

    /// A log line could not be written.
    pub fn log_line_lost(&self) {
        self.0.log_lines_lost.inc();
    }

    /// A client asked for what it has no right to.
    pub fn grant_refused(&self, plane: Plane) {
        self.0
            .grants_refused
            .with_label_values(&[plane.name()])
            .inc();
    }
}

/// A request that is being answered, for as long as this lives.
pub struct ActiveRequest(IntGauge);

impl fmt::Debug for ActiveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActiveRequest")
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::Timestamp;

    fn metrics() -> Metrics {
        Metrics::new(&Clock::set_to(Timestamp::from_unix_ms(1_700_000_000_500)))
    }

    #[test]
    fn every_metric_is_rendered_in_the_text_format() {
        let metrics = metrics();
        let active = metrics.request_begun(Plane::Internal);
        metrics.request_answered(&Answered {
            plane: Plane::Capture,
            method: known_method("POST"),
            route: "/v1/tokens",
            status: 201,
            duration: Duration::from_millis(70),
        });
        metrics.tokenized("created");
        metrics.charged("succeeded");
        metrics.processor_answered("charge", "succeeded", Duration::from_millis(700));
        metrics.store_committed(3, Duration::from_millis(2));
        metrics.store_queue(7);
        metrics.data_keys_created(1);
        metrics.log_redacted(2);
        metrics.log_line_lost();
        metrics.grant_refused(Plane::Internal);

        let text = metrics.render();
        for line in [
            r#"http_server_request_duration_seconds_bucket{http_request_method="POST",http_response_status_code="201",http_route="/v1/tokens",plane="capture",le="0.05"} 0"#,
            r#"http_server_request_duration_seconds_bucket{http_request_method="POST",http_response_status_code="201",http_route="/v1/tokens",plane="capture",le="0.075"} 1"#,
            r#"http_server_request_duration_seconds_bucket{http_request_method="POST",http_response_status_code="201",http_route="/v1/tokens",plane="capture",le="10"} 1"#,
            "# TYPE http_server_request_duration_seconds histogram",
            r#"http_server_active_requests{plane="capture"} 0"#,
            r#"http_server_active_requests{plane="internal"} 1"#,
            r#"cloakroom_tokenizations_total{outcome="created"} 1"#,
            r#"cloakroom_charges_total{outcome="succeeded"} 1"#,
            r#"cloakroom_processor_request_duration_seconds_count{operation="charge",outcome="succeeded"} 1"#,
            "cloakroom_store_commit_duration_seconds_count 1",
            "cloakroom_store_batch_operations_sum 3",
            "cloakroom_store_queue_operations 7",
            "cloakroom_data_keys_created_total 1",
            "cloakroom_log_redactions_total 2",
            "cloakroom_log_lines_lost_total 1",
            r#"cloakroom_grants_refused_total{plane="internal"} 1"#,
            r#"cloakroom_grants_refused_total{plane="ops"} 0"#,
            concat!(
                r#"cloakroom_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
            "process_start_time_seconds 1700000000.5",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "));

        drop(active);
        let text = metrics.render();
        assert!(text.contains(r#"http_server_active_requests{plane="internal"} 0"#));
    }

    #[test]
    fn a_clone_counts_into_the_same() {
        let metrics = metrics();
        metrics.clone().data_keys_created(1);
        assert!(
            metrics
                .render()
                .contains("cloakroom_data_keys_created_total 1\n")
        );
    }

    #[test]
    fn a_method_of_the_callers_own_is_no_label() {
        assert_eq!(known_method("DELETE"), "DELETE");
        for method in ["", "get", "BREW", "4242424242424242"] {
            assert_eq!(known_method(method), "_OTHER");
        }
    }
}
