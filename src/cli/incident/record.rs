//! The files of an incident: made new, for their owner only, and on the disk before they count.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;

use super::super::Failure;
use super::not_written;

/// Makes a directory that is not there yet.
pub(super) fn directory(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(not_written)
}

/// A file of JSON lines.
pub(super) struct Lines {
    out: BufWriter<File>,
    /// How many there are.
    pub(super) count: u64,
}

impl Lines {
    /// A file in the place of what is there.
    pub(super) fn write(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(not_written)?;
        Ok(Self {
            out: BufWriter::new(file),
            count: 0,
        })
    }

    pub(super) fn push(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, line).map_err(|error| not_written(error.into()))?;
        self.out.write_all(b"\n").map_err(not_written)?;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64, Failure> {
        self.out.flush().map_err(not_written)?;
        self.out.get_ref().sync_all().map_err(not_written)?;
        Ok(self.count)
    }
}
