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
    let mut rows = Vec::new();
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
        rows.extend(table.rows.iter().map(Vec::as_slice));
    }
    faults.extend(rows.iter().flat_map(|row| wrong_with(row, proofs)));
    for id in proofs.keys() {
        if !rows.iter().any(|row| row[0] == *id && is_ours(row)) {
            faults.push(format!("{id} is in {} and not ours", controls::FILE));
        }
    }
    for sentence in headline(&rows, proofs) {
        if !document.lines().any(|line| line == sentence) {
            faults.push(format!("the headline is to say: {sentence}"));
        }
    }
    faults
}

/// The figures of the page, as it says them.
fn headline(rows: &[&[String]], proofs: &Proofs) -> [String; 2] {
    let all: usize = REQUIREMENTS.iter().map(|(_, count, _)| count).sum();
    let how_many = |holds: &dyn Fn(&[String]) -> bool| rows.iter().filter(|row| holds(row)).count();
    let proved = how_many(&|row| is_ours(row) && is_proved(&row[0], proofs));
    let ours = how_many(&is_ours);
    let nobodys = how_many(&|row| row[1] == "none");
    let others = how_many(&|row| !is_ours(row) && row[1] != "none");
    [
        format!(
            "{all} requirements, {proved} proved by an automated check here, \
             the rest named with their owner."
        ),
        format!(
            "Ours in whole or in part are {ours}, with others alone lie {others}, \
             and {nobodys} are not applicable."
        ),
    ]
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

/// One change of the matrix, and what has to be found then.
type Change<'a> = (&'a str, &'a str, &'a str);

fn each_is_found(of: &str, changes: &[Change<'_>]) {
    let (matrix, proofs) = (read(FILE), of_the_controls());
    assert!(matrix.contains(of), "{of}");
    for (from, to, why) in changes {
        let altered = of.replace(from, to);
        assert_ne!(altered, of, "{from}");
        let found = faults(&matrix.replacen(of, &altered, 1), &proofs);
        assert!(
            found.iter().any(|fault| fault.contains(why)),
            "{why}: {found:?}"
        );
    }
}

fn row(id: &str) -> String {
    let matrix = read(FILE);
    let begins = format!("| {id} | ");
    let line = matrix.lines().find(|line| line.starts_with(&begins));
    format!("{}\n", line.unwrap())
}

#[test]
fn a_matrix_with_a_fault_is_not_taken() {
    let first = row("1.1.1");
    each_is_found(
        &first,
        &[
            (&first, "", "missing [\"1.1.1\"]"),
            (&first, &first.repeat(2), "Requirement 1 has 20 rows"),
            ("1.1.1", "1.1.9", "not in the standard [\"1.1.9\"]"),
            (" | - |", " |", "has not four cells"),
            ("operator", "somebody", "1.1.1: an owner is not known"),
            ("operator", "operator, operator", "1.1.1: an owner is not"),
            ("operator", "none", "1.1.1: what is nobody's"),
            ("operator", "us", "1.1.1: ours, without a test"),
            ("| - |", "| controls |", "1.1.1: a proof, though"),
            (
                ". | -",
                ". Service providers only. | -",
                "1.1.1: for service",
            ),
        ],
    );
    each_is_found(
        &row("8.6.2"),
        &[
            ("us, operator", "operator", "8.6.2 is in"),
            ("controls", "not tested: for no reason", "8.6.2: ours"),
            ("controls", "-", "8.6.2: ours, without a test"),
            ("Left: ", "and ", "8.6.2: the operator's part"),
        ],
    );
    let heading = "## Requirement 9:";
    each_is_found(
        heading,
        &[("Requirement", "Chapter", "Requirement 9 has no table")],
    );
    let headline = "280 requirements, ";
    each_is_found(headline, &[("280", "281", "the headline is to say: 280")]);
}

#[test]
fn a_control_whose_test_was_taken_away_proves_nothing_any_more() {
    let mut fewer = of_the_controls();
    fewer.get_mut("8.6.2").unwrap().clear();
    let found = faults(&read(FILE), &fewer);
    for begins in ["8.6.2: ours", "the headline"] {
        let is_found = found.iter().any(|fault| fault.starts_with(begins));
        assert!(is_found, "{begins}: {found:?}");
    }
    assert_eq!(found.len(), 2, "{found:?}");
}
