//! `cloakroom keys init`: makes the key files that a configuration names.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, exit, print};
use crate::seal::file;
use crate::seal::mac::MacKey;
use crate::seal::signing::SigningKey;
use crate::token::Environment;

/// Names of the files that `keys init` makes.
pub(super) mod names {
    pub(in crate::cli) const KEK_PUBLIC: &str = "kek-public.json";
    pub(in crate::cli) const KEK_PRIVATE: &str = "kek-private.json";
    pub(in crate::cli) const SESSION_ISSUE: &str = "session-issue.key";
    pub(in crate::cli) const SESSION_VERIFY: &str = "session-verify.key";
    pub(in crate::cli) const FINGERPRINT: &str = "fingerprint.key";
    pub(in crate::cli) const RECEIPT: &str = "receipt.key";
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a KEK pair and the session, fingerprint and receipt keys.
    Init(Init),
}

#[derive(Debug, Args)]
struct Init {
    /// The directory to make them in; it must exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The environment that the keys are for.
    #[arg(long, value_enum)]
    environment: EnvironmentName,
    /// The file with the passphrase that is to protect the private KEK, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EnvironmentName {
    /// Test cards.
    Test,
    /// Real cards.
    Live,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Verb::Init(init) = arguments.verb;
    let environment = match init.environment {
        EnvironmentName::Test => Environment::Test,
        EnvironmentName::Live => Environment::Live,
    };
    let passphrase = file::read_passphrase(&init.passphrase_file)
        .map_err(|error| Failure::new(exit::CONFIG, error))?;
    make(&init.dir, environment, &passphrase)?;
    print(format_args!(
        "made in {dir}: {public}, {verify} and {fingerprint} for both planes; {private}, {issue} and {receipt} \
         for the internal plane only",
        dir = init.dir.display(),
        public = names::KEK_PUBLIC,
        verify = names::SESSION_VERIFY,
        fingerprint = names::FINGERPRINT,
        private = names::KEK_PRIVATE,
        issue = names::SESSION_ISSUE,
        receipt = names::RECEIPT,
    ))
}

/// Makes every key file that is missing in `dir`; never overwrites one.
pub(super) fn make(dir: &Path, environment: Environment, passphrase: &[u8]) -> Result<(), Failure> {
    let (public, private) = file::generate(environment, passphrase)
        .map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::KEK_PUBLIC, &public.to_json())?;
    write(dir, names::KEK_PRIVATE, &private.to_json())?;
    write(dir, names::SESSION_ISSUE, MacKey::generate().as_bytes())?;
    write(dir, names::SESSION_VERIFY, MacKey::generate().as_bytes())?;
    write(dir, names::FINGERPRINT, MacKey::generate().as_bytes())?;
    let receipt = SigningKey::generate().map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::RECEIPT, receipt.as_bytes())
}

/// Makes the key that marks cards where a directory of an earlier version has none.
#[cfg(feature = "sandbox")]
pub(super) fn ensure_fingerprint_key(dir: &Path) -> Result<(), Failure> {
    if dir.join(names::FINGERPRINT).exists() {
        return Ok(());
    }
    write(dir, names::FINGERPRINT, MacKey::generate().as_bytes())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    file::write_private(&dir.join(name), bytes)
        .map_err(|error| Failure::new(exit::CANT_CREATE, error))
}
