//! Whether files are still the ones that were read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a set of files looked like: where a name leads, and when that was last written to. A file
/// replaced by renaming, and a link set to another directory, have another stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<Look>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// To be taken before the files are read: what is written meanwhile is then seen the next time.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().map(|path| look(path)).collect())
    }
}

/// `None` for a file that cannot be looked at, which is a state like any other.
fn look(path: &Path) -> Option<Look> {
    let metadata = fs::metadata(path).ok()?;
    Some(Look {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        // The time of change, which nobody can set, unlike that of modification.
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_written_replaced_or_gone_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.pem");
        let files = [file.clone()];
        let missing = Stamp::of(&files);
        fs::write(&file, "one").unwrap();
        let first = Stamp::of(&files);
        assert_ne!(first, missing);
        assert_eq!(first, Stamp::of(&files));

        fs::write(dir.path().join("new"), "two").unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        let replaced = Stamp::of(&files);
        assert_ne!(first, replaced);
        fs::write(&file, "three").unwrap();
        assert_ne!(replaced, Stamp::of(&files));
    }
}
