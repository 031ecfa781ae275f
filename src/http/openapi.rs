//! `GET /openapi.json`: each plane's own part of the contract, made from the code (OpenAPI 3.1).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::contract::{Side, finished};
use super::{
    charges, events, notices, pages, refunds, reports, security_codes, sessions, status, tokens,
    unseal,
};
use crate::view::{Decline, Dispute};

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
    paths(tokens::capture::create, security_codes::create, notices::take, reports::create, pages::problem),
    components(schemas(ProblemDocument)),
    modifiers(&ClientSecret, &Descriptions),
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
        sessions::read,
        tokens::attach::attach,
        tokens::list,
        tokens::read,
        tokens::delete,
        charges::create,
        charges::list,
        charges::read,
        charges::capture,
        charges::cancel,
        refunds::create,
        refunds::list,
        refunds::read,
        events::list,
        reports::list,
        status::read,
        unseal::unseal,
        unseal::status,
        pages::receipt_keys,
        pages::problem,
    ),
    components(schemas(ProblemDocument, Dispute)),
    modifiers(&Descriptions),
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

/// Says `Created` or `OK` of a response that says nothing of itself: OpenAPI wants a description.
struct Descriptions;

impl Modify for Descriptions {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for path in document.paths.paths.values_mut() {
            let operations = [&mut path.get, &mut path.post, &mut path.delete];
            for operation in operations.into_iter().flatten() {
                for (status, response) in &mut operation.responses.responses {
                    let RefOr::T(response) = response else {
                        continue;
                    };
                    if response.description.is_empty() {
                        let status = StatusCode::from_bytes(status.as_bytes()).ok();
                        let reason = status.and_then(|status| status.canonical_reason());
                        response.description = String::from(reason.unwrap_or_default());
                    }
                }
            }
        }
    }
}

/// The capture plane's document.
#[must_use]
pub fn capture_document() -> Value {
    finished(&CaptureApi::openapi(), Side::Capture)
}

/// The internal plane's document.
#[must_use]
pub fn internal_document() -> Value {
    finished(&InternalApi::openapi(), Side::Internal)
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
