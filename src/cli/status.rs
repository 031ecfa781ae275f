//! `cloakroom status`: how a process and its store are, in one look. The first line is for the
//! operator who is woken; the rest says why.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::evidence::running::{Readiness, ask};
use super::evidence::scene::Process;
use super::{Failure, exit, operator, print};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::http::PlaneName;
use crate::service::store_settings;
use crate::store::{Store, StoreFigures};
use crate::telemetry::Metrics;
use crate::token::EventId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration of the process; its login must be that of the internal plane.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// What was seen.
struct Status {
    node: String,
    environment: &'static str,
    /// What the process says of itself; why it says nothing.
    readiness: Result<Readiness, String>,
    figures: StoreFigures,
    events: u64,
    unpublished_ms: u64,
    now: Timestamp,
}

/// Prints how the process is; an error where it is not ready.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = Config::read(&arguments.config)?;
    let process = Process {
        path: arguments.config,
        config,
    };
    let status = Status::see(&process, &Clock::system()).await?;
    if arguments.json {
        print(status.machines())?;
    } else {
        print(status.people().trim_end())?;
    }
    if status.is_ready() {
        Ok(())
    } else {
        Err(Failure::new(exit::UNAVAILABLE, status.headline()))
    }
}

async fn readiness(process: &Process) -> Result<Readiness, String> {
    let planes = process.planes();
    let ops = planes.iter().find(|plane| plane.name == PlaneName::Ops);
    let ops = ops.ok_or("the configuration has no [ops] plane to ask")?;
    let answer = ask(ops, "/readyz").await?;
    let answer = answer.ok_or_else(|| format!("nothing listens at {}", ops.address()))?;
    serde_json::from_slice(&answer.body).map_err(|_| format!("it answered {}", answer.status))
}

impl Status {
    async fn see(process: &Process, clock: &Clock) -> Result<Self, Failure> {
        let config = &process.config;
        let now = clock.now();
        let settings = store_settings(config, &Metrics::new(clock))?;
        let store = Store::open(&settings, config.environment, clock).await?;
        let event = Event {
            id: EventId::new(config.environment, now),
            actor: Actor::Operator(operator()),
            action: Action::StatusRead,
            at: now,
            outcome: Outcome::Success,
            origin: "-".to_owned(),
            subject: Some("*".to_owned()),
            account: None,
            node: config.node.clone(),
            request_id: None,
        };
        store.record(event).await?;
        let oldest = store.oldest_unwitnessed().await?;
        let this = Self {
            node: config.node.clone(),
            environment: config.environment.name(),
            readiness: readiness(process).await,
            figures: store.figures(now).await?,
            events: store.log_head().await?.size(),
            unpublished_ms: oldest.map_or(0, |oldest| now.ms_since(oldest)),
            now,
        };
        store.close().await?;
        Ok(this)
    }

    fn is_ready(&self) -> bool {
        let readiness = self.readiness.as_ref();
        readiness.is_ok_and(|readiness| readiness.status == "ready")
    }

    fn headline(&self) -> String {
        let (node, environment) = (&self.node, self.environment);
        let readiness = match &self.readiness {
            Ok(readiness) => readiness,
            Err(why) => return format!("{node} ({environment}) is not running: {why}"),
        };
        if self.is_ready() {
            return format!("{node} ({environment}) is ready");
        }
        let failed = readiness
            .checks
            .iter()
            .filter(|line| line.state == "failed");
        let failed: Vec<String> = failed
            .map(|line| {
                let detail = line.detail.as_deref().unwrap_or("failed");
                format!("{}: {detail}", line.name)
            })
            .collect();
        format!("{node} ({environment}) is NOT READY: {}", failed.join("; "))
    }

    /// Seconds for which work could have been taken up.
    fn overdue_s(&self, since: Option<Timestamp>) -> u64 {
        since.map_or(0, |since| self.now.ms_since(since) / 1_000)
    }

    fn people(&self) -> String {
        let mut text = self.headline();
        // Writing to a text does not fail.
        for line in self
            .readiness
            .iter()
            .flat_map(|readiness| &readiness.checks)
        {
            let detail = line.detail.as_deref().unwrap_or_default();
            let _written = write!(text, "\n  {:<24} {:<14} {detail}", line.name, line.state);
        }
        text.push_str("\nopen work");
        for work in &self.figures.open_work {
            let overdue_s = self.overdue_s(work.due_since);
            let rows = work.rows;
            let _written = write!(
                text,
                "\n  {:<24} {rows} open, {overdue_s} s overdue",
                work.table
            );
        }
        text.push_str("\nkeys");
        for kek in &self.figures.keks {
            let _written = write!(text, "\n  {} {} data keys", kek.kek, kek.data_keys);
        }
        let _written = write!(
            text,
            "\naudit\n  {} events in the log, oldest unpublished {} ms\nreports\n  {} in seven days",
            self.events, self.unpublished_ms, self.figures.reports
        );
        text
    }

    fn machines(&self) -> Value {
        let work = self.figures.open_work.iter().map(|work| {
            json!({
                "table": work.table,
                "rows": work.rows,
                "overdue_s": self.overdue_s(work.due_since),
            })
        });
        let keks = self.figures.keks.iter().map(|kek| {
            json!({
                "kek": kek.kek,
                "data_keys": kek.data_keys,
                "in_service_since": kek.in_service_since.map(Timestamp::rfc3339),
            })
        });
        json!({
            "node": self.node,
            "environment": self.environment,
            "ready": self.is_ready(),
            "summary": self.headline(),
            "checks": self.readiness.as_ref().ok().map(|readiness| &readiness.checks),
            "open_work": work.collect::<Vec<_>>(),
            "keks": keks.collect::<Vec<_>>(),
            "audit": { "events": self.events, "unpublished_ms": self.unpublished_ms },
            "reports_7d": self.figures.reports,
        })
    }
}
