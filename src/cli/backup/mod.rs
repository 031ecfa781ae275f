//! `cloakroom backup keys|create|list|verify|drill|restore|status`.

mod shown;
mod status;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use self::shown::{line, lines, listed, seen, told};
use super::custody::passphrase;
use super::keys::EnvironmentName;
use super::{Failure, exit, operator, print};
use crate::audit::{Action, Outcome};
use crate::backup::{self, Backup, Fault, Listing, Verified};
use crate::clock::Clock;
use crate::config::Config;
use crate::seal::backup::{BackupIdentity, generate};
use crate::seal::file::write_private;
use crate::service::backup::{self as service, NotDone, Unproved};

const PUBLIC: &str = "backup-public.json";
const PRIVATE: &str = "backup-private.json";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes the key pair that backups are sealed to; on another machine than the service's.
    Keys(Keys),
    /// Makes a backup now, in every place of the configuration.
    Create(Of),
    /// What stands in the places, newest first.
    List(Of),
    /// Reads every copy and holds it against what was signed; with the private half also opens one
    /// and proves what is in it. Exits 65 where something is wrong.
    Verify(Verify),
    /// Opens the newest backup and proves it, as `verify` with the private half does.
    Drill(Drill),
    /// Opens a backup, proves it, and puts the database in place of one that is lost.
    Restore(Restore),
    /// How old the newest backup and the newest proof are, of PostgreSQL its archive and
    /// pgBackRest's repositories; exits 65 where one is too old.
    Status(Of),
}

#[derive(Debug, Args)]
struct Keys {
    /// The directory to write the two files to; it must exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The environment whose backups they are for.
    #[arg(long, value_enum)]
    environment: EnvironmentName,
    /// A file with the passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Of {
    /// The internal plane's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For machines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    of: Of,
    /// The backup; without it the newest.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    backup: Option<String>,
    /// Every backup that is kept; only the newest is opened.
    #[arg(long)]
    all: bool,
    /// The private half of the backup key, brought here for this.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// A file with its passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE", requires = "identity")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Drill {
    #[command(flatten)]
    of: Of,
    /// The private half of the backup key, brought here for this.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// A file with its passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl From<Drill> for Verify {
    fn from(drill: Drill) -> Self {
        Self {
            of: drill.of,
            backup: None,
            all: false,
            identity: Some(drill.identity),
            passphrase_file: drill.passphrase_file,
        }
    }
}

#[derive(Debug, Args)]
struct Restore {
    #[command(flatten)]
    of: Of,
    /// The backup; without it the newest.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// The private half of the backup key, brought here for this.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// A file with its passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the database is to be. Nothing may be there.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Keys(arguments) => keys(&arguments),
        Verb::Create(arguments) => super::block_on(create(arguments)),
        Verb::List(arguments) => list(&arguments),
        Verb::Verify(arguments) => super::block_on(verify(arguments)),
        Verb::Drill(arguments) => super::block_on(verify(arguments.into())),
        Verb::Restore(arguments) => super::block_on(restore(arguments)),
        Verb::Status(arguments) => super::block_on(status::run(arguments)),
    }
}

fn keys(arguments: &Keys) -> Result<(), Failure> {
    let passphrase = arguments.passphrase_file.as_deref();
    let passphrase = passphrase::new(passphrase, "the backup key")?;
    let files = generate(arguments.environment.into(), &passphrase)
        .map_err(|error| Failure::new(exit::DATA, error))?;
    for (name, bytes) in [(PRIVATE, &files.private), (PUBLIC, &files.public)] {
        write_private(&arguments.out.join(name), bytes)
            .map_err(|error| Failure::new(exit::CANT_CREATE, error))?;
    }
    print(format_args!(
        "made {} in {}: {PUBLIC} goes to the service, as backup.recipient_file; {PRIVATE} goes to no \
         host of it: keep it, and its passphrase, where a lost host or a thief of one cannot reach it",
        files.id,
        arguments.out.display(),
    ))
}

async fn create(of: Of) -> Result<(), Failure> {
    let config = Config::read(&of.config)?;
    let maker = service::maker(&config)?;
    let made = maker.make(Clock::system().now(), &AtomicBool::new(false));
    let recorded = service::record(&config, &operator(), service::events(&made)).await;
    let made = made.map_err(failure)?;
    recorded.map_err(unproved)?;
    let failed = made.failed.iter();
    let failed: Vec<String> = failed.map(|(_, failure)| failure.to_string()).collect();
    if of.json {
        let shown = json!({ "backup": made.manifest, "failed": failed, "removed": made.removed });
        print(shown)?;
    } else {
        let places = maker.archive.places.len().saturating_sub(failed.len());
        print(line(&made.manifest, places))?;
        for name in &made.removed {
            print(format_args!("removed {name}"))?;
        }
    }
    match failed.first() {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            exit::UNAVAILABLE,
            format_args!("not every place has got it: {why}"),
        )),
    }
}

fn list(of: &Of) -> Result<(), Failure> {
    let listing = service::archive(&Config::read(&of.config)?)?.list();
    if of.json {
        return print(listed(&listing));
    }
    for backup in &listing.backups {
        print(line(&backup.manifest, backup.places.len()))?;
    }
    for fault in &listing.faults {
        print(format_args!("{}: {}", fault.path.display(), fault.why))?;
    }
    Ok(())
}

