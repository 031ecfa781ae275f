//! What is shipped: the binary's protections, its bill of materials, and the cryptography in it,
//! each held against a document in pci-docs.

#![cfg(test)]

mod assets;
mod binary;
mod cryptography;
mod materials;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Asserts that `file` of the repository says `is`. Where it does not, what it should say is left
/// in the target directory, to be looked at and copied.
fn assert_written(file: &str, is: &str) {
    let written = fs::read_to_string(root().join(file)).unwrap_or_default();
    if written != is {
        let name = Path::new(file).file_name().unwrap();
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&made, is).unwrap();
        panic!("{file} is not what is built; look at the difference, then: cp {made:?} {file}");
    }
}
