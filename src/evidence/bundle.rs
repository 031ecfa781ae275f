//! A bundle: written once, signed, and checked by whoever gets it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{CHECKS, Check, SUMMARY, Verdict};
use crate::audit::note::LogKey;
use crate::directory;
use crate::seal::hex;
use crate::seal::signing::SigningKey;

const MANIFEST: &str = "manifest.json";
const NOTE: &str = "manifest.note";
const FORMAT: &str = "cloakroom-evidence/1";
/// Bytes of one file that is read to be compared.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Where, when and by what a bundle was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// RFC 3339, UTC.
    pub at: String,
    /// The version of the program.
    pub version: String,
    /// SHA-256 of the program's file, hexadecimal.
    pub program_sha256: String,
    /// `test` or `live`.
    pub environment: String,
    /// The processes that were looked at, by the names of their nodes.
    pub nodes: Vec<String>,
    /// Who asked.
    pub by: String,
}

/// What is signed: every file of the bundle by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    /// Where it is from.
    pub made: Made,
    /// SHA-256 of each file, hexadecimal, by its path in the bundle.
    pub files: BTreeMap<String, String>,
}

/// Files and checks that are to be written together.
#[derive(Debug, Default)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    checks: Vec<Check>,
}

/// Why a directory is no bundle that could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefused {
    /// The system says so.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file of it is not what this program writes.
    #[error("{0} is not what `evidence collect` writes")]
    Malformed(PathBuf),
    /// There is something already.
    #[error("{0} is not empty: a bundle gets a directory of its own")]
    NotEmpty(PathBuf),
}

/// What is wrong with a bundle, a sentence each; nothing when it is what was signed.
pub type Findings = Vec<String>;

impl Bundle {
    /// Takes a file; answers its path.
    pub fn file(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// Takes a value as a file of JSON.
    pub fn json(&mut self, path: &str, value: &impl Serialize) {
        // Maps with names for keys, and nothing that could refuse.
        let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
        self.file(path, text);
    }

    /// Takes a check.
    pub fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// The checks so far.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The files so far.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.files.iter();
        files.map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Writes all of it into an empty or new directory, signed.
    ///
    /// # Errors
    /// [`BundleRefused`]: the directory is not empty, or cannot be written.
    pub fn write(mut self, dir: &Path, made: Made, key: &SigningKey) -> Result<(), BundleRefused> {
        let refused = |path: &Path, error: io::Error| BundleRefused::File {
            path: path.to_owned(),
            error,
        };
        fs::create_dir_all(dir).map_err(|error| refused(dir, error))?;
        let mut there = fs::read_dir(dir).map_err(|error| refused(dir, error))?;
        if there.next().is_some() {
            return Err(BundleRefused::NotEmpty(dir.to_owned()));
        }
        let checks = std::mem::take(&mut self.checks);
        self.json(CHECKS, &checks);
        self.file(SUMMARY, summary(&made, &checks));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            made,
            files: self
                .files()
                .map(|(path, bytes)| (path.to_owned(), hash(bytes)))
                .collect(),
        };
        let manifest = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        let note = LogKey::of(key).sign_text(&statement(manifest.as_bytes()), key);
        self.file(MANIFEST, manifest);
        self.file(NOTE, note);
        for (path, bytes) in &self.files {
            let path = dir.join(path);
            let parent = directory::of(&path);
            fs::create_dir_all(parent).map_err(|error| refused(parent, error))?;
            fs::write(&path, bytes).map_err(|error| refused(&path, error))?;
        }
        Ok(())
    }
}

/// What the note says: what it is about, and the hash of the manifest.
fn statement(manifest: &[u8]) -> String {
    format!("{FORMAT}\n{}\n", hash(manifest))
}

fn hash(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn read(path: &Path) -> Result<Vec<u8>, BundleRefused> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| BundleRefused::File {
            path: path.to_owned(),
            error,
        })?;
    Ok(bytes)
}

