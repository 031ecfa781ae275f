//! `/v1/charges`: billing charges a token.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answers::{created, replayable};
use super::body::{Described, Json, JsonIfAny, Nothing};
use super::checks::Checks;
use super::fields;
use super::grants::required_idempotency_key;
use super::paths::{Page, id_in_query, in_body, in_path, in_query};
use super::presentation::SHOP_NAME_CHARS_MAX;
use super::security_codes::is_away;
use super::sessions::canonical_origin;
use crate::card::scan::stored;
use crate::problem::{Code, Problem};
use crate::store::ChargeFilter;
use crate::token::{ChargeStatus, Environment};
use crate::vault::Internal;
use crate::vault::charge::{ChargeOrder, Charged};
use crate::vault::charge_page::PageOrder;
use crate::vault::grant::{ChargesCreate, ChargesRead, Granted};
use crate::view::{Charge, ChargePage};

/// Twelve digits. What is too much in one currency is for the processor's own table to say.
pub(super) const AMOUNT_MAX: i64 = 999_999_999_999;
/// Characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// Seconds for which a charge's page is shown: when its maker does not say, and what may be said.
const PAGE_EXPIRES_IN_S_DEFAULT: u32 = 7 * 86_400;
const PAGE_EXPIRES_IN_S: std::ops::RangeInclusive<u32> = 60..=30 * 86_400;
/// The card networks' limit of what stands on a statement.
const DESCRIPTOR_SUFFIX_CHARS_MAX: usize = 22;

/// What billing sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeRequest {
    /// The token to charge.
    #[schema(example = "tok_01h455vb4pex5vsknk084sn02q")]
    token: String,
    /// In the minor unit of ISO 4217, whatever the processor counts in: 1250 is 12.50 EUR, 1250 JPY or
    /// 1.250 KWD.
    #[serde(deserialize_with = "super::integer::required")]
    #[schema(minimum = 1, maximum = 999_999_999_999_i64, example = 1250)]
    amount: i64,
    /// ISO 4217 in lower case.
    #[schema(pattern = "^[a-z]{3}$", example = "eur")]
    currency: String,
    /// Take the money now, or only authorize it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    capture: bool,
    /// Whether the shopper is away: true when not said, and false with a `security_code`.
    off_session: Option<bool>,
    /// Shown in the processor's dashboard; at most 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    description: Option<String>,
    /// Shown on the shopper's statement; at most 22 Latin characters, with a letter
    /// among them.
    #[schema(min_length = 1, max_length = 22)]
    statement_descriptor_suffix: Option<String>,
    /// The merchant's own notes: at most 48, names of 40 and values of 500 characters.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// The shop's origin, with `return_path`.
    #[schema(max_length = 270, example = "https://shop.example")]
    origin: Option<String>,
    /// Where on that origin the shopper is led after the issuer's page: a path, with a query if need
    /// be. `cloakroom_charge` and `cloakroom_status` are added to it; how the charge stands, the
    /// shop's backend asks.
    #[schema(
        max_length = 500,
        pattern = "^/([!-.0-\\[\\]-~][!-\\[\\]-~]*)?$",
        example = "/thanks?order=7"
    )]
    return_path: Option<String>,
    /// A page to mail to the shopper when the issuer wants to see them: it holds after a try that
    /// failed.
    hosted_page: Option<HostedPage>,
    /// The `id` of the security code that the shopper has given again for this charge. The issuer
    /// checks it: `checks.cvc` of the charge says what it found.
    #[schema(
        min_length = 1,
        max_length = 500,
        example = "cvc_AQGPjVXHd3ZzX4UCN0d1h4mA…"
    )]
    security_code: Option<String>,
}

/// The page on which a shopper confirms a charge at the issuer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedPage {
    /// Seconds for which the shopper may try.
    #[serde(default, deserialize_with = "super::integer::optional")]
    #[schema(minimum = 60, maximum = 2_592_000, default = 604_800)]
    expires_in_s: Option<u32>,
    /// Who asks, as shown; at most 80 characters.
    #[schema(min_length = 1, max_length = 80, example = "Little Theatre")]
    shop_name: Option<String>,
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
        "/origin",
        "/return_path",
        "/hosted_page",
        "/hosted_page/expires_in_s",
        "/hosted_page/shop_name",
        "/security_code",
    ];
}

