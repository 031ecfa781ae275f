//! The documents of this build: that each control has its test, and that the bills are this build's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::audit::Action;
use crate::evidence::{Bundle, Look, PAPERS, Row, controls};

const TESTS: &str = "tests/map.json";
const CATALOGUE: &str = "audit/catalogue.json";
/// What was locked when this was built.
const LOCK: &str = include_str!("../../../Cargo.lock");

pub(super) fn look(_: &Scene, bundle: &mut Bundle) {
    let text = |name: &str| {
        let paper = PAPERS.iter().find(|paper| paper.path.ends_with(name));
        paper.map(|paper| paper.text).unwrap_or_default()
    };
    tests(&controls(text("controls.md")), bundle);
    materials(text("sbom.cdx.json"), LOCK, bundle);
    catalogue(text("logging.md"), bundle);
}

fn tests(rows: &[Row], bundle: &mut Bundle) {
    let mut look = Look::at(
        "test_map",
        "each control names the tests that show it",
        &["6.2.3", "12.4.2"],
    );
    let ids: BTreeSet<&String> = rows.iter().flat_map(|row| &row.requirements).collect();
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| &row.tests).collect();
    look.must(
        !rows.is_empty(),
        format_args!(
            "{} controls for {} requirements, {} tests",
            rows.len(),
            ids.len(),
            names.len()
        ),
    );
    for row in rows.iter().filter(|row| row.tests.is_empty()) {
        look.must(
            false,
            format_args!("{} has no test", row.requirements.join(", ")),
        );
    }
    let shown: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "requirements": row.requirements, "tests": row.tests }))
        .collect();
    look.again("tests/run");
    look.shown_in(TESTS);
    look.shown_in("documents/controls.md");
    bundle.json(TESTS, &shown);
    bundle.check(look.done());
}

/// Every component of the bill stands in the lock file of this build, in that version.
fn materials(bill: &str, locked: &str, bundle: &mut Bundle) {
    let mut look = Look::at(
        "bill_of_materials",
        "the bill of materials is that of this build",
        &["6.3.2"],
    );
    let bill: Value = serde_json::from_str(bill).unwrap_or_default();
    let text = |of: &Value, name: &str| {
        of.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let own = bill
        .pointer("/metadata/component")
        .cloned()
        .unwrap_or_default();
    let version = text(&own, "version");
    look.must(
        version == env!("CARGO_PKG_VERSION"),
        format_args!("it is of {} {version}", text(&own, "name")),
    );
    let components = bill.get("components").and_then(Value::as_array);
    let components: Vec<&Value> = components.into_iter().flatten().collect();
    let is_locked = |component: &&&Value| {
        let (name, version) = (text(component, "name"), text(component, "version"));
        locked.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
    };
    for other in components.iter().filter(|component| !is_locked(component)) {
        look.must(
            false,
            format_args!(
                "{} {} is not locked",
                text(other, "name"),
                text(other, "version")
            ),
        );
    }
    look.must(
        !components.is_empty(),
        format_args!("{} components", components.len()),
    );
    look.again("cargo tree --locked --no-default-features -e normal");
    look.shown_in("documents/supply/sbom.cdx.json");
    bundle.check(look.done());
}

fn catalogue(dictionary: &str, bundle: &mut Bundle) {
    let mut look = Look::at(
        "event_catalogue",
        "every kind of audit event is in the dictionary that is handed to assessors",
        &["10.2.1", "10.2.2"],
    );
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !dictionary.contains(&format!("`{name}`")))
        .collect();
    for name in &missing {
        look.must(false, format_args!("{name} is not in it"));
    }
    look.must(
        missing.is_empty(),
        format_args!("{} kinds of events", names.len()),
    );
    look.again("cloakroom audit export");
    look.shown_in(CATALOGUE);
    look.shown_in("documents/logging.md");
    bundle.json(CATALOGUE, &names);
    bundle.check(look.done());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Check, Verdict};

    fn check(make: impl Fn(&mut Bundle)) -> Check {
        let mut bundle = Bundle::default();
        make(&mut bundle);
        bundle.checks().first().unwrap().clone()
    }

    #[test]
    fn a_control_without_a_test_turns_its_check_red() {
        let row = |tests: &[&str]| Row {
            requirements: vec!["3.4.1".to_owned()],
            tests: tests.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(check(|b| tests(&[row(&["one"])], b)).verdict, Verdict::Pass);
        let red = check(|b| tests(&[row(&["one"]), row(&[])], b));
        assert_eq!(red.verdict, Verdict::Fail);
        assert_eq!(check(|b| tests(&[], b)).verdict, Verdict::Fail);
    }

    #[test]
    fn a_bill_of_another_build_turns_its_check_red() {
        let bill = |version: &str, part: &str| {
            json!({
                "metadata": { "component": { "name": "cloakroom", "version": version } },
                "components": [{ "name": "ring", "version": part }],
            })
            .to_string()
        };
        let lock = "name = \"ring\"\nversion = \"1.0.0\"\n";
        let own = env!("CARGO_PKG_VERSION");
        let verdict = |bill: &str| check(|b| materials(bill, lock, b)).verdict;
        assert_eq!(verdict(&bill(own, "1.0.0")), Verdict::Pass);
        assert_eq!(verdict(&bill(own, "1.0.1")), Verdict::Fail);
        assert_eq!(verdict(&bill("9.9.9", "1.0.0")), Verdict::Fail);
        assert_eq!(verdict("{}"), Verdict::Fail);
    }

    #[test]
    fn an_event_that_is_not_in_the_dictionary_turns_its_check_red() {
        let names = Action::ALL.iter();
        let whole = names.fold(String::new(), |text, action| {
            text + "`" + action.name() + "` "
        });
        assert_eq!(check(|b| catalogue(&whole, b)).verdict, Verdict::Pass);
        let cut = whole.replace("`token.opened`", "");
        let red = check(|b| catalogue(&cut, b));
        assert_eq!(red.verdict, Verdict::Fail);
        assert_eq!(
            red.observations.first().unwrap(),
            "fail: token.opened is not in it"
        );
    }
}
