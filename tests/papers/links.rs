//! Links of the documents: each relative one leads to a file and a heading that are there, the book
//! has every page, and the README stays a front door.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{files, read, root};

/// Bytes of the README.
const README_BYTES_MAX: usize = 8_000;

/// Documents beside the folders of them.
const OWN: &str = "README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md SECURITY.md";

/// Every document for people: its path and its text.
pub(crate) fn documents() -> BTreeMap<String, String> {
    let own = OWN.split(' ').map(|file| (file.to_owned(), read(file)));
    let below = ["docs", "pci-docs"].map(|folder| files(folder, ".md"));
    own.chain(below.into_iter().flatten()).collect()
}

/// The lines that are not in a block of code.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where a line's relative links lead to; what stands in code type is no link.
fn targets(line: &str) -> Vec<&str> {
    let plain = line.split('`').step_by(2);
    let rests = plain.flat_map(|piece| piece.split("](").skip(1));
    let targets = rests.filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// A heading's anchor, as its renderers make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
    text.chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// The path that a document's link names, from the root.
fn place(document: &str, path: &str) -> PathBuf {
    let mut place = PathBuf::new();
    let folder = Path::new(document).parent().unwrap();
    for part in folder.join(path).components() {
        if part == Component::ParentDir {
            place.pop();
        } else {
            place.push(part);
        }
    }
    place
}

/// Why a link of a document is none; nothing where it leads somewhere.
fn broken(document: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let place = if path.is_empty() {
        PathBuf::from(document)
    } else {
        place(document, path)
    };
    // The book has its own folder and nothing else.
    let leaves_the_book = document.starts_with("docs/") && !place.starts_with("docs");
    let is_there = root().join(&place).exists();
    let text = fs::read_to_string(root().join(&place)).unwrap_or_default();
    let mut headings = prose(&text).filter(|line| line.starts_with('#'));
    let is_heading = anchor.is_empty() || headings.any(|line| slug(line) == anchor);
    (leaves_the_book || !is_there || !is_heading).then(|| format!("{document}: {target}"))
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let (mut seen, mut wrong) = (0_usize, Vec::new());
    for (file, text) in documents() {
        for target in prose(&text).flat_map(targets) {
            seen = seen.saturating_add(1);
            wrong.extend(broken(&file, target));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let is_broken = |target: &str| broken("docs/deploy.md", target).is_some();
    assert!(is_broken("nowhere.md") && is_broken("keys.md#nowhere") && is_broken("#nowhere"));
    assert!(is_broken("../README.md"), "it leaves the book");
    assert!(!is_broken("keys.md") && !is_broken("deploy.md#two-processes"));
    let line = "see [`a`](x.md#b), ![c](d.png) and [g](https://h.example), not `[e](f)`";
    assert_eq!(targets(line), ["x.md#b", "d.png"]);
    assert_eq!(slug("## The `[keys.x]` of a_b, c"), "the-keysx-of-a_b-c");
}

#[test]
fn the_readme_is_short_and_the_book_has_every_page() {
    let bytes = read("README.md").len();
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes");
    let summary = read("docs/SUMMARY.md");
    for (file, _) in files("docs", ".md") {
        let name = file.trim_start_matches("docs/");
        let is_listed = summary.contains(&format!("]({name})")) || name == "SUMMARY.md";
        assert!(is_listed, "docs/SUMMARY.md does not list {name}");
    }
}
