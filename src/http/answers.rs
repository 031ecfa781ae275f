//! Answers that went well.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::problem::IDEMPOTENT_REPLAYED;

/// `201 Created` with a JSON body.
pub(super) fn created(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Created().json(body)
}

/// Marks an answer that repeats an earlier one.
pub(super) fn replayable(mut answer: HttpResponse, replayed: bool) -> HttpResponse {
    if replayed {
        let header = HeaderName::from_static(IDEMPOTENT_REPLAYED);
        answer
            .headers_mut()
            .insert(header, HeaderValue::from_static("true"));
    }
    answer
}
