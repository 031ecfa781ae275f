//! Directories of files.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The directory that a file is in. [`Path::parent`] of a bare name is the empty path, which names no
/// directory to the system: a file that is named without one is in the working directory.
#[must_use]
pub fn of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Whether a directory takes files, tried with one that is removed again.
///
/// # Errors
/// The system's own.
pub fn takes_files(directory: &Path) -> io::Result<()> {
    let probe = directory.join(format!(".cloakroom-probe-{}", std::process::id()));
    File::options().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_takes_no_files() {
        let dir = tempfile::TempDir::new().unwrap();
        takes_files(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        takes_files(&dir.path().join("nowhere")).unwrap_err();
    }

    #[test]
    fn a_bare_name_is_in_the_working_directory() {
        for (file, directory) in [
            ("cloakroom.db", "."),
            ("./cloakroom.db", "."),
            ("data/cloakroom.db", "data"),
            ("/cloakroom.db", "/"),
        ] {
            assert_eq!(of(Path::new(file)), Path::new(directory), "{file}");
        }
    }
}
