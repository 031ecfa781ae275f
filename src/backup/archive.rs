//! What stands in the places: whole backups, and what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use super::files::{create, read_note, remove, sync};
use super::manifest::{Manifest, Proof};
use crate::audit::note::LogKey;
use crate::clock::Timestamp;
use crate::seal::KekId;
use crate::token::Environment;

/// Milliseconds by which the clocks of two machines may differ.
const CLOCKS_DIFFER_MS: u64 = 300_000;
pub(super) const SEALED: &str = ".sealed";
pub(super) const MANIFEST: &str = ".manifest";
pub(super) const PROOF: &str = ".proof";
/// Behind the name of a file that is not whole yet.
pub(super) const PARTIAL: &str = ".partial";
/// A backup of which only this is there is about to go.
const REMOVING: &str = ".removing";

/// The places, and whose word is believed there.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Of other backups nothing is believed.
    pub environment: Environment,
    /// Directories.
    pub places: Vec<PathBuf>,
    /// Checks manifests and proofs.
    pub key: LogKey,
}

/// A backup, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What was signed of it.
    pub manifest: Manifest,
    /// The places that have both of its files, the sealed one in its full length.
    pub places: Vec<PathBuf>,
}

/// Something in a place that is not a whole backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file or the directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// All that stands in the places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Newest first.
    pub backups: Vec<Backup>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The newest proof of one of the backups.
    pub proof: Option<Proof>,
}

impl Backup {
    /// Whether it was made under a clock that was ahead of this one by more than clocks differ.
    fn is_from_the_future(&self, now: Timestamp) -> bool {
        let made_at = self.manifest.made_at();
        made_at.is_some_and(|made_at| made_at > now.plus_ms(CLOCKS_DIFFER_MS))
    }
}

impl Listing {
    /// The newest backup, or the one of that name.
    ///
    /// # Errors
    /// [`Failure::Unknown`]; [`Failure::Unclear`] where its name is not of the longest log.
    pub fn find(&self, name: Option<&str>) -> Result<&Backup, Failure> {
        let mut backups = self.backups.iter();
        if let Some(name) = name {
            let found = backups.find(|backup| backup.manifest.name == name);
            return found.ok_or(Failure::Unknown);
        }
        let newest = backups.next().ok_or(Failure::Unknown)?;
        // The audit log grows whatever the clocks say.
        let has_more = |other: &Backup| other.manifest.audit_size > newest.manifest.audit_size;
        if backups.any(has_more) {
            return Err(Failure::Unclear);
        }
        Ok(newest)
    }

    /// The backups whose tokens are sealed under that key.
    #[must_use]
    pub fn needing(&self, kek: &KekId) -> Vec<&Manifest> {
        let manifests = self.backups.iter().map(|backup| &backup.manifest);
        manifests.filter(|manifest| manifest.needs(kek)).collect()
    }

    /// When the newest backup of the place was made that has waited longest for one; nothing where
    /// a place has none.
    #[must_use]
    pub fn newest_in_every_place(&self, places: &[PathBuf], now: Timestamp) -> Option<Timestamp> {
        let newest_in = |place: &PathBuf| {
            let mut backups = self.past(now);
            let newest = backups.find(|backup| backup.places.contains(place))?;
            newest.manifest.made_at()
        };
        let newest: Option<Vec<Timestamp>> = places.iter().map(newest_in).collect();
        newest?.into_iter().min()
    }

    /// The backups that a clock which is right can have made.
    pub(super) fn past(&self, now: Timestamp) -> impl Iterator<Item = &Backup> {
        let backups = self.backups.iter();
        backups.filter(move |backup| !backup.is_from_the_future(now))
    }

    fn fault(&mut self, path: &Path, why: &impl ToString) {
        let (path, why) = (path.to_owned(), why.to_string());
        self.faults.push(Fault { path, why });
    }
}

