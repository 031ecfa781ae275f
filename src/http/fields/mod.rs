//! The checkout page's part of the capture plane: the loader, the frame that a card is typed into,
//! the hosted page, and the way back from the issuer.
//!
//! `web/` holds the sources. A page is shown only to the origin that the session names; a session's
//! id in a URL tells that origin to whoever asks, and what its merchant has the hosted page show.
//! The session's secret never stands in a URL that a server sees.

pub mod assets;
mod bundle;
pub mod charge_page;
mod nonce;
mod policy;
pub mod reports;
mod templates;

use actix_web::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, ETAG,
    IF_NONE_MATCH, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use url::Url;

use self::assets::{ASSETS, Asset, LOADER};
use self::policy::{Embedding, Reporting};
use self::templates::Template;
pub(super) use self::templates::escaped;
use crate::problem::{Code, Problem};
use crate::store::SessionRow;
use crate::token::SessionId;
use crate::vault::Capture;

/// Where browsers report to.
pub const REPORTS_PATH: &str = policy::REPORTS;
/// Bytes of a path within the shop.
const RETURN_PATH_BYTES_MAX: usize = 500;

/// Which session a page is for, and how the page around it is drawn.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    session: String,
    #[serde(default)]
    scheme: String,
}

/// `GET /fields/v1/frame?session=…`: the form, in a frame of the session's origin and no other.
///
/// # Errors
/// `store_unavailable`.
pub async fn frame(
    vault: web::Data<Capture>,
    request: HttpRequest,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Problem> {
    let open = find(&vault, &asked.session)
        .await?
        .filter(|session| is_open(&vault, session));
    let saved = match &open {
        Some(session) => vault.saved_brand(session).await?,
        None => Some(""),
    };
    let known = open.and_then(|session| Some((session.id, session.origin?, saved?)));
    Ok(match known {
        Some((id, origin, saved)) => page(
            &request,
            &templates::FRAME,
            Embedding::By(&origin),
            Reporting::To(&report_address(&vault, &id.to_string())),
            templates::frame(&origin, scheme(&asked.scheme), saved),
        ),
        None => over(&request),
    })
}

/// The scheme that a frame is drawn in from its first pixel on; what is not one is none.
fn scheme(asked: &str) -> &'static str {
    let known = ["light", "dark", "auto"];
    known
        .into_iter()
        .find(|known| *known == asked)
        .unwrap_or("")
}

/// `GET /pay/{session}`: the form on a page of our own. The session's secret is in the address when
/// the page is opened, behind the `#`, and the page's script takes it out before anything else.
///
/// # Errors
/// `store_unavailable`.
pub async fn pay(
    vault: web::Data<Capture>,
    request: HttpRequest,
    session: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let open = find(&vault, &session)
        .await?
        .filter(|session| is_open(&vault, session));
    // A code alone is taken in the shop's page only.
    let of_card = open.filter(|session| session.security_code_of.is_none());
    let Some(session) = of_card else {
        return Ok(over(&request));
    };
    let SessionRow {
        id,
        origin: Some(origin),
        presentation,
        ..
    } = &session
    else {
        return Ok(over(&request));
    };
    if !vault.may_present(&session).await? {
        return Ok(over(&request));
    }
    let shown = presentation.as_deref().unwrap_or("{}");
    let id = id.to_string();
    let text = templates::pay(origin, &id, shown, &report_address(&vault, &id));
    Ok(page(
        &request,
        &templates::PAY,
        Embedding::Nobody,
        Reporting::Off,
        text,
    ))
}

/// Where the issuer's page sends the shopper back to, with what the processor appends.
#[derive(Debug, Deserialize)]
pub struct Return {
    #[serde(default)]
    session: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    redirect_status: String,
    #[serde(default)]
    charge: String,
    #[serde(default)]
    tag: String,
}

/// `GET /return`: on to the shop, at the path that its page named, or that the merchant named for a
/// charge; without either, a word of thanks.
///
/// # Errors
/// `store_unavailable`.
pub async fn returned(
    vault: web::Data<Capture>,
    request: HttpRequest,
    back: web::Query<Return>,
) -> Result<HttpResponse, Problem> {
    if !back.charge.is_empty() {
        return Ok(charge_returned(&vault, &request, &back));
    }
    // A shopper may come back after the session is over; its shop is still the same.
    let session = find(&vault, &back.session).await?;
    let known = session.and_then(|session| Some((session.id, session.origin?)));
    let Some((id, origin)) = known else {
        return Ok(super::pages::thanks());
    };
    let (id, status) = (id.to_string(), status(&back.redirect_status));
    let Some(mut to) = within(&origin, &back.to) else {
        return Ok(super::pages::thanks());
    };
    to.query_pairs_mut()
        .append_pair("cloakroom_session", &id)
        .append_pair("cloakroom_status", status);
    let text = templates::returning(to.as_str(), &origin, &id);
    Ok(page(
        &request,
        &templates::RETURN,
        Embedding::Nobody,
        Reporting::To(&report_address(&vault, &id)),
        text,
    ))
}

/// On to the shop with the charge's id; what became of it, the shop's backend asks.
fn charge_returned(vault: &Capture, request: &HttpRequest, back: &Return) -> HttpResponse {
    let Some((id, mut to)) = vault.charge_return(&back.charge, &back.to, &back.tag) else {
        return super::pages::thanks();
    };
    let (id, origin) = (id.to_string(), to.origin().ascii_serialization());
    to.query_pairs_mut()
        .append_pair("cloakroom_charge", &id)
        .append_pair("cloakroom_status", status(&back.redirect_status));
    page(
        request,
        &templates::RETURN,
        Embedding::Nobody,
        Reporting::To(&report_address(vault, &id)),
        templates::returning(to.as_str(), &origin, &id),
    )
}

