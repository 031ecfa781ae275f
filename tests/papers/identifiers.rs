//! The identifiers of PCI DSS v4.0.1: every one that has a requirement of its own. Identifiers only;
//! the words of the standard are the Council's.

use std::collections::BTreeSet;

use crate::tables::tables;
use crate::{files, read};

/// Heading, how many there are below it, and which.
pub(crate) const REQUIREMENTS: &[(&str, usize, &str)] = &[
    (
        "Requirement 1",
        19,
        "1.1.1 1.1.2 1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.2.6 1.2.7 1.2.8 1.3.1 1.3.2 1.3.3 1.4.1 \
         1.4.2 1.4.3 1.4.4 1.4.5 1.5.1",
    ),
    (
        "Requirement 2",
        11,
        "2.1.1 2.1.2 2.2.1 2.2.2 2.2.3 2.2.4 2.2.5 2.2.6 2.2.7 2.3.1 2.3.2",
    ),
    (
        "Requirement 3",
        29,
        "3.1.1 3.1.2 3.2.1 3.3.1 3.3.1.1 3.3.1.2 3.3.1.3 3.3.2 3.3.3 3.4.1 3.4.2 3.5.1 \
         3.5.1.1 3.5.1.2 3.5.1.3 3.6.1 3.6.1.1 3.6.1.2 3.6.1.3 3.6.1.4 3.7.1 3.7.2 3.7.3 \
         3.7.4 3.7.5 3.7.6 3.7.7 3.7.8 3.7.9",
    ),
    (
        "Requirement 4",
        6,
        "4.1.1 4.1.2 4.2.1 4.2.1.1 4.2.1.2 4.2.2",
    ),
    (
        "Requirement 5",
        13,
        "5.1.1 5.1.2 5.2.1 5.2.2 5.2.3 5.2.3.1 5.3.1 5.3.2 5.3.2.1 5.3.3 5.3.4 5.3.5 5.4.1",
    ),
    (
        "Requirement 6",
        19,
        "6.1.1 6.1.2 6.2.1 6.2.2 6.2.3 6.2.3.1 6.2.4 6.3.1 6.3.2 6.3.3 6.4.1 6.4.2 6.4.3 \
         6.5.1 6.5.2 6.5.3 6.5.4 6.5.5 6.5.6",
    ),
    (
        "Requirement 7",
        12,
        "7.1.1 7.1.2 7.2.1 7.2.2 7.2.3 7.2.4 7.2.5 7.2.5.1 7.2.6 7.3.1 7.3.2 7.3.3",
    ),
    (
        "Requirement 8",
        29,
        "8.1.1 8.1.2 8.2.1 8.2.2 8.2.3 8.2.4 8.2.5 8.2.6 8.2.7 8.2.8 8.3.1 8.3.2 8.3.3 8.3.4 \
         8.3.5 8.3.6 8.3.7 8.3.8 8.3.9 8.3.10 8.3.10.1 8.3.11 8.4.1 8.4.2 8.4.3 8.5.1 8.6.1 \
         8.6.2 8.6.3",
    ),
    (
        "Requirement 9",
        27,
        "9.1.1 9.1.2 9.2.1 9.2.1.1 9.2.2 9.2.3 9.2.4 9.3.1 9.3.1.1 9.3.2 9.3.3 9.3.4 9.4.1 \
         9.4.1.1 9.4.1.2 9.4.2 9.4.3 9.4.4 9.4.5 9.4.5.1 9.4.6 9.4.7 9.5.1 9.5.1.1 9.5.1.2 \
         9.5.1.2.1 9.5.1.3",
    ),
    (
        "Requirement 10",
        27,
        "10.1.1 10.1.2 10.2.1 10.2.1.1 10.2.1.2 10.2.1.3 10.2.1.4 10.2.1.5 10.2.1.6 10.2.1.7 \
         10.2.2 10.3.1 10.3.2 10.3.3 10.3.4 10.4.1 10.4.1.1 10.4.2 10.4.2.1 10.4.3 10.5.1 \
         10.6.1 10.6.2 10.6.3 10.7.1 10.7.2 10.7.3",
    ),
    (
        "Requirement 11",
        21,
        "11.1.1 11.1.2 11.2.1 11.2.2 11.3.1 11.3.1.1 11.3.1.2 11.3.1.3 11.3.2 11.3.2.1 11.4.1 \
         11.4.2 11.4.3 11.4.4 11.4.5 11.4.6 11.4.7 11.5.1 11.5.1.1 11.5.2 11.6.1",
    ),
    (
        "Requirement 12",
        37,
        "12.1.1 12.1.2 12.1.3 12.1.4 12.2.1 12.3.1 12.3.2 12.3.3 12.3.4 12.4.1 12.4.2 \
         12.4.2.1 12.5.1 12.5.2 12.5.2.1 12.5.3 12.6.1 12.6.2 12.6.3 12.6.3.1 12.6.3.2 12.7.1 \
         12.8.1 12.8.2 12.8.3 12.8.4 12.8.5 12.9.1 12.9.2 12.10.1 12.10.2 12.10.3 12.10.4 \
         12.10.4.1 12.10.5 12.10.6 12.10.7",
    ),
    (
        "Appendix A1",
        7,
        "A1.1.1 A1.1.2 A1.1.3 A1.1.4 A1.2.1 A1.2.2 A1.2.3",
    ),
    ("Appendix A2", 3, "A2.1.1 A2.1.2 A2.1.3"),
    (
        "Appendix A3",
        20,
        "A3.1.1 A3.1.2 A3.1.3 A3.1.4 A3.2.1 A3.2.2 A3.2.2.1 A3.2.3 A3.2.4 A3.2.5 A3.2.5.1 \
         A3.2.5.2 A3.2.6 A3.2.6.1 A3.3.1 A3.3.1.1 A3.3.2 A3.3.3 A3.4.1 A3.5.1",
    ),
];

