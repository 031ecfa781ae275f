//! `cloakroom watch list|lift`: whom the rules stop, and who is let go.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, exit, operator, print};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::service::ordering_store_settings;
use crate::store::{BlockRow, Store};
use crate::telemetry::Metrics;
use crate::token::EventId;
use crate::watch::Subject;

/// Seconds for which a block that was lifted is still shown.
const SHOWN_S: i64 = 86_400;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Whom the rules stop now, and who was let go since yesterday.
    List(Of),
    /// Lets somebody go: every process does so within seconds, and counts anew.
    Lift(Lift),
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
struct Lift {
    #[command(flatten)]
    of: Of,
    /// Who, as `list` shows it: `address 192.0.2.7`.
    subject: String,
}

/// Runs the verb.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::List(of) => list(&of).await,
        Verb::Lift(order) => lift(order).await,
    }
}

async fn open(of: &Of, clock: &Clock) -> Result<(Config, Store), Failure> {
    let config = Config::read(&of.config)?;
    let settings = ordering_store_settings(&config, clock, &Metrics::new(clock))?;
    let store = Store::open(&settings, config.environment, clock).await;
    Ok((config, store.map_err(unavailable)?))
}

fn unavailable(failure: impl std::fmt::Display) -> Failure {
    Failure::new(exit::UNAVAILABLE, failure)
}

async fn list(of: &Of) -> Result<(), Failure> {
    let clock = Clock::system();
    let (config, store) = open(of, &clock).await?;
    let now = clock.now();
    // Who is stopped names customers and clients: that it was read is an event.
    let read = event(&config, (Action::StatusRead, now), "watch.blocks");
    store.record(read).await.map_err(unavailable)?;
    let yesterday = now.unix_ms().saturating_sub(SHOWN_S.saturating_mul(1_000));
    let blocks = store.blocks(Timestamp::from_unix_ms(yesterday)).await;
    let blocks = blocks.map_err(unavailable)?;
    store.close().await.map_err(unavailable)?;
    // What ended by itself concerns nobody any more.
    let shown =
        |block: &&BlockRow| block.lifted_at.is_some() || block.ends_at.is_none_or(|end| end > now);
    if of.json {
        let blocks: Vec<Value> = blocks.iter().filter(shown).map(told).collect();
        return print(json!({ "blocks": blocks }));
    }
    for block in blocks.iter().filter(shown) {
        let until = match (&block.lifted_by, block.ends_at) {
            (Some(by), _) => format!("lifted by {by}"),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "until it is lifted".to_owned(),
        };
        print(format_args!(
            "{:<9} {:<48} {}  by {} since {}",
            block.action, block.subject, until, block.rule, block.placed_at
        ))?;
    }
    Ok(())
}

fn told(block: &BlockRow) -> Value {
    json!({
        "id": block.id.to_string(),
        "subject": block.subject,
        "action": block.action,
        "rule": block.rule,
        "node": block.node,
        "placed_at": block.placed_at.rfc3339(),
        "ends_at": block.ends_at.map(Timestamp::rfc3339),
        "lifted_at": block.lifted_at.map(Timestamp::rfc3339),
        "lifted_by": block.lifted_by,
    })
}

/// What an operator does about the watch.
fn event(config: &Config, (action, at): (Action, Timestamp), subject: &str) -> Event {
    Event {
        id: EventId::new(config.environment, at),
        actor: Actor::Operator(operator()),
        action,
        at,
        outcome: Outcome::Success,
        origin: "-".to_owned(),
        subject: Some(subject.to_owned()),
        account: None,
        node: config.node.clone(),
        request_id: None,
    }
}

async fn lift(order: Lift) -> Result<(), Failure> {
    if Subject::parse(&order.subject).is_none() {
        let mend = "name somebody as `cloakroom watch list` does: \"address 192.0.2.7\"";
        return Err(Failure::new(exit::USAGE, mend));
    }
    let clock = Clock::system();
    let (config, store) = open(&order.of, &clock).await?;
    let now = clock.now();
    let event = event(&config, (Action::WatchLifted, now), &order.subject);
    let lifted = store
        .lift_blocks(order.subject.clone(), operator(), event, now)
        .await
        .map_err(unavailable)?;
    store.close().await.map_err(unavailable)?;
    if lifted == 0 {
        let nothing = format!("nothing is done to {}", order.subject);
        return Err(Failure::new(exit::DATA, nothing));
    }
    if order.of.json {
        return print(json!({ "lifted": lifted, "subject": order.subject }));
    }
    print(format_args!("{} is let in again", order.subject))
}
