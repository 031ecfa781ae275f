//! `/v1/charges`: billing charges a token.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::{created, replayable};
use super::body::{Described, Json};
use super::checks::Checks;
use super::grants::required_idempotency_key;
use super::paths::{in_body, in_path};
use super::tokens::NextAction;
use crate::problem::{DeclineNote, Problem};
use crate::store::ChargeRow;
use crate::token::Environment;
use crate::vault::Internal;
use crate::vault::charge::ChargeOrder;
use crate::vault::grant::{ChargesCreate, ChargesRead, Granted};

/// The processor's limit of eight digits.
const AMOUNT_MAX: i64 = 99_999_999;
/// Bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 500;
/// The card networks' limit of what stands on a statement.
const DESCRIPTOR_SUFFIX_BYTES_MAX: usize = 22;

/// What billing sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeRequest {
    /// The token to charge.
    #[schema(example = "tok_01h455vb4pex5vsknk084sn02q")]
    token: String,
    /// In the currency's minor unit.
    #[schema(minimum = 1, maximum = 99_999_999, example = 1250)]
    amount: i64,
    /// ISO 4217 in lower case.
    #[schema(pattern = "^[a-z]{3}$", example = "eur")]
    currency: String,
    /// Take the money now, or only authorize it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    capture: bool,
    /// Whether the shopper is away.
    #[serde(default = "yes")]
    #[schema(default = true)]
    off_session: bool,
    /// Shown in the processor's dashboard; at most 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    description: Option<String>,
    /// Shown on the shopper's statement; at most 22 bytes, with a letter in it.
    #[schema(min_length = 1, max_length = 22)]
    statement_descriptor_suffix: Option<String>,
    /// The merchant's own notes: at most 50, names of 40 and values of 500 bytes.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

impl Described for ChargeRequest {
    const POINTERS: &'static [&'static str] = &[
        "/token",
        "/amount",
        "/currency",
        "/capture",
        "/off_session",
        "/description",
        "/statement_descriptor_suffix",
        "/metadata",
    ];
}

/// A charge.
#[derive(Debug, Serialize, ToSchema)]
pub struct Charge {
    /// Its id.
    #[schema(example = "chg_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `charge`.
    object: &'static str,
    /// `succeeded`, `requires_capture`, `requires_action`, `processing`, `declined` or `canceled`.
    status: &'static str,
    /// The token that was charged.
    token: String,
    /// In the currency's minor unit.
    amount: i64,
    /// ISO 4217 in lower case.
    currency: String,
    /// Whether the money is taken at once.
    capture: bool,
    /// Whether the shopper was away.
    off_session: bool,
    /// Shown in the processor's dashboard.
    description: Option<String>,
    /// Shown on the shopper's statement.
    statement_descriptor_suffix: Option<String>,
    /// The merchant's own notes.
    metadata: BTreeMap<String, String>,
    /// Why it was declined, when it was.
    #[schema(value_type = Option<super::openapi::Decline>)]
    decline: Option<DeclineNote>,
    /// Where the shopper must go, when the issuer wants to see it.
    next_action: Option<NextAction>,
    /// RFC 3339.
    created_at: String,
}

impl Charge {
    fn of(row: ChargeRow) -> Self {
        Self {
            id: row.id.to_string(),
            object: "charge",
            status: row.status.name(),
            token: row.token.to_string(),
            amount: row.amount,
            currency: row.currency,
            capture: row.capture,
            off_session: row.off_session,
            description: row.description,
            statement_descriptor_suffix: row.statement_descriptor_suffix,
            metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
            decline: row.decline.map(|decline| DeclineNote {
                code: decline.code,
                advice: decline.advice,
                retryable: decline.retryable,
            }),
            next_action: row.redirect_url.map(NextAction::redirect),
            created_at: row.created_at.rfc3339(),
        }
    }
}

/// Charges a token.
///
/// # Errors
/// `card_declined` carries the charge's id; all other problems mean that no money moved.
#[utoipa::path(
    post,
    path = "/v1/charges",
    request_body = ChargeRequest,
    params(("Idempotency-Key" = String, Header, description = "Required: 1 to 255 printable ASCII characters")),
    responses(
        (status = 201, body = Charge),
        (status = "default", description = "RFC 9457", body = super::openapi::ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn create(
    granted: Granted<ChargesCreate>,
    vault: web::Data<Internal>,
    request: HttpRequest,
    order: Json<ChargeRequest>,
) -> Result<HttpResponse, Problem> {
    let key = required_idempotency_key(&request)?;
    let order = checked(order.0, vault.common.environment)?;
    let charged = vault.into_inner().charge(granted, order, &key).await?;
    Ok(replayable(
        created(&Charge::of(charged.charge)),
        charged.replayed,
    ))
}

/// Reads a charge.
///
/// # Errors
/// `not_found`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/charges/{id}",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Charge),
        (status = "default", description = "RFC 9457", body = super::openapi::ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn read(
    granted: Granted<ChargesRead>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    Ok(HttpResponse::Ok().json(Charge::of(vault.read_charge(&granted, id).await?)))
}

fn checked(order: ChargeRequest, environment: Environment) -> Result<ChargeOrder, Problem> {
    let token = in_body(&order.token, environment, "/token")?;
    let currency = order.currency.len() == 3
        && order
            .currency
            .bytes()
            .all(|letter| letter.is_ascii_lowercase());
    let suffix = order.statement_descriptor_suffix.as_deref();
    let mut checks = Checks::default();
    checks.require(
        (1..=AMOUNT_MAX).contains(&order.amount),
        "/amount",
        "out_of_range",
    );
    checks.require(currency, "/currency", "not_iso_4217");
    checks.optional_text(
        "/description",
        order.description.as_deref(),
        DESCRIPTION_BYTES_MAX,
    );
    checks.optional_text(
        "/statement_descriptor_suffix",
        suffix,
        DESCRIPTOR_SUFFIX_BYTES_MAX,
    );
    checks.require(
        suffix.is_none_or(|suffix| {
            suffix.bytes().any(|letter| letter.is_ascii_alphabetic())
                && !suffix.contains(['<', '>', '\\', '\'', '"', '*'])
        }),
        "/statement_descriptor_suffix",
        "not_valid",
    );
    checks.metadata(&order.metadata);
    checks.verdict()?;
    Ok(ChargeOrder {
        token,
        amount: order.amount,
        currency: order.currency,
        capture: order.capture,
        off_session: order.off_session,
        description: order.description,
        statement_descriptor_suffix: order.statement_descriptor_suffix,
        metadata: order.metadata,
    })
}
