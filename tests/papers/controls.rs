//! `pci-docs/controls.md`: what we do for which requirement, and which tests show it. The one
//! source for everything else that says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::tables::{tables, tests_cited};

pub(crate) const FILE: &str = "pci-docs/controls.md";

/// One row: an act of ours, for one or more requirements.
pub(crate) struct Control {
    /// The heading that it stands under.
    pub(crate) theme: String,
    pub(crate) requirements: Vec<String>,
    /// What we do.
    what: String,
    /// Files that do it.
    pub(crate) sources: Vec<String>,
    /// Tests that show it.
    pub(crate) tests: BTreeSet<String>,
}

impl Control {
    /// What we do, without the tests that some rows name in the same breath.
    pub(crate) fn said(&self) -> &str {
        self.what
            .split_once(": `test:")
            .map_or(self.what.as_str(), |(what, _)| what)
    }
}

/// The rows of the document.
pub(crate) fn controls(document: &str) -> Vec<Control> {
    let mut found = Vec::new();
    for table in tables(document) {
        assert_eq!(table.columns[0], "id", "{}", table.heading);
        // A test above a table is for those of its rows that name none.
        let of_all: BTreeSet<String> = tests_cited(&table.before).collect();
        for row in &table.rows {
            let own: BTreeSet<String> = tests_cited(&row.join(" | ")).collect();
            let files = row[2].split('`').skip(1).step_by(2);
            found.push(Control {
                theme: table.heading.clone(),
                requirements: row[0].split(", ").map(str::to_owned).collect(),
                what: row[1].clone(),
                sources: files.map(str::to_owned).collect(),
                tests: if own.is_empty() { of_all.clone() } else { own },
            });
        }
    }
    found
}

/// The tests for each requirement that the document names.
pub(crate) fn proofs(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for control in controls(document) {
        for id in control.requirements {
            proofs.entry(id).or_default().extend(control.tests.clone());
        }
    }
    proofs
}

#[test]
fn the_evidence_reads_the_same_tests_for_the_same_requirements() {
    let text = crate::read(FILE);
    let own = controls(&text)
        .into_iter()
        .map(|control| (control.requirements, control.tests))
        .collect::<Vec<_>>();
    let theirs = cloakroom::evidence::controls(&text)
        .into_iter()
        .map(|row| (row.requirements, row.tests.into_iter().collect()))
        .collect::<Vec<_>>();
    assert_eq!(own, theirs);
}
