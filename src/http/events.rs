//! `/v1/events`: the feed of what happened, for who would rather ask than be told.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::paths::{Page, id_in_query, in_query};
use crate::problem::Problem;
use crate::vault::Internal;
use crate::vault::grant::{EventsRead, Granted};
use crate::view::EventPage;

/// Which part of the feed to read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// Reads the feed, oldest first, behind the event `after`.
///
/// # Errors
/// `invalid_request`, `not_granted`, `not_found` where `after` is none of the account's events or
/// is older than what is kept, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "list_events",
    params(
        ("after" = Option<String>, Query, description = "The last event that was read; the beginning of what is kept when not said"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Events in the page; 10 when not said"),
    ),
    responses(
        (status = 200, body = EventPage),
        super::documented::ListingOf,
    ),
)]
pub async fn list(
    granted: Granted<EventsRead>,
    vault: web::Data<Internal>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: EventQuery = in_query(&request)?;
    let page = Page::of(query.limit)?;
    let after = id_in_query(query.after.as_deref(), vault.common.environment, "/after")?;
    let mut news = vault.read_news(&granted, after, page.asked()).await?;
    let has_more = page.cut(&mut news);
    Ok(HttpResponse::Ok().json(EventPage::of(&news, has_more)))
}
