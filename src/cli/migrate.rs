//! `cloakroom migrate --config FILE`: brings the store's schema up to this version.

use super::{Failure, exit, print};
use crate::clock::Clock;
use crate::config::Config;
use crate::service::store_settings;
use crate::store;
use crate::telemetry::Metrics;

/// Runs the migrations that are not applied yet, and says which.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let settings = store_settings(config, &Metrics::new(&Clock::system()))?;
    let migrated = store::migrate(&settings)
        .await
        .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    for (version, name) in &migrated.applied {
        print(format_args!("applied {version} {name}"))?;
    }
    print(format_args!("the schema is at version {}", migrated.to))
}
