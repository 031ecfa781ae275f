//! The rules of the house, held against the source tree itself.

#![cfg(test)]
#![expect(
    clippy::too_many_lines,
    reason = "a table of rules is as long as it is"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory with one of these endings, as (path relative to the root, text).
fn files(below: &str, endings: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    found.sort();
    found
        .into_iter()
        .filter(|path| {
            endings
                .iter()
                .any(|ending| path.to_string_lossy().ends_with(ending))
        })
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// Whether a file is compiled for tests only: its parent says so, or it lies below such a file.
fn is_test(file: &str) -> bool {
    let mut path = PathBuf::from(file);
    while let (Some(name), Some(parent)) = (path.file_stem(), path.parent()) {
        let declaration = format!("#[cfg(test)]\nmod {};", name.to_string_lossy());
        let parents = [
            parent.join("mod.rs"),
            parent.with_extension("rs"),
            parent.join("lib.rs"),
        ];
        if parents.iter().any(|file| {
            fs::read_to_string(root().join(file)).is_ok_and(|text| text.contains(&declaration))
        }) {
            return true;
        }
        path = parent.to_path_buf();
    }
    false
}

/// The code of a file: comments and the unit tests at its end are not dependencies.
fn code(text: &str) -> String {
    let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    production
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether code names a module of ours or a crate.
fn names(code: &str, path: &str) -> bool {
    let used = |text: &str| code.contains(text);
    match path.strip_prefix("crate::") {
        Some(module) => {
            used(&format!("crate::{module}::"))
                || used(&format!("crate::{module};"))
                || used(&format!("crate::{{{module}"))
        }
        None => used(&format!("{path}::")) || used(&format!("use {path};")),
    }
}

#[test]
fn dependencies_run_one_way() {
    // http -> vault -> {processor, store, seal, audit, webhooks} -> {card, token}
    let may_not = [
        (
            "src/card",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "sandbox",
                "config",
                "cli",
            ][..],
        ),
        (
            "src/token",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "card",
                "sandbox",
                "config",
                "cli",
            ],
        ),
        (
            "src/seal",
            &[
                "vault",
                "http",
                "store",
                "processor",
                "audit",
                "card",
                "sandbox",
                "config",
                "cli",
            ],
        ),
        (
            "src/store",
            &[
                "vault",
                "http",
                "processor",
                "card",
                "sandbox",
                "config",
                "cli",
            ],
        ),
        (
            "src/audit",
            &[
                "vault",
                "http",
                "store",
                "processor",
                "card",
                "sandbox",
                "config",
                "cli",
            ],
        ),
        (
            "src/processor",
            &[
                "vault", "http", "store", "seal", "audit", "sandbox", "config", "cli",
            ],
        ),
        (
            "src/webhooks",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "card",
                "token",
                "sandbox",
                "config",
                "service",
                "cli",
            ],
        ),
        (
            "src/alerts",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "card",
                "sandbox",
                "config",
                "service",
                "cli",
            ],
        ),
        (
            "src/watch",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "webhooks",
                "net",
                "sandbox",
                "config",
                "service",
                "cli",
            ],
        ),
        (
            "src/net",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "webhooks",
                "audit",
                "card",
                "token",
                "sandbox",
                "config",
                "service",
                "cli",
            ],
        ),
        ("src/vault", &["http", "sandbox", "config", "cli"]),
        ("src/http", &["sandbox", "cli"]),
        (
            "src/sandbox",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "config",
                "cli",
                "problem",
            ],
        ),
        (
            "src/confinement",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "card",
                "config",
                "service",
                "cli",
            ],
        ),
        (
            "src/memory",
            &[
                "vault",
                "http",
                "store",
                "seal",
                "processor",
                "audit",
                "card",
                "config",
                "cli",
            ],
        ),
    ];
    for (folder, forbidden) in may_not {
        for (file, text) in files(folder, &[".rs"]) {
            if is_test(&file) {
                continue;
            }
            for module in forbidden {
                assert!(
                    !names(&code(&text), &format!("crate::{module}")),
                    "{file} names {module}"
                );
            }
        }
    }
}

/// The modules of ours that code names as `crate::…`, alone or in a list.
fn modules_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let is_part = |letter: &char| letter.is_ascii_lowercase() || *letter == '_';
        text.trim_start().chars().take_while(is_part).collect()
    };
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            named.insert(word(rest));
            continue;
        };
        // What stands in an inner list belongs to the name before it.
        let (mut depth, mut piece) = (0_u32, String::new());
        for letter in list.chars() {
            match letter {
                '}' if depth == 0 => break,
                '{' => depth = depth.saturating_add(1),
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    named.insert(word(&piece));
                    piece.clear();
                }
                _ if depth == 0 => piece.push(letter),
                _ => {}
            }
        }
        named.insert(word(&piece));
    }
    named.remove("");
    named
}

