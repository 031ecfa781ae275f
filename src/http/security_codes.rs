//! `POST /v1/security_codes`: the security code of a saved card, given again.
//!
//! It comes the way of a card: the envelope has read the body into a wiped buffer before this file sees
//! it, and the connection is closed after the answer. What is answered is of use to the shop's backend
//! only, in the charge that it makes next.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::created;
use super::body::{Described, Wiped, media_type, parse};
use super::checks::Checks;
use super::cors;
use super::envelope::frame;
use super::grants::idempotency_key;
use super::tokens::capture::bearer;
use crate::card::{Brand, Cvc, Reason};
use crate::problem::{Code, Problem};
use crate::vault::Capture;
use crate::vault::security_code::{CodeOrder, SECURITY_CODE_ID_CHARS_MAX, TakenCode};

/// What the form sends. Borrowed from the wiped buffer, so nothing of it is copied.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecurityCodeOrder)]
pub struct Body<'a> {
    /// Three digits; four for American Express.
    #[schema(write_only, example = "123")]
    cvc: &'a str,
}

impl Described for Body<'_> {
    const POINTERS: &'static [&'static str] = &["/cvc"];
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body(..)")
    }
}

/// A security code that was given, and is nowhere in it.
#[derive(Serialize, ToSchema)]
pub struct SecurityCode {
    /// What a charge of the token names as its `security_code`, once.
    #[schema(example = "cvc_AQGPjVXHd3ZzX4UCN0d1h4mA…", max_length = 500)]
    id: String,
    /// Always `security_code`.
    object: &'static str,
    /// The saved card's token.
    token: String,
    /// From when on no charge is made with it; RFC 3339.
    expires_at: String,
}

impl std::fmt::Debug for SecurityCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecurityCode(..)")
    }
}

/// Takes the security code of a saved card, for one charge within 15 minutes.
///
/// # Errors
/// Every problem of the contract that a code can end in.
#[utoipa::path(
    post,
    path = "/v1/security_codes",
    operation_id = "create_security_code",
    request_body = Body<'static>,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "1 to 255 printable ASCII characters")),
    security(("client_secret" = [])),
    responses(
        (status = 201, body = SecurityCode),
        super::documented::TakingCard,
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
        vault.require_welcome(&admitted).await?;
        media_type(&request)?;
        let key = idempotency_key(&request)?;
        let brand = vault.saved_card(&admitted).await?;
        let body = request
            .extensions_mut()
            .remove::<Wiped>()
            .ok_or_else(|| Problem::new(Code::Internal))?;
        let code = read(body.expose(), brand)?;
        drop(body);
        let code = match code {
            Ok(code) => code,
            Err(reason) => return Err(vault.refuse_code(&admitted, reason).await.into()),
        };
        let order = CodeOrder { code, key };
        Ok(made(vault.take_security_code(admitted, order).await?))
    };
    let answer: Result<HttpResponse, Problem> = answer.await;
    // The page must be able to read a refusal too, so CORS applies to both.
    let request_id = frame(&request)?.origin.request_id;
    let answer = answer.unwrap_or_else(|problem| problem.answer(&request_id));
    Ok(cors::allow(answer, &request, origin.as_deref()))
}

/// Parses the body in one step without an await, so that no borrow of a code outlives it.
fn read(body: &[u8], brand: Brand) -> Result<Result<Cvc, Reason>, Problem> {
    let parsed: Body<'_> = parse(body)?;
    Ok(Cvc::parse(parsed.cvc, brand))
}

/// Whether a charge's shopper is away: as it is said, else where no security code is named. Who has
/// just given theirs is there.
pub(super) fn is_away(checks: &mut Checks, said: Option<bool>, code: Option<&str>) -> bool {
    let is_short = |code: &str| code.len() <= SECURITY_CODE_ID_CHARS_MAX;
    checks.require(code.is_none_or(is_short), "/security_code", "too_long");
    let away = said.unwrap_or(code.is_none());
    let both = away && code.is_some();
    checks.require(!both, "/off_session", "not_with_security_code");
    away
}

fn made(taken: TakenCode) -> HttpResponse {
    created(&SecurityCode {
        id: taken.id,
        object: "security_code",
        token: taken.token.to_string(),
        expires_at: taken.expires_at.rfc3339(),
    })
}
