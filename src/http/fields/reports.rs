//! `POST /fields/v1/reports`: a browser tells that a page of ours was kept from doing something.
//!
//! Each report is counted by what was violated. Extensions put styles, icons and fonts into pages,
//! so most reports of ordinary visits say nothing; a script, a connection or a frame that was kept
//! out is a defect or an attack, and is alerted on once several addresses have reported it: anybody
//! may write here, and one browser may be full of anything. Reports are anybody's words, so nothing
//! of them is kept but what is on a list here, and the origin that was blocked.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use serde_json::Value;
use url::Url;

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
const NOISE: [&str; 7] = [
    "style-src",
    "style-src-elem",
    "style-src-attr",
    "img-src",
    "font-src",
    "media-src",
    EXTENSION,
];

/// Whatever it was, a browser's extension did it, and says so by its address.
const EXTENSION: &str = "extension";

/// Milliseconds for which an address that has reported something is not counted again.
const WINDOW_MS: i64 = 3_600_000;
/// Addresses that are remembered; more are not told apart.
const ADDRESSES_MAX: usize = 10_000;

/// The addresses that have reported something serious within the window.
#[derive(Debug, Default)]
pub struct Reporters(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began_at_ms: i64,
    seen: HashSet<(&'static str, Subject)>,
}

impl Reporters {
    /// Whether that address is the first time heard of that within the window.
    fn is_new(&self, violated: &'static str, address: Subject, now: Timestamp) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = now.unix_ms();
        if !(0..WINDOW_MS).contains(&now_ms.saturating_sub(window.began_at_ms)) {
            window.began_at_ms = now_ms;
            window.seen.clear();
        }
        window.seen.len() < ADDRESSES_MAX && window.seen.insert((violated, address))
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
    let own = &vault.public_origin;
    let address = envelope::frame(&request)?.origin.address.parse::<IpAddr>();
    for report in reports.iter().take(REPORTS_MAX) {
        let (violated, _) = read(report, own);
        vault.common.metrics.browser_reported(violated);
        let Ok(address) = address else { continue };
        let address = Subject::address(address);
        if SERIOUS.contains(&violated) && reporters.is_new(violated, address, vault.common.now()) {
            vault.common.metrics.browser_reporter_counted(violated);
        }
    }
    // One line for a request, however much it says: anybody may write here.
    let read_all = || reports.iter().map(|report| read(report, own));
    let serious = read_all().find(|(violated, _)| SERIOUS.contains(violated));
    if let Some((violated, blocked)) = serious {
        tracing::warn!(violated, blocked, "CSP violation reported");
    } else if let Some((violated, blocked)) = read_all().next() {
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
            .chain(NOISE)
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
    fn an_address_is_counted_once_an_hour_for_each_thing() {
        let reporters = Reporters::default();
        let address = |last: u8| Subject::address([192, 0, 2, last].into());
        let at = Timestamp::from_unix_ms;
        assert!(reporters.is_new("connect-src", address(1), at(0)));
        assert!(!reporters.is_new("connect-src", address(1), at(WINDOW_MS - 1)));
        assert!(reporters.is_new("script-src", address(1), at(1)));
        assert!(reporters.is_new("connect-src", address(2), at(2)));
        assert!(reporters.is_new("connect-src", address(1), at(WINDOW_MS)));
    }
}
