//! `cloakroom keys` for custodians: their keys, ceremonies, acknowledgements, unsealing, re-sharing.
//!
//! Each custodian runs `custodian`, `acknowledge` and `unseal` alone, on a machine of their own. A
//! ceremony (`init --shares`, `split`) is one command on one machine, which no secret leaves.

pub(super) mod acknowledge;
pub(super) mod ceremony;
pub(super) mod custodian;
pub(super) mod passphrase;
pub(super) mod split;
pub(super) mod unseal;

use std::path::Path;

use super::{Failure, exit};
use crate::seal::custody::{CeremonyFailed, CustodianKey, Refused};
use crate::seal::file::{self, KeyFileRefused};

/// Writes the files of a ceremony into a directory, all or, where one is there already, none.
fn write_all(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    for (name, _) in files {
        let path = dir.join(name);
        if path.exists() {
            return Err(Failure::new(
                exit::CANT_CREATE,
                format_args!(
                    "{} exists already, and nothing is overwritten",
                    path.display()
                ),
            ));
        }
    }
    for (name, bytes) in files {
        file::write_private(&dir.join(name), bytes)
            .map_err(|error| Failure::new(exit::CANT_CREATE, error))?;
    }
    Ok(())
}

/// Opens a custodian's private file with the passphrase in a file, or one that is typed.
fn custodian_key(path: &Path, passphrase_file: Option<&Path>) -> Result<CustodianKey, Failure> {
    let passphrase = passphrase::ask(passphrase_file, path)?;
    Ok(CustodianKey::read(path, &passphrase)?)
}

impl From<KeyFileRefused> for Failure {
    fn from(refused: KeyFileRefused) -> Self {
        Self::new(exit::CONFIG, refused)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(exit::DATA, refused)
    }
}

impl From<CeremonyFailed> for Failure {
    fn from(failed: CeremonyFailed) -> Self {
        let code = match &failed {
            CeremonyFailed::Bounds | CeremonyFailed::Ledger(_) | CeremonyFailed::NotOpened(_) => {
                exit::DATA
            }
            CeremonyFailed::Crypto => exit::SOFTWARE,
        };
        Self::new(code, failed)
    }
}
