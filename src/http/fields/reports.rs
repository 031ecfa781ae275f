//! `POST /fields/v1/reports`: a browser tells that a page of ours was kept from doing something.
//!
//! Each report is counted by what was violated. Extensions put styles, icons and fonts into pages,
//! so most reports of ordinary visits say nothing; a script, a connection or a frame that was kept
//! out is a defect or an attack, and is alerted on once pages of several sessions have reported it
//! from several addresses. Anybody may write here: a report is believed only where it came to the
//! address of a page of ours ([`super::nonce`]), and everything else is counted as `unproven`, which
//! alerts nobody. Reports are anybody's words, so nothing of them is kept but what is on a list here,
//! and the origin that was blocked where that can be no number of a card.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use serde_json::Value;
use url::Url;

use super::nonce;
use crate::clock::Timestamp;
use crate::http::body::Wiped;
use crate::http::envelope;
use crate::problem::{Code, Problem};
use crate::telemetry::Metrics;
use crate::vault::Capture;
use crate::watch::Subject;

/// Reports of one request that are looked at.
const REPORTS_MAX: usize = 20;

/// What honest browsers do not report of our pages: who reports it, and only that, is counted.
const SERIOUS: [&str; 11] = [
    "script-src",
    "script-src-elem",
    "script-src-attr",
    "connect-src",
    "frame-src",
    "frame-ancestors",
    "form-action",
    "base-uri",
    "require-trusted-types-for",
    "trusted-types",
    "integrity",
];

/// What extensions, password managers and a browser's own habits set off; anything else is `other`.
const NOISE: [&str; 8] = [
    "style-src",
    "style-src-elem",
    "style-src-attr",
    "img-src",
    "font-src",
    "media-src",
    EXTENSION,
    UNPROVEN,
];

/// Whatever it was, a browser's extension did it, and says so by its address.
const EXTENSION: &str = "extension";

/// It did not come to the address of a page of ours.
const UNPROVEN: &str = "unproven";

/// Stands for a host that is not logged: it may be made of a card number.
const UNTOLD: &str = "(not told)";
/// Digits of a host and its port that are logged; card numbers have more.
const HOST_DIGITS_MAX: usize = 11;

/// Milliseconds for which an address that has reported something is not counted again.
const WINDOW_MS: i64 = 3_600_000;
/// Addresses, and as many pages, that are remembered; more are not told apart.
const REPORTERS_MAX: usize = 10_000;

