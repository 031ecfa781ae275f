//! `POST /v1/tokens`: the way of a card.
//!
//! The envelope has read the body into a wiped buffer before this file sees it. Here the session's
//! secret is checked, the card is parsed borrowed from that buffer, and both are handed to
//! [`vault::tokenize`](crate::vault::tokenize).

use std::borrow::Cow;

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::card::scan::stored;
use crate::card::{Card, RawCard};
use crate::clock::Timestamp;
use crate::http::answers::replayable;
use crate::http::body::{Described, Wiped, media_type, parse};
use crate::http::checks::Checks;
use crate::http::cors;
use crate::http::envelope::frame;
use crate::http::fields;
use crate::http::grants::idempotency_key;
use crate::problem::{Code, Problem};
use crate::processor::{Address, BillingDetails};
use crate::vault::Capture;
use crate::vault::session::Admitted;
use crate::vault::tokenize::{TokenOrder, Tokenized};
use crate::view::Token;

/// Characters of one billing detail.
const BILLING_DETAIL_CHARS_MAX: usize = 200;

/// What a checkout form sends. Borrowed from the wiped buffer, so nothing of it is copied.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenOrder)]
pub struct Body<'a> {
    /// The card.
    #[serde(borrow)]
    card: CardBody<'a>,
    /// Whose card it is.
    #[serde(borrow)]
    billing_details: Option<BillingBody<'a>>,
    /// Where on the session's origin the issuer's page returns the shopper: a path, with a query
    /// if need be. `cloakroom_session` and `cloakroom_status` are added to it.
    #[serde(borrow)]
    #[schema(
        max_length = 500,
        pattern = "^/([!-.0-\\[\\]-~][!-\\[\\]-~]*)?$",
        example = "/checkout?cart=7"
    )]
    return_path: Option<Cow<'a, str>>,
}

/// A card, as typed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CardOrder)]
struct CardBody<'a> {
    /// 14 to 19 digits; spaces and hyphens between them are tolerated.
    #[schema(write_only, example = "4242 4242 4242 4242")]
    number: &'a str,
    /// 1 to 12.
    #[serde(deserialize_with = "crate::http::integer::required")]
    #[schema(write_only, minimum = 1, maximum = 12)]
    exp_month: u32,
    /// Four digits.
    #[serde(deserialize_with = "crate::http::integer::required")]
    #[schema(write_only, minimum = 2000, maximum = 2999, example = 2030)]
    exp_year: u32,
    /// Three digits; four for American Express.
    #[schema(write_only, example = "123")]
    cvc: &'a str,
}

/// Whose card it is; passed on to the processor and not kept. An empty text is none; each has at
/// most 200 characters.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillingDetails)]
struct BillingBody<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
    #[serde(borrow)]
    phone: Option<Cow<'a, str>>,
    #[serde(borrow)]
    address: Option<AddressBody<'a>>,
}

/// A postal address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Address)]
struct AddressBody<'a> {
    #[serde(borrow)]
    line1: Option<Cow<'a, str>>,
    #[serde(borrow)]
    line2: Option<Cow<'a, str>>,
    #[serde(borrow)]
    city: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    postal_code: Option<Cow<'a, str>>,
    /// ISO 3166-1 alpha-2.
    #[serde(borrow)]
    country: Option<Cow<'a, str>>,
}

impl Described for Body<'_> {
    const POINTERS: &'static [&'static str] = &[
        "/card",
        "/card/number",
        "/card/exp_month",
        "/card/exp_year",
        "/card/cvc",
        "/return_path",
        "/billing_details",
        "/billing_details/name",
        "/billing_details/email",
        "/billing_details/phone",
        "/billing_details/address",
        "/billing_details/address/line1",
        "/billing_details/address/line2",
        "/billing_details/address/city",
        "/billing_details/address/state",
        "/billing_details/address/postal_code",
        "/billing_details/address/country",
    ];
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body(..)")
    }
}

/// Makes a token.
///
/// # Errors
/// Every problem of the contract that a card can end in.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    operation_id = "create_token",
    request_body = Body<'static>,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "1 to 255 printable ASCII characters")),
    security(("client_secret" = [])),
    responses(
        (status = 201, body = Token),
        (status = 202, description = "The issuer wants the shopper to authenticate", body = Token),
        crate::http::documented::TakingCard,
    ),
)]
pub async fn create(
    vault: web::Data<Capture>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // A query string would be written down by proxies; nothing here takes one.
    if !request.query_string().is_empty() {
        return Err(Problem::new(Code::MalformedRequest).detail("This path takes no query."));
    }
    let admitted = vault
        .admit(bearer(&request)?, frame(&request)?.origin)
        .await?;
    let origin = admitted.session().origin.clone();
    let answer = async {
        cors::require_origin(&request, origin.as_deref(), &vault.public_origin)?;
        admitted.require_card()?;
        vault.require_welcome(&admitted).await?;
        media_type(&request)?;
        let key = idempotency_key(&request)?;
        let body = request
            .extensions_mut()
            .remove::<Wiped>()
            .ok_or_else(|| Problem::new(Code::Internal))?;
        let (card, billing, return_path) = read(body.expose(), vault.common.now())?;
        drop(body);
        let return_url = match &return_path {
            Some(path) => Some(back(&vault, &admitted, path)?),
            None => None,
        };
        let card = match card {
            Ok(card) => card,
            Err(faults) => return Err(vault.refuse_card(&admitted, faults).await.into()),
        };
        let order = TokenOrder {
            card,
            billing,
            return_url,
            key,
        };
        Ok(made(vault.tokenize(admitted, order).await?))
    };
    let answer: Result<HttpResponse, Problem> = answer.await;
    // The page must be able to read a refusal too, so CORS applies to both.
    let request_id = frame(&request)?.origin.request_id;
    let answer = answer.unwrap_or_else(|problem| problem.answer(&request_id));
    Ok(cors::allow(answer, &request, origin.as_deref()))
}

