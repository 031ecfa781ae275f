//! `pci-docs/saq.md`: the ways that it speaks of are the service's own, and none of the service's is
//! left out.

use serde_json::Value;

use crate::tables::tables;
use crate::{files, read};

const FILE: &str = "pci-docs/saq.md";

/// The questionnaires there are for who has no card terminal.
const QUESTIONNAIRES: &[&str] = &["SAQ A", "SAQ A-EP", "SAQ C-VT or D", "SAQ D for merchants"];

/// Ways by which a card, or what stands for one, becomes a token.
const WAYS: &[&str] = &[
    "GET /pay/{session}",
    "POST /v1/tokens",
    "POST /v1/tokens/attach",
];

/// What a plane offers, as `METHOD /path`.
fn operations(plane: &str) -> Vec<String> {
    let contract = read(&format!("tests/snapshots/openapi-{plane}.json"));
    let contract: Value = serde_json::from_str(&contract).unwrap();
    let paths = contract["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[test]
fn the_ways_of_a_card_are_those_that_the_service_has() {
    let document = read(FILE);
    let all = tables(&document);
    let ways = all.iter().find(|table| table.columns[0] == "way").unwrap();
    let cited: Vec<&str> = ways
        .rows
        .iter()
        .flat_map(|row| row[0].split('`').skip(1).step_by(2))
        .collect();
    let pages: String = files("src/http", ".rs")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let there = [operations("capture"), operations("internal")].concat();
    for way in WAYS {
        assert!(cited.contains(way), "{FILE} says nothing of {way}");
    }
    for way in cited {
        let path = way.split_once(' ').unwrap().1;
        let is_there = there.iter().any(|operation| operation == way)
            || way.starts_with("GET ") && pages.contains(&format!("\"{path}\""));
        assert!(is_there, "{FILE} speaks of {way}, which is not there");
    }
    // A new way to make a token has to be spoken of.
    let makes = there
        .iter()
        .filter(|operation| operation.starts_with("POST /v1/tokens"));
    for operation in makes {
        assert!(WAYS.contains(&operation.as_str()), "{operation}");
    }
    for row in &ways.rows {
        let name = row[1].split(", with").next().unwrap();
        assert!(QUESTIONNAIRES.contains(&name), "{name}");
        assert_eq!(row.len(), 4, "{row:?}");
    }
}