/// What has reported something serious within the window: from where, and for which page.
#[derive(Debug, Default)]
pub struct Reporters(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began_at_ms: i64,
    addresses: HashSet<(&'static str, Subject)>,
    pages: HashSet<(&'static str, String)>,
}

impl Reporters {
    /// Whether neither that address nor that page was heard of that before within the window: one
    /// address with many pages counts once, and so does one page at many addresses.
    fn is_new(
        &self,
        violated: &'static str,
        (address, page): (Subject, &str),
        now: Timestamp,
    ) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = now.unix_ms();
        if !(0..WINDOW_MS).contains(&now_ms.saturating_sub(window.began_at_ms)) {
            window.began_at_ms = now_ms;
            window.addresses.clear();
            window.pages.clear();
        }
        let address = (violated, address);
        let page = (violated, page.to_owned());
        let is_known = window.addresses.contains(&address) || window.pages.contains(&page);
        if is_known || window.pages.len() >= REPORTERS_MAX {
            return false;
        }
        // Only together: else one page at many addresses would use them up.
        window.addresses.insert(address) && window.pages.insert(page)
    }
}

/// Takes reports in either form: CSP level 2 (`application/csp-report`) and the Reporting API.
///
/// # Errors
/// `malformed_request` for what is no report.
pub async fn take(
    vault: web::Data<Capture>,
    reporters: web::Data<Reporters>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let malformed = || Problem::new(Code::MalformedRequest);
    let body = request.extensions_mut().remove::<Wiped>();
    let body = body.ok_or_else(malformed)?;
    let said: Value = serde_json::from_slice(body.expose()).map_err(|_| malformed())?;
    let reports = match &said {
        Value::Array(reports) => reports.as_slice(),
        Value::Object(_) => std::slice::from_ref(&said),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(malformed());
        }
    };
    let now = vault.common.now();
    let lifetime_ms = u64::from(vault.common.limits.session_lifetime_s_max).saturating_mul(1_000);
    let query = request.query_string();
    let page = nonce::proven(&vault.session_verify_key, query, (now, lifetime_ms));
    let Some(page) = page else {
        for _ in reports.iter().take(REPORTS_MAX) {
            vault.common.metrics.browser_reported(UNPROVEN);
        }
        return Ok(HttpResponse::NoContent().finish());
    };
    let own = &vault.public_origin;
    let address = envelope::frame(&request)?.origin.address.parse::<IpAddr>();
    for report in reports.iter().take(REPORTS_MAX) {
        let (violated, _) = read(report, own);
        vault.common.metrics.browser_reported(violated);
        let Ok(address) = address else { continue };
        let reporter = (Subject::address(address), page);
        if SERIOUS.contains(&violated) && reporters.is_new(violated, reporter, now) {
            vault.common.metrics.browser_reporter_counted(violated);
        }
    }
    // One line for a request, however much it says.
    let read_all = || reports.iter().map(|report| read(report, own));
    let serious = read_all().find(|(violated, _)| SERIOUS.contains(violated));
    if let Some((violated, blocked)) = serious {
        let blocked = shown(&blocked);
        tracing::warn!(page, violated, blocked, "CSP violation reported");
    } else if let Some((violated, blocked)) = read_all().next() {
        let blocked = shown(&blocked);
        tracing::debug!(
            violated,
            blocked,
            "CSP violation of no consequence reported"
        );
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Has every word that can be reported counted from zero, so that the first report is an increase.
pub fn announce(metrics: &Metrics) {
    for violated in SERIOUS.into_iter().chain(NOISE).chain(["other"]) {
        metrics.browsers_may_report(violated, SERIOUS.contains(&violated));
    }
}

/// The origin as it may stand in the log: a host's name is anybody's to choose, so one with as many
/// digits as a card number, however they are spread, is not told.
fn shown(origin: &str) -> &str {
    let digits = origin.chars().filter(|letter| letter.is_numeric()).count();
    let is_plain = origin.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain && digits <= HOST_DIGITS_MAX {
        origin
    } else {
        UNTOLD
    }
}

/// What was violated, and by what origin; `own` is ours.
fn read(report: &Value, own: &str) -> (&'static str, String) {
    let body = [report.get("csp-report"), report.get("body")];
    let body = body.into_iter().flatten().next().unwrap_or(report);
    let text = |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str());
    let origin_of = |names: [&str; 2]| {
        let url = text(names).and_then(|url| Url::parse(url).ok())?;
        Some((url.scheme().to_owned(), url.origin().ascii_serialization()))
    };
    let (scheme, blocked) = origin_of(["blockedURL", "blocked-uri"]).unwrap_or_default();
    let (source, _) = origin_of(["sourceFile", "source-file"]).unwrap_or_default();
    let of_extension = [&scheme, &source]
        .iter()
        .any(|it| it.ends_with("-extension"));
    let directive = text(["effectiveDirective", "effective-directive"])
        .or_else(|| text(["violated-directive", "violatedDirective"]))
        .and_then(|told| told.split(' ').next());
    let violated = match report.get("type").and_then(Value::as_str) {
        _ if of_extension => EXTENSION,
        // A file of ours without its hash; others' scripts are the policy's business.
        Some("integrity-violation") if blocked == own => "integrity",
        Some("integrity-violation") => "other",
        _ => SERIOUS
            .into_iter()
            .filter(|known| *known != "integrity")
            .chain(NOISE.into_iter().filter(|known| *known != UNPROVEN))
            .find(|known| Some(*known) == directive)
            .unwrap_or("other"),
    };
    (violated, blocked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://cards.example";

    fn told(report: &Value) -> (&'static str, String) {
        read(report, OWN)
    }

    #[test]
    fn both_forms_are_read_and_only_known_words_are_kept() {
        let old = serde_json::json!({ "csp-report": {
            "violated-directive": "script-src-elem", "blocked-uri": "https://evil.example/4242?x",
        }});
        assert_eq!(
            told(&old),
            ("script-src-elem", "https://evil.example".to_owned())
        );
        let new = serde_json::json!({ "type": "csp-violation", "body": {
            "effectiveDirective": "connect-src", "blockedURL": "inline", "sample": "4242",
        }});
        assert_eq!(told(&new), ("connect-src", String::new()));
        let odd = serde_json::json!({ "body": { "effectiveDirective": "<script>" } });
        assert_eq!(told(&odd), ("other", String::new()));
        assert_eq!(told(&Value::Null), ("other", String::new()));
    }

    #[test]
    fn what_ordinary_visits_report_is_noise_and_what_thieves_do_is_not() {
        let csp = |directive: &str, blocked: &str| {
            serde_json::json!({ "csp-report": {
                "effective-directive": directive, "blocked-uri": blocked,
            }})
        };
        let integrity = |blocked: &str| serde_json::json!({ "type": "integrity-violation", "body": { "blockedURL": blocked } });
        for (report, serious) in [
            (csp("img-src", "https://cards.example/favicon.ico"), false),
            (csp("style-src-elem", "inline"), false),
            (csp("font-src", "data"), false),
            (
                csp("script-src-elem", "moz-extension://0b1c/inject.js"),
                false,
            ),
            (
                csp("script-src-elem", "chrome-extension://abc/inject.js"),
                false,
            ),
            (integrity("https://extension.example/a.js"), false),
            (integrity("https://cards.example/fields/v1/a.js"), true),
            (csp("script-src-elem", "inline"), true),
            (csp("connect-src", "https://evil.example/"), true),
            (csp("frame-src", "https://evil.example/"), true),
            (csp("frame-src", "moz-extension://0b1c/menu.html"), false),
            (csp("frame-ancestors", "https://evil.example"), true),
        ] {
            let (violated, _) = told(&report);
            assert_eq!(SERIOUS.contains(&violated), serious, "{report} {violated}");
        }
    }

    #[test]
    fn an_address_and_a_page_are_each_counted_once_an_hour_for_each_thing() {
        let reporters = Reporters::default();
        let new = |violated, last: u8, page, ms| {
            let address = Subject::address([192, 0, 2, last].into());
            reporters.is_new(violated, (address, page), Timestamp::from_unix_ms(ms))
        };
        assert!(new("connect-src", 1, "one", 0));
        assert!(!new("connect-src", 1, "one", WINDOW_MS - 1));
        assert!(new("script-src", 1, "one", 1));
        assert!(!new("connect-src", 1, "two", 2), "one address, many pages");
        assert!(!new("connect-src", 2, "one", 2), "one page, many addresses");
        assert!(new("connect-src", 2, "two", 2), "neither was used up");
        assert!(new("connect-src", 1, "one", WINDOW_MS));
    }

    #[test]
    fn a_host_that_may_be_made_of_a_card_number_is_not_told() {
        for (blocked, is_told) in [
            ("https://evil.example:8443/x.js", true),
            ("https://d111111abcdef8.cdn.example/", true),
            ("https://4242424242424242.evil.example/", false),
            ("https://4242.4242.4242.4242.evil.example/", false),
            ("https://a4242b4242c4242d4242.example/", false),
            ("https://x42424242424.example:42424/", false),
            // In Punycode it shows no number.
            ("https://٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢.example/", true),
        ] {
            let report = serde_json::json!({ "csp-report": {
                "effective-directive": "script-src-elem", "blocked-uri": blocked,
            }});
            let (_, origin) = told(&report);
            assert_eq!(shown(&origin) != UNTOLD, is_told, "{blocked} {origin}");
        }
    }
}
