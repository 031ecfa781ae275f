//! The schema: brought up to date by `migrate` alone, and checked at every open.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{create, restrict, to_write};
use crate::store::{Failure, Settings};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The newest migration before; 0 where the database is new.
    pub from: i64,
    /// The newest migration now.
    pub to: i64,
    /// The migrations that were run, in order, with what each is about.
    pub applied: Vec<(i64, String)>,
}

/// Makes the database, or brings it up to what this build knows. Safe to repeat.
///
/// # Errors
/// [`Failure::SchemaUnknown`] and [`Failure::SchemaChanged`] where the database is not one that
/// this build may continue; [`Failure::Unavailable`] where it cannot be written.
pub async fn migrate(settings: &Settings) -> Result<Migrated, Failure> {
    create(&settings.path)?;
    let mut connection = to_write(settings).connect().await?;
    let before = applied(&mut connection).await?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| refused(&error))?;
    let after = applied(&mut connection).await?;
    connection.close().await?;
    restrict(&settings.path)?;
    Ok(Migrated {
        from: newest(&before),
        to: newest(&after),
        applied: MIGRATIONS
            .iter()
            .filter(|migration| !before.contains_key(&migration.version))
            .map(|migration| (migration.version, migration.description.to_string()))
            .collect(),
    })
}

/// Refuses any schema but the one this build was made for.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<(), Failure> {
    let applied = applied(connection).await?;
    for (&version, (checksum, success)) in &applied {
        let Some(known) = MIGRATIONS.iter().find(|known| known.version == version) else {
            return Err(Failure::SchemaUnknown { version });
        };
        if known.checksum.as_ref() != checksum.as_slice() || !success {
            return Err(Failure::SchemaChanged { version });
        }
    }
    let whole = MIGRATIONS
        .iter()
        .all(|known| applied.contains_key(&known.version));
    if whole {
        Ok(())
    } else {
        Err(Failure::SchemaTooOld {
            found: newest(&applied),
            needed: needed(),
        })
    }
}

/// The refusal of a database that is not there.
pub(super) fn missing() -> Failure {
    Failure::SchemaTooOld {
        found: 0,
        needed: needed(),
    }
}

/// Version, checksum and success of each migration that was run.
type Applied = BTreeMap<i64, (Vec<u8>, bool)>;

async fn applied(connection: &mut SqliteConnection) -> Result<Applied, Failure> {
    // `_sqlx_migrations` is sqlx's own table; a database that was never migrated has none.
    let has_table: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !has_table {
        return Ok(Applied::new());
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(version, checksum, success)| (version, (checksum, success)))
        .collect())
}

fn newest(applied: &Applied) -> i64 {
    applied.keys().copied().max().unwrap_or(0)
}

fn needed() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

fn refused(error: &MigrateError) -> Failure {
    if let MigrateError::VersionMissing(version) = *error {
        Failure::SchemaUnknown { version }
    } else if let MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) = *error {
        Failure::SchemaChanged { version }
    } else {
        Failure::engine(error)
    }
}
