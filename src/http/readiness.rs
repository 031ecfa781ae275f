//! `GET /readyz`: whether the process can do its work, for an operator and for a balancer.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::health::{Health, Line, State};
use crate::problem::{Code, Problem};

/// Who asks for readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asker {
    /// An operator: all that the service needs.
    #[default]
    Operator,
    /// A balancer: this process's own state only. What all nodes share and lose together, such as
    /// the store, takes none of them out; each then says 503 with a reason itself.
    Balancer,
}

/// The query of `GET /readyz`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadinessQuery {
    #[serde(default, rename = "for")]
    asker: Asker,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Line>,
}

/// `GET /readyz`: the process can do its work; 503 when it cannot. `?for=balancer` leaves out what
/// all nodes share.
///
/// # Errors
/// `malformed_request` for any other query.
pub(super) async fn ready(
    health: web::Data<Health>,
    query: Result<web::Query<ReadinessQuery>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let query = query.map_err(|_| {
        Problem::new(Code::MalformedRequest)
            .detail("The query is `for=operator` or `for=balancer`.")
    })?;
    let checks = match query.asker {
        Asker::Operator => health.look().await,
        Asker::Balancer => health.look_at_itself().await,
    };
    Ok(answered(checks))
}

fn answered(checks: Vec<Line>) -> HttpResponse {
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