#[test]
fn each_folder_names_only_what_the_architecture_lists() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let sources = files("src", &[".rs"]);
    let mut listed = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| `src/")) {
        let cells: Vec<&str> = row.split('|').collect();
        let place = cells[1].trim().trim_matches('`');
        let module = place.trim_start_matches("src/").trim_end_matches(".rs");
        listed.insert(module);
        if cells[3].trim() == "everything" {
            continue;
        }
        let may_name = cited(cells[3]);
        let within = format!("{place}/");
        let own = sources
            .iter()
            .filter(|(file, _)| file == place || file.starts_with(&within));
        for (file, text) in own.filter(|(file, _)| !is_test(file)) {
            for name in modules_named(&code(text)) {
                assert!(
                    name == module || may_name.contains(&name),
                    "{file} names {name}, which ARCHITECTURE.md does not list for {place}"
                );
            }
        }
    }
    for (file, _) in &sources {
        let module = file.trim_start_matches("src/").split('/').next().unwrap();
        let module = module.trim_end_matches(".rs");
        let is_root = ["lib", "main"].contains(&module);
        assert!(is_root || listed.contains(module), "{module} has no row");
    }
    let lists = "use crate::{clock::Clock, card::{Pan, Cvc},\n    token};\ncrate::seal::open()";
    let found: Vec<String> = modules_named(lists).into_iter().collect();
    assert_eq!(found, ["card", "clock", "seal", "token"]);
}

/// Where the HTTP client may be named.
const CLIENTS: &[&str] = &[
    "src/net/",
    "src/processor/transport/",
    "src/processor/governor/",
    "src/seal/aws_kms/",
    "src/webhooks/",
    "src/sandbox/post.rs",
    "src/cli/dev/shop.rs",
    "src/pagewatch/",
];

#[test]
fn a_crate_that_only_one_module_may_use_is_used_by_no_other() {
    let only = [
        ("sqlx", &["src/store/"][..]),
        ("rusqlite", &["src/store/"]),
        ("html5gum", &["src/pagewatch/"]),
        ("aws_lc_rs::aead", &["src/seal/"]),
        ("argon2", &["src/seal/"]),
        ("vsss_rs", &["src/seal/custody/shamir.rs"]),
        ("rand_core", &["src/seal/custody/shamir.rs"]),
        ("rpassword", &["src/cli/custody/passphrase.rs"]),
        ("cryptoki", &["src/seal/pkcs11/"]),
        ("stripe_core", &["src/processor/"]),
        ("stripe_payment", &["src/processor/"]),
        // One way to open a connection, and two who say where it goes. The sandbox and the demo
        // shop are outside parties, with clients of their own.
        ("hyper", CLIENTS),
        ("hyper_util", CLIENTS),
        ("hyper_rustls", CLIENTS),
        ("lettre", &["src/alerts/"]),
        ("rustls_native_certs", &["src/net/"]),
        ("tower_service", &["src/webhooks/lookup.rs"]),
        ("unicode_normalization", &["src/card/scan/"]),
        ("rustix", &["src/memory/"]),
        ("zeroizing_alloc", &["src/memory/"]),
        ("landlock", &["src/confinement/"]),
        ("seccompiler", &["src/confinement/"]),
        ("libc", &["src/confinement/"]),
        ("rcgen", &["src/cli/dev/"]),
        ("figment", &["src/config/", "src/service/"]),
        (
            "actix_web",
            &[
                "src/http/",
                "src/sandbox/",
                "src/cli/",
                "src/problem.rs",
                "src/service/",
            ],
        ),
    ];
    for (file, text) in files("src", &[".rs"])
        .into_iter()
        .filter(|(file, _)| !is_test(file))
    {
        for (name, homes) in only {
            let home = homes.iter().any(|home| file.starts_with(home));
            assert!(home || !names(&code(&text), name), "{file} names {name}");
        }
    }
}

#[test]
fn sql_is_written_in_the_store_only() {
    for (file, text) in files("src", &[".rs"]) {
        if !file.starts_with("src/store/") {
            for verb in ["SELECT ", "INSERT INTO", "DELETE FROM", "UPDATE "] {
                assert!(
                    !code(&text).contains(&format!("\"{verb}")),
                    "{file} holds SQL"
                );
            }
        }
    }
}

