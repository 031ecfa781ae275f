//! `/authenticate/{id}`: the page that stands for the issuer's 3-D Secure challenge.
//!
//! Whoever holds the link may answer it, as at an issuer; the link's letters are the secret, and a
//! second try has another link (`/authenticate/{id}/2`). The
//! answer sends the browser back to `return_url` the way Stripe does.

use actix_web::HttpResponse;
use actix_web::http::header;

use super::attempts::{self, Manner};
use super::form::Form;
use super::intents::{self, Core};
use super::records::{PaymentIntent, SetupIntent};
use super::setup_intents;
use super::state::{Call, State};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>3-D Secure test page</title>
<h1>3-D Secure test page</h1>
<p>Here the card's issuer would ask the cardholder to confirm. Choose what happens.</p>
<form method="post">
<button name="outcome" value="complete">Complete</button>
<button name="outcome" value="fail">Fail</button>
</form>
</html>
"#;

/// What is waiting for the cardholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Setup,
    Payment,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup_intent",
            Self::Payment => "payment_intent",
        }
    }
}

/// GET shows the page, POST takes the answer.
pub(super) fn answer(
    state: &mut State,
    (method, challenge): (&str, Option<&str>),
    call: &Call<'_>,
) -> HttpResponse {
    let Some(kind) = waiting(state, call.id, challenge) else {
        return page(
            404,
            "<!doctype html><title>Nothing to confirm</title><p>Nothing waits for confirmation here.",
        );
    };
    match (method, call.form.get("outcome")) {
        ("GET", _) => page(200, PAGE),
        ("POST", Some(outcome @ ("complete" | "fail"))) => {
            decide(state, call, kind, outcome == "complete")
        }
        _ => page(
            400,
            "<!doctype html><title>Bad request</title><p>Choose complete or fail.",
        ),
    }
}

/// The intent with that id, if it waits for the cardholder in that try.
fn waiting(state: &State, id: &str, challenge: Option<&str>) -> Option<Kind> {
    let waits = |core: &Core| core.status == "requires_action" && core.is_under_way(challenge);
    [Kind::Setup, Kind::Payment]
        .into_iter()
        .find(|kind| core(state, *kind, id).is_some_and(waits))
}

fn core<'a>(state: &'a State, kind: Kind, id: &str) -> Option<&'a Core> {
    match kind {
        Kind::Setup => state.setup_intents.get(id).map(|intent| &intent.core),
        Kind::Payment => state.payment_intents.get(id).map(|intent| &intent.core),
    }
}

fn decide(state: &mut State, call: &Call<'_>, kind: Kind, complete: bool) -> HttpResponse {
    let outcome = match (kind, complete) {
        (Kind::Setup, true) => setup_intents::attempt(state, call, call.id, true),
        (Kind::Payment, true) => attempts::attempt(state, call, call.id, Manner::AUTHENTICATED),
        (Kind::Setup, false) => Err(intents::unauthenticated::<SetupIntent>(
            state, call, call.id,
        )),
        (Kind::Payment, false) => Err(intents::unauthenticated::<PaymentIntent>(
            state, call, call.id,
        )),
    };
    let passed = outcome.is_ok();
    let (secret, return_url) = core(state, kind, call.id)
        .map(|core| (core.client_secret.clone(), core.return_url.clone()))
        .unwrap_or_default();
    let Some(mut back) = return_url.and_then(|url| url::Url::parse(&url).ok()) else {
        return page(
            200,
            "<!doctype html><title>Done</title><p>Done. You can close this window.",
        );
    };
    back.query_pairs_mut()
        .append_pair(kind.name(), call.id)
        .append_pair(&format!("{}_client_secret", kind.name()), &secret)
        .append_pair(
            "redirect_status",
            if passed { "succeeded" } else { "failed" },
        );
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, back.as_str()))
        .finish()
}

/// The form for a POST of the page: what `Form` reads is all it needs.
pub(super) fn form(body: &[u8]) -> Form {
    Form::parse(body).unwrap_or_default()
}

fn page(status: u16, html: &'static str) -> HttpResponse {
    let status =
        actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::OK);
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        // No `form-action`: browsers apply it to the redirect back to the shop, too.
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ))
        .body(html)
}
