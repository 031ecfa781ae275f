//! `cloakroom alerts test`: whether the operator would be told. It goes every way that the
//! configuration names, at once and past the store, so that it says what is wrong with each.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Failure, exit, print};
use crate::alerts::{Destination, Raised, Severity, Told};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::alert_destinations;
use crate::token::AlertId;

/// The name of an alert that says nothing but that it arrives.
const NAME: &str = "test";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sends a test alert every way that is configured, and says which of them took it.
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// The internal plane's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// How one way ended.
struct Line {
    destination: String,
    is_taken: bool,
    answer: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Test(arguments) => super::block_on(test(&arguments)),
    }
}

async fn test(arguments: &Test) -> Result<(), Failure> {
    let config = Config::read(&arguments.config)?;
    let destinations = alert_destinations(&config)?;
    if destinations.is_empty() {
        let why = "nobody is told of alerts: [[alerts.webhooks]] and [alerts.mail] are missing";
        return Err(Failure::new(exit::CONFIG, why));
    }
    let raised = raised(&config);
    let told = destinations.iter().map(|to| tell(&config, to, &raised));
    let lines = join_all(told).await;
    let failed = lines.iter().filter(|line| !line.is_taken).count();
    if arguments.json {
        let shown: Vec<Value> = lines.iter().map(shown).collect();
        print(json!({ "id": raised.id.to_string(), "destinations": shown }))?;
    } else {
        for line in &lines {
            let word = if line.is_taken { "ok" } else { "fail" };
            print(format_args!(
                "{word:<4} {}: {}",
                line.destination, line.answer
            ))?;
        }
    }
    if failed == 0 {
        return Ok(());
    }
    let why = format_args!("{failed} of {} did not take the test alert", lines.len());
    Err(Failure::new(exit::UNAVAILABLE, why))
}

fn raised(config: &Config) -> Raised {
    let at = Clock::system().now();
    Raised {
        id: AlertId::new(config.environment, at),
        name: NAME.to_owned(),
        severity: Severity::Page.name().to_owned(),
        subject: config.node.clone(),
        seen: format!(
            "{} asked with `cloakroom alerts test` whether this arrives.",
            super::operator()
        ),
        next_step: "Nothing is to be done.".to_owned(),
        node: config.node.clone(),
        at,
    }
}

async fn tell(config: &Config, to: &Destination, raised: &Raised) -> Line {
    let (told, answer) = to.tell(raised, config.environment, raised.at).await;
    Line {
        destination: to.name(),
        is_taken: told == Told::Taken,
        answer,
    }
}

fn shown(line: &Line) -> Value {
    json!({
        "destination": line.destination,
        "taken": line.is_taken,
        "answer": line.answer,
    })
}
