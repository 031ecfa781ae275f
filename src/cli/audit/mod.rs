//! `cloakroom audit verify|export|prove`: reading the audit log, which is itself an event in it.

pub(super) mod export;
mod prove;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, exit};
use crate::audit::note::LogKey;
use crate::audit::sink::Sink;
use crate::audit::verify::{Claim, Entry, Report, Verification};
use crate::audit::{Action, Actor, Event, Outcome, sink};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::{log_key, sinks, store_settings, verify as verify_whole};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::token::EventId;

/// Rows that are read together.
const PAGE_ROWS_MAX: u32 = 2_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Holds every event, the tree and every checkpoint against each other, and says where they
    /// do not fit; exit code 65 then.
    Verify(verify::Arguments),
    /// Writes events for a SIEM, one JSON object a line.
    Export(export::Arguments),
    /// Writes a proof that an event is in the log, which others can check (C2SP tlog-proof).
    Prove(prove::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Verify(arguments) => super::block_on(verify::run(arguments)),
        Verb::Export(arguments) => super::block_on(export::run(arguments)),
        Verb::Prove(arguments) => super::block_on(prove::run(arguments)),
    }
}

/// The log, opened for somebody who reads it.
pub(super) struct Log {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) clock: Clock,
}

impl Log {
    /// Opens the log that a configuration names, and leaves word that it was read.
    pub(super) async fn open(config: &Path, what: &str) -> Result<Self, Failure> {
        let config = Config::read(config)?;
        let clock = Clock::system();
        let settings = store_settings(&config, &Metrics::new(&clock))?;
        let store = Store::open(&settings, config.environment, &clock)
            .await
            .map_err(unavailable)?;
        let at = clock.now();
        let event = Event {
            id: EventId::new(config.environment, at),
            actor: Actor::Operator(super::operator()),
            action: Action::AuditRead,
            at,
            outcome: Outcome::Success,
            origin: "-".to_owned(),
            subject: Some(what.to_owned()),
            account: None,
            node: config.node.clone(),
            request_id: None,
        };
        store.record(event).await.map_err(unavailable)?;
        Ok(Self {
            config,
            store,
            clock,
        })
    }

    /// The key that checkpoints are checked with.
    pub(super) fn key(&self) -> Result<LogKey, Failure> {
        let audit = self.config.audit.as_ref();
        let key = audit.map(log_key).transpose()?.flatten();
        key.ok_or_else(|| {
            let mend = "the configuration names no audit.checkpoint_vkey_file to check with";
            Failure::new(exit::CONFIG, mend)
        })
    }

    /// Every note there is: in the store, in the files that the configuration copies to, and in
    /// `given`; each with where it is from.
    async fn claims(&self, given: &[PathBuf]) -> Result<Vec<Claim>, Failure> {
        let unreadable = |reason: String| Failure::new(exit::NO_INPUT, reason);
        let outside = |(source, note)| Claim {
            source,
            note,
            is_outside: true,
        };
        let mut claims = Vec::new();
        let mut after = 0;
        loop {
            let page = self.store.checkpoints(after, PAGE_ROWS_MAX).await;
            let page = page.map_err(unavailable)?;
            let Some(last) = page.last() else { break };
            after = last.size;
            claims.extend(page.into_iter().map(|kept| Claim {
                source: format!("the store's checkpoint of {} events", kept.size),
                note: kept.note,
                is_outside: false,
            }));
        }
        let sinks: Vec<Sink> = match &self.config.audit {
            Some(audit) => sinks(audit)?,
            None => Vec::new(),
        };
        for sink in sinks {
            let held = sink.held().map_err(unreadable)?;
            claims.extend(held.into_iter().map(outside));
        }
        for file in given {
            let held = sink::held(file).map_err(unreadable)?;
            claims.extend(held.into_iter().map(outside));
        }
        Ok(claims)
    }

    /// Verifies the whole log, and hands on each event that is the one that was written.
    pub(super) async fn verified(
        &self,
        given: &[PathBuf],
        quiet: bool,
        each: impl FnMut(&Entry) -> Result<(), Failure>,
    ) -> Result<Report, Failure> {
        let key = self.key()?;
        let verification = Verification::against(&key, self.claims(given).await?);
        let length = self.store.log_length().await.map_err(unavailable)?;
        let bar = bar(length.size, quiet);
        let report = verify_whole(&self.store, verification, each, async |seen| {
            bar.set_position(seen);
        })
        .await;
        bar.finish_and_clear();
        report
    }
}

fn bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} events {per_sec} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl From<crate::store::Failure> for Failure {
    fn from(failure: crate::store::Failure) -> Self {
        unavailable(failure)
    }
}

fn unavailable(failure: crate::store::Failure) -> Failure {
    Failure::new(exit::UNAVAILABLE, failure)
}
