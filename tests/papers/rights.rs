//! Each right to write of each role stands with the worst that is done with it, and the test that
//! does it.

use std::collections::BTreeSet;

use super::read;

/// Of `right ROLE ON TABLE (columns): VERBS`, role and table, where a verb writes.
fn written(line: &str) -> Option<(String, String)> {
    let (role, rest) = line.strip_prefix("right ")?.split_once(" ON ")?;
    let (place, verbs) = rest.split_once(": ")?;
    let table = place.split_once(' ').map_or(place, |(table, _)| table);
    let writes = ["INSERT", "UPDATE", "DELETE", "TRUNCATE"];
    let is_written = verbs.split(", ").any(|verb| writes.contains(&verb));
    is_written.then(|| (role.to_owned(), table.to_owned()))
}

/// Of a row of the table, role, table and what it says.
fn row(line: &str) -> Option<(String, String, Vec<&str>)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, role, table, rest @ ..] = cells.as_slice() else {
        return None;
    };
    let name = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    Some((name(role)?, name(table)?, rest.to_vec()))
}

#[test]
fn every_right_to_write_has_its_worst_and_a_test_of_it() {
    let rights = read("pci-docs/database/postgresql.txt");
    let rights: BTreeSet<_> = rights.lines().filter_map(written).collect();
    let document = read("pci-docs/database/rights.md");
    let mut told = BTreeSet::new();
    for (role, table, cells) in document.lines().filter_map(row) {
        let [worst, follows, shown, ..] = cells.as_slice() else {
            panic!("{role} {table}")
        };
        assert!(!worst.is_empty() && !follows.is_empty(), "{role} {table}");
        assert!(shown.contains("`test:"), "{role} {table}: no test");
        assert!(
            told.insert((role.clone(), table.clone())),
            "{role} {table} twice"
        );
    }
    assert!(rights.len() > 40, "{}", rights.len());
    assert_eq!(told, rights);
}

#[test]
fn a_right_to_read_is_none_to_write() {
    let of = |role: &str, table: &str| Some((role.to_owned(), table.to_owned()));
    assert_eq!(written("right a ON b: INSERT, SELECT"), of("a", "b"));
    assert_eq!(written("right a ON b (c, d): UPDATE"), of("a", "b"));
    assert_eq!(written("right a ON b: SELECT"), None);
    assert_eq!(written("table b: c text"), None);
}
