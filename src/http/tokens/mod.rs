//! `/v1/tokens`: browsers make tokens on the capture plane ([`capture`]), backends read and delete
//! them on the internal plane (here).

pub mod capture;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::Checks;
use super::paths::{in_path, in_query};
use super::sessions::CUSTOMER_REF_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::store::TokenRow;
use crate::vault::Internal;
use crate::vault::grant::{Granted, TokensDelete, TokensRead};

/// Tokens in one page when the caller does not say.
const PAGE_TOKENS_DEFAULT: u32 = 10;
/// Tokens in one page at most.
const PAGE_TOKENS_MAX: u32 = 100;

/// What the world may know of a token.
#[derive(Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its id.
    #[schema(example = "tok_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `token`.
    object: &'static str,
    /// The card behind it.
    card: Card,
    /// The merchant's own name for its customer.
    customer_ref: Option<String>,
    /// Whether it can be charged more than once.
    reusable: bool,
    /// `active` or `requires_action`.
    status: &'static str,
    /// Where the shopper must go, when the issuer wants to see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    /// RFC 3339.
    created_at: String,
}

/// What the world may know of a card (PCI DSS 3.4.1).
#[derive(Debug, Serialize, ToSchema)]
pub struct Card {
    /// `visa`, `mastercard`, `amex`, …
    brand: String,
    /// The last four digits.
    last4: String,
    /// 1 to 12.
    exp_month: u8,
    /// Four digits.
    exp_year: u16,
    /// `credit`, `debit`, `prepaid` or `unknown`.
    funding: String,
    /// ISO 3166-1 alpha-2, where the processor knows it.
    country: Option<String>,
}

/// Where the shopper must go.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextAction {
    /// Always `redirect`.
    pub(super) r#type: &'static str,
    /// The issuer's page; it returns the shopper afterwards.
    pub(super) redirect_url: String,
}

impl NextAction {
    pub(super) const fn redirect(redirect_url: String) -> Self {
        Self {
            r#type: "redirect",
            redirect_url,
        }
    }
}

impl Token {
    pub(super) fn of(row: TokenRow, redirect_url: Option<String>) -> Self {
        Self {
            id: row.id.to_string(),
            object: "token",
            card: Card {
                brand: row.card.brand,
                last4: row.card.last4,
                exp_month: row.card.exp_month,
                exp_year: row.card.exp_year,
                funding: row.card.funding,
                country: row.card.country,
            },
            customer_ref: row.customer_ref,
            reusable: true,
            status: row.status.name(),
            next_action: redirect_url.map(NextAction::redirect),
            created_at: row.created_at.rfc3339(),
        }
    }
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenPage {
    /// Always `list`.
    object: &'static str,
    /// Newest first.
    data: Vec<Token>,
    /// Whether there are older ones: ask again with `starting_after` the last id.
    has_more: bool,
}

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
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Token),
        (status = "default", description = "RFC 9457", body = super::openapi::ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn read(
    granted: Granted<TokensRead>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let token = vault.read_token(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Token::of(token, None)))
}

/// Lists a customer's tokens.
///
/// # Errors
/// `invalid_request`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    params(
        ("customer_ref" = String, Query, description = "The merchant's own name for its customer"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Tokens in the page; 10 when not said"),
        ("starting_after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = TokenPage),
        (status = "default", description = "RFC 9457", body = super::openapi::ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn list(
    granted: Granted<TokensRead>,
    vault: web::Data<Internal>,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: TokenQuery = in_query(&request)?;
    let limit = query.limit.unwrap_or(PAGE_TOKENS_DEFAULT);
    let mut checks = Checks::default();
    checks.text("/customer_ref", &query.customer_ref, CUSTOMER_REF_BYTES_MAX);
    checks.require(
        (1..=PAGE_TOKENS_MAX).contains(&limit),
        "/limit",
        "out_of_range",
    );
    checks.verdict()?;
    let starting_after = query
        .starting_after
        .map(|id| crate::token::TokenId::parse(&id, vault.common.environment))
        .transpose()
        .map_err(|_| Problem::new(Code::InvalidRequest).at("/starting_after", "not_an_id"))?;
    // One more than asked for tells whether there are more.
    let asked = limit.saturating_add(1);
    let mut rows = vault
        .list_tokens(&granted, &query.customer_ref, asked, starting_after)
        .await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > wanted;
    rows.truncate(wanted);
    let data = rows.into_iter().map(|row| Token::of(row, None)).collect();
    Ok(HttpResponse::Ok().json(TokenPage {
        object: "list",
        data,
        has_more,
    }))
}

/// Deletes a token.
///
/// # Errors
/// `not_found`, `token_deleted`, `not_granted`, `unauthenticated`, `processor_unavailable`,
/// `store_unavailable`, `sealed`.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Deletion),
        (status = "default", description = "RFC 9457", body = super::openapi::ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn delete(
    granted: Granted<TokensDelete>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let forgotten = vault.forget(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Deletion {
        id: forgotten.token.to_string(),
        object: "token",
        status: "deleted",
        deleted_at: forgotten.deleted_at.rfc3339(),
        receipt: forgotten.receipt,
    }))
}
