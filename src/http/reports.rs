//! `/v1/reports`, `/report` and `/.well-known/security.txt`: anybody may report abuse or an
//! incident, with a program or with the plainest of browsers; the operator reads what came.

use std::fmt::Write as _;

use actix_web::http::header::LOCATION;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError as _, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answers::created;
use super::body::{Described, Wiped, media_type, parse};
use super::envelope::frame;
use super::fields;
use super::pages;
use super::paths::{Page, id_in_query, in_query};
use crate::card::scan::stored;
use crate::clock::Timestamp;
use crate::problem::{Code, Problem};
use crate::store::ReportRow;
use crate::vault::grant::{Granted, Origin, ReportsRead};
use crate::vault::report::ReportOrder;
use crate::vault::{Capture, Internal};
use crate::view::{ReportPage, ReportTicket};

/// Bytes of a report's words.
const MESSAGE_BYTES_MAX: usize = 8_000;
/// Bytes of an address to answer to: an e-mail address has 254 at most (RFC 5321), a URL may be longer.
const CONTACT_CHARS_MAX: usize = 320;
/// Days after which a reader should fetch security.txt again; RFC 9116 wants less than a year.
const SECURITY_TXT_DAYS: i64 = 90;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What a report is about.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Somebody misuses this service or a shop behind it.
    Abuse,
    /// Card data or customers' data are or were exposed.
    Incident,
    /// A weakness that could be used.
    Vulnerability,
    /// Something else.
    #[default]
    Other,
}

impl About {
    const fn name(self) -> &'static str {
        match self {
            Self::Abuse => "abuse",
            Self::Incident => "incident",
            Self::Vulnerability => "vulnerability",
            Self::Other => "other",
        }
    }
}

/// What somebody reports. No card number may be in it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// What kind of report it is.
    #[serde(default)]
    about: About,
    /// What happened, in your words.
    #[schema(min_length = 1, max_length = 8000)]
    message: String,
    /// Where we can answer, if you like: an e-mail address, a telephone number.
    #[schema(min_length = 1, max_length = 320)]
    contact: Option<String>,
}

impl Described for ReportRequest {
    const POINTERS: &'static [&'static str] = &["/about", "/message", "/contact"];
}

/// Takes a report.
///
/// # Errors
/// `invalid_request`, also for a body with a card number, which is neither kept nor repeated;
/// `rate_limited` past the hour's budget.
#[utoipa::path(
    post,
    path = "/v1/reports",
    operation_id = "create_report",
    request_body = ReportRequest,
    responses(
        (status = 201, body = ReportTicket),
        super::documented::Reporting,
    ),
)]
pub async fn create(
    vault: web::Data<Capture>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    media_type(&request)?;
    let body = wiped(&request)?;
    let report: ReportRequest = parse(body.expose())?;
    let order = checked(report)?;
    let report = taken(&vault, frame(&request)?.origin, order).await?;
    Ok(created(&ReportTicket::of(&report)))
}

/// `GET /report`: the form, which needs no script.
pub async fn form() -> HttpResponse {
    pages::form_page("Report abuse or an incident", &form_html(""))
}

/// `POST /report`: what the form sends.
///
/// # Errors
/// What is not the form's own is an `internal` or `store_unavailable` problem.
pub async fn submit(
    vault: web::Data<Capture>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let body = wiped(&request)?;
    let order = checked(read_form(body.expose()));
    let taken = match order {
        Ok(order) => taken(&vault, frame(&request)?.origin, order).await,
        Err(problem) => Err(problem),
    };
    match taken {
        // The page that says thank you can be loaded again without reporting twice.
        Ok(report) => Ok(HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("/report/{}", report.id)))
            .finish()),
        Err(problem) => match told(problem.code) {
            Some(words) => {
                let else_where = match (problem.code, vault.security_contacts.first()) {
                    (Code::RateLimited, Some(contact)) => {
                        format!(" Or write to {}.", fields::escaped(contact))
                    }
                    _ => String::new(),
                };
                let alert = format!("<p role=\"alert\" id=\"wrong\">{words}{else_where}</p>");
                let mut page = pages::form_page("Not sent", &form_html(&alert));
                *page.status_mut() = problem.status_code();
                Ok(page)
            }
            None => Err(problem),
        },
    }
}

/// `GET /report/{id}`: the ticket, again. It says the same whether there is such a report or not.
///
/// # Errors
/// `not_found` for what cannot be a ticket.
pub async fn thanks(id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    if !id.bytes().all(plain) || !(id.starts_with("rep_") || id.starts_with("test_rep_")) {
        return Err(Problem::new(Code::NotFound));
    }
    Ok(pages::form_page(
        "Thank you",
        &format!(
            "<h1>Thank you</h1><p>Your report reached the people who run this service.</p>\
             <p>Your ticket is <strong>{id}</strong>. Please name it when you ask again.</p>"
        ),
    ))
}

/// Reads what came, newest first.
///
/// # Errors
/// `invalid_request`, `not_granted`, `unauthenticated`, `store_unavailable`.
#[utoipa::path(
    get,
    path = "/v1/reports",
    operation_id = "list_reports",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Reports in the page; 10 when not said"),
        ("starting_after" = Option<String>, Query, description = "The last id of the page before"),
    ),
    responses(
        (status = 200, body = ReportPage),
        super::documented::Listing,
    ),
)]
pub async fn list(
    granted: Granted<ReportsRead>,
    vault: web::Data<Internal>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        limit: Option<u32>,
        starting_after: Option<String>,
    }
    let query: Query = in_query(&request)?;
    let page = Page::of(query.limit)?;
    let environment = vault.common.environment;
    let before = id_in_query(
        query.starting_after.as_deref(),
        environment,
        "/starting_after",
    )?;
    let mut reports = vault.list_reports(&granted, before, page.asked()).await?;
    let has_more = page.cut(&mut reports);
    Ok(HttpResponse::Ok().json(ReportPage::of(reports, has_more)))
}

