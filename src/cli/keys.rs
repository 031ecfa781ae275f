//! `cloakroom keys init`: makes the key files that a configuration names.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::{Failure, custody, exit, print, rotation};
use crate::audit::note::LogKey;
use crate::seal::mac::MacKey;
use crate::seal::signing::SigningKey;
use crate::seal::{file, pkcs11};
use crate::token::Environment;

/// Names of the files that `keys init` makes.
pub(super) mod names {
    pub(in crate::cli) const KEK_PUBLIC: &str = "kek-public.json";
    pub(in crate::cli) const KEK_PRIVATE: &str = "kek-private.json";
    pub(in crate::cli) const SESSION_ISSUE: &str = "session-issue.key";
    pub(in crate::cli) const SESSION_VERIFY: &str = "session-verify.key";
    pub(in crate::cli) const FINGERPRINT: &str = "fingerprint.key";
    pub(in crate::cli) const ORDER: &str = "order.key";
    pub(in crate::cli) const RECEIPT: &str = "receipt.key";
    pub(in crate::cli) const CHECKPOINT: &str = "checkpoint.key";
    pub(in crate::cli) const CHECKPOINT_PUBLIC: &str = "checkpoint.vkey";
    pub(in crate::cli) const MANIFEST: &str = "manifest.key";
    pub(in crate::cli) const MANIFEST_PUBLIC: &str = "manifest-public.json";
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a KEK pair and the session, fingerprint and receipt keys.
    Init(Box<Init>),
    /// Makes a custodian's own keys; run by the custodian.
    Custodian(custody::custodian::Arguments),
    /// Signs that a custodian holds their share; run by the custodian.
    Acknowledge(custody::acknowledge::Arguments),
    /// The papers of a ceremony.
    Ceremony(custody::ceremony::Arguments),
    /// Gives a custodian's share to a sealed process; run by the custodian.
    Unseal(Box<custody::unseal::Arguments>),
    /// Which key-encryption keys there are, and what stands under each.
    Status(rotation::Of),
    /// Replaces the KEK while the service runs, and moves every data key to the new one.
    Rotate(rotation::Rotate),
    /// Moves every token to fresh data keys while the service runs.
    Reseal(rotation::Reseal),
    /// Says what has become of a KEK that is out of service.
    Retire(rotation::Retire),
    /// Removes data keys under a KEK that the manifest does not name, where nothing is sealed.
    Repair(rotation::Repair),
    /// Shares a key anew when its custodians change.
    Split(Box<custody::split::Arguments>),
}

#[derive(Debug, Args)]
struct Init {
    /// The directory to make them in; it must exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The environment that the keys are for.
    #[arg(long, value_enum)]
    environment: EnvironmentName,
    /// Who holds the KEK.
    #[arg(long, value_enum, default_value_t = Provider::File)]
    provider: Provider,
    /// The file with the passphrase that is to protect the private KEK, readable by its owner only.
    #[arg(long, value_name = "FILE", conflicts_with = "shares")]
    passphrase_file: Option<PathBuf>,
    /// The hardware module's PKCS #11 library.
    #[arg(long, value_name = "FILE", required_if_eq("provider", "pkcs11"))]
    pkcs11_module: Option<PathBuf>,
    /// The label of the module's token.
    #[arg(long, value_name = "LABEL", required_if_eq("provider", "pkcs11"))]
    pkcs11_token: Option<String>,
    /// The file with the token's user PIN, readable by its owner only.
    #[arg(long, value_name = "FILE", required_if_eq("provider", "pkcs11"))]
    pkcs11_pin_file: Option<PathBuf>,
    #[command(flatten)]
    custodians: custody::ceremony::Custodians,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Provider {
    /// Files: a public one, and a private one under a passphrase.
    File,
    /// A hardware module: the private key is made in it and never leaves it.
    Pkcs11,
    /// AWS Key Management Service: the key is made there; only the other keys are made here.
    AwsKms,
}

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
        Verb::Init(arguments) => init(*arguments),
        Verb::Custodian(arguments) => custody::custodian::run(arguments),
        Verb::Acknowledge(arguments) => custody::acknowledge::run(&arguments),
        Verb::Ceremony(arguments) => custody::ceremony::run(arguments),
        Verb::Unseal(arguments) => super::block_on(custody::unseal::run(*arguments)),
        Verb::Status(arguments) => super::block_on(rotation::status(arguments)),
        Verb::Rotate(arguments) => super::block_on(rotation::rotate(arguments)),
        Verb::Reseal(arguments) => super::block_on(rotation::reseal(arguments)),
        Verb::Retire(arguments) => super::block_on(rotation::retire(arguments)),
        Verb::Repair(arguments) => super::block_on(rotation::repair(arguments)),
        Verb::Split(arguments) => custody::split::run(*arguments),
    }
}

