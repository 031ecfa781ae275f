//! `cloakroom check`: the preflight. Each line passes or fails, and says how to mend what fails.

mod apart;
mod backup;
mod outside;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Failure, exit, print};
use crate::clock::Clock;
use crate::config::{CapturePlane, Config};
use crate::confinement::{self, Insistence};
use crate::http::fields::assets::{ASSETS, LOADER};
use crate::http::health::State;
use crate::http::{PlaneName, fields, tls};
use crate::memory::{self, Hardening, Measure};
use crate::processor::{self, Processor};
use crate::seal::custody::SharedKek;
use crate::service::{self, Listeners, Service, Start};
use crate::store;
use crate::telemetry::{self, Metrics};
use crate::token::Environment;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = ".cloakroom/cloakroom.toml")]
    config: PathBuf,
    /// The other process's configuration, where the planes run apart: have they a key in common?
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    state: State,
    /// What was seen.
    observation: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<&'static str>,
}

impl Finding {
    fn ok(name: impl Into<String>, observation: impl std::fmt::Display) -> Self {
        let observation = observation.to_string();
        Self {
            name: name.into(),
            state: State::Ok,
            observation,
            mend: None,
        }
    }

    fn warning(
        name: impl Into<String>,
        observation: impl std::fmt::Display,
        mend: &'static str,
    ) -> Self {
        Self {
            state: State::Warning,
            mend: Some(mend),
            ..Self::ok(name, observation)
        }
    }

    fn failed(
        name: impl Into<String>,
        observation: impl std::fmt::Display,
        mend: &'static str,
    ) -> Self {
        let observation = observation.to_string();
        Self {
            name: name.into(),
            state: State::Failed,
            observation,
            mend: Some(mend),
        }
    }
}

pub(super) async fn run(arguments: Arguments, hardening: Hardening) -> Result<(), Failure> {
    let findings = Box::pin(look(&arguments, hardening)).await;
    let failed = findings
        .iter()
        .filter(|finding| finding.state == State::Failed)
        .count();
    if arguments.json {
        let text = serde_json::to_string_pretty(&findings)
            .map_err(|error| Failure::new(exit::SOFTWARE, error))?;
        print(text)?;
    } else {
        for finding in &findings {
            print(line(finding))?;
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(
            exit::CONFIG,
            format_args!("{failed} of {} checks failed", findings.len()),
        )),
    }
}

fn line(finding: &Finding) -> String {
    let mark = match finding.state {
        State::Ok => "pass",
        State::Warning => "warn",
        State::Failed => "FAIL",
        State::NotApplicable => "  - ",
    };
    let mend = finding
        .mend
        .map(|mend| format!("\n      mend: {mend}"))
        .unwrap_or_default();
    format!("{mark}  {:<24} {}{mend}", finding.name, finding.observation)
}

/// Looks at everything, and goes on after what fails as far as it can.
async fn look(arguments: &Arguments, hardening: Hardening) -> Vec<Finding> {
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(refused) => {
            return vec![Finding::failed(
                "configuration",
                refused,
                "correct the file; every key is documented in docs/configuration.md",
            )];
        }
    };
    let mut findings = vec![Finding::ok("configuration", arguments.config.display())];
    let beside = match arguments.beside.as_deref().map(Config::read).transpose() {
        Ok(beside) => beside,
        Err(refused) => {
            let mend = "correct the other process's file, or name another with --beside";
            findings.push(Finding::failed("configuration beside", refused, mend));
            None
        }
    };
    findings.push(log_level(&config));
    findings.extend(memory(&hardening));
    findings.extend(confinement(&config));
    findings.extend(apart::look(&config, beside.as_ref()));
    findings.push(schema(&config).await);
    for plane in [PlaneName::Capture, PlaneName::Internal] {
        let runs = match plane {
            PlaneName::Capture => config.capture.is_some(),
            PlaneName::Internal => config.internal.is_some(),
            PlaneName::Ops => false,
        };
        if runs {
            findings.extend(processors(&config, plane).await);
        }
    }
    findings.extend(webhooks(&config));
    findings.extend(custody(&config));
    findings.extend(backup::look(&config));
    findings.extend(outside::look(&config, beside.as_ref()).await);
    if let Some(plane) = &config.capture {
        findings.push(loader(&plane.public_url));
        findings.push(certificate(plane, config.environment));
    }
    findings.push(build(config, hardening).await);
    findings
}

