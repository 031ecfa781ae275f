//! The reference names what the code has: every key of the configuration, every problem and scope;
//! and the paths and tests that documents cite exist.

use cloakroom::problem::Code;
use cloakroom::vault::grant::ScopeName;

use super::links::{documents, prose};
use super::{files, read, root};

/// What a path in code type begins with.
const FOLDERS: &str = "src/ tests/ benches/ migrations/ pci-docs/ docs/ deploy/ web/ fuzz/ \
                       .ci/ .cargo/ .config/";

#[test]
fn the_reference_of_the_configuration_is_that_of_the_code() {
    let page = read("docs/configuration.md");
    let tables = page.find("\n## ").map(|at| page.split_at(at).1);
    assert_eq!(
        tables.unwrap_or_default().trim(),
        cloakroom::config::reference().trim(),
        "put what `cloakroom config reference` prints into docs/configuration.md"
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