fn init(init: Init) -> Result<(), Failure> {
    let environment = init.environment.into();
    match init.provider {
        Provider::File if init.custodians.shares.is_some() => {
            custody::ceremony::init(&init.dir, environment, init.custodians, || {
                make_others(&init.dir)
            })?;
        }
        Provider::Pkcs11 | Provider::AwsKms if init.custodians.shares.is_some() => {
            return Err(Failure::new(
                exit::USAGE,
                "--shares is of the provider file; others guard their key themselves",
            ));
        }
        Provider::File => {
            let path = given(init.passphrase_file, "--passphrase-file")?;
            let passphrase =
                file::read_passphrase(&path).map_err(|error| Failure::new(exit::CONFIG, error))?;
            make(&init.dir, environment, &passphrase)?;
        }
        Provider::Pkcs11 => {
            let pin = file::read_private(&given(init.pkcs11_pin_file, "--pkcs11-pin-file")?)
                .map_err(|error| Failure::new(exit::CONFIG, error))?;
            let pin = Zeroizing::new(String::from_utf8_lossy(&pin).trim().to_owned());
            let settings = pkcs11::Settings {
                module: given(init.pkcs11_module, "--pkcs11-module")?,
                token_label: given(init.pkcs11_token, "--pkcs11-token")?,
                pin: pkcs11::Pin::new(pin),
            };
            let public = pkcs11::generate(environment, settings)
                .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
            write(&init.dir, names::KEK_PUBLIC, &public.to_json())?;
            make_others(&init.dir)?;
        }
        Provider::AwsKms => {
            make_others(&init.dir)?;
        }
    }
    print(told(&init.dir, init.provider))
}

/// What was made, and for whom.
fn told(dir: &Path, provider: Provider) -> String {
    let (public, private) = match provider {
        Provider::File => (Some(names::KEK_PUBLIC), Some(names::KEK_PRIVATE)),
        Provider::Pkcs11 => (Some(names::KEK_PUBLIC), None),
        Provider::AwsKms => (None, None),
    };
    let list = |files: &[Option<&str>]| {
        let files: Vec<&str> = files.iter().copied().flatten().collect();
        files.join(", ")
    };
    let both = list(&[
        public,
        Some(names::SESSION_VERIFY),
        Some(names::FINGERPRINT),
        Some(names::MANIFEST_PUBLIC),
        Some(names::CHECKPOINT_PUBLIC),
    ]);
    let internal = list(&[
        private,
        private.map(|_| "keks/ (of keys to come)"),
        Some(names::SESSION_ISSUE),
        Some(names::ORDER),
        Some(names::RECEIPT),
        Some(names::MANIFEST),
        Some(names::CHECKPOINT),
    ]);
    let dir = dir.display();
    format!("made in {dir}: for both planes {both}; for the internal plane only {internal}")
}

fn given<T>(argument: Option<T>, name: &'static str) -> Result<T, Failure> {
    argument.ok_or_else(|| Failure::new(exit::USAGE, format_args!("{name} is missing")))
}

/// Makes every key file that is missing in `dir`; never overwrites one.
pub(super) fn make(dir: &Path, environment: Environment, passphrase: &[u8]) -> Result<(), Failure> {
    let (public, private) = file::generate(environment, passphrase)
        .map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::KEK_PUBLIC, &public.to_json())?;
    write(dir, names::KEK_PRIVATE, &private.to_json())?;
    crate::service::make_further_keys(&dir.join(names::KEK_PRIVATE))
        .map_err(|error| Failure::new(exit::CANT_CREATE, error))?;
    make_others(dir)?;
    Ok(())
}

/// Makes the keys that are not the KEK; answers the one that signs.
fn make_others(dir: &Path) -> Result<SigningKey, Failure> {
    write(dir, names::SESSION_ISSUE, MacKey::generate().as_bytes())?;
    write(dir, names::SESSION_VERIFY, MacKey::generate().as_bytes())?;
    write(dir, names::FINGERPRINT, MacKey::generate().as_bytes())?;
    write(dir, names::ORDER, MacKey::generate().as_bytes())?;
    let receipt = SigningKey::generate().map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::RECEIPT, receipt.as_bytes())?;
    make_manifest_key(dir)?;
    make_checkpoint_key(dir)?;
    Ok(SigningKey::read(&dir.join(names::RECEIPT))?)
}

/// The key that signs the key manifest, and its public half.
fn make_manifest_key(dir: &Path) -> Result<(), Failure> {
    let manifest = SigningKey::generate().map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::MANIFEST, manifest.as_bytes())?;
    let public = SigningKey::read(&dir.join(names::MANIFEST))?.jwk();
    write(dir, names::MANIFEST_PUBLIC, public.as_bytes())
}

/// The key that signs the audit log's checkpoints, and its public half.
fn make_checkpoint_key(dir: &Path) -> Result<(), Failure> {
    let checkpoint = SigningKey::generate().map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    write(dir, names::CHECKPOINT, checkpoint.as_bytes())?;
    let public = LogKey::of(&SigningKey::read(&dir.join(names::CHECKPOINT))?).text();
    write(
        dir,
        names::CHECKPOINT_PUBLIC,
        format!("{public}\n").as_bytes(),
    )
}

/// Makes the keys that a directory of an earlier version has not.
#[cfg(feature = "sandbox")]
pub(super) fn ensure_later_keys(dir: &Path) -> Result<(), Failure> {
    if !dir.join(names::FINGERPRINT).exists() {
        write(dir, names::FINGERPRINT, MacKey::generate().as_bytes())?;
    }
    if !dir.join(names::ORDER).exists() {
        write(dir, names::ORDER, MacKey::generate().as_bytes())?;
    }
    if !dir.join(names::MANIFEST).exists() {
        make_manifest_key(dir)?;
    }
    if !dir.join(names::CHECKPOINT).exists() {
        make_checkpoint_key(dir)?;
    }
    Ok(())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    file::write_private(&dir.join(name), bytes)
        .map_err(|error| Failure::new(exit::CANT_CREATE, error))
}
