//! The schema is brought up to this version, and the audit log says by whom.

use super::{Refused, store_settings};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, Migrated, Place, Store};
use crate::telemetry::Metrics;
use crate::token::EventId;

/// Runs the migrations that are not applied yet, and records that `operator` ran them; also where
/// there were none, so that a run whose event could not be written is made good by the next.
///
/// # Errors
/// [`Refused::Store`].
pub async fn migrate(config: &Config, operator: &str) -> Result<Migrated, Refused> {
    let clock = Clock::system();
    let mut settings = store_settings(config, &Metrics::new(&clock))?;
    let refused = |failure: store::Failure| Refused::Store(failure.to_string());
    let migrated = store::migrate(&settings).await.map_err(refused)?;
    if let Place::Postgres(postgres) = &mut settings.place {
        // The owner's login, which serves no plane.
        postgres.duty = store::Duty::Unlimited;
    }
    record(config, &settings, (operator, &migrated), &clock)
        .await
        .map_err(|failure| {
            Refused::Store(format!(
                "the schema is at version {}, and the audit log does not say so: {failure}; run \
                 `cloakroom migrate` again",
                migrated.to
            ))
        })?;
    Ok(migrated)
}

async fn record(
    config: &Config,
    settings: &store::Settings,
    (operator, migrated): (&str, &Migrated),
    clock: &Clock,
) -> Result<(), store::Failure> {
    let store = Store::open(settings, config.environment, clock).await?;
    let now = clock.now();
    let event = Event {
        id: EventId::new(config.environment, now),
        actor: Actor::Operator(operator.to_owned()),
        action: Action::SchemaMigrated,
        at: now,
        outcome: Outcome::Success,
        origin: "-".to_owned(),
        subject: Some(subject(migrated)),
        account: None,
        node: config.node.clone(),
        request_id: None,
    };
    let recorded = store.record(event).await;
    store.close().await?;
    recorded
}

/// From which version to which, which names the migrations: they are applied in their order. Not one
/// by one: so many small numbers in a row are taken for a card's.
fn subject(migrated: &Migrated) -> String {
    let Migrated { from, to, applied } = migrated;
    format!("from version {from} to {to}: migrations {}", applied.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::scan::stored;

    #[test]
    fn an_event_names_the_migrations_that_were_run_and_looks_like_no_card() {
        let migrated = |from, to| Migrated {
            from,
            to,
            applied: (from..to).map(|at| (at, String::new())).collect(),
        };
        assert_eq!(
            subject(&migrated(41, 43)),
            "from version 41 to 43: migrations 2"
        );
        assert_eq!(
            subject(&migrated(43, 43)),
            "from version 43 to 43: migrations 0"
        );
        for to in 1..200 {
            assert!(!stored::contains(&subject(&migrated(0, to))), "{to}");
        }
    }
}
