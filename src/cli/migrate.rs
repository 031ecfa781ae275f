//! `cloakroom migrate --config FILE`: brings the store's schema up to this version.

use super::{Failure, exit, operator, print};
use crate::config::Config;
use crate::service;

/// Runs the migrations that are not applied yet, and says which.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let migrated = service::migrate(config, &operator())
        .await
        .map_err(|refused| Failure::new(exit::UNAVAILABLE, refused))?;
    for (version, name) in &migrated.applied {
        print(format_args!("applied {version} {name}"))?;
    }
    print(format_args!("the schema is at version {}", migrated.to))
}
