//! The dictionaries of pci-docs/logging.md against the code: fields and spans of the log, kinds of
//! audit events, metrics.

use std::collections::BTreeSet;

use cloakroom::audit::Action;

use super::tables::tables;
use super::{files, read};

/// Macros that write a line, or open a span.
const WRITERS: [&str; 6] = [
    "error!(", "warn!(", "info!(", "debug!(", "trace!(", "_span!(",
];
/// Fields that the formatter itself writes.
const OF_THE_FORMATTER: [&str; 6] = ["timestamp", "level", "target", "message", "spans", "name"];
/// What `dev` and the tests have besides the service.
const NOT_THE_SERVICE: [&str; 2] = ["src/sandbox/", "src/cli/dev/"];

/// What stands between the parenthesis that a text begins behind and its own end, cut at the
/// commas that are not within anything.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut is_text, mut is_escaped) =
        (vec![String::new()], 0_u32, false, false);
    for letter in text.chars() {
        let is_deep = depth > 0 || is_text;
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            '(' | '[' | '{' if !is_text => depth = depth.saturating_add(1),
            ')' | ']' | '}' if !is_text && depth == 0 => break,
            ')' | ']' | '}' if !is_text => depth = depth.saturating_sub(1),
            ',' if !is_deep => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(letter);
    }
    found
        .iter()
        .map(|argument| argument.trim().to_owned())
        .collect()
}

/// The fields that a source writes into the log.
fn fields(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for writer in WRITERS {
        for rest in code.split(writer).skip(1) {
            for argument in arguments(rest) {
                if argument.starts_with('"') {
                    // The sentence; a span's name comes before its fields.
                    if writer == "_span!(" {
                        continue;
                    }
                    break;
                }
                let is_said_of_it = ["target:", "parent:", "name:"];
                if argument.is_empty()
                    || is_said_of_it.iter().any(|said| argument.starts_with(said))
                {
                    continue;
                }
                let name = argument.trim_start_matches(['%', '?']);
                let name = name.split('=').next().unwrap().trim();
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// The names of the spans that a source opens.
fn spans(code: &str) -> BTreeSet<String> {
    let instrumented = code.split("instrument(name = \"").skip(1);
    let opened = code.split("_span!(").skip(1);
    let opened = opened.filter_map(|rest| rest.trim_start().strip_prefix('"'));
    let names = instrumented.chain(opened);
    names
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Every source of the service without its tests.
fn sources() -> Vec<String> {
    let all = files("src", ".rs").into_iter();
    let own = all.filter(|(path, _)| {
        !path.contains("/tests") && !NOT_THE_SERVICE.iter().any(|other| path.starts_with(other))
    });
    own.map(|(_, text)| {
        text.split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .to_owned()
    })
    .collect()
}

/// What stands between backticks in the first column of the table under a heading.
fn dictionary(document: &str, heading: &str, column: &str) -> BTreeSet<String> {
    let all = tables(document);
    let mut tables = all.iter().filter(|table| table.heading == heading);
    let table = tables.find(|table| table.columns[0] == column).unwrap();
    let cells = table.rows.iter().map(|row| row[0].as_str());
    cells.flat_map(named).collect()
}

fn named(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_dictionary_of_the_log_names_each_field_of_the_code_and_no_other() {
    let document = read("pci-docs/logging.md");
    let written: BTreeSet<String> = sources().iter().flat_map(|code| fields(code)).collect();
    let told = dictionary(&document, "Log fields", "field");
    let own: BTreeSet<String> = OF_THE_FORMATTER.iter().map(ToString::to_string).collect();
    let told: BTreeSet<String> = told.difference(&own).cloned().collect();
    let written: BTreeSet<String> = written.difference(&own).cloned().collect();
    assert_eq!(told, written);
    let opened: BTreeSet<String> = sources().iter().flat_map(|code| spans(code)).collect();
    let line = document
        .lines()
        .find(|line| line.starts_with("Spans: "))
        .unwrap();
    assert_eq!(named(line).into_iter().collect::<BTreeSet<_>>(), opened);
}

#[test]
fn a_field_that_is_in_no_dictionary_is_found() {
    let code = r#"
        tracing::warn!(%failure, pan = card.number(), "a sentence, with (a comma)");
        let span = tracing::info_span!("http.request", plane = name(a, b), request_id = %id);
        tracing::info!(target: "x", rows, "of {}, {rows}", 1);
        #[tracing::instrument(name = "token.create", skip_all)]
    "#;
    let found: Vec<String> = fields(code).into_iter().collect();
    assert_eq!(found, ["failure", "pan", "plane", "request_id", "rows"]);
    let opened: Vec<String> = spans(code).into_iter().collect();
    assert_eq!(opened, ["http.request", "token.create"]);
    let told = dictionary(&read("pci-docs/logging.md"), "Log fields", "field");
    assert!(!told.contains("pan") && told.contains("failure"));
}

#[test]
fn the_catalogue_of_events_is_the_codes() {
    let document = read("pci-docs/logging.md");
    let told = dictionary(&document, "Audit events", "action");
    let own: BTreeSet<String> = Action::ALL
        .iter()
        .map(|action| action.name().to_owned())
        .collect();
    assert_eq!(told, own);
}

#[test]
fn the_table_of_metrics_has_each_metric_of_the_code_and_no_other() {
    let document = read("pci-docs/logging.md");
    let told = dictionary(&document, "Metrics", "metric");
    let telemetry = files("src/telemetry", ".rs");
    let code: String = telemetry
        .iter()
        .filter(|(path, _)| !path.contains("/tests"))
        .map(|(_, text)| text.split("#[cfg(test)]\nmod tests {").next().unwrap())
        .collect();
    let is_metric = |text: &&str| {
        let begins = ["cloakroom_", "http_server_", "process_"];
        begins.iter().any(|begin| text.starts_with(begin))
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let texts = code.split('"').skip(1).step_by(2);
    let own: BTreeSet<String> = texts.filter(is_metric).map(str::to_owned).collect();
    assert_eq!(told, own);
}
