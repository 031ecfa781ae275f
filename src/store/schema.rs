//! The schema: brought up to date by `migrate` alone, and checked at every open.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migrator};

use super::connection::{Connection, Link};
use super::sql::query;
use super::{Failure, Place, Settings, postgres, sqlite};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

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
    let mut connection = match &settings.place {
        Place::Sqlite { path } => sqlite::to_migrate(settings, path).await?,
        Place::Postgres(postgres) => postgres::to_migrate(postgres).await?,
    };
    let migrations = migrations(&mut connection);
    let before = applied(&mut connection).await?;
    let run = match connection.link() {
        Link::Sqlite(link) => migrations.run(link).await,
        Link::Postgres(link) => migrations.run(link).await,
    };
    run.map_err(|error| refused(&error))?;
    let after = applied(&mut connection).await?;
    connection.close().await?;
    if let Place::Sqlite { path } = &settings.place {
        sqlite::restrict(path)?;
    }
    Ok(Migrated {
        from: newest(&before),
        to: newest(&after),
        applied: migrations
            .iter()
            .filter(|migration| !before.contains_key(&migration.version))
            .map(|migration| (migration.version, migration.description.to_string()))
            .collect(),
    })
}

/// Refuses any schema but the one this build was made for.
pub(super) async fn check(connection: &mut Connection) -> Result<(), Failure> {
    let migrations = migrations(connection);
    let applied = applied(connection).await?;
    for (&version, (checksum, success)) in &applied {
        let Some(known) = migrations.iter().find(|known| known.version == version) else {
            return Err(Failure::SchemaUnknown { version });
        };
        if known.checksum.as_ref() != checksum.as_slice() || !success {
            return Err(Failure::SchemaChanged { version });
        }
    }
    let whole = migrations
        .iter()
        .all(|known| applied.contains_key(&known.version));
    if whole {
        Ok(())
    } else {
        Err(Failure::SchemaTooOld {
            found: newest(&applied),
            needed: needed(migrations),
        })
    }
}

/// The refusal of a SQLite database that is not there.
pub(super) fn missing() -> Failure {
    Failure::SchemaTooOld {
        found: 0,
        needed: needed(&SQLITE),
    }
}

fn migrations(connection: &mut Connection) -> &'static Migrator {
    match connection.link() {
        Link::Sqlite(_) => &SQLITE,
        Link::Postgres(_) => &POSTGRES,
    }
}

/// Version, checksum and success of each migration that was run.
type Applied = BTreeMap<i64, (Vec<u8>, bool)>;

async fn applied(connection: &mut Connection) -> Result<Applied, Failure> {
    // `_sqlx_migrations` is sqlx's own table; a database that was never migrated has none.
    let has_table = match connection.link() {
        Link::Sqlite(_) => query(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')",
        ),
        Link::Postgres(_) => query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL"),
    };
    let has_table: bool = has_table.scalar(connection).await?;
    if !has_table {
        return Ok(Applied::new());
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        query("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .all(connection)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(version, checksum, success)| (version, (checksum, success)))
        .collect())
}

fn newest(applied: &Applied) -> i64 {
    applied.keys().copied().max().unwrap_or(0)
}

fn needed(migrations: &Migrator) -> i64 {
    migrations
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
