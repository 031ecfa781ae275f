//! `/v1/tokens`: browsers make tokens on the capture plane ([`capture`]), backends attach
//! ([`attach`]), read and delete them on the internal plane (here).

pub mod attach;
pub mod capture;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::Checks;
use super::paths::{Page, id_in_query, in_path, in_query};
use super::sessions::CUSTOMER_REF_CHARS_MAX;
use crate::problem::Problem;
use crate::vault::Internal;
use crate::vault::grant::{Granted, TokensDelete, TokensRead};
use crate::view::{Token, TokenPage};

/// Which tokens to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenQuery {
    /// The merchant's own name for its customer.
    customer_ref: String,
    /// Tokens in the page: 1 to 100, 10 when not said.
    limit: Option<u32>,
    /// The last id of the page before.
    starting_after: Option<String>,
}

/// A deletion, and its proof.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deletion {
    /// The token.
    id: String,
    /// Always `token`.
    object: &'static str,
    /// Always `deleted`.
    status: &'static str,
    /// RFC 3339.
    deleted_at: String,
    /// A JWS in compact form (RFC 7515, `EdDSA`); its key is at `/.well-known/jwks.json`.
    receipt: String,
}

/// Reads a token.
///
/// # Errors
/// `not_found`, `token_deleted`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/tokens/{id}",
    operation_id = "read_token",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Token),
        crate::http::documented::ReadingToken,
    ),
)]
pub async fn read(
    granted: Granted<TokensRead>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let token = vault.read_token(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Token::of(&token, None)))
}

/// Lists a customer's tokens.
///
/// # Errors
/// `invalid_request`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    operation_id = "list_tokens",
    params(
        ("customer_ref" = String, Query, min_length = 1, max_length = 200, description = "The merchant's own name for its customer"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Tokens in the page; 10 when not said"),
        ("starting_after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = TokenPage),
        crate::http::documented::Listing,
    ),
)]
pub async fn list(
    granted: Granted<TokensRead>,
    vault: web::Data<Internal>,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: TokenQuery = in_query(&request)?;
    let page = Page::of(query.limit)?;
    let mut checks = Checks::default();
    checks.text("/customer_ref", &query.customer_ref, CUSTOMER_REF_CHARS_MAX);
    checks.verdict()?;
    let after = query.starting_after.as_deref();
    let starting_after = id_in_query(after, vault.common.environment, "/starting_after")?;
    let mut rows = vault
        .list_tokens(&granted, &query.customer_ref, page.asked(), starting_after)
        .await?;
    let has_more = page.cut(&mut rows);
    Ok(HttpResponse::Ok().json(TokenPage::of(&rows, has_more)))
}

/// Deletes a token.
///
/// # Errors
/// `not_found`, `token_deleted`, `not_granted`, `unauthenticated`, `processor_unavailable`,
/// `store_unavailable`, `sealed`.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    operation_id = "delete_token",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Deletion),
        crate::http::documented::Deleting,
    ),
)]
pub async fn delete(
    granted: Granted<TokensDelete>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let deleted = vault.delete_token(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Deletion {
        id: deleted.token.to_string(),
        object: "token",
        status: "deleted",
        deleted_at: deleted.deleted_at.rfc3339(),
        receipt: deleted.receipt,
    }))
}
