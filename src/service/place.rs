//! Where a configuration says that rows are kept.

use figment::value::magic::RelativePathBuf;
use zeroize::Zeroizing;

use super::Refused;
use super::assembly::secret_text;
use crate::config::{Config, StoreSettings};
use crate::store;
use crate::token::Environment;

/// The engine, and how it is reached.
///
/// # Errors
/// [`Refused::Store`].
pub(super) fn of(config: &Config) -> Result<store::Place, Refused> {
    let refuse = |reason: String| Refused::Store(reason);
    Ok(match &config.store {
        StoreSettings::Sqlite { path } => store::Place::Sqlite {
            path: path.relative(),
        },
        StoreSettings::Postgres(postgres) => {
            let password = postgres.password_file.as_ref();
            let password = password
                .map(|file| secret_text(&file.relative()))
                .transpose();
            store::Place::Postgres(Box::new(store::Postgres {
                hosts: postgres
                    .hosts()
                    .map_err(|refused| refuse(refused.to_string()))?,
                database: postgres.database.clone(),
                user: postgres.user.clone(),
                duty: duty(config),
                password: password
                    .map_err(refuse)?
                    .map(|text| Zeroizing::new(text.trim().to_owned())),
                ca_file: postgres.ca_file.as_ref().map(RelativePathBuf::relative),
                connect_timeout_ms: postgres.connect_timeout_ms,
                statement_timeout_ms: postgres.statement_timeout_ms,
                lock_timeout_ms: postgres.lock_timeout_ms,
                batch_timeout_ms: postgres.batch_timeout_ms,
                writers_max: postgres.writers_max,
                require_synchronous_replicas: postgres.require_synchronous_replicas,
            }))
        }
    })
}

/// What the login is for. In the test environment a process of both planes may be the owner's, as
/// `cloakroom dev` is; a process of one plane never.
const fn duty(config: &Config) -> store::Duty {
    match (&config.capture, &config.internal, config.environment) {
        (Some(_), None, _) => store::Duty::Capture,
        (Some(_), Some(_), Environment::Test) => store::Duty::Unlimited,
        (_, _, Environment::Test | Environment::Live) => store::Duty::Internal,
    }
}
