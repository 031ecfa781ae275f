//! The dictionary of the log against the lines of every test's service.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Where a service writes its log, alone or in two processes.
const LOGS: [&str; 3] = ["log", "capture-log", "internal-log"];

/// The fields that pci-docs/logging.md tells of.
fn dictionary() -> BTreeSet<String> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/pci-docs/logging.md");
    let document = fs::read_to_string(document).unwrap();
    let section = document.split("\n## Log fields\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| {
        let first = row.split(" | ").next().unwrap();
        first.split('`').skip(1).step_by(2)
    });
    // Of a span in `spans`.
    names.chain(["name"]).map(str::to_owned).collect()
}

/// The fields of a line that no dictionary has.
fn unknown(line: &str, dictionary: &BTreeSet<String>) -> Vec<String> {
    // What is no JSON is the terminal's: a greeting, or why a command ended.
    let Ok(Value::Object(line)) = serde_json::from_str(line) else {
        return Vec::new();
    };
    // The sandbox is another party, which runs beside the service in `dev`.
    let is_other = line
        .get("target")
        .and_then(Value::as_str)
        .is_some_and(|target| target.starts_with("cloakroom::sandbox"));
    if is_other {
        return Vec::new();
    }
    let spans = line.get("spans").and_then(Value::as_array);
    let spans = spans.into_iter().flatten().filter_map(Value::as_object);
    let of_spans = spans.flat_map(|span| span.keys());
    let all = line.keys().chain(of_spans);
    all.filter(|field| !dictionary.contains(*field))
        .cloned()
        .collect()
}

/// Panics when a log has a field that the dictionary has not.
pub(crate) fn assert_known(dir: &Path) {
    let dictionary = dictionary();
    for name in LOGS {
        let log = fs::read_to_string(dir.join(name)).unwrap_or_default();
        for line in log.lines() {
            let unknown = unknown(line, &dictionary);
            assert!(
                unknown.is_empty(),
                "{unknown:?} is not in pci-docs/logging.md"
            );
        }
    }
}

#[test]
fn a_line_with_a_field_that_nobody_knows_is_found() {
    let dictionary = dictionary();
    let known = r#"{"timestamp":"t","level":"INFO","message":"m","target":"x","route":"/","spans":[{"name":"http.request","plane":"capture"}]}"#;
    assert_eq!(unknown(known, &dictionary), Vec::<String>::new());
    let more = known.replace("\"route\"", "\"pan\"");
    assert_eq!(unknown(&more, &dictionary), ["pan"]);
    let within = known.replace("\"plane\"", "\"card\"");
    assert_eq!(unknown(&within, &dictionary), ["card"]);
    assert_eq!(
        unknown("Cloakroom is running.", &dictionary),
        Vec::<String>::new()
    );
}
