//! The key that signs the key manifest is a person's, who rotates keys. A process that could read it
//! could put a key of a thief's into service, so no directory that a process reads may hold it.

use std::path::{Path, PathBuf};

use figment::value::magic::RelativePathBuf;

use super::super::Refused;
use crate::config::Config;
use crate::confinement::{Insistence, Reach};
use crate::token::Environment;

/// What `keys init` calls it: a process's configuration need not name it.
const USUAL_NAME: &str = "manifest.key";

/// Refuses the manifest key within reach in the live environment, where the process is confined.
///
/// # Errors
/// [`Refused::ManifestKey`] names the file.
pub fn refuse_manifest_key(config: &Config, reach: &Reach) -> Result<(), Refused> {
    let is_confined = config.process.insistence(config.environment) != Insistence::Off;
    match readable_manifest_key(config, reach) {
        Some(file) if is_confined && config.environment == Environment::Live => {
            Err(Refused::ManifestKey(file))
        }
        Some(_) | None => Ok(()),
    }
}

/// The manifest key, where a process with that reach can read it: the configured one, or one of the
/// usual name.
fn readable_manifest_key(config: &Config, reach: &Reach) -> Option<PathBuf> {
    let within: Vec<PathBuf> = reach
        .read
        .iter()
        .chain(&reach.write)
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let is_readable = |file: &Path| {
        let led_to = file.canonicalize();
        led_to.is_ok_and(|file| within.iter().any(|path| file.starts_with(path)))
    };
    let configured = config.keys.manifest_key_file.as_ref();
    let configured = configured.map(RelativePathBuf::relative);
    let usual = reach.read.iter().chain(&reach.write);
    let usual = usual.map(|directory| directory.join(USUAL_NAME));
    configured
        .into_iter()
        .chain(usual)
        .find(|file| is_readable(file))
}