async fn verify(arguments: Verify) -> Result<(), Failure> {
    let mut config = Config::read(&arguments.of.config)?;
    let live = Config::read(&arguments.of.config)?;
    let archive = service::archive(&config)?;
    let listing = archive.list();
    let newest = listing.find(arguments.backup.as_deref()).map_err(failure)?;
    let backups: Vec<&Backup> = if arguments.all {
        listing.backups.iter().collect()
    } else {
        vec![newest]
    };
    let verified: Vec<Verified> = backups
        .iter()
        .map(|backup| archive.verify(backup))
        .collect();
    let mut acts: Vec<_> = verified
        .iter()
        .map(|of| act(Action::BackupVerified, of.faults.is_empty(), &of.name))
        .collect();
    let mut proved = None;
    let opened = verified.iter().find(|of| of.name == newest.manifest.name);
    if let (Some(identity), Some(opened)) = (&arguments.identity, opened) {
        let identity = read(&config, identity, arguments.passphrase_file.as_deref())?;
        let done = service::open_and_prove(&mut config, (newest, opened), &identity).await;
        acts.push(act(Action::BackupProved, done.is_ok(), &opened.name));
        proved = Some(done);
    }
    let recorded = service::record(&live, &operator(), acts)
        .await
        .map_err(unproved)?;
    let proved = proved.transpose().map_err(not_done)?;
    // What is not listed may have been the newest.
    let strays = strays(&listing, &verified);
    if arguments.of.json {
        print(told((&verified, &strays), proved.as_ref(), recorded))?;
    } else {
        for text in lines((&verified, &strays), proved.as_ref(), recorded) {
            print(text)?;
        }
    }
    let faults = verified.iter().map(|of| of.faults.len());
    match faults.chain([strays.len()]).sum::<usize>() {
        0 => Ok(()),
        faults => {
            let why = format_args!("{faults} files are not what was signed");
            Err(Failure::new(exit::DATA, why))
        }
    }
}

async fn restore(arguments: Restore) -> Result<(), Failure> {
    let mut config = Config::read(&arguments.of.config)?;
    let identity = read(
        &config,
        &arguments.identity,
        arguments.passphrase_file.as_deref(),
    )?;
    let which = (arguments.backup.as_deref(), &identity);
    let done = service::restore(&mut config, which, (&arguments.to, operator())).await;
    let restored = done.map_err(not_done)?;
    let (manifest, to) = (&restored.manifest, arguments.to.display());
    if arguments.of.json {
        return print(json!({
            "backup": manifest,
            "place": restored.place,
            "events": restored.proved.events,
            "canary": restored.proved.without_keys.is_none(),
            "faults": restored.faults,
        }));
    }
    if restored.faults > 0 {
        print(format_args!(
            "{} files in the places are no whole backups, and one may have been newer: see `cloakroom \
             backup list`",
            restored.faults
        ))?;
    }
    print(format_args!(
        "restored {} from {} to {to}: {}\n\
         What was done after {} is not in it. Before a client is let in again:\n\
         1. leave the copies of the audit log's checkpoints as they are: they show what was lost;\n\
         2. compare with the processor: cloakroom reconcile --config FILE --since {};\n\
         3. let no order be sent again under its old idempotency key until that agrees: a charge or \
         refund made after the backup would be made twice;\n\
         4. start with --accept-rollback REASON: without it the service refuses a database that is \
         older than its checkpoints.",
        manifest.name,
        restored.place.display(),
        seen(&restored.proved),
        manifest.made_at,
        manifest.made_at,
    ))
}

/// What is wrong in the places and is of none of those that were verified.
fn strays<'l>(listing: &'l Listing, verified: &[Verified]) -> Vec<&'l Fault> {
    let told: Vec<&PathBuf> = verified
        .iter()
        .flat_map(|of| of.faults.iter().map(|fault| &fault.path))
        .collect();
    let faults = listing.faults.iter();
    faults
        .filter(|fault| !told.contains(&&fault.path))
        .collect()
}

fn read(
    config: &Config,
    file: &Path,
    passphrase_file: Option<&Path>,
) -> Result<BackupIdentity, Failure> {
    let passphrase: Zeroizing<Vec<u8>> = passphrase::ask(passphrase_file, file)?;
    BackupIdentity::read(file, &passphrase, config.environment)
        .map_err(|refused| Failure::new(exit::CONFIG, refused))
}

fn act(action: Action, is_well: bool, name: &str) -> (Action, Outcome, Option<String>) {
    let outcome = if is_well {
        Outcome::Success
    } else {
        Outcome::Failed
    };
    (action, outcome, Some(name.to_owned()))
}

fn failure(failure: backup::Failure) -> Failure {
    use backup::Failure as Why;
    let code = match &failure {
        Why::Unknown => exit::NO_INPUT,
        Why::Exists(_) => exit::CANT_CREATE,
        Why::Stream { .. } | Why::NotAsSigned { .. } | Why::ReadBack(_) | Why::Unclear => {
            exit::DATA
        }
        Why::OtherRecipient { .. } => exit::CONFIG,
        Why::Io { .. } | Why::Store(_) | Why::Busy | Why::Stopped => exit::UNAVAILABLE,
        Why::Unsigned => exit::SOFTWARE,
    };
    Failure::new(code, failure)
}

fn not_done(not_done: NotDone) -> Failure {
    match not_done {
        NotDone::Configuration(refused) => refused.into(),
        NotDone::Files(why) => failure(why),
        NotDone::Unproved(why) => unproved(why),
        NotDone::NoCopy { .. } => Failure::new(exit::DATA, not_done),
    }
}

fn unproved(why: Unproved) -> Failure {
    let code = match &why {
        Unproved::Store(crate::store::Failure::Unavailable(_)) => exit::UNAVAILABLE,
        Unproved::Store(_) | Unproved::Differs(_) | Unproved::Log(_) => exit::DATA,
        Unproved::Canary(_) | Unproved::Keys(_) | Unproved::Configuration(_) => exit::CONFIG,
    };
    Failure::new(code, why)
}
