//! `cloakroom incident open|scope|notify|close`: from the first word of an incident to the last
//! customer who was told of it. Each verb is an event of the audit log.

mod notify;
mod record;
mod scope;
mod send;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, exit, print};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::ordering_store_settings;
use crate::store::{Authentic, Incident, NewIncident, Store};
use crate::telemetry::Metrics;
use crate::token::{EventId, IncidentId};

/// Letters of a title.
const TITLE_LENGTH_MAX: usize = 255;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Opens an incident and prints its id.
    Open(Open),
    /// Computes from the verified audit log which tokens and customers were touched, and which not.
    Scope(scope::Arguments),
    /// Tells each affected customer once, by mail or by signed webhook; goes on where it was cut.
    Notify(notify::Arguments),
    /// Closes an incident: nobody is told of it any more.
    Close(Close),
}

#[derive(Debug, Args)]
struct Open {
    /// The configuration whose store keeps the record.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What the incident is called. Customers may read it.
    #[arg(long, value_parser = title)]
    title: String,
    /// For machines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Close {
    /// The configuration whose store keeps the record.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The incident's id.
    incident: String,
}

fn title(text: &str) -> Result<String, String> {
    let fits = (1..=TITLE_LENGTH_MAX).contains(&text.len()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "1 to 255 letters on one line".to_owned())
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Open(arguments) => super::block_on(open(arguments)),
        Verb::Scope(arguments) => super::block_on(scope::run(arguments)),
        Verb::Notify(arguments) => super::block_on(notify::run(arguments)),
        Verb::Close(arguments) => super::block_on(close(arguments)),
    }
}

/// The store of a configuration, opened for somebody who handles an incident.
struct Desk {
    config: Config,
    store: Store,
    clock: Clock,
}

impl Desk {
    async fn open(config: &Path) -> Result<Self, Failure> {
        let config = Config::read(config)?;
        let clock = Clock::system();
        let settings = ordering_store_settings(&config, &clock, &Metrics::new(&clock))?;
        let store = Store::open(&settings, config.environment, &clock)
            .await
            .map_err(unavailable)?;
        Ok(Self {
            config,
            store,
            clock,
        })
    }

    fn event(&self, action: Action, incident: IncidentId) -> Event {
        event(&self.config, &self.clock, action, incident)
    }

    /// The incident of that id, which is not closed.
    async fn incident(&self, id: &str) -> Result<Incident, Failure> {
        open_incident(&self.store, &self.config, id).await
    }

    /// The same, with a proof that an operator opened it: what it is called may be told.
    async fn opened_incident(&self, id: &str) -> Result<Authentic<Incident>, Failure> {
        let id = self.incident(id).await?.id;
        let opened = self.store.opened_incident(id).await.map_err(unavailable)?;
        opened.ok_or_else(|| {
            let why = "the incident's row carries no valid proof of who opened it: it was \
                       quarantined, and nobody is told of it";
            Failure::new(exit::DATA, why)
        })
    }
}

/// What an operator does about an incident.
fn event(config: &Config, clock: &Clock, action: Action, incident: IncidentId) -> Event {
    let at = clock.now();
    Event {
        id: EventId::new(config.environment, at),
        actor: Actor::Operator(super::operator()),
        action,
        at,
        outcome: Outcome::Success,
        origin: "-".to_owned(),
        subject: Some(incident.to_string()),
        account: None,
        node: config.node.clone(),
        request_id: None,
    }
}

/// The incident of that id, which is not closed.
async fn open_incident(store: &Store, config: &Config, id: &str) -> Result<Incident, Failure> {
    let refuse = |why: &str| Failure::new(exit::NO_INPUT, why);
    let id = IncidentId::parse(id, config.environment)
        .map_err(|_| refuse("that is not an incident's id"))?;
    let incident = store.incident(id).await.map_err(unavailable)?;
    let incident = incident.ok_or_else(|| refuse("there is no incident of that id"))?;
    if incident.closed_at.is_some() {
        return Err(refuse("the incident is closed"));
    }
    Ok(incident)
}

async fn open(arguments: Open) -> Result<(), Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let at = desk.clock.now();
    let id = IncidentId::new(desk.config.environment, at);
    let new = NewIncident {
        id,
        title: arguments.title,
        by: super::operator(),
        at,
    };
    let event = desk.event(Action::IncidentOpened, id);
    desk.store
        .open_incident(new, event)
        .await
        .map_err(unavailable)?;
    desk.store.close().await.map_err(unavailable)?;
    if arguments.json {
        print(json!({ "id": id.to_string(), "opened_at": at.rfc3339() }))
    } else {
        print(id)
    }
}

async fn close(arguments: Close) -> Result<(), Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let incident = desk.incident(&arguments.incident).await?;
    let event = desk.event(Action::IncidentClosed, incident.id);
    let now = desk.clock.now();
    let closed = desk
        .store
        .close_incident(incident.id, super::operator(), now, event)
        .await;
    let was_open = closed.map_err(unavailable)?;
    desk.store.close().await.map_err(unavailable)?;
    if was_open {
        print(format_args!("{} is closed", incident.id))
    } else {
        Err(Failure::new(exit::NO_INPUT, "the incident is closed"))
    }
}

fn unavailable(failure: crate::store::Failure) -> Failure {
    Failure::new(exit::UNAVAILABLE, failure)
}

fn not_written(error: std::io::Error) -> Failure {
    Failure::new(exit::CANT_CREATE, error)
}
