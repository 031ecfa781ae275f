//! `GET /status`: how the service is, for the operator, on one page without a script.
//!
//! Each figure stands with its source and its time. Metrics are this process's since it started,
//! tables are the whole store's. Nothing of a card, a customer or a key stands here; each look is
//! an audit event. What is shown: [`figures`]; how: [`page`].

mod figures;
mod page;
mod words;

use actix_web::{HttpResponse, web};

use super::health::{Health, State};
use crate::problem::Problem;
use crate::vault::Internal;
use crate::vault::grant::{Granted, StatusRead};

/// Where the page is.
pub const PATH: &str = "/status";

/// A part of the page.
struct Group {
    title: &'static str,
    figures: Vec<Figure>,
}

/// One figure.
struct Figure {
    name: String,
    value: String,
    /// How it is, where that can be told from it alone.
    state: Option<State>,
    /// The metric, the table or the probe that it is of.
    source: &'static str,
}

/// Shows the status page.
///
/// # Errors
/// `not_granted`, `unauthenticated`, `store_unavailable`: what cannot be recorded is not shown.
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "read_status",
    responses(
        (status = 200, description = "A page for people: how the service is", body = String, content_type = "text/html"),
        super::documented::Guarded,
    ),
)]
pub async fn read(
    granted: Granted<StatusRead>,
    vault: web::Data<Internal>,
    health: web::Data<Health>,
) -> Result<HttpResponse, Problem> {
    let store = vault.read_status(&granted).await?;
    health.count();
    health.count_open(&store.open_work);
    let lines = health.look().await;
    let seen = figures::Seen {
        health: &health,
        reading: health.metrics.read(),
        store,
        now: health.common.now(),
    };
    Ok(page::answer(&seen.whole(&lines), &lines, &seen))
}
