//! The command line: one file per verb, sysexits as exit codes, `--json` for machines.

mod alerts;
mod audit;
mod backup;
mod check;
mod configuration;
mod custody;
#[cfg(feature = "sandbox")]
mod dev;
mod evidence;
mod incident;
mod keys;
mod migrate;
mod openapi;
mod operator;
mod pagewatch;
mod reconcile;
mod rotation;
mod serve;
mod status;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::card::scan::stored;
use crate::config::{self, Config};
use crate::memory::{self, Hardening};
use crate::net::names;
use crate::service::{self, Listeners, Start};

use self::operator::operator;

/// Exit codes of BSD's sysexits.h.
mod exit {
    pub(super) const USAGE: u8 = 64;
    pub(super) const DATA: u8 = 65;
    pub(super) const NO_INPUT: u8 = 66;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const SOFTWARE: u8 = 70;
    pub(super) const CANT_CREATE: u8 = 73;
    pub(super) const CONFIG: u8 = 78;
}

/// Hand in the card, get a ticket: a payment-tokenization service that holds no card.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything embedded for development: SQLite, own certificates, a Stripe-shaped sandbox.
    #[cfg(feature = "sandbox")]
    Dev(dev::Arguments),
    /// The Stripe-shaped sandbox of `dev` alone, in a process of its own.
    #[cfg(feature = "sandbox")]
    Sandbox(dev::SandboxArguments),
    /// Runs the planes that a configuration names.
    Serve(serve::Arguments),
    /// How a process and its store are, in one look; exit code 69 where it is not ready.
    Status(status::Arguments),
    /// Brings the store's schema up to this version.
    Migrate(ConfigArguments),
    /// Preflight: configuration, TLS, store, keys, processor; each with its mend.
    Check(check::Arguments),
    /// The configuration's keys.
    Config(configuration::Arguments),
    /// Keys.
    Keys(keys::Arguments),
    /// The audit log: whether it is what was signed, and handing it on.
    Audit(audit::Arguments),
    /// Backups of the embedded database, sealed to a key that is elsewhere.
    Backup(backup::Arguments),
    /// Alerts: whether the operator would be told.
    Alerts(alerts::Arguments),
    /// Incidents: whom one touched, and telling them.
    Incident(incident::Arguments),
    /// What an assessor asks for, looked at and signed.
    Evidence(evidence::Arguments),
    /// Whom the rules of the watch stop, and who is let go.
    Watch(watch::Arguments),
    /// Compares payment pages with a signed baseline.
    Pagewatch(pagewatch::Arguments),
    /// Compares the store with the processor: charges, refunds, disputes, both ways.
    Reconcile(reconcile::Arguments),
    /// Prints a plane's OpenAPI document.
    Openapi(openapi::Arguments),
}

/// Titles go into mails, names into transcripts, selectors into the audit log; and an argument is in
/// the shell's history already.
const CARD_IN_ARGUMENT: &str = "an argument holds a card number; nothing was done. Take it out, and \
                                out of this shell's history";

/// The arguments of verbs that need a configuration.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl ConfigArguments {
    fn read(&self) -> Result<Config, Failure> {
        Config::read(&self.config).map_err(Failure::from)
    }
}

/// Why a verb failed: an exit code, and a sentence for the terminal.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

impl From<config::Refused> for Failure {
    fn from(refused: config::Refused) -> Self {
        Self::new(exit::CONFIG, refused)
    }
}

impl From<service::Refused> for Failure {
    fn from(refused: service::Refused) -> Self {
        use service::Refused;
        let code = match &refused {
            Refused::Keys(_)
            | Refused::ManifestKey(_)
            | Refused::Tls(_)
            | Refused::Missing { .. }
            | Refused::Processor { .. }
            | Refused::Webhook { .. }
            | Refused::Alerts { .. }
            | Refused::Confinement(_) => exit::CONFIG,
            Refused::History(_) => exit::DATA,
            Refused::Store(_) | Refused::Listener { .. } | Refused::Vault(_) => exit::UNAVAILABLE,
            Refused::Ended(_) => exit::SOFTWARE,
        };
        Self::new(code, refused)
    }
}

/// The command line as it is parsed, for whoever documents it.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the verb that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything can hold a secret, and before the first thread starts.
    let hardening = memory::harden();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked = !error.use_stderr();
            // Nothing can be done when the terminal is gone.
            let _printed = error.print();
            return if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(exit::USAGE)
            };
        }
    };
    if std::env::args_os().any(|argument| stored::contains(&argument.to_string_lossy())) {
        let mut terminal = std::io::stderr().lock();
        // Nothing can be done when the terminal is gone.
        let _printed = writeln!(terminal, "cloakroom: {CARD_IN_ARGUMENT}");
        return ExitCode::from(exit::USAGE);
    }
    // The one cryptographic provider. Installing fails only when it is installed already.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(arguments.verb, hardening) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut terminal = std::io::stderr().lock();
            // Nothing can be done when the terminal is gone.
            let _printed = writeln!(terminal, "cloakroom: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(verb: Verb, hardening: Hardening) -> Result<(), Failure> {
    match verb {
        #[cfg(feature = "sandbox")]
        Verb::Dev(arguments) => {
            over_tcp()?;
            let prepared = dev::Prepared::new(arguments, hardening)?;
            block_on(dev::run(prepared))
        }
        #[cfg(feature = "sandbox")]
        Verb::Sandbox(arguments) => block_on(dev::run_sandbox(arguments)),
        Verb::Serve(arguments) => {
            over_tcp()?;
            let config = Config::read(&arguments.config)?;
            let accepted_rollback = arguments.rollback.accepted();
            // Before the runtime has threads: what is given up here is given up by all of them.
            let listeners = Listeners::bind(&config);
            let reach = service::reach(&config)?;
            let hardening = service::confine(&config, &reach, hardening)?;
            let start = Start {
                hardening,
                listeners,
                accepted_rollback,
            };
            block_on(serve::run(&config, start))
        }
        Verb::Migrate(arguments) => {
            let config = arguments.read()?;
            block_on(migrate::run(&config))
        }
        Verb::Status(arguments) => block_on(status::run(arguments)),
        Verb::Check(arguments) => block_on(check::run(arguments, hardening)),
        Verb::Config(arguments) => configuration::run(&arguments),
        Verb::Keys(arguments) => keys::run(arguments),
        Verb::Audit(arguments) => audit::run(arguments),
        Verb::Backup(arguments) => backup::run(arguments),
        Verb::Alerts(arguments) => alerts::run(arguments),
        Verb::Incident(arguments) => incident::run(arguments),
        Verb::Evidence(arguments) => evidence::run(arguments),
        Verb::Watch(arguments) => block_on(watch::run(arguments)),
        Verb::Pagewatch(arguments) => block_on(pagewatch::run(arguments)),
        Verb::Reconcile(arguments) => block_on(reconcile::run(arguments)),
        Verb::Openapi(arguments) => openapi::run(&arguments),
    }
}

/// Names are resolved over TCP from now on: once confined, there is nothing else.
fn over_tcp() -> Result<(), Failure> {
    names::over_tcp().map_err(|error| {
        let why = format!("the program cannot be started again to resolve names over TCP: {error}");
        Failure::new(exit::UNAVAILABLE, why)
    })
}

/// Runs a verb on actix's system, whose listeners and local tasks need one.
fn block_on(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(verb)
}

/// Prints a line for people or machines.
fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    let mut terminal = std::io::stdout().lock();
    writeln!(terminal, "{line}").map_err(|error| Failure::new(exit::CANT_CREATE, error))
}
