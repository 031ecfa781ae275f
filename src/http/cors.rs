//! CORS (Fetch standard): a page may read the answer when it is of the session's origin, and no
//! other page may.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::problem::{Code, Problem};
use crate::vault::Capture;

/// Answers a browser's preflight of `POST /v1/tokens` and `POST /v1/security_codes`. A preflight carries no session, so it is
/// answered for the origins that some open session names.
///
/// # Errors
/// `not_granted` for every other origin.
pub async fn preflight(
    vault: web::Data<Capture>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let refused = || Problem::new(Code::NotGranted).detail("No open session is of this origin.");
    let origin = origin_of(&request).ok_or_else(refused)?;
    let common = &vault.common;
    let awaited = common.store.origin_is_awaited(origin, common.now()).await;
    if !awaited.map_err(crate::vault::Refusal::from)? {
        return Err(refused());
    }
    let mut answer = HttpResponse::NoContent().finish();
    let headers = answer.headers_mut();
    put(headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    put(headers, ACCESS_CONTROL_ALLOW_METHODS, "POST");
    put(
        headers,
        ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key",
    );
    put(headers, ACCESS_CONTROL_MAX_AGE, "600");
    put(headers, VARY, "Origin");
    Ok(answer)
}

/// Refuses a browser page of another origin than the session's and `own`, where the frame is. A
/// caller that is no browser sends no `Origin`, and the session's secret alone admits it.
///
/// # Errors
/// `not_granted`.
pub fn require_origin(
    request: &HttpRequest,
    expected: Option<&str>,
    own: &str,
) -> Result<(), Problem> {
    let is = |sent: &HeaderValue, origin: &str| sent.as_bytes() == origin.as_bytes();
    match request.headers().get(ORIGIN) {
        None => Ok(()),
        Some(sent) if expected.is_some_and(|origin| is(sent, origin)) => Ok(()),
        // The frame shows itself to the session's origin only, so without one it is nobody's.
        Some(sent) if expected.is_some() && is(sent, own) => Ok(()),
        Some(_) => Err(Problem::new(Code::NotGranted).detail("The session is of another origin.")),
    }
}

/// Lets a page of the session's origin read the answer.
pub fn allow(
    mut answer: HttpResponse,
    request: &HttpRequest,
    expected: Option<&str>,
) -> HttpResponse {
    let headers = answer.headers_mut();
    put(headers, VARY, "Origin");
    if let Some(origin) = expected
        && origin_of(request) == Some(origin)
    {
        put(headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        put(
            headers,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "x-request-id, idempotent-replayed, retry-after",
        );
    }
    answer
}

fn origin_of(request: &HttpRequest) -> Option<&str> {
    request
        .headers()
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // An origin has passed the URL parser, so it is a header value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
