//! `GET /openapi.json`: each plane's own part of the contract, made from the code (OpenAPI 3.1).

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{charges, pages, sessions, tokens};

/// A problem (RFC 9457), as every error is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `/problems/{code}`, served by this service.
    r#type: String,
    /// One sentence for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable name.
    code: String,
    /// What is special about this occurrence.
    detail: Option<String>,
    /// Where in the body something is wrong, and why.
    errors: Option<Vec<FieldProblem>>,
    /// The id of the request, as in `X-Request-Id`.
    request_id: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// The charge that was declined.
    charge: Option<String>,
    /// Why it was declined.
    decline: Option<Decline>,
}

/// Where in the body something is wrong, and why; never what stands there.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901).
    pointer: String,
    /// A stable word.
    reason: String,
}

/// Why a card was declined.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decline {
    /// The processor's decline code.
    code: String,
    /// The issuer's advice.
    advice: Option<String>,
    /// Whether the same card may be tried again later.
    retryable: bool,
}

/// A JSON Web Key Set.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    /// Keys (RFC 7517, RFC 8037).
    #[schema(value_type = Vec<Object>)]
    keys: Vec<()>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Cloakroom capture plane", description = "What browsers reach: a card in, an opaque token out."),
    paths(tokens::capture::create, pages::problem),
    modifiers(&ClientSecret),
)]
struct CaptureApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cloakroom internal plane",
        description = "What merchant backends and billing reach, with a client certificate."
    ),
    paths(
        sessions::create,
        tokens::list,
        tokens::read,
        tokens::delete,
        charges::create,
        charges::read,
        pages::receipt_keys,
        pages::problem,
    )
)]
struct InternalApi;

struct ClientSecret;

impl Modify for ClientSecret {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The client_secret of a capture session."))
            .build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("client_secret", SecurityScheme::Http(bearer));
    }
}

/// The capture plane's document.
#[must_use]
pub fn capture_document() -> utoipa::openapi::OpenApi {
    CaptureApi::openapi()
}

/// The internal plane's document.
#[must_use]
pub fn internal_document() -> utoipa::openapi::OpenApi {
    InternalApi::openapi()
}

/// Serves the capture plane's document.
pub async fn capture() -> HttpResponse {
    HttpResponse::Ok().json(capture_document())
}

/// Serves the internal plane's document. Like the plane itself it takes a client certificate, and
/// unlike everything else on it no scope: it says nothing that the source does not.
pub async fn internal() -> HttpResponse {
    HttpResponse::Ok().json(internal_document())
}
