//! Holds copies against what was signed, and opens one.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Failure;
use super::archive::{Archive, Backup, Fault, SEALED, file_of};
use super::files::{Tallied, create, digest_of, remove};
use crate::seal::backup::{BackupIdentity, open};

/// What the copies of one backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// The places whose copy is, byte by byte, what was signed.
    pub whole: Vec<PathBuf>,
    /// What is wrong with others, or that there is none.
    pub faults: Vec<Fault>,
}

impl Archive {
    /// Reads every copy of a backup, and holds it against what was signed. Not for an async thread.
    #[must_use]
    pub fn verify(&self, backup: &Backup) -> Verified {
        let name = &backup.manifest.name;
        let mut verified = Verified {
            name: name.clone(),
            whole: Vec::new(),
            faults: Vec::new(),
        };
        for place in &self.places {
            let path = file_of(place, name, SEALED);
            let why = match digest_of(&path) {
                Ok(digest) if digest != backup.manifest.sealed => {
                    "its SHA-256 is not the one that was signed".to_owned()
                }
                Ok(_) if !backup.places.contains(place) => {
                    "it has no manifest that was signed".to_owned()
                }
                Ok(_) => {
                    verified.whole.push(place.clone());
                    continue;
                }
                Err(failure) => failure.to_string(),
            };
            verified.faults.push(Fault { path, why });
        }
        verified
    }

    /// Opens the copy of a place into a new file that only its owner reads, and holds what comes out
    /// against what was signed. Not for an async thread.
    ///
    /// # Errors
    /// [`Failure`]; then the new file is not there.
    pub fn open(
        &self,
        backup: &Backup,
        (place, identity): (&Path, &BackupIdentity),
        to: &Path,
    ) -> Result<(), Failure> {
        let manifest = &backup.manifest;
        if manifest.recipient != identity.id() {
            return Err(Failure::OtherRecipient {
                name: manifest.name.clone(),
                sealed_to: manifest.recipient.clone(),
                given: identity.id().to_owned(),
            });
        }
        let file = create(to)?;
        let opened = opened(backup, (place, identity), (file, to));
        if opened.is_err() {
            remove(to)?;
        }
        opened
    }
}

fn opened(
    backup: &Backup,
    (place, identity): (&Path, &BackupIdentity),
    (file, to): (File, &Path),
) -> Result<(), Failure> {
    let manifest = &backup.manifest;
    let path = file_of(place, &manifest.name, SEALED);
    let mut sealed = File::open(&path).map_err(|error| Failure::io(&path, error))?;
    let mut plain = Tallied::new(file);
    open(identity, &manifest.name, &mut sealed, &mut plain).map_err(|source| Failure::Stream {
        path: path.clone(),
        source,
    })?;
    let synced = plain.file.sync_all();
    synced.map_err(|error| Failure::io(to, error))?;
    if plain.tally.finish() == manifest.plain {
        return Ok(());
    }
    let why = "the database in it is not the one that was signed".to_owned();
    Err(Failure::NotAsSigned { path, why })
}