/// What is asked of an authorized charge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// How much to take, in the currency's minor unit; all of it when not said. What is left is
    /// given up.
    #[serde(default, deserialize_with = "super::integer::optional")]
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: Option<i64>,
}

impl Described for CaptureRequest {
    const POINTERS: &'static [&'static str] = &["/amount"];
}

/// Which charges to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeQuery {
    token: Option<String>,
    status: Option<String>,
    limit: Option<u32>,
    starting_after: Option<String>,
}

/// Charges a token.
///
/// # Errors
/// `card_declined` carries the charge's id; all other problems mean that no money moved.
#[utoipa::path(
    post,
    path = "/v1/charges",
    operation_id = "create_charge",
    request_body = ChargeRequest,
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Required: 1 to 255 printable ASCII characters")),
    responses(
        (status = 201, body = Charge),
        super::documented::Paying,
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
    Ok(replayable(created(&shown(&charged)), charged.replayed))
}

/// A charge with its page: only who made it is shown the link.
fn shown(charged: &Charged) -> Charge {
    let charge = Charge::of(&charged.charge);
    match &charged.page {
        Some(page) => charge.with_page(&page.url, page.expires_at),
        None => charge,
    }
}

/// Reads a charge.
///
/// # Errors
/// `not_found`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/charges/{id}",
    operation_id = "read_charge",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = Charge),
        super::documented::Reading,
    ),
)]
pub async fn read(
    granted: Granted<ChargesRead>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = in_path(&id, vault.common.environment)?;
    let charge = vault.read_charge(&granted, id).await?;
    Ok(HttpResponse::Ok().json(Charge::of(&charge)))
}

/// Lists charges, newest first.
///
/// # Errors
/// `invalid_request`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/charges",
    operation_id = "list_charges",
    params(
        ("token" = Option<String>, Query, description = "Only of this token"),
        ("status" = Option<String>, Query, description = "Only in this state"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Charges in the page; 10 when not said"),
        ("starting_after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = ChargePage),
        super::documented::Listing,
    ),
)]
pub async fn list(
    granted: Granted<ChargesRead>,
    vault: web::Data<Internal>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: ChargeQuery = in_query(&request)?;
    let environment = vault.common.environment;
    let page = Page::of(query.limit)?;
    let filter = ChargeFilter {
        token: id_in_query(query.token.as_deref(), environment, "/token")?,
        status: query
            .status
            .map(|status| ChargeStatus::from_name(&status).ok_or("not_a_status"))
            .transpose()
            .map_err(|reason| Problem::new(Code::InvalidRequest).at("/status", reason))?,
        starting_after: id_in_query(
            query.starting_after.as_deref(),
            environment,
            "/starting_after",
        )?,
        limit: page.asked(),
    };
    let mut rows = vault.list_charges(&granted, filter).await?;
    let has_more = page.cut(&mut rows);
    Ok(HttpResponse::Ok().json(ChargePage::of(&rows, has_more)))
}

/// Captures an authorized charge.
///
/// # Errors
/// `invalid_request` where the charge is not waiting for its capture, or less was authorized.
#[utoipa::path(
    post,
    path = "/v1/charges/{id}/capture",
    operation_id = "capture_charge",
    request_body = CaptureRequest,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Required: 1 to 255 printable ASCII characters"),
    ),
    responses(
        (status = 200, body = Charge),
        super::documented::Settling,
    ),
)]
pub async fn capture(
    granted: Granted<ChargesCreate>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
    request: HttpRequest,
    order: JsonIfAny<CaptureRequest>,
) -> Result<HttpResponse, Problem> {
    let key = required_idempotency_key(&request)?;
    let id = in_path(&id, vault.common.environment)?;
    let amount = order.0.and_then(|order| order.amount);
    let mut checks = Checks::default();
    checks.require(
        amount.is_none_or(|amount| (1..=AMOUNT_MAX).contains(&amount)),
        "/amount",
        "out_of_range",
    );
    checks.verdict()?;
    let charged = vault
        .into_inner()
        .capture(granted, (id, amount), &key)
        .await?;
    Ok(stepped(&charged))
}