/// The manifest of a bundle, as it stands there.
///
/// # Errors
/// [`BundleRefused`] where there is none.
pub(super) fn manifest(dir: &Path) -> Result<Manifest, BundleRefused> {
    let path = dir.join(MANIFEST);
    let manifest: Option<Manifest> = serde_json::from_slice(&read(&path)?).ok();
    manifest
        .filter(|manifest| manifest.format == FORMAT)
        .ok_or(BundleRefused::Malformed(path))
}

/// The checks of a bundle.
///
/// # Errors
/// [`BundleRefused`] where there are none.
pub(super) fn checks(dir: &Path) -> Result<Vec<Check>, BundleRefused> {
    let path = dir.join(CHECKS);
    serde_json::from_slice(&read(&path)?).map_err(|_| BundleRefused::Malformed(path))
}

/// Whether the bundle in `dir` is the one that `key` has signed: the manifest, and every file.
///
/// # Errors
/// [`BundleRefused`] where there is no manifest that could be compared.
pub fn verify(dir: &Path, key: &LogKey) -> Result<(Manifest, Findings), BundleRefused> {
    let manifest = manifest(dir)?;
    let mut findings = Vec::new();
    let note = String::from_utf8_lossy(&read(&dir.join(NOTE))?).into_owned();
    let said = statement(&read(&dir.join(MANIFEST))?);
    if key.open_text(&note).as_deref() != Ok(said.as_str()) {
        findings.push(format!("{MANIFEST} is not what {} has signed", key.name()));
    }
    for (path, expected) in &manifest.files {
        // A path that leads out of the directory is nobody's file.
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        match inside.then(|| read(&dir.join(path))) {
            Some(Ok(bytes)) if hash(&bytes) == *expected => {}
            Some(Ok(_)) => findings.push(format!("{path} was changed")),
            Some(Err(_)) => findings.push(format!("{path} is not there, or cannot be read")),
            None => findings.push("the manifest names a file outside of the bundle".to_owned()),
        }
    }
    for path in present(dir, dir)? {
        if path != MANIFEST && path != NOTE && !manifest.files.contains_key(&path) {
            findings.push(format!("{path} is not in the manifest"));
        }
    }
    Ok((manifest, findings))
}

