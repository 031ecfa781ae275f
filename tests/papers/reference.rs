//! The reference names what the code has: every key of the configuration, every problem and scope;
//! and the paths and tests that documents cite exist.

use cloakroom::problem::Code;
use cloakroom::vault::grant::ScopeName;

use super::links::{documents, prose};
use super::{files, read, root};

/// What a path in code type begins with.
const FOLDERS: &str = "src/ tests/ benches/ migrations/ pci-docs/ docs/ deploy/ web/ fuzz/ \
                       .ci/ .cargo/ .config/";

/// The fields of the structures that are read from a configuration.
fn keys(code: &str) -> Vec<&str> {
    let production = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let fields = production.lines().filter_map(|line| {
        let field = line.strip_prefix("    pub ")?;
        field.split_once(": ").map(|(name, _)| name)
    });
    let is_name = |name: &&str| {
        name.chars()
            .all(|letter| letter.is_lowercase() || "_0123456789".contains(letter))
    };
    fields.filter(is_name).collect()
}

#[test]
fn every_configuration_key_is_in_the_reference() {
    let page = read("docs/configuration.md");
    let mut seen = 0_usize;
    for (file, text) in files("src/config", ".rs") {
        for key in keys(&text) {
            // A section is a heading, or a part of one.
            let is_there = [
                format!("| `{key}` |"),
                format!("`[{key}]`"),
                format!("`[[{key}]]`"),
                format!("`[{key}."),
                format!(".{key}."),
            ];
            let is_there = is_there.iter().any(|form| page.contains(form));
            assert!(is_there, "docs/configuration.md lacks {key} of {file}");
            seen = seen.saturating_add(1);
        }
    }
    assert!(seen > 150, "{seen}");
    assert_eq!(
        keys(
            "    pub a_b: u32,\n    pub const fn c(d: u8) {}\n#[cfg(test)]\nmod x {\n    pub e: u8,"
        ),
        ["a_b"]
    );
}

#[test]
fn every_problem_and_scope_is_in_the_reference() {
    let page = read("docs/api.md");
    let problems = Code::ALL.iter().map(|code| code.name());
    let scopes = ScopeName::ALL.iter().map(|scope| scope.name());
    for name in problems.chain(scopes) {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/api.md lacks {name}"
        );
    }
}

#[test]
fn every_path_and_test_that_the_documents_cite_exists() {
    let sources = ["src", "tests", "benches"].map(|folder| files(folder, ".rs"));
    let sources = sources.into_iter().flatten().map(|(_, text)| text);
    let sources = sources.collect::<String>();
    let mut seen = 0_usize;
    for (file, text) in documents() {
        let words = prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2));
        for word in words.filter(|word| !word.contains([' ', '<', '*', '…', '{'])) {
            if FOLDERS
                .split_whitespace()
                .any(|folder| word.starts_with(folder))
            {
                let path = word.split("::").next().unwrap_or_default();
                assert!(root().join(path).exists(), "{file} cites {word}");
                seen = seen.saturating_add(1);
            }
            if let Some(test) = word.strip_prefix("test:") {
                let declared = format!("fn {test}(");
                assert!(sources.contains(&declared), "{file} cites the test {test}");
            }
        }
    }
    assert!(seen > 200, "{seen}");
}