/// Gives an authorized charge up, or one whose shopper has not authenticated.
///
/// # Errors
/// `invalid_request` where the charge is in another state.
#[utoipa::path(
    post,
    path = "/v1/charges/{id}/cancel",
    operation_id = "cancel_charge",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "Required: 1 to 255 printable ASCII characters"),
    ),
    responses(
        (status = 200, body = Charge),
        super::documented::Settling,
    ),
)]
pub async fn cancel(
    granted: Granted<ChargesCreate>,
    vault: web::Data<Internal>,
    id: web::Path<String>,
    request: HttpRequest,
    _nothing: JsonIfAny<Nothing>,
) -> Result<HttpResponse, Problem> {
    let key = required_idempotency_key(&request)?;
    let id = in_path(&id, vault.common.environment)?;
    let charged = vault.into_inner().cancel(granted, id, &key).await?;
    Ok(stepped(&charged))
}

fn stepped(charged: &Charged) -> HttpResponse {
    replayable(
        HttpResponse::Ok().json(Charge::of(&charged.charge)),
        charged.replayed,
    )
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
        DESCRIPTION_CHARS_MAX,
    );
    checks.optional_text(
        "/statement_descriptor_suffix",
        suffix,
        DESCRIPTOR_SUFFIX_CHARS_MAX,
    );
    if let Some(suffix) = suffix {
        checks.descriptor_suffix("/statement_descriptor_suffix", suffix);
    }
    checks.metadata(&order.metadata);
    let return_url = return_url(&mut checks, &order);
    let hosted_page = order.hosted_page.map(|page| PageOrder {
        expires_in_s: page.expires_in_s.unwrap_or(PAGE_EXPIRES_IN_S_DEFAULT),
        shop_name: page.shop_name,
    });
    if let Some(page) = &hosted_page {
        let name = page.shop_name.as_deref();
        checks.optional_text("/hosted_page/shop_name", name, SHOP_NAME_CHARS_MAX);
        let in_range = PAGE_EXPIRES_IN_S.contains(&page.expires_in_s);
        checks.require(in_range, "/hosted_page/expires_in_s", "out_of_range");
    }
    let code = order.security_code.as_deref();
    // A page is for a shopper who is away, and its later tries could not have the code again.
    let both = code.is_some() && hosted_page.is_some();
    checks.require(!both, "/hosted_page", "not_with_security_code");
    let away = is_away(&mut checks, order.off_session, code);
    checks.verdict()?;
    Ok(ChargeOrder {
        token,
        amount: order.amount,
        currency: order.currency,
        capture: order.capture,
        off_session: away,
        description: order.description,
        statement_descriptor_suffix: order.statement_descriptor_suffix,
        metadata: order.metadata,
        return_url,
        hosted_page,
        security_code: order.security_code,
    })
}

/// Where in the shop the shopper is led after the issuer's page, under the rules of a token's
/// `return_path`.
fn return_url(checks: &mut Checks, order: &ChargeRequest) -> Option<String> {
    let (origin, path) = (order.origin.as_deref(), order.return_path.as_deref());
    if origin.is_none() && path.is_none() {
        return None;
    }
    let canonical = origin.and_then(canonical_origin);
    let is_path = path.is_some_and(|path| path.starts_with('/'));
    checks.require(canonical.is_some(), "/origin", "not_an_https_origin");
    checks.require(is_path, "/return_path", "not_a_path_of_origin");
    // Both go to the processor, and with the shopper to the shop and its log.
    for (pointer, text) in [("/origin", origin), ("/return_path", path)] {
        checks.require(!text.is_some_and(stored::contains), pointer, "card_number");
    }
    let url = fields::within(canonical.as_deref()?, path.filter(|_| is_path)?);
    checks.require(url.is_some(), "/return_path", "not_a_path_of_origin");
    url.map(String::from)
}
