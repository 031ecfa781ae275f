//! The ops plane: is it alive, is it ready, what has it counted.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::clock::{Clock, Timestamp};
use crate::memory::Hardening;
use crate::store::Replication;
use crate::telemetry::Metrics;
use crate::vault::{Capture, Common, Internal};

/// Days before a certificate's end at which readiness starts to warn.
const CERTIFICATE_WARNING_DAYS: u64 = 21;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// What readiness looks at.
#[derive(Debug)]
pub struct Health {
    /// The store and the clock.
    pub common: Common,
    /// The capture plane, where this process runs it.
    pub capture: Option<Arc<Capture>>,
    /// The internal plane, where this process runs it.
    pub internal: Option<Arc<Internal>>,
    /// The listeners' certificates: plane and end of validity.
    pub certificates: Vec<(&'static str, Timestamp)>,
    /// What protects the process's memory.
    pub hardening: Hardening,
    /// What `/metrics` shows.
    pub metrics: Metrics,
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

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Line>,
}

/// `GET /livez`: the process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

/// `GET /readyz`: the process can do its work; 503 when it cannot.
pub async fn ready(health: web::Data<Health>) -> HttpResponse {
    let checks = health.look().await;
    if checks.iter().any(|line| line.state == State::Failed) {
        HttpResponse::ServiceUnavailable().json(Readiness {
            status: "not_ready",
            checks,
        })
    } else {
        HttpResponse::Ok().json(Readiness {
            status: "ready",
            checks,
        })
    }
}

/// `GET /metrics`: Prometheus text format 0.0.4.
pub async fn metrics(health: web::Data<Health>) -> HttpResponse {
    if let Some(capture) = &health.capture {
        health
            .metrics
            .data_keys_created(capture.sealer.data_keys_created());
    }
    if let Some(replication) = health.common.store.replication() {
        health
            .metrics
            .store_replicas(replication.required, replication.attached);
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(health.metrics.render())
}

impl Health {
    /// Looks at everything the service needs.
    pub async fn look(&self) -> Vec<Line> {
        let mut lines = vec![
            self.store().await,
            self.canary().await,
            clock(&self.common.clock),
        ];
        lines.extend(
            self.certificates
                .iter()
                .map(|(plane, end)| self.certificate(plane, *end)),
        );
        lines.push(replication(self.common.store.replication()));
        lines.push(self.memory());
        lines
    }

    /// A real write, because a store that only reads takes no card and no charge; audit events go
    /// the same way.
    async fn store(&self) -> Line {
        let (state, detail) = match self.common.store.probe_write(self.common.now()).await {
            Ok(()) => (State::Ok, None),
            Err(failure) => (State::Failed, Some(failure.to_string())),
        };
        Line {
            name: "store_and_audit",
            state,
            detail,
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
        match internal.open_canary().await {
            Ok(()) => Line {
                name,
                state: State::Ok,
                detail: None,
            },
            Err(refusal) => Line {
                name,
                state: State::Failed,
                detail: Some(refusal.to_string()),
            },
        }
    }

    fn certificate(&self, plane: &str, end: Timestamp) -> Line {
        let name = match plane {
            "capture" => "certificate_capture",
            "internal" => "certificate_internal",
            _ => "certificate_ops",
        };
        let days = end.ms_since(self.common.now()).div_euclid(DAY_MS);
        let state = match days {
            0 => State::Failed,
            days if days < CERTIFICATE_WARNING_DAYS => State::Warning,
            _ => State::Ok,
        };
        Line {
            name,
            state,
            detail: Some(format!("ends {}", end.rfc3339())),
        }
    }

    fn memory(&self) -> Line {
        let missing = self.hardening.missing();
        let state = if missing.is_empty() {
            State::Ok
        } else {
            State::Warning
        };
        let detail = (!missing.is_empty()).then(|| missing.join("; "));
        Line {
            name: "memory_hardening",
            state,
            detail,
        }
    }
}

/// With fewer synchronous replicas than were promised no write is taken, so no card and no charge.
fn replication(replication: Option<Replication>) -> Line {
    let promised = replication.filter(|replication| replication.required > 0);
    let state = match &promised {
        None => State::NotApplicable,
        Some(replication) if replication.is_kept() => State::Ok,
        Some(_) => State::Failed,
    };
    let told = |Replication { required, attached }: Replication| {
        format!("{attached} of {required} synchronous replicas are attached")
    };
    Line {
        name: "replication",
        state,
        detail: promised.map(told),
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
