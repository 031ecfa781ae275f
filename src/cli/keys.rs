//! `cloakroom keys init`: makes the key files that a configuration names.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, custody, exit, print};
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
    /// Makes a custodian's own keys; run by the custodian.
    Custodian(custody::custodian::Arguments),
    /// Signs that a custodian holds their share; run by the custodian.
    Acknowledge(custody::acknowledge::Arguments),
    /// The papers of a ceremony.
    Ceremony(custody::ceremony::Arguments),
    /// Gives a custodian's share to a sealed process; run by the custodian.
    Unseal(custody::unseal::Arguments),
    /// Shares a key anew when its custodians change.
    Split(custody::split::Arguments),
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
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "shares",
        conflicts_with = "shares"
    )]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    custodians: custody::ceremony::Custodians,
}

/// An environment, as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum EnvironmentName {
    /// Test cards.
    Test,
    /// Real cards.
    Live,
}

impl From<EnvironmentName> for Environment {
    fn from(name: EnvironmentName) -> Self {
        match name {
            EnvironmentName::Test => Self::Test,
            EnvironmentName::Live => Self::Live,
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Init(arguments) => init(arguments),
        Verb::Custodian(arguments) => custody::custodian::run(arguments),
        Verb::Acknowledge(arguments) => custody::acknowledge::run(arguments),
        Verb::Ceremony(arguments) => custody::ceremony::run(arguments),
        Verb::Unseal(arguments) => super::block_on(custody::unseal::run(arguments)),
        Verb::Split(arguments) => custody::split::run(arguments),
    }
}

fn init(init: Init) -> Result<(), Failure> {
    let environment = init.environment.into();
    match &init.passphrase_file {
        Some(path) => {
            let passphrase =
                file::read_passphrase(path).map_err(|error| Failure::new(exit::CONFIG, error))?;
            make(&init.dir, environment, &passphrase)?;
        }
        None => {
            custody::ceremony::init(&init.dir, environment, init.custodians, || {
                make_others(&init.dir)
            })?;
        }
    }
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
    make_others(dir)?;
    Ok(())
}

/// Makes the keys that are no KEK; answers the one that signs.
fn make_others(dir: &Path) -> Result<SigningKey, Failure> {
    write(dir, names::SESSION_ISSUE, MacKey::generate().as_bytes())?;
    write(dir, names::SESSION_VERIFY, MacKey::generate().as_bytes())?;
    write(dir, names::FINGERPRINT, MacKey::generate().as_bytes())?;
    let receipt = SigningKey::generate().map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::RECEIPT, receipt.as_bytes())?;
    Ok(SigningKey::read(&dir.join(names::RECEIPT))?)
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
