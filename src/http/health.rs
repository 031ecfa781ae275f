//! The ops plane: is it alive, is it ready, what has it counted.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::PlaneName;
use super::drain::Drain;
use super::tls::Live;
use crate::clock::{Clock, Timestamp};
use crate::memory::{self, Hardening, Measure};
use crate::store::{OpenWork, Replication};
use crate::telemetry::Metrics;
use crate::vault::rotation::{Stall, Standing};
use crate::vault::unseal::SealStatus;
use crate::vault::{Capture, Common, Internal};

/// A probe that takes longer says as much as one that fails.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// Before a certificate's end readiness warns for 21 days.
const CERTIFICATE_WARNING_MS: u64 = 21 * 24 * 60 * 60 * 1_000;
/// Before a revocation list's end it warns for a day: most are made anew every week or day.
const REVOCATION_LIST_WARNING_MS: u64 = 24 * 60 * 60 * 1_000;

/// What readiness looks at.
#[derive(Debug)]
pub struct Health {
    /// The store and the clock.
    pub common: Common,
    /// The capture plane, where this process runs it.
    pub capture: Option<Arc<Capture>>,
    /// The internal plane, where this process runs it.
    pub internal: Option<Arc<Internal>>,
    /// What is in force on each plane's listener.
    pub tls: Vec<(PlaneName, Arc<Live>)>,
    /// What protects the process's memory.
    pub hardening: Hardening,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Whether the process is about to stop.
    pub drain: Drain,
}

/// How one dependency is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work, so neither does the service.
    Failed,
    /// This process has no such thing.
    NotApplicable,
}