fn log_level(config: &Config) -> Finding {
    match telemetry::require_level(&config.log.level) {
        Ok(()) => Finding::ok("log level", &config.log.level),
        Err(refused) => Finding::failed("log level", refused, "correct [log] level"),
    }
}

/// Whose shares the internal plane waits for, where custodians hold its key.
fn custody(config: &Config) -> Option<Finding> {
    let path = config.keys.kek_private_file.as_ref()?.relative();
    // What cannot be read is told with the service, which it keeps from starting.
    if !SharedKek::is_at(&path).unwrap_or(false) {
        return None;
    }
    let waiting = SharedKek::read(&path, config.environment).ok()?;
    Some(Finding {
        name: "custody".to_owned(),
        state: State::Warning,
        observation: format!(
            "starts sealed: {} of {} custodians open {}",
            waiting.threshold(),
            waiting.shares(),
            waiting.kek()
        ),
        mend: Some("after each start, have them run `cloakroom keys unseal`"),
    })
}

/// With which keys each endpoint's receiver verifies; a shared secret has none to be shown.
fn webhooks(config: &Config) -> Vec<Finding> {
    let listeners = match service::webhook_endpoints(config) {
        Ok(listeners) => listeners,
        Err(refused) => {
            let mend = "correct [[webhooks]] and its secret files";
            return vec![Finding::failed("webhooks", refused, mend)];
        }
    };
    let found = listeners.iter().map(|listener| {
        let public_keys = listener.endpoint.public_keys();
        let verified_with = if public_keys.is_empty() {
            "its shared secret".to_owned()
        } else {
            public_keys.join(" ")
        };
        let name = format!("webhook {}", listener.endpoint.name());
        Finding::ok(name, format_args!("verified with {verified_with}"))
    });
    found.collect()
}

/// What a shop writes into its page: the loader's address and the hash that its browser demands.
fn loader(public_url: &url::Url) -> Finding {
    let integrity = ASSETS.find(LOADER).map(|loader| loader.integrity.as_str());
    let origin = public_url.origin().ascii_serialization();
    Finding::ok(
        "checkout loader",
        format_args!(
            "<script type=\"module\" src=\"{origin}{}\" integrity=\"{}\" crossorigin></script>",
            fields::loader_path(),
            integrity.unwrap_or_default()
        ),
    )
}

/// Whether browsers take the capture plane's certificate for its address; the live environment
/// serves nothing where they do not.
fn certificate(plane: &CapturePlane, environment: Environment) -> Finding {
    let name = "certificate name";
    let mend = "put a certificate with public_url's host among its names into certificate_file";
    let host = plane.public_url.host_str().unwrap_or_default();
    match tls::require_host(&plane.certificate_file.relative(), host) {
        Ok(()) => Finding::ok(name, format_args!("it is for {host}")),
        Err(refused) if environment == Environment::Live => Finding::failed(name, refused, mend),
        Err(refused) => Finding::warning(name, refused, mend),
    }
}

fn memory(hardening: &Hardening) -> Vec<Finding> {
    protection(
        "memory",
        hardening.measures(),
        "run with CAP_IPC_LOCK or RLIMIT_MEMLOCK=infinity, on Linux",
    )
}

/// What a serving process would give up here; this one goes on and gives up nothing.
fn confinement(config: &Config) -> Vec<Finding> {
    let mend =
        "run on Linux 6.7 or later with Landlock, in a container that allows its system calls";
    if config.process.insistence(config.environment) == Insistence::Off {
        let seen =
            "[process] confinement is off: whoever takes the process over has all its rights";
        return vec![Finding::warning("confinement", seen, mend)];
    }
    let reach = match service::reach(config) {
        Ok(reach) => reach,
        Err(refused) => return vec![Finding::failed("confinement", refused, mend)],
    };
    let mut findings = protection("confinement", &confinement::rehearse(&reach), mend);
    if let Err(refused) = service::refuse_manifest_key(config, &reach) {
        let mend =
            "move it; `keys rotate` reads it where keys.manifest_key_file says, no process does";
        findings.push(Finding::failed("manifest key", refused, mend));
    }
    findings
}

/// One line when all measures are in force, or one for each that is not.
fn protection(name: &str, measures: &[Measure], mend: &'static str) -> Vec<Finding> {
    let missing = memory::missing(measures);
    if missing.is_empty() {
        let names: Vec<_> = measures.iter().map(|measure| measure.name).collect();
        return vec![Finding::ok(name, names.join(", "))];
    }
    let warning = |observation: String| Finding::warning(name, observation, mend);
    missing.into_iter().map(warning).collect()
}

