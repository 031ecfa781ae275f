//! The responsibility matrix: every requirement once, each with its owner, and what is ours with its
//! proof.

use std::collections::{BTreeMap, BTreeSet};

use crate::controls::{self, proofs};
use crate::identifiers::{REQUIREMENTS, SERVICE_PROVIDERS_ONLY};
use crate::tables::{Table, tables};
use crate::{files, read};

const FILE: &str = "pci-docs/responsibilities.md";

const OWNERS: &[&str] = &["us", "operator", "processor", "none"];

type Proofs = BTreeMap<String, BTreeSet<String>>;

/// What is wrong with a matrix, in words.
fn faults(document: &str, proofs: &Proofs) -> Vec<String> {
    let mut faults = Vec::new();
    let tables: Vec<Table> = tables(document)
        .into_iter()
        .filter(|table| table.columns[0] == "id")
        .collect();
    let (mut proved, mut nobodys) = (0, 0);
    let mut ours = BTreeSet::new();
    for (heading, count, ids) in REQUIREMENTS {
        let of = |table: &&Table| table.heading.split(':').next() == Some(*heading);
        let Some(table) = tables.iter().find(of) else {
            faults.push(format!("{heading} has no table"));
            continue;
        };
        let expected: Vec<&str> = ids.split_whitespace().collect();
        let there: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        if there != expected {
            faults.push(differs(heading, &there, &expected));
        }
        if there.len() != *count {
            faults.push(format!("{heading} has {} rows", there.len()));
        }
        for row in &table.rows {
            faults.extend(wrong_with(row, proofs));
            nobodys += usize::from(row[1] == "none");
            if is_ours(row) {
                ours.insert(row[0].clone());
                proved += usize::from(is_proved(&row[0], proofs));
            }
        }
    }
    for id in proofs.keys().filter(|id| !ours.contains(*id)) {
        faults.push(format!("{id} is in {} and not ours", controls::FILE));
    }
    let count: usize = REQUIREMENTS.iter().map(|(_, count, _)| count).sum();
    let headline = format!(
        "{count} requirements, {proved} proved by an automated check here, \
         the rest named with their owner."
    );
    let shares = format!(
        "Ours in whole or in part are {}, with others alone lie {}, and {nobodys} are not applicable.",
        ours.len(),
        count.saturating_sub(ours.len() + nobodys),
    );
    for sentence in [headline, shares] {
        if !document.lines().any(|line| line == sentence) {
            faults.push(format!("the headline is to say: {sentence}"));
        }
    }
    faults
}

fn differs(heading: &str, there: &[&str], expected: &[&str]) -> String {
    let missing = expected.iter().filter(|id| !there.contains(id));
    let missing: Vec<&&str> = missing.collect();
    let added: Vec<&&str> = there.iter().filter(|id| !expected.contains(id)).collect();
    format!(
        "{heading}: missing {missing:?}, not in the standard {added:?}, or doubled, or in another order"
    )
}

fn is_ours(row: &[String]) -> bool {
    row.get(1)
        .is_some_and(|who| who.split(", ").any(|owner| owner == "us"))
}

fn is_proved(id: &str, proofs: &Proofs) -> bool {
    proofs.get(id).is_some_and(|tests| !tests.is_empty())
}

/// What is wrong with one row.
fn wrong_with(row: &[String], proofs: &Proofs) -> Vec<String> {
    let [id, who, what, shown] = row else {
        return vec![format!("{row:?} has not four cells")];
    };
    let mut wrong = Vec::new();
    let mut must = |holds: bool, why: &str| {
        if !holds {
            wrong.push(format!("{id}: {why}"));
        }
    };
    let owners: Vec<&str> = who.split(", ").collect();
    let known = owners.iter().all(|owner| OWNERS.contains(owner));
    let once = owners.iter().collect::<BTreeSet<_>>().len() == owners.len();
    must(known && once, "an owner is not known, or there twice");
    let not_applicable = what.starts_with("Not applicable: ");
    must(
        owners.contains(&"none") == not_applicable,
        "what is nobody's is not applicable, for a reason",
    );
    must(
        !owners.contains(&"none") || owners.len() == 1,
        "none and somebody",
    );
    must(
        what.len() > 8 && what.ends_with('.'),
        "no sentence says what",
    );
    must(
        what.contains("Service providers only") == SERVICE_PROVIDERS_ONLY.contains(&id.as_str()),
        "for service providers only, and not said so, or the other way round",
    );
    if is_ours(row) {
        let reason = shown.strip_prefix("not tested: ");
        let is_told = shown == "controls" && is_proved(id, proofs)
            || reason.is_some_and(|reason| reason.len() > 8) && !proofs.contains_key(id);
        must(is_told, "ours, without a test in the controls or a reason");
        let says = !owners.contains(&"operator") || what.contains("Left: ");
        must(says, "the operator's part is not said");
    } else {
        must(shown == "-", "a proof, though nothing of it is ours");
    }
    wrong
}