/// The secret that a browser presents (RFC 6750 2.1).
pub(in crate::http) fn bearer(request: &HttpRequest) -> Result<&str, Problem> {
    let refuse =
        || Problem::new(Code::Unauthenticated).detail("Send the secret as a Bearer token.");
    let mut values = request.headers().get_all(AUTHORIZATION);
    let value = values
        .next()
        .and_then(|value| value.to_str().ok())
        .ok_or_else(refuse)?;
    let (scheme, secret) = value.split_once(' ').ok_or_else(refuse)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refuse());
    }
    Ok(secret.trim())
}

type CardOrFaults = Result<Card, Vec<crate::card::Fault>>;
type Read = (CardOrFaults, BillingDetails, Option<String>);

/// Parses the body in one step without an await, so that no borrow of a card outlives it.
///
/// # Errors
/// [`Problem`] for what is not of the described form; it says where, and nothing that was sent.
pub fn read(body: &[u8], now: Timestamp) -> Result<Read, Problem> {
    let parsed: Body<'_> = parse(body)?;
    let billing = parsed
        .billing_details
        .map_or_else(|| Ok(BillingDetails::default()), checked)?;
    let raw = RawCard {
        number: parsed.card.number,
        // What does not fit is no month and no year, and the parser says so.
        exp_month: u8::try_from(parsed.card.exp_month).unwrap_or(0),
        exp_year: u16::try_from(parsed.card.exp_year).unwrap_or(0),
        cvc: parsed.card.cvc,
    };
    let return_path = parsed.return_path.map(Cow::into_owned);
    // It goes to the processor, and with the shopper to the shop and its log.
    if return_path.as_deref().is_some_and(stored::contains) {
        return Err(Problem::new(Code::InvalidRequest).at("/return_path", "card_number"));
    }
    Ok((Card::parse(&raw, now), billing, return_path))
}

/// Where the issuer's page returns the shopper: to a page of ours, which leads on to that path.
fn back(vault: &Capture, admitted: &Admitted, path: &str) -> Result<String, Problem> {
    let session = admitted.session();
    let invalid = || Problem::new(Code::InvalidRequest).at("/return_path", "not_a_path_of_origin");
    let origin = session.origin.as_deref().ok_or_else(invalid)?;
    fields::within(origin, path).ok_or_else(invalid)?;
    let mut url = url::Url::parse(&vault.return_url).map_err(|_| Problem::new(Code::Internal))?;
    url.query_pairs_mut()
        .append_pair("session", &session.id.to_string())
        .append_pair("to", path);
    Ok(url.into())
}

fn checked(body: BillingBody<'_>) -> Result<BillingDetails, Problem> {
    let mut checks = Checks::default();
    let mut keep = |pointer: &'static str, text: Option<Cow<'_, str>>| {
        // Forms send a field that was left empty; it says as much as none.
        let text = text.filter(|text| !text.is_empty());
        checks.optional_text(pointer, text.as_deref(), BILLING_DETAIL_CHARS_MAX);
        text.map(|text| zeroize::Zeroizing::new(text.into_owned()))
    };
    let address = body.address.map(|address| Address {
        line1: keep("/billing_details/address/line1", address.line1),
        line2: keep("/billing_details/address/line2", address.line2),
        city: keep("/billing_details/address/city", address.city),
        state: keep("/billing_details/address/state", address.state),
        postal_code: keep("/billing_details/address/postal_code", address.postal_code),
        country: keep("/billing_details/address/country", address.country),
    });
    let billing = BillingDetails {
        name: keep("/billing_details/name", body.name),
        email: keep("/billing_details/email", body.email),
        phone: keep("/billing_details/phone", body.phone),
        address: address.unwrap_or_default(),
    };
    if let Some(email) = &billing.email {
        checks.email("/billing_details/email", email);
    }
    let country = billing
        .address
        .country
        .as_deref()
        .map_or("ZZ", String::as_str);
    let alpha2 = country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase());
    checks.require(
        alpha2,
        "/billing_details/address/country",
        "not_iso_3166_alpha_2",
    );
    checks.verdict()?;
    Ok(billing)
}

fn made(made: Tokenized) -> HttpResponse {
    let mut answer = if made.next_action.is_some() {
        HttpResponse::Accepted()
    } else {
        HttpResponse::Created()
    };
    let redirect_url = made.next_action.map(|action| action.redirect_url);
    replayable(
        answer.json(Token::of(&made.token, redirect_url)),
        made.replayed,
    )
}