/// The address that a page for a session or a charge reports to. Both are known to be ours here:
/// whoever could name any would have as many addresses as they like.
fn report_address(vault: &Capture, subject: &str) -> String {
    nonce::address(&vault.session_verify_key, subject, vault.common.now())
}

fn status(told: &str) -> &'static str {
    match told {
        "failed" => "failed",
        "pending" => "pending",
        _ => "succeeded",
    }
}

/// The URL of a path of a shop; nothing that is not of its origin, however it is written.
#[must_use]
pub fn within(origin: &str, path: &str) -> Option<Url> {
    let plain = path.starts_with('/') && path.len() <= RETURN_PATH_BYTES_MAX;
    let base = Url::parse(origin).ok()?;
    let url = base.join(if path.is_empty() { "/" } else { path }).ok()?;
    let nobodys = url.username().is_empty() && url.password().is_none();
    ((plain || path.is_empty()) && nobodys && url.origin() == base.origin()).then_some(url)
}

/// The path of the loader under the name that never changes.
#[must_use]
pub fn loader_path() -> String {
    format!("/fields/v1/{}", ASSETS.loader_name)
}

/// `GET /fields/v1/loader.js`: the loader under the name that tutorials use. A page that demands
/// its hash takes it under [`loader_path`] instead, where it never changes.
///
/// # Errors
/// None in practice: the file is there.
pub async fn loader(request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve(&request, ASSETS.find(LOADER), "public, max-age=300")
}

/// `GET /fields/v1/{release}/…`: the scripts and styles of the pages, for whoever compares them with
/// the inventory; the pages hold them themselves.
///
/// # Errors
/// `not_found`.
pub async fn file(
    request: HttpRequest,
    at: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (release, name) = at.into_inner();
    if release != ASSETS.release || name == LOADER {
        return Err(Problem::new(Code::NotFound));
    }
    serve(&request, ASSETS.find(&name), IMMUTABLE)
}

/// The loader under the name that is made of its bytes: this release's, or an earlier one's, which
/// shops have in their pages with its hash.
///
/// # Errors
/// `not_found` for any other name.
pub async fn named_loader(
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&request, ASSETS.named_loader(&name), IMMUTABLE)
}

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

fn serve(
    request: &HttpRequest,
    asset: Option<&'static Asset>,
    keep: &'static str,
) -> Result<HttpResponse, Problem> {
    let asset = asset.ok_or_else(|| Problem::new(Code::NotFound))?;
    let tag = format!("\"{}\"", asset.integrity);
    let held = request.headers().get(IF_NONE_MATCH);
    let mut answer = if held.is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((CACHE_CONTROL, keep))
        .insert_header((ETAG, tag))
        .insert_header((VARY, "Accept-Encoding"))
        .insert_header(("content-security-policy", "default-src 'none'"));
    if asset.name.starts_with("loader.") {
        // Any shop's page may load it, isolated or not, and check its hash.
        answer
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header(("cross-origin-resource-policy", "cross-origin"));
    } else {
        answer.insert_header(("cross-origin-resource-policy", "same-origin"));
    }
    Ok(body(request, asset, answer))
}

fn body(
    request: &HttpRequest,
    asset: &'static Asset,
    mut answer: actix_web::HttpResponseBuilder,
) -> HttpResponse {
    answer.content_type(asset.media_type());
    if takes_packed(request) {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
        return answer.body(asset.packed.as_slice());
    }
    answer.body(asset.text.as_str())
}

/// The session of that id, whatever became of it.
async fn find(vault: &Capture, id: &str) -> Result<Option<SessionRow>, Problem> {
    let Ok(id) = SessionId::parse(id, vault.common.environment) else {
        return Ok(None);
    };
    let found = vault.common.store.session(id).await;
    Ok(found.map_err(crate::vault::Refusal::from)?)
}

fn is_open(vault: &Capture, session: &SessionRow) -> bool {
    session.expires_at > vault.common.now()
}

/// One answer for sessions that are unknown, over, or of no origin.
fn over(request: &HttpRequest) -> HttpResponse {
    let mut over = page(
        request,
        &templates::OVER,
        Embedding::Nobody,
        Reporting::Off,
        templates::over(),
    );
    *over.status_mut() = actix_web::http::StatusCode::NOT_FOUND;
    over
}

/// A page; packed where the browser takes it so, because nothing secret stands in it.
fn page(
    request: &HttpRequest,
    template: &Template,
    embedding: Embedding<'_>,
    reporting: Reporting<'_>,
    text: String,
) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    policy::page(&mut answer, template, embedding, reporting);
    match assets::packed(text.as_bytes()) {
        Ok(packed) if takes_packed(request) => {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
            answer.body(packed)
        }
        _ => answer.body(text),
    }
}

/// Whether the caller unpacks what it gets.
fn takes_packed(request: &HttpRequest) -> bool {
    let takes = request.headers().get(ACCEPT_ENCODING);
    let takes = takes.and_then(|takes| takes.to_str().ok());
    takes.is_some_and(|takes| takes.split(',').any(|one| one.trim() == "gzip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_leads_to_the_shop_and_nowhere_else() {
        let shop = "https://shop.example:8443";
        let to = |path: &str| within(shop, path).map(String::from);
        assert_eq!(to("").as_deref(), Some("https://shop.example:8443/"));
        assert_eq!(
            to("/cart?id=1").as_deref(),
            Some("https://shop.example:8443/cart?id=1")
        );
        for path in [
            "//evil.example/",
            "/\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "cart",
            "/\t/evil.example",
            "@evil.example",
            ":1/",
        ] {
            assert_eq!(to(path), None, "{path}");
        }
        assert_eq!(to(&format!("/{}", "a".repeat(500))), None);
    }
}