fn of_the_controls() -> Proofs {
    proofs(&read(controls::FILE))
}

#[test]
fn the_matrix_has_every_requirement_once_with_an_owner_and_its_headline_is_true() {
    let faults = faults(&read(FILE), &of_the_controls());
    assert!(faults.is_empty(), "{FILE}:\n{}", faults.join("\n"));
}

#[test]
fn every_test_of_the_controls_exists() {
    let sources: String = ["src", "tests", "benches"]
        .iter()
        .flat_map(|below| files(below, ".rs"))
        .map(|(_, text)| text)
        .collect();
    let proofs = of_the_controls();
    assert!(proofs.len() > 50, "{} identifiers", proofs.len());
    for (id, tests) in proofs {
        assert!(!tests.is_empty(), "{id} is shown by nothing");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "{id}: {test}");
        }
    }
}

#[test]
fn a_matrix_with_a_fault_is_not_taken() {
    let (matrix, proofs) = (read(FILE), of_the_controls());
    let row = |id: &str| {
        let begins = format!("| {id} | ");
        let line = matrix.lines().find(|line| line.starts_with(&begins));
        format!("{}\n", line.unwrap())
    };
    let (first, ours) = (row("1.1.1"), row("8.6.2"));
    for (from, to, why) in [
        (first.clone(), String::new(), "missing [\"1.1.1\"]"),
        (first.clone(), first.repeat(2), "Requirement 1 has 20 rows"),
        (
            first.clone(),
            first.replace("1.1.1", "1.1.9"),
            "not in the standard [\"1.1.9\"]",
        ),
        (
            first.clone(),
            first.replace("operator", "somebody"),
            "1.1.1: an owner is not known",
        ),
        (
            first.clone(),
            first.replace("| - |", "| controls |"),
            "1.1.1: a proof, though",
        ),
        (
            first.clone(),
            first.replace("| operator |", "| none |"),
            "1.1.1: what is nobody's",
        ),
        (
            first.clone(),
            first.replace("operator", "us"),
            "1.1.1: ours, without a test",
        ),
        (
            first.clone(),
            first.replace(". | -", ". Service providers only. | -"),
            "1.1.1: for service",
        ),
        (
            first.clone(),
            first.replace(" | - |", " |"),
            "has not four cells",
        ),
        (
            ours.clone(),
            ours.replace("us, operator", "operator")
                .replace("controls", "-"),
            "8.6.2 is in",
        ),
        (
            ours.clone(),
            ours.replace("| controls |", "| not tested: for no reason |"),
            "8.6.2: ours",
        ),
        (
            ours.clone(),
            ours.replace("Left: ", "and "),
            "8.6.2: the operator's part",
        ),
        (
            "280 requirements".to_owned(),
            "281 requirements".to_owned(),
            "the headline is to say: 280",
        ),
        (
            "## Requirement 9:".to_owned(),
            "## Chapter 9:".to_owned(),
            "Requirement 9 has no table",
        ),
    ] {
        assert!(matrix.contains(&from), "{from}");
        let found = faults(&matrix.replacen(&from, &to, 1), &proofs);
        assert!(
            found.iter().any(|fault| fault.contains(why)),
            "{why}: {found:?}"
        );
    }
    // And a control whose test was taken away proves nothing any more.
    let mut fewer = proofs.clone();
    fewer.get_mut("8.6.2").unwrap().clear();
    let found = faults(&matrix, &fewer);
    assert!(
        found.iter().any(|fault| fault.starts_with("8.6.2: ours")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|fault| fault.starts_with("the headline")),
        "{found:?}"
    );
}
