//! The reference of the configuration, made from its structures: every key, its default, and what it
//! is for. Sections and keys are in alphabetical order.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Config;

/// What stands for a name that the operator chooses: of an account, of a rule.
const NAME: &str = "NAME";

/// The JSON schema (2020-12) of the whole configuration.
#[must_use]
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

/// The tables of the reference, as Markdown: one for each section.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    section(&mut text, &Path::default(), &schema());
    text
}

/// Where a section stands in the file.
#[derive(Clone, Default)]
struct Path {
    names: Vec<String>,
    is_array: bool,
}

impl Path {
    fn child(&self, name: &str, is_array: bool) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        Self { names, is_array }
    }

    fn heading(&self) -> String {
        let names = self.names.join(".");
        match (self.names.is_empty(), self.is_array) {
            (true, _) => "Top level".to_owned(),
            (false, false) => format!("`[{names}]`"),
            (false, true) => format!("`[[{names}]]`"),
        }
    }
}

/// A section's keys in a table, and then the sections in it.
fn section(text: &mut String, path: &Path, object: &Value) {
    let no_keys = Map::new();
    let keys = object["properties"].as_object().unwrap_or(&no_keys);
    let required: Vec<&str> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (mut rows, mut sections) = (String::new(), Vec::new());
    for (key, of) in keys {
        if let Some((path, object)) = subsection(path, key, of) {
            sections.push((path, object));
        } else {
            let default = default(of, required.contains(&key.as_str()));
            let what = of["description"].as_str().unwrap_or_default();
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            // Writing to a text does not fail.
            let _written = writeln!(rows, "| `{key}` | {default} | {what} |");
        }
    }
    if !rows.is_empty() {
        let heading = path.heading();
        let about = object["description"].as_str().unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let _written = writeln!(
            text,
            "## {heading}\n\n{about}\n\n| key | default | what |\n| --- | --- | --- |\n{rows}"
        );
    }
    for (path, object) in sections {
        section(text, &path, &object);
    }
}

/// The section that a key opens, where it is no value.
fn subsection(path: &Path, key: &str, of: &Value) -> Option<(Path, Value)> {
    let of = without_null(of);
    if let Some(items) = of.get("items").filter(|items| is_object(items)) {
        return Some((path.child(key, true), items.clone()));
    }
    // One of several sections, each under its own name.
    if let Some(variants) = of.get("oneOf").and_then(Value::as_array) {
        let mut all = Map::new();
        for variant in variants {
            all.extend(variant["properties"].as_object()?.clone());
        }
        let all = serde_json::json!({ "properties": all });
        return Some((path.child(key, false), all));
    }
    if let Some(each) = named(&of) {
        let path = path.child(key, false).child(NAME, false);
        return is_object(each).then(|| (path, each.clone()));
    }
    is_object(&of).then(|| (path.child(key, false), of.clone()))
}

/// What stands under each of the names that the operator chooses.
fn named(of: &Value) -> Option<&Value> {
    of.get("additionalProperties").filter(|of| of.is_object())
}

fn is_object(of: &Value) -> bool {
    of.get("properties").is_some() || of.get("oneOf").is_some_and(has_objects)
}

fn has_objects(variants: &Value) -> bool {
    let variants = variants.as_array();
    variants.is_some_and(|all| all.iter().all(|one| one.get("properties").is_some()))
}

/// A section that may be left out is an object or nothing.
fn without_null(of: &Value) -> Value {
    let variants = of["anyOf"].as_array();
    let one = variants.and_then(|all| all.iter().find(|one| one["type"] != "null"));
    one.unwrap_or(of).clone()
}

fn default(of: &Value, is_required: bool) -> String {
    if is_required {
        return "required".to_owned();
    }
    if let Some(named) = of["x-default"].as_str() {
        return named.to_owned();
    }
    match &of["default"] {
        Value::Number(number) => format!("`{}`", grouped(&number.to_string())),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "empty".to_owned(),
        Value::Null if of["type"] == "array" => "empty".to_owned(),
        Value::Null | Value::Object(_) => "none".to_owned(),
    }
}

/// Digits in threes, as TOML takes them.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let rest = digits.len().saturating_sub(place);
        if place > 0 && rest.is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_toml_takes_them() {
        let written = ["5", "128", "5000", "86400", "1000000"].map(grouped);
        assert_eq!(written, ["5", "128", "5_000", "86_400", "1_000_000"]);
    }

    #[test]
    fn every_section_of_the_file_has_its_table() {
        let text = reference();
        for heading in [
            "Top level",
            "`[capture]`",
            "`[store.sqlite]`",
            "`[store.postgres]`",
            "`[keys.pkcs11]`",
            "`[accounts.NAME.processor.stripe]`",
            "`[[clients]]`",
            "`[[audit.sinks]]`",
            "`[alerts.mail]`",
            "`[watch.rules.NAME]`",
            "`[limits]`",
        ] {
            assert!(
                text.contains(&format!("## {heading}\n")),
                "{heading}\n{text}"
            );
        }
        assert!(text.contains("| `listen` | required | "), "{text}");
        assert!(text.contains("| `drain_s` | `5` | Seconds "), "{text}");
        assert!(text.contains("| `work_lease_ms` | `8_000` | "), "{text}");
        assert!(text.contains("| `level` | `info` | "), "{text}");
        assert!(text.contains("| `ca_file` | none | "), "{text}");
    }
}