/// Every file below `dir`, by its path from `root`.
fn present(root: &Path, dir: &Path) -> Result<Vec<String>, BundleRefused> {
    let refused = |error| BundleRefused::File {
        path: dir.to_owned(),
        error,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let path = entry.path();
        if entry.file_type().map_err(refused)?.is_dir() {
            found.extend(present(root, &path)?);
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            found.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

fn summary(made: &Made, checks: &[Check]) -> String {
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    let head = format!(
        "# Evidence\n\nMade {} by cloakroom {} ({}), of {} in the {} environment. {} checks pass, {} \
         fail, {} are not applicable. The numbers are those of PCI DSS v4.0.1.\n",
        made.at,
        made.version,
        made.program_sha256,
        made.nodes.join(" and "),
        made.environment,
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::NotApplicable),
    );
    let section = |check: &Check| {
        let list = |lines: &[String], mark: &str| -> String {
            let lines = lines.iter();
            lines.fold(String::new(), |text, line| {
                text + "- " + mark + line + mark + "\n"
            })
        };
        format!(
            "\n## {}: {}\n\n{}: {}.\n\n{}{}{}",
            check.id,
            check.verdict.name(),
            check.requirements.join(", "),
            check.title,
            list(&check.observations, ""),
            list(&check.files, ""),
            list(&check.reproduce, "`"),
        )
    };
    checks
        .iter()
        .fold(head, |text, check| text + &section(check))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Look;

    fn key() -> SigningKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        crate::seal::file::write_private(&path, SigningKey::generate().unwrap().as_bytes())
            .unwrap();
        SigningKey::read(&path).unwrap()
    }

    fn made() -> Made {
        Made {
            at: "2026-11-23T00:00:00.000Z".to_owned(),
            version: "1".to_owned(),
            program_sha256: "00".to_owned(),
            environment: "test".to_owned(),
            nodes: vec!["one".to_owned()],
            by: "uid 0".to_owned(),
        }
    }

    fn write(dir: &Path, key: &SigningKey) {
        let mut bundle = Bundle::default();
        let mut look = Look::at("keys", "keys are kept", &["3.6.1"]);
        look.must(true, "one key");
        bundle.check(look.done());
        bundle.file("keys/register.json", "[]");
        bundle.write(dir, made(), key).unwrap();
    }

    #[test]
    fn a_bundle_is_what_was_signed_or_it_is_said_what_is_not() {
        let (home, key) = (tempfile::tempdir().unwrap(), key());
        let findings = |change: &dyn Fn(&Path)| {
            let dir = home.path().join("bundle");
            write(&dir, &key);
            change(&dir);
            let (_, findings) = verify(&dir, &LogKey::of(&key)).unwrap();
            fs::remove_dir_all(&dir).unwrap();
            findings
        };
        assert_eq!(findings(&|_| ()), Findings::new());
        let put = |path: &'static str, text: &'static str| {
            move |dir: &Path| fs::write(dir.join(path), text).unwrap()
        };
        assert_eq!(
            findings(&put("keys/register.json", "[1]")),
            ["keys/register.json was changed"]
        );
        assert_eq!(
            findings(&put("keys/more.json", "[]")),
            ["keys/more.json is not in the manifest"]
        );
        assert_eq!(
            findings(&|dir| fs::remove_file(dir.join(CHECKS)).unwrap()),
            ["checks.json is not there, or cannot be read"]
        );
        // A file and its hash in the manifest, changed together.
        let both = findings(&|dir| {
            fs::write(dir.join("keys/register.json"), "[1]").unwrap();
            let text = fs::read_to_string(dir.join(MANIFEST)).unwrap();
            fs::write(
                dir.join(MANIFEST),
                text.replace(&hash(b"[]"), &hash(b"[1]")),
            )
            .unwrap();
        });
        assert!(
            both.len() == 1 && both.concat().contains("has signed"),
            "{both:?}"
        );
        let outside = findings(&|dir| {
            let text = fs::read_to_string(dir.join(MANIFEST)).unwrap();
            fs::write(dir.join(MANIFEST), text.replace("keys/reg", "../reg")).unwrap();
        });
        assert!(
            outside.concat().contains("outside of the bundle"),
            "{outside:?}"
        );
    }

    #[test]
    fn another_key_has_not_signed_it_and_a_checkpoint_is_no_manifest() {
        let (home, own) = (tempfile::tempdir().unwrap(), key());
        let dir = home.path().join("bundle");
        write(&dir, &own);
        let (_, findings) = verify(&dir, &LogKey::of(&key())).unwrap();
        assert_eq!(findings.len(), 1);
        let checkpoint = crate::audit::note::Checkpoint {
            size: 1,
            ..Default::default()
        };
        let note = LogKey::of(&own).sign(checkpoint, &own);
        fs::write(dir.join(NOTE), note).unwrap();
        let (_, findings) = verify(&dir, &LogKey::of(&own)).unwrap();
        assert_eq!(findings.len(), 1);
        // Nor is the statement of a bundle a checkpoint of the log.
        let statement = LogKey::of(&own).sign_text(&statement(b"{}"), &own);
        assert!(LogKey::of(&own).open(&statement).is_err());
    }

    #[test]
    fn a_bundle_gets_a_directory_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("letter"), "dear").unwrap();
        let refused = Bundle::default().write(home.path(), made(), &key());
        assert!(
            matches!(refused, Err(BundleRefused::NotEmpty(_))),
            "{refused:?}"
        );
        let none = verify(home.path(), &LogKey::of(&key()));
        assert!(matches!(none, Err(BundleRefused::File { .. })), "{none:?}");
    }
}