async fn schema(config: &Config) -> Finding {
    let mend = "run `cloakroom migrate`; see that the database takes writes";
    let settings = match service::store_settings(config, &Metrics::new(&Clock::system())) {
        Ok(settings) => settings,
        Err(refused) => return Finding::failed("store", refused, mend),
    };
    let opened = match store::Store::open(&settings, config.environment, &Clock::system()).await {
        Ok(store) => store.close().await,
        Err(refused) => Err(refused),
    };
    match opened {
        Ok(()) => Finding::ok("store", "its schema is this version's, and it takes writes"),
        Err(refused) => Finding::failed("store", refused, mend),
    }
}

/// Whether each account's processor takes our key; it is asked for nothing but that.
async fn processors(config: &Config, plane: PlaneName) -> Vec<Finding> {
    let name = |account: &str| format!("processor {account} ({})", plane.name());
    let processors = match service::processors(config, plane, None) {
        Ok(processors) => processors,
        Err(refused) => {
            let mend = "correct [accounts.NAME.processor.stripe] and its key files";
            return vec![Finding::failed("processor settings", refused, mend)];
        }
    };
    let mut findings = Vec::new();
    for (account, processor) in &processors {
        findings.push(match processor.check().await {
            Ok(()) => Finding::ok(name(account.as_str()), "reachable, key accepted"),
            Err(failure) => Finding::failed(name(account.as_str()), &failure, mend(&failure)),
        });
        if plane == PlaneName::Capture {
            findings.push(raw_cards(account.as_str(), processor).await);
        }
    }
    findings
}

/// Whether the account may send card numbers: without that, the form takes none. Posts Stripe's
/// published test card with the capture plane's key, which then belongs to nobody.
async fn raw_cards(account: &str, processor: &Processor) -> Finding {
    let name = format!("raw cards {account}");
    match processor.accepts_raw_cards().await {
        Ok(()) => Finding::ok(name, "the processor takes card numbers from this account"),
        Err(failure) => Finding::failed(name, &failure, mend(&failure)),
    }
}

const fn mend(failure: &processor::Failure) -> &'static str {
    match failure {
        processor::Failure::NotAuthorized => {
            "put a key of this account, with the permissions in pci-docs/processor.md, into the key file"
        }
        processor::Failure::RawCardsRefused => {
            "ask Stripe's support for raw card data access and send them your SAQ D attestation \
             (https://support.stripe.com/questions/enabling-access-to-raw-card-data-apis); until it \
             is granted, vault with Stripe.js and POST /v1/tokens/attach"
        }
        processor::Failure::NotSent
        | processor::Failure::OutcomeUnknown
        | processor::Failure::FaultKept => {
            "see that base_url, ca_file and the network let this host reach the processor"
        }
        processor::Failure::Declined(_)
        | processor::Failure::IdempotencyMismatch
        | processor::Failure::InFlight { .. }
        | processor::Failure::RateLimited { .. }
        | processor::Failure::CardInvalid(_)
        | processor::Failure::Invalid(_)
        | processor::Failure::Rejected
        | processor::Failure::Missing => "see that base_url is Stripe's API, and try again later",
    }
}

/// Builds the whole service as `serve` would: TLS files, keys, canary, listeners.
async fn build(mut config: Config, hardening: Hardening) -> Finding {
    // The service may be running: its ports are not looked at, its files and keys are.
    for address in [
        config.capture.as_mut().map(|plane| &mut plane.listen),
        config.internal.as_mut().map(|plane| &mut plane.listen),
        config.ops.as_mut().map(|plane| &mut plane.listen),
    ]
    .into_iter()
    .flatten()
    {
        address.set_port(0);
    }
    let clock = Clock::system();
    let metrics = Metrics::new(&clock);
    let start = Start {
        hardening,
        listeners: Listeners::default(),
        accepted_rollback: None,
    };
    let built = match Service::build(&config, clock, metrics, start).await {
        Ok(service) => service.discard().await,
        Err(refused) => Err(refused),
    };
    match built {
        Ok(()) => Finding::ok("service", "TLS files, keys and canary fit; it would start"),
        Err(refused) => Finding::failed(
            "service",
            refused,
            "correct what the observation names; nothing is served until it holds",
        ),
    }
}