impl Archive {
    /// Looks into every place. The sealed files are not read.
    #[must_use]
    pub fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut backups: BTreeMap<String, Backup> = BTreeMap::new();
        for place in &self.places {
            for name in Self::names_in(place, &mut listing) {
                let manifest = match self.whole(place, &name) {
                    Ok(manifest) => manifest,
                    Err((path, why)) => {
                        listing.fault(&path, &why);
                        continue;
                    }
                };
                let backup = backups.entry(name).or_insert_with(|| Backup {
                    manifest: manifest.clone(),
                    places: Vec::new(),
                });
                if backup.manifest == manifest {
                    backup.places.push(place.clone());
                } else {
                    listing.fault(place, &"two manifests of one name differ");
                }
            }
        }
        listing.backups = backups.into_values().rev().collect();
        listing.proof = self.newest_proof(&listing.backups);
        listing
    }

    /// The names of what may be backups in a place, each once.
    fn names_in(place: &Path, listing: &mut Listing) -> Vec<String> {
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) => {
                listing.fault(place, &error);
                return Vec::new();
            }
        };
        let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let of = |file: String| {
            let name = file.strip_suffix(SEALED);
            name.or_else(|| file.strip_suffix(MANIFEST))
                .map(str::to_owned)
        };
        let mut names: Vec<String> = files.filter_map(of).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The manifest of a backup whose files are both there, or what is wrong with which.
    fn whole(&self, place: &Path, name: &str) -> Result<Manifest, (PathBuf, String)> {
        let path = file_of(place, name, MANIFEST);
        let note = read_note(&path).map_err(|error| (path.clone(), error.to_string()))?;
        let manifest = Manifest::open(&note, &self.key)
            .filter(|manifest| manifest.name == name && manifest.environment == self.environment)
            .ok_or_else(|| {
                let why = "not a manifest of this name that the audit log's key has signed";
                (path, why.to_owned())
            })?;
        let path = file_of(place, name, SEALED);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) => return Err((path, error.to_string())),
        };
        let signed = manifest.sealed.bytes;
        if bytes != signed {
            return Err((
                path,
                format!("{bytes} bytes long, and was signed as {signed}"),
            ));
        }
        Ok(manifest)
    }

    fn newest_proof(&self, backups: &[Backup]) -> Option<Proof> {
        let of = |backup: &Backup| {
            let manifest = &backup.manifest;
            let read = |place: &PathBuf| {
                let note = read_note(&file_of(place, &manifest.name, PROOF)).ok()?;
                Proof::open(&note, &self.key)
            };
            let proofs = self.places.iter().filter_map(read);
            let ours = proofs.filter(|proof| {
                proof.name == manifest.name && proof.sealed_sha256 == manifest.sealed.sha256
            });
            ours.max_by(|one, other| one.proved_at.cmp(&other.proved_at))
        };
        let proofs = backups.iter().filter_map(of);
        proofs.max_by(|one, other| one.proved_at.cmp(&other.proved_at))
    }

    /// Says in every place of a backup that takes files that it was opened, and that what is in it
    /// held.
    ///
    /// # Errors
    /// [`Failure::Io`] where no place takes one.
    pub fn put_proof(
        &self,
        backup: &Backup,
        proof: &Proof,
        key: &crate::seal::signing::SigningKey,
    ) -> Result<(), Failure> {
        let note = proof.signed(key)?;
        let put = |place: &PathBuf| {
            let partial = file_of(place, &proof.name, &format!("{PROOF}{PARTIAL}"));
            remove(&partial)?;
            write(&partial, note.as_bytes())?;
            rename(&partial, &file_of(place, &proof.name, PROOF))?;
            sync(place)
        };
        let (put, mut failed): (Vec<_>, Vec<_>) =
            backup.places.iter().map(put).partition(Result::is_ok);
        match failed.pop() {
            Some(Err(failure)) if put.is_empty() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Removes the oldest backups of a place until it has no more than that many, and answers
    /// their names. One whose time is still to come counts for nothing: a clock was wrong.
    pub(super) fn prune(
        &self,
        place: &Path,
        (kept_max, now): (u32, Timestamp),
    ) -> Result<Vec<String>, Failure> {
        let here = Self {
            places: vec![place.to_owned()],
            ..self.clone()
        };
        let kept = usize::try_from(kept_max).unwrap_or(usize::MAX);
        let mut removed = Vec::new();
        let past = here.list().backups.into_iter();
        let past = past.filter(|backup| !backup.is_from_the_future(now));
        for backup in past.skip(kept) {
            let name = backup.manifest.name;
            // Without its manifest it is no backup any more, and the rest goes now or the next time.
            let going = file_of(place, &name, &format!("{REMOVING}{PARTIAL}"));
            rename(&file_of(place, &name, MANIFEST), &going)?;
            finish_removal(place, &name)?;
            removed.push(name);
        }
        sync(place)?;
        Ok(removed)
    }

    /// Finishes or removes what a process that was killed has left in a place.
    pub(super) fn tidy(place: &Path) -> Result<(), Failure> {
        let entries = fs::read_dir(place).map_err(|error| Failure::io(place, error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut partial: Vec<String> = names
            .filter(|name| name.ends_with(PARTIAL))
            .filter_map(|name| name.strip_suffix(PARTIAL).map(str::to_owned))
            .collect();
        partial.sort();
        for file in partial {
            let from = place.join(format!("{file}{PARTIAL}"));
            if let Some(name) = file.strip_suffix(REMOVING) {
                finish_removal(place, name)?;
            } else if let Some(name) = file.strip_suffix(MANIFEST)
                && file_of(place, name, SEALED).exists()
            {
                // The sealed file got its name after its manifest was on the disk.
                rename(&from, &place.join(&file))?;
            } else if file.ends_with(SEALED) || file.ends_with(MANIFEST) || file.ends_with(PROOF) {
                remove(&from)?;
            }
        }
        sync(place)
    }
}

/// Removes what is left of a backup that has no manifest any more.
fn finish_removal(place: &Path, name: &str) -> Result<(), Failure> {
    for suffix in [PROOF, SEALED] {
        remove(&file_of(place, name, suffix))?;
    }
    remove(&file_of(place, name, &format!("{REMOVING}{PARTIAL}")))
}

pub(super) fn file_of(place: &Path, name: &str, suffix: &str) -> PathBuf {
    place.join(format!("{name}{suffix}"))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|error| Failure::io(to, error))
}

/// Writes a new file, and returns when it is on the disk; its name may not be.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;

    let mut file = create(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| Failure::io(path, error))
}

/// Whether a place takes files, tried with one.
pub(super) fn takes_files(place: &Path) -> Result<(), Failure> {
    let probe = file_of(place, "probe", PARTIAL);
    remove(&probe)?;
    write(&probe, b"")?;
    remove(&probe)
}
