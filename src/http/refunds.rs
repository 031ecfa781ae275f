//! `/v1/refunds`: billing gives money back.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answers::{created, replayable};
use super::body::{Described, Json};
use super::charges::AMOUNT_MAX;
use super::checks::Checks;
use super::grants::required_idempotency_key;
use super::paths::{Page, id_in_query, in_body, in_path, in_query};
use crate::problem::{Code, Problem};
use crate::token::RefundReason;
use crate::vault::Internal;
use crate::vault::grant::{ChargesRead, Granted, RefundsCreate};
use crate::vault::refund::RefundOrder;
use crate::view::{Refund, RefundPage};

/// What billing sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// The charge to give back.
    #[schema(example = "chg_01h455vb4pex5vsknk084sn02q")]
    charge: String,
    /// In the charge's currency's minor unit; all that is left when not said.
    #[serde(default, deserialize_with = "super::integer::optional")]
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: Option<i64>,
    /// `duplicate`, `fraudulent` or `requested_by_customer`.
    #[schema(pattern = "^(duplicate|fraudulent|requested_by_customer)$")]
    reason: Option<String>,
}

impl Described for RefundRequest {
    const POINTERS: &'static [&'static str] = &["/charge", "/amount", "/reason"];
}

/// Which refunds to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundQuery {
    charge: String,
    limit: Option<u32>,
    starting_after: Option<String>,
}

/// Gives money back.
///
/// # Errors
/// `invalid_request` where the charge has not so much to give back.
#[utoipa::path(
    post,
    path = "/v1/refunds",
    operation_id = "create_refund",
    request_body = RefundRequest,
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Required: 1 to 255 printable ASCII characters")),
    responses(
        (status = 201, body = Refund),
        super::documented::Settling,
    ),
)]
pub async fn create(
    granted: Granted<RefundsCreate>,
    vault: web::Data<Internal>,
    request: HttpRequest,
    order: Json<RefundRequest>,
) -> Result<HttpResponse, Problem> {
    let key = required_idempotency_key(&request)?;
    let order = order.0;
    let reason = order.reason.as_deref().map(RefundReason::from_name);
    let mut checks = Checks::default();
    checks.require(
        order
            .amount
            .is_none_or(|amount| (1..=AMOUNT_MAX).contains(&amount)),
        "/amount",
        "out_of_range",
    );
    checks.require(reason != Some(None), "/reason", "not_a_reason");
    checks.verdict()?;
    let order = RefundOrder {
        charge: in_body(&order.charge, vault.common.environment, "/charge")?,
        amount: order.amount,
        reason: reason.flatten(),
    };
    let refunded = vault.into_inner().refund(granted, order, &key).await?;
    Ok(replayable(
        created(&Refund::of(&refunded.refund)),
        refunded.replayed,
    ))
}

/// Reads a refund.
///
/// # Errors
/// `not_found`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/refunds/{id}",
    operation_id = "read_refund",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Refund),
        super::documented::Reading,
    ),
)]
pub async fn read(
    granted: Granted<ChargesRead>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let refund = vault.read_refund(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Refund::of(&refund)))
}

/// Lists a charge's refunds, newest first.
///
/// # Errors
/// `invalid_request`, `not_found`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/refunds",
    operation_id = "list_refunds",
    params(
        ("charge" = String, Query, description = "Of which charge"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Refunds in the page; 10 when not said"),
        ("starting_after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = RefundPage),
        super::documented::ListingOf,
    ),
)]
pub async fn list(
    granted: Granted<ChargesRead>,
    vault: web::Data<Internal>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: RefundQuery = in_query(&request)?;
    let environment = vault.common.environment;
    let page = Page::of(query.limit)?;
    let charge = id_in_query(Some(&query.charge), environment, "/charge")?;
    let charge =
        charge.ok_or_else(|| Problem::new(Code::InvalidRequest).at("/charge", "required"))?;
    let after = query.starting_after.as_deref();
    let starting_after = id_in_query(after, environment, "/starting_after")?;
    let mut rows = vault
        .list_refunds(&granted, charge, (page.asked(), starting_after))
        .await?;
    let has_more = page.cut(&mut rows);
    Ok(HttpResponse::Ok().json(RefundPage::of(&rows, has_more)))
}
