//! The documents of this build, and the table of controls with the test of each.

/// A document that goes into every bundle.
#[derive(Debug)]
pub struct Paper {
    /// Its path in the bundle.
    pub path: &'static str,
    /// What it says.
    pub text: &'static str,
}

macro_rules! papers {
    ($($path:literal),* $(,)?) => {
        &[$(Paper {
            path: concat!("documents/", $path),
            text: include_str!(concat!("../../pci-docs/", $path)),
        }),*]
    };
}

/// Every document.
pub const PAPERS: &[Paper] = papers![
    "controls.md",
    "data-flow.md",
    "keys.md",
    "logging.md",
    "processor.md",
    "responsibilities.md",
    "saq.md",
    "targeted-risk-analyses.md",
    "threats.md",
    "database/postgresql.txt",
    "database/sqlite.txt",
    "oscal/component-definition.json",
    "payment-page/scripts.md",
    "supply/binary.txt",
    "supply/cbom.cdx.json",
    "supply/cryptography.md",
    "supply/sbom.cdx.json",
];

/// A control: a requirement, and the tests that show what we do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Requirements by identifier.
    pub requirements: Vec<String>,
    /// Tests by name.
    pub tests: Vec<String>,
}

/// The rows of a table of controls. A section whose first paragraph names a test lends it to rows
/// that name none.
#[must_use]
pub fn controls(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut of_section = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            of_section.clear();
        }
        let Some(cells) = line.strip_prefix("| ") else {
            of_section.extend(tests(line));
            continue;
        };
        let first = cells.split(" | ").next().unwrap_or_default();
        let number = first.strip_prefix('A').unwrap_or(first);
        if !number.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let own = tests(cells);
        rows.push(Row {
            requirements: first.split(", ").map(str::to_owned).collect(),
            tests: if own.is_empty() {
                of_section.clone()
            } else {
                own
            },
        });
    }
    rows
}

fn tests(line: &str) -> Vec<String> {
    let named = line.split("`test:").skip(1);
    named
        .filter_map(|rest| rest.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_their_tests_and_one_without_is_seen() {
        let text = "# Controls\n\n## A\n\n| id | what | test |\n| --- | --- | --- |\n\
                    | 3.2.1, 3.3.1 | x | `test:one`, `test:two` |\n| 3.4.1 | y | none |\n\n\
                    ## B\n\nOne test looks at all: `test:three`.\n\n| id |\n| --- |\n| 10.2.2 | z |\n\
                    | A1.1.2 | z |\n";
        let rows = controls(text);
        let row = |requirements: &[&str], tests: &[&str]| Row {
            requirements: requirements.iter().map(ToString::to_string).collect(),
            tests: tests.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(
            rows,
            [
                row(&["3.2.1", "3.3.1"], &["one", "two"]),
                row(&["3.4.1"], &[]),
                row(&["10.2.2"], &["three"]),
                row(&["A1.1.2"], &["three"]),
            ]
        );
    }
}
