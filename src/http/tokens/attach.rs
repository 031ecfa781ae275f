//! `POST /v1/tokens/attach`: a PaymentMethod that the browser made with the processor's own library.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::answers::replayable;
use crate::http::body::{Described, Json};
use crate::http::checks::Checks;
use crate::http::grants::idempotency_key;
use crate::http::sessions::{CUSTOMER_REF_CHARS_MAX, UsageName};
use crate::problem::Problem;
use crate::token::Usage;
use crate::vault::Internal;
use crate::vault::attach::AttachTokenOrder;
use crate::vault::grant::{Granted, TokensAttach};
use crate::view::Token;

/// Bytes of the processor's name of a PaymentMethod.
const PAYMENT_METHOD_BYTES_MAX: usize = 255;

/// What a merchant's backend sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The processor's name of what the browser made: `pm_…`.
    #[schema(pattern = "^pm_[A-Za-z0-9_]{1,252}$", example = "pm_card_visa")]
    payment_method: String,
    /// The merchant's own name for its customer.
    #[schema(min_length = 1, max_length = 200)]
    customer_ref: Option<String>,
    /// How the token is going to be charged; `off_session` when not said.
    usage: Option<UsageName>,
    /// The merchant's own notes: at most 48, names of 40 and values of 500 characters.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Described for AttachRequest {
    const POINTERS: &'static [&'static str] =
        &["/payment_method", "/customer_ref", "/usage", "/metadata"];
}

/// Makes a token of a PaymentMethod.
///
/// # Errors
/// `not_found` where the processor does not know the PaymentMethod, `invalid_request` where it is
/// no card or cannot be attached, `card_declined`.
#[utoipa::path(
    post,
    path = "/v1/tokens/attach",
    operation_id = "attach_token",
    request_body = AttachRequest,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "1 to 255 printable ASCII characters")),
    responses(
        (status = 201, body = Token),
        (status = 202, description = "The issuer wants the shopper to authenticate", body = Token),
        crate::http::documented::Paying,
    ),
)]
pub async fn attach(
    granted: Granted<TokensAttach>,
    vault: web::Data<Internal>,
    request: HttpRequest,
    order: Json<AttachRequest>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let order = checked(order.0)?;
    let attached = vault.into_inner().attach(granted, order, key).await?;
    let mut answer = match attached.next_action {
        Some(_) => HttpResponse::Accepted(),
        None => HttpResponse::Created(),
    };
    let redirect_url = attached.next_action.map(|action| action.redirect_url);
    let answer = answer.json(Token::of(&attached.token, redirect_url));
    Ok(replayable(answer, attached.replayed))
}

fn checked(order: AttachRequest) -> Result<AttachTokenOrder, Problem> {
    let name = order.payment_method.strip_prefix("pm_");
    let mut checks = Checks::default();
    checks.require(
        name.is_some_and(|name| {
            (1..PAYMENT_METHOD_BYTES_MAX).contains(&order.payment_method.len())
                && !name.is_empty()
                && name
                    .bytes()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        }),
        "/payment_method",
        "not_a_payment_method",
    );
    checks.optional_text(
        "/customer_ref",
        order.customer_ref.as_deref(),
        CUSTOMER_REF_CHARS_MAX,
    );
    checks.metadata(&order.metadata);
    checks.verdict()?;
    Ok(AttachTokenOrder {
        payment_method: order.payment_method,
        customer_ref: order.customer_ref,
        usage: order.usage.map_or(Usage::OffSession, Usage::from),
        metadata: order.metadata,
    })
}
