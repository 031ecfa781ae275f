//! How often the search for card numbers in stored text misses one, and how often it refuses an
//! ordinary id. Both rates are published in docs/card-numbers.md, and are those of this test.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that goes wrong fails"
)]

mod ids;
mod random;
mod spellings;

use std::fmt::Write as _;

use cloakroom::card::Pan;
use cloakroom::card::scan::stored;

use random::Random;

const TEXTS: usize = 100_000;
const DOCUMENT: &str = include_str!("../../docs/card-numbers.md");

/// What the document must say, to the last digit: the texts are the same in each run.
fn assert_published(row: &str) {
    assert!(
        DOCUMENT.lines().any(|line| line == row),
        "docs/card-numbers.md lacks:\n{row}"
    );
}

#[test]
fn whatever_a_form_takes_is_found_in_any_spelling() {
    let mut random = Random::of(0x5eed);
    let mut missed = String::new();
    for _ in 0..TEXTS {
        let number = spellings::number(&mut random);
        assert!(Pan::parse(&number).is_ok(), "{number}");
        let text = spellings::spelled(&mut random, &number);
        if !stored::contains(&text) {
            writeln!(missed, "{number} as {text:?}").unwrap();
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed:\n{missed}",
        missed.lines().count()
    );
    assert_published("| spellings of numbers that a form takes | 100,000 | 0 missed |");
}

#[test]
fn ordinary_ids_are_refused_as_seldom_as_published() {
    let mut random = Random::of(0x1d5);
    let mut rows = String::new();
    let (mut all, mut all_refused) = (0, 0);
    let each = TEXTS / ids::KINDS.len();
    for (kind, make) in ids::KINDS {
        let refused = (0..each)
            .filter(|_| stored::contains(&make(&mut random)))
            .count();
        writeln!(rows, "| {kind} | {} % |", per_cent(refused, each)).unwrap();
        all += each;
        all_refused += refused;
    }
    assert_eq!(all, TEXTS);
    writeln!(rows, "| all | {} % |", per_cent(all_refused, all)).unwrap();
    println!("{rows}");
    for row in rows.lines() {
        assert_published(row);
    }
}

/// With two decimals.
fn per_cent(of: usize, all: usize) -> String {
    let hundredths = (of * 10_000 + all / 2) / all;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// What the rates are made of is what it says it is.
#[test]
fn the_generators_make_what_they_say() {
    let mut random = Random::of(7);
    for (kind, make) in ids::KINDS {
        let texts: Vec<String> = (0..50).map(|_| make(&mut random)).collect();
        assert!(texts.iter().all(|text| !text.is_empty()), "{kind}");
        assert!(texts[0] != texts[1], "{kind}");
    }
    let texts: Vec<String> = (0..20_000)
        .map(|_| spellings::spelled(&mut random, "4242424242424242"))
        .collect();
    for piece in ["4242 4242", "4242-4242", "4242.4242", "42424242", "No1x"] {
        assert!(texts.iter().any(|text| text.contains(piece)), "{piece}");
    }
    assert!(
        texts
            .iter()
            .any(|text| text.contains('٤') || text.contains('४'))
    );
}
