//! `/pay/charges/{charge}`: the page on which a shopper confirms a charge at the issuer.
//!
//! GET answers the same page for every charge, and reads nothing: what it shows, its script asks for
//! by POST, with the secret that stands behind the `#` of the link. The script keeps it in the tab,
//! so that the shopper who comes back from the issuer's page may try again.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::policy::{Embedding, Reporting};
use super::{over, page, templates};
use crate::http::body::{Described, Wiped, parse};
use crate::http::tokens::capture::bearer;
use crate::problem::{Code, Problem};
use crate::store::Asked;
use crate::token::ChargeId;
use crate::vault::Capture;
use crate::vault::charge_page::PageState;

/// `GET /pay/charges/{charge}`.
///
/// # Errors
/// None in practice: what is no charge's id is answered as a page that is over.
pub async fn show(
    vault: web::Data<Capture>,
    request: HttpRequest,
    charge: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let Ok(charge) = ChargeId::parse(&charge, vault.common.environment) else {
        return Ok(over(&request));
    };
    Ok(page(
        &request,
        &templates::CHARGE,
        Embedding::Nobody,
        Reporting::Off,
        templates::charge(&charge.to_string()),
    ))
}

/// What the page's script asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// `look` or `challenge`; nothing where it only waits for an answer.
    ask: Option<String>,
}

impl Described for Question {
    const POINTERS: &'static [&'static str] = &["/ask"];
}

/// What it is told.
#[derive(Serialize)]
struct Told<'a> {
    amount: i64,
    currency: &'a str,
    shop_name: Option<&'a str>,
    /// Where in the shop it leads, with the charge's id.
    back: Option<String>,
    /// Whether the question is answered; only then the rest means anything.
    answered: bool,
    status: Option<&'a str>,
    redirect_url: Option<&'a str>,
}

/// `POST /pay/charges/{charge}`: a question of the page's script, and what is known of its answer.
///
/// # Errors
/// `unauthenticated` for a secret that is not this page's, or whose page is over;
/// `malformed_request`, `invalid_request`, `store_unavailable`.
pub async fn ask(
    vault: web::Data<Capture>,
    request: HttpRequest,
    charge: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let body = request.extensions_mut().remove::<Wiped>();
    let body = body.ok_or_else(|| Problem::new(Code::MalformedRequest))?;
    let question: Question = parse(body.expose())?;
    let asks = match question.ask.as_deref() {
        None => None,
        Some(name) => Some(
            Asked::from_name(name)
                .ok_or_else(|| Problem::new(Code::InvalidRequest).at("/ask", "not_a_question"))?,
        ),
    };
    let secret = bearer(&request)?;
    if !secret.starts_with(&format!("{charge}_secret_")) {
        return Err(Problem::new(Code::Unauthenticated));
    }
    let state = vault.ask_page(secret, asks).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(told(&state)))
}

fn told(state: &PageState) -> Told<'_> {
    let page = &state.page;
    let back = page.return_url.as_deref().and_then(|to| {
        let mut to = url::Url::parse(to).ok()?;
        let charge = page.charge.to_string();
        to.query_pairs_mut()
            .append_pair("cloakroom_charge", &charge);
        Some(to.into())
    });
    Told {
        amount: page.amount,
        currency: &page.currency,
        shop_name: page.shop_name.as_deref(),
        back,
        answered: state.answered,
        status: page.status.as_deref().filter(|_| state.answered),
        redirect_url: page.redirect_url.as_deref().filter(|_| state.answered),
    }
}
