//! The documents, each held against what it speaks of: the identifiers of the standard, the controls
//! that tests show, the defaults of the configuration; and links, which lead somewhere.

#![cfg(test)]

mod analyses;
mod controls;
mod identifiers;
mod links;
mod log_fields;
mod oscal;
mod questionnaires;
mod reference;
mod responsibilities;
mod rights;
mod runbooks;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A file of the repository.
fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// Every file below a directory of the repository with this ending: its path and its text.
fn files(below: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(ending) {
            found.push((path.clone(), read(&path)));
        }
    }
    found.sort();
    found
}

/// Asserts that `file` of the repository says `is`. Where it does not, what it should say is left
/// in the target directory, to be looked at and copied.
fn assert_written(file: &str, is: &str) {
    let written = fs::read_to_string(root().join(file)).unwrap_or_default();
    if written != is {
        let name = Path::new(file).file_name().unwrap();
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&made, is).unwrap();
        panic!(
            "{file} is not what its sources say; look at the difference, then: cp {made:?} {file}"
        );
    }
}
