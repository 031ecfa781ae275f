//! The few plain pages: what a problem means, where the issuer returns the shopper to, and the
//! public key of deletion receipts.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpResponse, web};

use crate::problem::{Code, Problem};
use crate::vault::Internal;
use crate::vault::grant::{Granted, TokensRead};

/// `GET /problems/{code}`: what the `type` of a problem points at (RFC 9457 3.1.1).
///
/// # Errors
/// `not_found` for what is not a code.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "read_problem",
    params(("code" = String, Path)),
    responses(
        (status = 200, description = "What the problem means", body = String, content_type = "text/html"),
        super::documented::Open,
    ),
)]
pub async fn problem(code: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = Code::ALL.iter().find(|known| known.name() == code.as_str());
    let code = known.ok_or_else(|| Problem::new(Code::NotFound))?;
    let again = if code.retryable() {
        "The same request may succeed later; keep its Idempotency-Key."
    } else {
        "The same request will not succeed later."
    };
    let (name, title, status) = (code.name(), code.title(), code.status());
    Ok(page(
        name,
        &format!("<h1>{name}</h1><p>{title}</p><p>HTTP status {status}. {again}</p>"),
    ))
}

/// Where the issuer's authentication page returns the shopper when the shop has given no page of
/// its own.
pub(super) fn thanks() -> HttpResponse {
    page(
        "Thank you",
        "<h1>Thank you</h1><p>You can go back to the shop now.</p>",
    )
}

/// `GET /.well-known/jwks.json`: the key that verifies deletion receipts (RFC 7517).
///
/// # Errors
/// `not_granted`, `unauthenticated`.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "read_receipt_keys",
    responses(
        (status = 200, description = "A JSON Web Key Set (RFC 7517)", body = super::openapi::KeySet),
        super::documented::Guarded,
    ),
)]
pub async fn receipt_keys(
    _granted: Granted<TokensRead>,
    vault: web::Data<Internal>,
) -> Result<HttpResponse, Problem> {
    let keys = format!("{{\"keys\":[{}]}}", vault.receipt_key.jwk());
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(keys))
}

/// A page of ours: no script, no style, nothing from anywhere.
fn page(title: &str, body: &str) -> HttpResponse {
    with_policy("form-action 'none'", title, body)
}

/// A page with a form, which is sent to us and nobody else.
pub(super) fn form_page(title: &str, body: &str) -> HttpResponse {
    with_policy("form-action 'self'", title, body)
}

fn with_policy(form_action: &str, title: &str, body: &str) -> HttpResponse {
    let policy =
        format!("default-src 'none'; base-uri 'none'; {form_action}; frame-ancestors 'none'");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><main>{body}</main></html>"
        ))
}
