//! How the status page looks: one document, its style named by its hash, nothing from anywhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::figures::Seen;
use super::{Figure, Group};
use crate::clock::Timestamp;
use crate::http::fields::escaped;
use crate::http::health::{Line, State};

const STYLE: &str = include_str!("status.css");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

pub(super) fn answer(groups: &[Group], lines: &[Line], seen: &Seen<'_>) -> HttpResponse {
    let common = &seen.health.common;
    let (verdict, state) = verdict(lines);
    let mut contents = String::new();
    let mut sections = String::new();
    for group in groups {
        let id = anchor(group.title);
        let title = group.title;
        // Writing to a String cannot fail.
        let _infallible = write!(contents, "<li><a href=\"#{id}\">{title}</a></li>");
        let _infallible = write!(
            sections,
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2><dl>"
        );
        for figure in &group.figures {
            sections.push_str(&shown(figure, seen.now));
        }
        sections.push_str("</dl></section>");
    }
    let node = escaped(&common.node);
    let environment = common.environment.name();
    let now = seen.now.rfc3339();
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>{verdict}: {node}, {environment}</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head><body>\
             <main><h1>{node}, {environment}: <span class=\"{state}\">{verdict}</span></h1>\
             <p>Read at <time datetime=\"{now}\">{now}</time>; <a href=\"{path}\">read again</a>.</p>\
             <p>Metrics are this process's, counted since it started. Tables are the whole \
             store's.</p><nav aria-label=\"Parts of this page\"><ul>{contents}</ul></nav>\
             {sections}</main></body></html>",
            path = super::PATH,
        ))
}

/// How all of it is: as its worst line.
fn verdict(lines: &[Line]) -> (&'static str, &'static str) {
    let any = |state: State| lines.iter().any(|line| line.state == state);
    if any(State::Failed) {
        ("Not ready", class(State::Failed))
    } else if any(State::Warning) {
        ("Ready, with warnings", class(State::Warning))
    } else {
        ("Ready", class(State::Ok))
    }
}

const fn class(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "failed",
        State::NotApplicable => "none",
    }
}

fn shown(figure: &Figure, read_at: Timestamp) -> String {
    // Colour alone says nothing: what is wrong is also said.
    let (class, word) = match figure.state {
        None | Some(State::NotApplicable) => ("", ""),
        Some(State::Ok) => (" ok", ""),
        Some(State::Warning) => (" warning", " (look at it)"),
        Some(State::Failed) => (" failed", " (mend it)"),
    };
    let moment = read_at.rfc3339();
    // The day stands at the head of the page.
    let time = moment.split_once('T').map_or("", |(_, time)| time);
    format!(
        "<div><dt>{name}</dt><dd class=\"value{class}\">{value}{word}</dd>\
         <dd class=\"source\"><code>{source}</code>, <time datetime=\"{at}\">{time}</time></dd></div>",
        name = escaped(&figure.name),
        value = escaped(&figure.value),
        source = escaped(figure.source),
        at = moment,
    )
}

fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_markup_and_no_state_is_said_by_colour_alone() {
        let figure = Figure {
            name: "<b>".to_owned(),
            value: "\"><script>".to_owned(),
            state: Some(State::Failed),
            source: "/readyz",
        };
        let shown = shown(&figure, Timestamp::from_unix_ms(1_700_000_000_000));
        assert!(
            !shown.contains("<b>") && !shown.contains("<script>"),
            "{shown}"
        );
        assert!(shown.contains("failed") && shown.contains("(mend it)"));
    }

    #[test]
    fn the_whole_is_as_its_worst_line() {
        let line = |state| Line {
            name: "x",
            state,
            detail: None,
        };
        let both = [line(State::Warning), line(State::Failed)];
        assert_eq!(verdict(&both).0, "Not ready");
        assert_eq!(verdict(&both[..1]).0, "Ready, with warnings");
        assert_eq!(verdict(&[line(State::NotApplicable)]).0, "Ready");
    }
}