/// One line of readiness.
#[derive(Debug, Serialize)]
pub struct Line {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET /livez`: the process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

/// `GET /metrics`: Prometheus text format 0.0.4.
pub async fn metrics(health: web::Data<Health>) -> HttpResponse {
    health.count();
    // Only the internal plane's process may read all the tables of work.
    if health.internal.is_some() {
        match health.common.store.open_work().await {
            Ok(open) => health.count_open(&open),
            Err(failure) => {
                tracing::warn!(%failure, "what is open could not be counted");
                health.metrics.open_work_unknown();
            }
        }
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(health.metrics.render())
}

impl Health {
    /// Sets the metrics that are looked up, not counted.
    pub fn count(&self) {
        if let Some(capture) = &self.capture {
            self.metrics
                .data_keys_created(capture.sealer.data_keys_created());
        }
        if let Some(replication) = self.common.store.replication() {
            self.metrics.store_replicas([
                ("required", replication.required),
                ("attached", replication.attached),
                ("awaited", replication.awaited),
            ]);
        }
        self.metrics
            .store_failed_commits(self.common.store.failed_commits());
        if let Some(primary) = self.common.store.primary() {
            self.metrics
                .store_primary(&primary.host, primary.timeline, primary.changes);
        }
        for (plane, live) in &self.tls {
            let ends = live.ends();
            self.metrics
                .tls_ends(*plane, ends.certificate, ends.revocation_lists);
        }
    }

    /// Sets the metrics of work that is not finished.
    pub fn count_open(&self, open: &[OpenWork]) {
        let now = self.common.now();
        for work in open {
            let overdue_ms = work.due_since.map_or(0, |due| now.ms_since(due));
            self.metrics.open_work(work.table, work.rows, overdue_ms);
        }
    }

    /// Looks at everything the service needs.
    pub async fn look(&self) -> Vec<Line> {
        let mut lines = vec![self.store().await, self.audit(), self.canary().await];
        lines.extend(self.own());
        lines.push(replication(self.common.store.replication()));
        lines
    }

    /// Looks at what this process alone has or lacks; asks nobody else.
    pub(super) async fn look_at_itself(&self) -> Vec<Line> {
        let mut lines = self.own();
        if let Some(internal) = &self.internal
            && let Some(waiting) = waiting_for_custodians(&internal.status().await)
        {
            lines.push(failed("key_canary", waiting));
        }
        lines
    }

    fn own(&self) -> Vec<Line> {
        let mut lines = vec![self.keys(), self.key_work(), clock(&self.common.clock)];
        if self.drain.has_begun() {
            lines.push(failed("draining", "the process is stopping".to_owned()));
        }
        for (plane, live) in &self.tls {
            lines.push(self.certificate(*plane, live));
            lines.extend(self.revocation_lists(live));
        }
        lines.push(protection("memory_hardening", self.hardening.measures()));
        lines.push(protection("confinement", self.hardening.confinement()));
        lines
    }

    /// A real write, because a store that only reads takes no card and no charge; audit events go
    /// the same way.
    async fn store(&self) -> Line {
        let probe = self.common.store.probe_write(self.common.now());
        let (state, detail) = match tokio::time::timeout(PROBE_MAX, probe).await {
            Ok(Ok(())) => (State::Ok, None),
            Ok(Err(failure)) => (State::Failed, Some(failure.to_string())),
            Err(_) => {
                let slow = format!("a write takes longer than {} s", PROBE_MAX.as_secs());
                (State::Failed, Some(slow))
            }
        };
        Line {
            name: "store_and_audit",
            state,
            detail,
        }
    }

    /// Copies of the audit log's checkpoints get out of the database.
    fn audit(&self) -> Line {
        let name = "audit_witness";
        let Some(limit_s) = self.common.limits.audit_sink_outage_s_max else {
            return Line {
                name,
                state: State::NotApplicable,
                detail: None,
            };
        };
        // By this process's own clock: a row's time is the word of whoever wrote it.
        let age_s = self.common.metrics.audit_unpublished_s();
        let state = match u64::from(limit_s) {
            most if age_s > most => State::Failed,
            most if age_s > most / 2 => State::Warning,
            _ => State::Ok,
        };
        let detail = format!("the oldest event without a copied checkpoint is {age_s} s old");
        Line {
            name,
            state,
            detail: Some(detail),
        }
    }

    /// The canary of the KEK opens.
    async fn canary(&self) -> Line {
        let name = "key_canary";
        let Some(internal) = &self.internal else {
            return Line {
                name,
                state: State::NotApplicable,
                detail: None,
            };
        };
        if let Some(waiting) = waiting_for_custodians(&internal.status().await) {
            return Line {
                name,
                state: State::Failed,
                detail: Some(waiting),
            };
        }
        match tokio::time::timeout(PROBE_MAX, internal.open_canary()).await {
            Ok(Ok(())) => Line {
                name,
                state: State::Ok,
                detail: None,
            },
            Ok(Err(refusal)) => failed(name, refusal.to_string()),
            Err(_) => failed(
                name,
                format!("it does not open within {} s", PROBE_MAX.as_secs()),
            ),
        }
    }

    /// Whether the key manifest is followed, and how long the KEK in service may be.
    fn keys(&self) -> Line {
        let rotation = match (&self.capture, &self.internal) {
            (Some(capture), _) => Some(&capture.rotation),
            (None, internal) => internal.as_ref().map(|internal| &internal.rotation),
        };
        let standing = rotation.map(|rotation| rotation.standing(self.common.now()));
        let until = |end: Timestamp| {
            format!(
                "the KEK in service is to be replaced before {}",
                end.rfc3339()
            )
        };
        let (state, detail) = match standing {
            None | Some(Standing::Alone) => (State::NotApplicable, None),
            Some(Standing::Until(end)) => (State::Ok, Some(until(end))),
            Some(Standing::Soon(end)) => (State::Warning, Some(until(end))),
            Some(Standing::Wrong(reason)) => (State::Failed, Some(reason)),
        };
        Line {
            name: "key_manifest",
            state,
            detail,
        }
    }

    /// Rotation's work that failed or stands still: the service goes on, and somebody should look.
    fn key_work(&self) -> Line {
        let stalled = self.internal.as_ref().map(|plane| plane.rotation.stalled());
        let state = match &stalled {
            None => State::NotApplicable,
            Some(stalled) if stalled.is_empty() => State::Ok,
            Some(_) => State::Warning,
        };
        let detail = stalled.filter(|stalled| !stalled.is_empty());
        let told = |stall: &Stall| format!("{} {}", stall.job, stall.why);
        Line {
            name: "key_work",
            state,
            detail: detail.map(|stalled| {
                let lines: Vec<String> = stalled.iter().map(told).collect();
                lines.join("; ")
            }),
        }
    }

    /// A certificate that ends soon, or a replacement that was not taken, wants somebody.
    fn certificate(&self, plane: PlaneName, live: &Live) -> Line {
        let name = match plane {
            PlaneName::Capture => "certificate_capture",
            PlaneName::Internal => "certificate_internal",
            PlaneName::Ops => "certificate_ops",
        };
        let end = live.ends().certificate;
        let state = self.until(end, CERTIFICATE_WARNING_MS);
        let detail = format!("ends {}", end.rfc3339());
        match live.refused() {
            Some(reason) => Line {
                name,
                state: if state == State::Ok {
                    State::Warning
                } else {
                    state
                },
                detail: Some(format!(
                    "{detail}; its files have changed and are not taken: {reason}"
                )),
            },
            None => Line {
                name,
                state,
                detail: Some(detail),
            },
        }
    }

    /// A revocation list that has ended lets nobody in.
    fn revocation_lists(&self, live: &Live) -> Option<Line> {
        let end = live.ends().revocation_lists?;
        Some(Line {
            name: "client_revocation_lists",
            state: self.until(end, REVOCATION_LIST_WARNING_MS),
            detail: Some(format!("the first ends {}", end.rfc3339())),
        })
    }

    fn until(&self, end: Timestamp, warning_ms: u64) -> State {
        match end.ms_since(self.common.now()) {
            0 => State::Failed,
            left if left < warning_ms => State::Warning,
            _ => State::Ok,
        }
    }
}

/// What of a protection is not in force.
fn protection(name: &'static str, measures: &[Measure]) -> Line {
    let missing = memory::missing(measures);
    let state = if missing.is_empty() {
        State::Ok
    } else {
        State::Warning
    };
    Line {
        name,
        state,
        detail: (!missing.is_empty()).then(|| missing.join("; ")),
    }
}

/// What a sealed process waits for. It opens no token, so it is not ready; what needs none goes on.
fn waiting_for_custodians(status: &SealStatus) -> Option<String> {
    let custody = status.custody.as_ref().filter(|_| status.sealed)?;
    Some(format!(
        "sealed: {} of {} shares have been given",
        custody.given, custody.threshold
    ))
}

/// With fewer synchronous replicas than were promised no write is taken, so no card and no charge.
fn replication(replication: Option<Replication>) -> Line {
    let promised = replication.filter(|replication| replication.required > 0);
    let state = match &promised {
        None => State::NotApplicable,
        Some(replication) if replication.is_kept() => State::Ok,
        Some(_) => State::Failed,
    };
    let told = |replication: Replication| {
        let Replication {
            required,
            attached,
            awaited,
        } = replication;
        format!(
            "{attached} of {required} synchronous replicas are attached, and a commit waits for {awaited}"
        )
    };
    Line {
        name: "replication",
        state,
        detail: promised.map(told),
    }
}

fn failed(name: &'static str, detail: String) -> Line {
    Line {
        name,
        state: State::Failed,
        detail: Some(detail),
    }
}

/// A clock before this program was written is wrong, and expiry, leases and receipts with it.
fn clock(clock: &Clock) -> Line {
    const WRITTEN: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);
    let state = if clock.now() < WRITTEN {
        State::Failed
    } else {
        State::Ok
    };
    Line {
        name: "clock",
        state,
        detail: None,
    }
}
