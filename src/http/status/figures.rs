//! What the status page shows, read off metrics, tables and probes.

use std::time::Duration;

use super::words::{capitalized, duration, listed, share, whole};
use super::{Figure, Group};
use crate::clock::Timestamp;
use crate::http::PlaneName;
use crate::http::health::{Health, Line, State};
use crate::store::StoreFigures;
use crate::telemetry::Reading;

/// Milliseconds after which work that nobody took up wants somebody; the reconciler looks each second.
const OVERDUE_MS: u64 = 300_000;
const REQUESTS: &str = "http_server_request_duration_seconds";
const CALLS: &str = "cloakroom_processor_request_duration_seconds";
const COMMITS: &str = "cloakroom_store_commit_duration_seconds";

/// What was read for one page.
pub(super) struct Seen<'a> {
    pub(super) health: &'a Health,
    pub(super) reading: Reading,
    pub(super) store: StoreFigures,
    pub(super) now: Timestamp,
}

impl Seen<'_> {
    /// Every part of the page, in its order.
    pub(super) fn whole(&self, lines: &[Line]) -> Vec<Group> {
        let groups = [
            ("Health", lines.iter().map(of_line).collect()),
            ("Traffic", self.traffic()),
            ("Cards and money", self.outcomes()),
            ("Keys", self.keys()),
            ("Certificates", self.certificates()),
            ("Store and replication", self.storage()),
            ("Processor", self.processor()),
            ("Work to be finished", self.work()),
            ("Reports and alarms", self.alarms()),
            ("Process", self.process()),
        ];
        groups
            .into_iter()
            .map(|(title, figures)| Group { title, figures })
            .collect()
    }

    fn traffic(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for plane in PlaneName::ALL {
            if !self.runs(plane) {
                continue;
            }
            let of = [("plane", plane.name())];
            let by_status = self.reading.by(REQUESTS, "http_response_status_code", &of);
            let class = |first: char| -> f64 {
                let of_class = by_status.iter().filter(|(code, _)| code.starts_with(first));
                of_class.fold(0.0, |sum, (_, count)| sum + count)
            };
            let all = by_status.values().fold(0.0, |sum, count| sum + count);
            let faults = class('5');
            let name = |what: &str| format!("{}: {what}", capitalized(plane.name()));
            figures.extend([
                figure(name("requests answered"), whole(all), REQUESTS),
                figure(name("refused (4xx)"), share(class('4'), all), REQUESTS),
                figure(name("our faults (5xx)"), share(faults, all), REQUESTS),
                figure(
                    name("95 of 100 answered"),
                    self.within(REQUESTS, &of),
                    REQUESTS,
                ),
                figure(
                    name("being answered now"),
                    whole(self.reading.sum("http_server_active_requests", &of)),
                    "http_server_active_requests",
                ),
            ]);
        }
        figures
    }

    fn outcomes(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (what, metric) in [
            ("Cards offered", "cloakroom_tokenizations_total"),
            ("Charges", "cloakroom_charges_total"),
            ("Refunds", "cloakroom_refunds_total"),
        ] {
            let by = self.reading.by(metric, "outcome", &[]);
            let all = by.values().fold(0.0, |sum, count| sum + count);
            figures.push(figure(what.to_owned(), whole(all), metric));
            if let Some(declined) = by.get("declined") {
                let name = format!("{what}: declined");
                figures.push(figure(name, share(*declined, all), metric));
            }
            figures.push(figure(format!("{what}: outcomes"), listed(&by), metric));
        }
        figures
    }

    fn keys(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for kek in &self.store.keks {
            let name = |what: &str| format!("Key-encryption key {}: {what}", kek.kek);
            let since = kek.in_service_since.map_or_else(
                || "never: it has no canary".to_owned(),
                |since| self.ago(since),
            );
            figures.extend([
                figure(name("in service"), since, "key_canaries"),
                figure(name("data keys"), kek.data_keys.to_string(), "data_keys"),
                figure(name("first data key"), self.ago(kek.oldest), "data_keys"),
                figure(name("last data key"), self.ago(kek.newest), "data_keys"),
            ]);
        }
        let metric = "cloakroom_data_keys_created_total";
        let made = whole(self.reading.sum(metric, &[]));
        figures.push(figure("Data keys made here".to_owned(), made, metric));
        figures
    }

    fn certificates(&self) -> Vec<Figure> {
        let metric = "cloakroom_tls_end_timestamp_seconds";
        let mut figures = Vec::new();
        for (plane, live) in &self.health.tls {
            let ends = live.ends();
            let plane = capitalized(plane.name());
            let name = format!("{plane}: certificate");
            figures.push(figure(name, self.left(ends.certificate), metric));
            if let Some(end) = ends.revocation_lists {
                let name = format!("{plane}: first revocation list");
                figures.push(figure(name, self.left(end), metric));
            }
        }
        let metric = "cloakroom_tls_reloads_total";
        let reloads = listed(&self.reading.by(metric, "outcome", &[]));
        figures.push(figure("Files replaced".to_owned(), reloads, metric));
        figures
    }

    fn storage(&self) -> Vec<Figure> {
        let commits = whole(self.reading.sum(COMMITS, &[]));
        let queue = "cloakroom_store_queue_operations";
        let waiting = whole(self.reading.sum(queue, &[]));
        let mut figures = vec![
            figure("Commits".to_owned(), commits, COMMITS),
            figure(
                "95 of 100 commits".to_owned(),
                self.within(COMMITS, &[]),
                COMMITS,
            ),
            figure("Operations waiting".to_owned(), waiting, queue),
        ];
        let metric = "cloakroom_store_synchronous_replicas";
        figures.push(match self.health.common.store.replication() {
            Some(replication) => Figure {
                name: "Synchronous replicas".to_owned(),
                value: format!(
                    "{} attached, {} waited for, {} required",
                    replication.attached, replication.awaited, replication.required
                ),
                state: Some(if replication.is_kept() {
                    State::Ok
                } else {
                    State::Failed
                }),
                source: metric,
            },
            None => figure(
                "Synchronous replicas".to_owned(),
                "one file on one machine".to_owned(),
                metric,
            ),
        });
        figures
    }

    fn processor(&self) -> Vec<Figure> {
        let breaker = "cloakroom_processor_breaker_open";
        let open = self.reading.sum(breaker, &[]);
        let waiting = "cloakroom_processor_waiting_requests";
        let refusals = "cloakroom_processor_refusals_total";
        let notices = "cloakroom_processor_notices_total";
        vec![
            Figure {
                name: "Accounts left alone (breaker open)".to_owned(),
                value: whole(open),
                state: Some(if open > 0.0 { State::Failed } else { State::Ok }),
                source: breaker,
            },
            figure(
                "Calls".to_owned(),
                listed(&self.reading.by(CALLS, "outcome", &[])),
                CALLS,
            ),
            figure("95 of 100 calls".to_owned(), self.within(CALLS, &[]), CALLS),
            figure(
                "Calls waiting for their turn".to_owned(),
                whole(self.reading.sum(waiting, &[])),
                waiting,
            ),
            figure(
                "Calls refused here".to_owned(),
                listed(&self.reading.by(refusals, "reason", &[])),
                refusals,
            ),
            figure(
                "Notices".to_owned(),
                listed(&self.reading.by(notices, "outcome", &[])),
                notices,
            ),
        ]
    }

    fn work(&self) -> Vec<Figure> {
        let mut figures: Vec<Figure> = Vec::new();
        for work in &self.store.open_work {
            let overdue_ms = work.due_since.map_or(0, |due| self.now.ms_since(due));
            let value = match (work.rows, overdue_ms) {
                (0, _) => "none".to_owned(),
                (rows, 0) => format!("{rows}, all in hand"),
                (rows, late) => format!("{rows}, the first overdue {}", duration(late)),
            };
            figures.push(Figure {
                name: format!("{} open", capitalized(work.table)),
                value,
                state: Some(if overdue_ms > OVERDUE_MS {
                    State::Warning
                } else {
                    State::Ok
                }),
                source: work.table,
            });
        }
        let metric = "cloakroom_webhook_deliveries_total";
        let tries = listed(&self.reading.by(metric, "outcome", &[]));
        figures.push(figure("Tries to deliver".to_owned(), tries, metric));
        let metric = "cloakroom_webhook_endpoint_disabled";
        let disabled = self.reading.sum(metric, &[]);
        figures.push(Figure {
            name: "Endpoints that are told nothing more".to_owned(),
            value: whole(disabled),
            state: Some(warned(disabled)),
            source: metric,
        });
        figures
    }

    fn alarms(&self) -> Vec<Figure> {
        let last = self.store.last_report;
        let mut figures = vec![
            figure(
                "Reports within 7 days, to be read at GET /v1/reports".to_owned(),
                self.store.reports.to_string(),
                "reports",
            ),
            figure(
                "Last report".to_owned(),
                last.map_or_else(|| "none within 7 days".to_owned(), |last| self.ago(last)),
                "reports",
            ),
        ];
        for (name, metric) in [
            ("Browsers' reports", "cloakroom_browser_reports_total"),
            ("Grants refused", "cloakroom_grants_refused_total"),
            (
                "Secrets taken out of log lines",
                "cloakroom_log_redactions_total",
            ),
            ("Log lines lost", "cloakroom_log_lines_lost_total"),
        ] {
            let count = self.reading.sum(metric, &[]);
            figures.push(Figure {
                name: name.to_owned(),
                value: whole(count),
                state: Some(warned(count)),
                source: metric,
            });
        }
        figures
    }

    fn process(&self) -> Vec<Figure> {
        let started_s = self.reading.sum("process_start_time_seconds", &[]);
        let now_ms = u64::try_from(self.now.unix_ms()).unwrap_or(0);
        let uptime_s = Duration::from_millis(now_ms).as_secs_f64() - started_s;
        let memory = self.reading.sum("process_resident_memory_bytes", &[]);
        let mut figures = vec![
            figure(
                "Version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
                "cloakroom_build_info",
            ),
            figure(
                "Running for".to_owned(),
                format!("{:.1} h", uptime_s / 3_600.0),
                "process_start_time_seconds",
            ),
            figure(
                "Memory in use".to_owned(),
                format!("{:.0} MiB", memory / 1_048_576.0),
                "process_resident_memory_bytes",
            ),
        ];
        let hardening = &self.health.hardening;
        for measure in hardening.measures().iter().chain(hardening.confinement()) {
            let told = measure.to_string();
            let (name, value) = told.split_once(": ").unwrap_or((measure.name, ""));
            figures.push(figure(capitalized(name), value.to_owned(), "/readyz"));
        }
        figures
    }

    fn runs(&self, plane: PlaneName) -> bool {
        self.health.tls.iter().any(|(running, _)| *running == plane)
    }

    /// In what time 95 of 100 were done, as far as the buckets tell.
    fn within(&self, metric: &str, labels: &[(&str, &str)]) -> String {
        match self.reading.within(metric, labels, 0.95) {
            None => "nothing yet".to_owned(),
            Some(bound) if bound.is_finite() => format!("within {bound} s"),
            Some(_) => "beyond the last bucket".to_owned(),
        }
    }

    fn ago(&self, moment: Timestamp) -> String {
        let age = duration(self.now.ms_since(moment));
        format!("{}, {age} ago", moment.rfc3339())
    }

    fn left(&self, end: Timestamp) -> String {
        let end_told = end.rfc3339();
        match end.ms_since(self.now) {
            0 => format!("ended {end_told}"),
            left => format!("ends {end_told}, {} left", duration(left)),
        }
    }
}

fn of_line(line: &Line) -> Figure {
    let word = match line.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "failed",
        State::NotApplicable => "not applicable here",
    };
    Figure {
        name: capitalized(&line.name.replace('_', " ")),
        value: match &line.detail {
            Some(detail) => format!("{word}: {detail}"),
            None => word.to_owned(),
        },
        state: Some(line.state),
        source: "/readyz",
    }
}

const fn figure(name: String, value: String, source: &'static str) -> Figure {
    Figure {
        name,
        value,
        state: None,
        source,
    }
}

fn warned(count: f64) -> State {
    if count > 0.0 {
        State::Warning
    } else {
        State::Ok
    }
}
