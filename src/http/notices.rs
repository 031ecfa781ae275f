//! `POST /webhooks/stripe`: what the processor tells. The signature over the raw body is the only
//! credential, so it is checked before a byte of the body is believed.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Wiped;
use super::envelope::frame;
use crate::problem::{Code, Problem};
use crate::vault::Capture;

/// That a notice was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeTaken {
    /// Always true.
    received: bool,
}

/// Takes a notice of the processor.
///
/// # Errors
/// `unauthenticated` where the signature is not the processor's or too old, `malformed_request`
/// where what is signed is no notice.
#[utoipa::path(
    post,
    path = "/webhooks/stripe",
    operation_id = "take_notice",
    request_body(content = Object, description = "A Stripe event, as Stripe sends it"),
    params(("Stripe-Signature" = String, Header, description = "t=…,v1=…: HMAC-SHA-256 over the time and the raw body, at most 300 s old")),
    responses(
        (status = 200, body = NoticeTaken),
        super::documented::Noticing,
    ),
)]
pub async fn take(
    vault: web::Data<Capture>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let refuse = || Problem::new(Code::Unauthenticated).detail("Stripe-Signature is missing.");
    let mut signatures = request.headers().get_all("stripe-signature");
    let signature = signatures
        .next()
        .filter(|_| signatures.next().is_none())
        .and_then(|value| value.to_str().ok())
        .ok_or_else(refuse)?
        .to_owned();
    let body = request
        .extensions_mut()
        .remove::<Wiped>()
        .ok_or_else(|| Problem::new(Code::Internal))?;
    vault
        .receive_processor_event(&signature, body.expose(), frame(&request)?.origin)
        .await?;
    Ok(HttpResponse::Ok().json(NoticeTaken { received: true }))
}
