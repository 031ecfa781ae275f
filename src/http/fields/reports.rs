//! `POST /fields/v1/reports`: a browser tells that a page of ours was kept from doing something.
//!
//! On our pages nothing is ever violated, so each report is a defect or an attack and is alerted on:
//! a count by what was violated, and a line in the log. Reports are anybody's words, so nothing of
//! them is kept but what is on a list here, and the origin that was blocked.

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use serde_json::Value;
use url::Url;

use crate::http::body::Wiped;
use crate::problem::{Code, Problem};
use crate::telemetry::Metrics;
use crate::vault::Capture;

/// Reports of one request that are looked at.
const REPORTS_MAX: usize = 20;

/// What can be violated; anything else is `other`.
const VIOLATED: [&str; 12] = [
    "script-src",
    "script-src-elem",
    "script-src-attr",
    "style-src",
    "style-src-elem",
    "style-src-attr",
    "connect-src",
    "frame-ancestors",
    "form-action",
    "base-uri",
    "require-trusted-types-for",
    "integrity",
];

/// Takes reports in either form: CSP level 2 (`application/csp-report`) and the Reporting API.
///
/// # Errors
/// `malformed_request` for what is no report.
pub async fn take(
    vault: web::Data<Capture>,
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
    for report in reports.iter().take(REPORTS_MAX) {
        vault.common.metrics.browser_reported(read(report).0);
    }
    // One line for a request, however much it says: anybody may write here.
    if let Some((violated, blocked)) = reports.first().map(read) {
        tracing::warn!(
            violated,
            blocked,
            "a browser kept a page of ours from something"
        );
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Has every word that can be reported counted from nought, so that the first report is an increase.
pub fn announce(metrics: &Metrics) {
    for violated in VIOLATED.into_iter().chain(["other"]) {
        metrics.browsers_may_report(violated);
    }
}

/// What was violated, and by what origin.
fn read(report: &Value) -> (&'static str, String) {
    let body = [report.get("csp-report"), report.get("body")];
    let body = body.into_iter().flatten().next().unwrap_or(report);
    let text = |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str());
    let violated = match report.get("type").and_then(Value::as_str) {
        Some("integrity-violation") => "integrity",
        _ => text(["effectiveDirective", "effective-directive"])
            .or_else(|| text(["violated-directive", "violatedDirective"]))
            .and_then(|told| told.split(' ').next())
            .and_then(|told| VIOLATED.iter().copied().find(|known| *known == told))
            .unwrap_or("other"),
    };
    let blocked = text(["blockedURL", "blocked-uri"])
        .and_then(|url| Url::parse(url).ok())
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    (violated, blocked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_only_known_words_are_kept() {
        let old = serde_json::json!({ "csp-report": {
            "violated-directive": "script-src-elem", "blocked-uri": "https://evil.example/4242?x",
        }});
        assert_eq!(
            read(&old),
            ("script-src-elem", "https://evil.example".to_owned())
        );
        let new = serde_json::json!({ "type": "csp-violation", "body": {
            "effectiveDirective": "connect-src", "blockedURL": "inline", "sample": "4242",
        }});
        assert_eq!(read(&new), ("connect-src", String::new()));
        let integrity = serde_json::json!({ "type": "integrity-violation", "body": {
            "blockedURL": "https://evil.example/a.js",
        }});
        assert_eq!(read(&integrity).0, "integrity");
        let odd = serde_json::json!({ "body": { "effectiveDirective": "<script>" } });
        assert_eq!(read(&odd), ("other", String::new()));
        assert_eq!(read(&Value::Null), ("other", String::new()));
    }
}