/// Those that are for service providers only.
pub(crate) const SERVICE_PROVIDERS_ONLY: &[&str] = &[
    "3.6.1.1", "3.7.9", "8.2.3", "8.3.10", "8.3.10.1", "10.7.1", "11.4.6", "11.4.7", "11.5.1.1",
    "12.4.1", "12.4.2", "12.4.2.1", "12.5.2.1", "12.5.3", "12.9.1", "12.9.2", "A1.1.1", "A1.1.2",
    "A1.1.3", "A1.1.4", "A1.2.1", "A1.2.2", "A1.2.3", "A2.1.2", "A2.1.3",
];

/// All of them, in the order of the standard.
pub(crate) fn all() -> Vec<&'static str> {
    REQUIREMENTS
        .iter()
        .flat_map(|(_, _, ids)| ids.split_whitespace())
        .collect()
}

/// Whether a word has the form of an identifier: three numbers or more, with or without an appendix.
fn is_identifier(word: &str) -> bool {
    let mut parts = word.strip_prefix('A').unwrap_or(word).split('.');
    word.split('.').count() >= 3
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Identifiers that a text cites as such: in a table's first column, or after the standard's name.
fn cited(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in tables(text) {
        for row in &table.rows {
            let words = row[0].split([',', ' ']).map(str::to_owned);
            found.extend(words.filter(|word| is_identifier(word)));
        }
    }
    found.extend(cited_by_name(text));
    found
}

fn cited_by_name(text: &str) -> BTreeSet<String> {
    let after = text.split("PCI DSS ").skip(1);
    after
        .flat_map(|rest| {
            rest.split([',', ' '])
                .map(|word| word.trim_matches(|end: char| !end.is_ascii_alphanumeric()))
                .take_while(|word| word.is_empty() || is_identifier(word))
                .filter(|word| is_identifier(word))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_list_has_the_number_of_requirements_that_the_standard_has() {
    for (heading, count, ids) in REQUIREMENTS {
        assert_eq!(ids.split_whitespace().count(), *count, "{heading}");
        let number = heading.rsplit(' ').next().unwrap();
        for id in ids.split_whitespace() {
            assert!(is_identifier(id), "{id}");
            assert!(id.starts_with(&format!("{number}.")), "{heading}: {id}");
        }
    }
    let all = all();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    // What stands below an identifier stands there because the one above it does.
    for id in all.iter().filter(|id| id.split('.').count() > 3) {
        let above = id.rsplit_once('.').unwrap().0;
        assert!(all.contains(&above), "{id} without {above}");
    }
    assert!(SERVICE_PROVIDERS_ONLY.iter().all(|id| all.contains(id)));
}

#[test]
fn every_requirement_that_is_cited_anywhere_is_in_the_list() {
    let all = all();
    let mut seen = 0;
    let documents = files("pci-docs", ".md").into_iter();
    for (file, text) in documents.chain([("SECURITY.md".to_owned(), read("SECURITY.md"))]) {
        for id in cited(&text) {
            assert!(all.contains(&id.as_str()), "{file} cites {id}");
            seen += 1;
        }
    }
    for (file, text) in files("src", ".rs") {
        for id in cited_by_name(&text) {
            assert!(all.contains(&id.as_str()), "{file} cites {id}");
            seen += 1;
        }
    }
    assert!(seen > all.len(), "{seen} citations");
    let wrong = "PCI DSS 3.5.1, 3.5.9 (ours)\n| id |\n| --- |\n| 10.2.1, 10.2.8 |\n";
    let wrong: Vec<String> = cited(wrong).into_iter().collect();
    assert_eq!(wrong, ["10.2.1", "10.2.8", "3.5.1", "3.5.9"]);
}
