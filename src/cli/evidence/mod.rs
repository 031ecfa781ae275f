//! `cloakroom evidence collect|verify|diff`: what an assessor asks for, signed, and whether it still
//! is what was signed.
//!
//! Collecting reads. The one thing that it writes is the audit event that the log was read.

mod access;
mod audit;
mod backups;
mod collect;
mod database;
mod keys;
mod listeners;
mod papers;
mod process;
pub(super) mod running;
pub(super) mod scene;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, exit, print};
use crate::audit::note::LogKey;
use crate::config::Config;
use crate::evidence::{BundleRefused, Change, Verdict, compare, verify};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Looks at a running service and writes what it saw into a directory, signed. Ends with 65 when
    /// a check fails; the directory is whole then, too.
    Collect(collect::Arguments),
    /// Says whether a directory is still what was signed; ends with 65 when it is not.
    Verify(VerifyArguments),
    /// Says how two directories differ; ends with 65 when a check passed in the first and does not
    /// in the second.
    Diff(DiffArguments),
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The directory.
    dir: PathBuf,
    /// The verifier key that it must be signed with, as `collect` names it. It comes from elsewhere
    /// than the directory.
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// The configuration whose `audit.checkpoint_vkey_file` is that key.
    #[arg(
        long,
        value_name = "FILE",
        default_value = ".cloakroom/cloakroom.toml",
        conflicts_with = "vkey"
    )]
    config: PathBuf,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DiffArguments {
    /// The older directory.
    before: PathBuf,
    /// The newer one.
    after: PathBuf,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Collect(arguments) => super::block_on(collect::run(arguments)),
        Verb::Verify(arguments) => check(&arguments),
        Verb::Diff(arguments) => diff(&arguments),
    }
}

impl From<BundleRefused> for Failure {
    fn from(refused: BundleRefused) -> Self {
        let code = match &refused {
            BundleRefused::File { .. } => exit::NO_INPUT,
            BundleRefused::Malformed(_) => exit::DATA,
            BundleRefused::NotEmpty(_) => exit::CANT_CREATE,
        };
        Self::new(code, refused)
    }
}

/// The verifier key in a file, or the one that a configuration names.
fn log_key(vkey: Option<&Path>, config: &Path) -> Result<LogKey, Failure> {
    let refused = |refused: &dyn std::fmt::Display| Failure::new(exit::CONFIG, refused);
    if let Some(path) = vkey {
        return LogKey::read(path).map_err(|why| refused(&why));
    }
    let config = Config::read(config)?;
    let named = config
        .audit
        .as_ref()
        .and_then(|audit| audit.checkpoint_vkey_file.as_ref());
    let path = named.ok_or_else(|| {
        refused(&"the configuration names no audit.checkpoint_vkey_file; give --vkey FILE")
    })?;
    LogKey::read(&path.relative()).map_err(|why| refused(&why))
}

fn check(arguments: &VerifyArguments) -> Result<(), Failure> {
    let key = log_key(arguments.vkey.as_deref(), &arguments.config)?;
    let (manifest, findings) = verify(&arguments.dir, &key)?;
    if arguments.json {
        print(json!({
            "ok": findings.is_empty(),
            "signed_by": key.name(),
            "made": manifest.made,
            "files": manifest.files.len(),
            "findings": findings,
        }))?;
    } else {
        for finding in &findings {
            print(finding)?;
        }
        let dir = arguments.dir.display();
        if findings.is_empty() {
            print(format_args!(
                "{dir} is what {} signed at {}: {} files",
                key.name(),
                manifest.made.at,
                manifest.files.len()
            ))?;
        }
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::new(
            exit::DATA,
            format_args!("{count} findings: it is not what was signed"),
        )),
    }
}

fn diff(arguments: &DiffArguments) -> Result<(), Failure> {
    let differences = compare(&arguments.before, &arguments.after)?;
    if arguments.json {
        print(json!({
            "worse": differences.is_worse(),
            "checks": differences.checks,
            "files": differences.files,
        }))?;
    } else {
        for change in &differences.checks {
            print(line(change))?;
        }
        for file in &differences.files {
            print(file)?;
        }
    }
    if differences.is_worse() {
        let why = "a check that passed does not any more";
        return Err(Failure::new(exit::DATA, why));
    }
    Ok(())
}

fn line(change: &Change) -> String {
    let name = |verdict: Option<Verdict>| verdict.map_or("not made", Verdict::name);
    let mut lines = vec![format!(
        "{}: {} -> {}",
        change.id,
        name(change.before),
        name(change.after)
    )];
    lines.extend(change.gone.iter().map(|seen| format!("  - {seen}")));
    lines.extend(change.new.iter().map(|seen| format!("  + {seen}")));
    lines.join("\n")
}
