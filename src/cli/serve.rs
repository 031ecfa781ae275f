//! `cloakroom serve --config FILE`: runs the planes that the configuration names.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, exit};
use crate::clock::Clock;
use crate::config::Config;
use crate::memory;
use crate::service::{AcceptedRollback, Service, Start};
use crate::telemetry::{self, Flush, Metrics, Output};

/// Characters of a reason.
const REASON_LENGTH_MAX: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) rollback: Rollback,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Rollback {
    /// Accepts, for this start alone, that the database is older than what was signed of its audit
    /// log, or has been rewritten. The reason becomes an audit event.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    accept_rollback: Option<String>,
}

impl Rollback {
    /// What the operator at this command line accepts.
    pub(super) fn accepted(self) -> Option<AcceptedRollback> {
        self.accept_rollback.map(|reason| AcceptedRollback {
            reason,
            operator: super::operator(),
        })
    }
}

fn reason(text: &str) -> Result<String, String> {
    let fits =
        (1..=REASON_LENGTH_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "1 to 200 characters on one line".to_owned())
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(config: &Config, start: Start) -> Result<(), Failure> {
    let clock = Clock::system();
    let metrics = Metrics::new(&clock);
    let _flush = log(config, Output::Stdout, &clock, &metrics)?;
    report(&start.hardening);
    let service = Service::build(config, clock, metrics, start).await?;
    // Listened for before the log says where: whoever has read it may ask at once.
    let asked_to_stop = asked_to_stop()?;
    let addresses = service.addresses();
    tracing::info!(
        capture = addresses.capture.map(tracing::field::display),
        internal = addresses.internal.map(tracing::field::display),
        ops = addresses.ops.map(tracing::field::display),
        environment = config.environment.name(),
        "serving"
    );
    service.run(asked_to_stop).await.map_err(Failure::from)
}

/// Starts the log, whose last lines are written when what this answers is dropped.
pub(super) fn log(
    config: &Config,
    output: Output,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Flush, Failure> {
    let settings = telemetry::Settings {
        level: config.log.level.clone(),
        log_line_bytes_max: config.log.log_line_bytes_max,
    };
    telemetry::start(&settings, output, clock, metrics)
        .map_err(|refused| Failure::new(exit::CONFIG, refused))
}

/// Says loudly which protection of memory is not in force.
pub(super) fn report(hardening: &memory::Hardening) {
    for missing in memory::missing(hardening.measures()) {
        tracing::warn!(
            missing,
            "a protection of the process's memory is not in force"
        );
    }
    for missing in memory::missing(hardening.confinement()) {
        tracing::warn!(
            missing,
            "the process has not given up what it does not need"
        );
    }
}

/// Ready when the process is asked to stop.
pub(super) fn asked_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let failure = |error| Failure::new(exit::SOFTWARE, error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failure)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failure)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