/// `GET /.well-known/security.txt` (RFC 9116): where to report, till when that is so.
pub async fn security_txt(vault: web::Data<Capture>) -> HttpResponse {
    let contacts = &vault.security_contacts;
    let now = vault.common.now();
    // The same for a whole day, so that caches agree.
    let today = now.unix_ms().div_euclid(DAY_MS).saturating_mul(DAY_MS);
    let expires_ms = today.saturating_add(DAY_MS.saturating_mul(SECURITY_TXT_DAYS));
    let expires = Timestamp::from_unix_ms(expires_ms);
    let mut text = String::new();
    for contact in contacts {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "Contact: {contact}");
    }
    let origin = &vault.public_origin;
    let _infallible = write!(
        text,
        "Contact: {origin}/report\nExpires: {}\nPreferred-Languages: en\nCanonical: {origin}/.well-known/security.txt\n",
        expires.rfc3339()
    );
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(text)
}

/// Takes a report, or says where else to go with it.
async fn taken(vault: &Capture, origin: Origin, order: ReportOrder) -> Result<ReportRow, Problem> {
    let taken = vault.take_report(origin, order).await;
    taken.map_err(Problem::from).map_err(|problem| {
        if problem.code == Code::RateLimited {
            problem.say(&elsewhere(vault))
        } else {
            problem
        }
    })
}

/// Where to report when no report is taken here: the first contact of `security.txt`.
fn elsewhere(vault: &Capture) -> String {
    match vault.security_contacts.first() {
        Some(contact) => {
            format!("No more reports are taken here within this hour. Write to {contact}.")
        }
        None => "No more reports are taken here within this hour. Try again later.".to_owned(),
    }
}

fn wiped(request: &HttpRequest) -> Result<Wiped, Problem> {
    request
        .extensions_mut()
        .remove::<Wiped>()
        .ok_or_else(|| Problem::new(Code::Internal))
}

fn checked(report: ReportRequest) -> Result<ReportOrder, Problem> {
    let mut checks = super::checks::Checks::default();
    let message = report.message.trim();
    let bare = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
    checks.require(!message.is_empty(), "/message", "empty");
    checks.require(message.len() <= MESSAGE_BYTES_MAX, "/message", "too_long");
    checks.require(!message.contains(bare), "/message", "control_character");
    checks.require(!stored::contains(message), "/message", "card_number");
    checks.optional_text("/contact", report.contact.as_deref(), CONTACT_CHARS_MAX);
    checks.verdict()?;
    Ok(ReportOrder {
        about: report.about.name(),
        message: message.to_owned(),
        contact: report.contact,
    })
}

/// The fields of the form; what it does not have is ignored, as forms do.
fn read_form(body: &[u8]) -> ReportRequest {
    let mut report = ReportRequest {
        about: About::Other,
        message: String::new(),
        contact: None,
    };
    for (name, value) in form_urlencoded::parse(body) {
        match (name.as_ref(), value.trim()) {
            ("message", text) => text.clone_into(&mut report.message),
            ("contact", text) if !text.is_empty() => report.contact = Some(text.to_owned()),
            ("about", "abuse") => report.about = About::Abuse,
            ("about", "incident") => report.about = About::Incident,
            ("about", "vulnerability") => report.about = About::Vulnerability,
            _ => {}
        }
    }
    report
}

/// What the form's reader is told; nothing where the fault is not the reader's.
fn told(code: Code) -> Option<&'static str> {
    let invalid = "Your report was not sent. Please write what happened, in at most 8,000 letters, \
                   and leave card numbers out: we do not want them, and have kept nothing of what \
                   you sent.";
    let limited = "Your report was not sent: too many have come in. Please try again in an hour.";
    [
        (Code::InvalidRequest, invalid),
        (Code::RateLimited, limited),
    ]
    .into_iter()
    .find_map(|(known, words)| (known == code).then_some(words))
}

fn form_html(alert: &str) -> String {
    format!(
        "<h1>Report abuse or an incident</h1>{alert}\
         <p>Tell us when something is wrong with this payment service or a shop that uses it. Please \
         leave card numbers out.</p>\
         <form method=\"post\" action=\"/report\">\
         <p><label for=\"about\">What is it about?</label><br>\
         <select id=\"about\" name=\"about\">\
         <option value=\"other\">Something else</option>\
         <option value=\"abuse\">Misuse, such as stolen cards</option>\
         <option value=\"incident\">Data that is or was exposed</option>\
         <option value=\"vulnerability\">A weakness that could be used</option></select></p>\
         <p><label for=\"message\">What happened?</label><br>\
         <textarea id=\"message\" name=\"message\" rows=\"10\" cols=\"60\" required maxlength=\"8000\"></textarea></p>\
         <p><label for=\"contact\">Where can we answer? (optional)</label><br>\
         <input id=\"contact\" name=\"contact\" maxlength=\"320\" autocomplete=\"email\"></p>\
         <p><button type=\"submit\">Send</button></p></form>"
    )
}
