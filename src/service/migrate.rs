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

/// From which version to which, and by which migrations: `41 to 43: 42, 43`.
fn subject(migrated: &Migrated) -> String {
    let applied = migrated.applied.iter();
    let applied: Vec<String> = applied.map(|(version, _)| version.to_string()).collect();
    let list = match applied.as_slice() {
        [] => "none".to_owned(),
        _ => applied.join(", "),
    };
    format!("{} to {}: {list}", migrated.from, migrated.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_every_migration_that_was_run() {
        let migrated = |from, versions: &[i64], to| Migrated {
            from,
            to,
            applied: versions.iter().map(|at| (*at, String::new())).collect(),
        };
        assert_eq!(subject(&migrated(41, &[42, 43], 43)), "41 to 43: 42, 43");
        assert_eq!(subject(&migrated(43, &[], 43)), "43 to 43: none");
    }
}