#[test]
fn no_code_is_unsafe_and_none_is_left_unfinished() {
    for (file, text) in files("src", &[".rs"]) {
        for word in [
            "unsafe {",
            "unsafe fn",
            "unsafe impl",
            "todo!(",
            "unimplemented!(",
            "FIXME",
            "XXX",
        ] {
            assert!(!code(&text).contains(word), "{file} holds {word}");
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_dreadful() {
    for (file, text) in files("src", &[".rs"]) {
        assert!(
            text.starts_with("//!") || is_test(&file),
            "{file} has no paragraph"
        );
        let lines = text.lines().count();
        assert!(lines <= 420, "{file} has {lines} lines");
    }
}

#[test]
fn nothing_is_called_what_says_nothing() {
    let empty = [
        "util",
        "utils",
        "common",
        "helper",
        "helpers",
        "types",
        "manager",
        "service",
        "interface",
        "v2",
    ];
    for (file, _) in files("src", &[".rs"]) {
        // The one service there is: it is what the whole file is about.
        let parts = file
            .trim_end_matches(".rs")
            .split('/')
            .filter(|_| !file.starts_with("src/service/"));
        for part in parts {
            assert!(!empty.contains(&part), "{file}");
        }
    }
}

#[test]
fn spans_skip_all_arguments() {
    for (file, text) in files("src", &[".rs"]) {
        for line in text
            .lines()
            .filter(|line| line.contains("instrument(") && line.trim_start().starts_with("#["))
        {
            assert!(line.contains("skip_all"), "{file}: {line}");
        }
    }
}

/// Words in backticks that look like files of this repository, and tests.
fn cited(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.contains([' ', '<', '*', '…', '{']))
        .collect()
}

#[test]
fn pci_docs_cite_only_files_and_tests_that_exist() {
    let sources: String = ["src", "tests", "benches"]
        .iter()
        .flat_map(|dir| files(dir, &[".rs"]))
        .map(|(_, text)| text)
        .collect();
    let documents = files("pci-docs", &[".md"]);
    assert!(!documents.is_empty());
    let mut seen = (0, 0);
    for (file, text) in documents {
        for word in cited(&text) {
            let folder = [
                "src/",
                "tests/",
                "benches/",
                "migrations/",
                "pci-docs/",
                ".ci/",
                ".cargo/",
                "deploy/",
            ];
            if folder.iter().any(|folder| word.starts_with(folder)) {
                let (path, _) = word.split_once("::").unwrap_or((&word, ""));
                assert!(root().join(path).exists(), "{file} cites {word}");
                seen.0 += 1;
            }
            if let Some(test) = word.strip_prefix("test:") {
                assert!(
                    sources.contains(&format!("fn {test}(")),
                    "{file} cites the test {test}"
                );
                seen.1 += 1;
            }
        }
    }
    assert!(
        seen.0 > 10 && seen.1 > 10,
        "the documents cite {seen:?} files and tests"
    );
}

/// How Cargo.lock names the one registry that dependencies come from.
const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

#[test]
fn no_banned_crate_is_built() {
    // Not Cargo.lock, which also names what no feature of ours turns on.
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--workspace",
            "--all-features",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let deny = fs::read_to_string(root().join(".cargo/deny.toml")).unwrap();
    let banned: Vec<&str> = deny
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next())
        .collect();
    assert!(banned.contains(&"ring") && banned.contains(&"openssl-sys"));
    for name in banned {
        assert!(
            !tree
                .lines()
                .any(|line| line.starts_with(&format!("{name} v"))),
            "{name} is built"
        );
    }
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    for source in sources {
        assert_eq!(
            source, CRATES_IO,
            "dependencies come from the public registry, not from git or another one"
        );
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let deny = fs::read_to_string(root().join(".cargo/deny.toml")).unwrap();
    let list = deny
        .split("allow = [")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    let allowed: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = package["license"]
            .as_str()
            .unwrap_or("none stated")
            .replace('/', " OR ");
        // Of alternatives one must be allowed; of what is joined, all.
        let granted = licence.split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .all(|part| allowed.contains(part.trim_matches(['(', ')', ' '])))
        }) || licence.split(" AND ").all(|part| {
            part.trim_matches(['(', ')', ' '])
                .split(" OR ")
                .any(|choice| allowed.contains(choice.trim_matches(['(', ')', ' '])))
        });
        assert!(granted, "{}: {licence}", package["name"]);
    }
}

#[test]
fn each_dependency_is_without_default_features_and_with_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("[dev-dependencies]")
        .next()
        .unwrap();
    for line in section
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
    {
        // Crates that have no default features to turn off.
        let bare = ["serde_path_to_error", "zeroizing-alloc", "form_urlencoded"];
        let name = line.split(' ').next().unwrap();
        assert!(
            line.contains("default-features = false") || bare.contains(&name),
            "{line}"
        );
    }
}
