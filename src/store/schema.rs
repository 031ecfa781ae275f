//! The schema: brought up to date by `migrate` alone, and checked at every open.

use std::collections::BTreeMap;

use rusqlite::TransactionBehavior;
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
        Place::Sqlite { path } => sqlite::to_migrate(settings, path)?,
        Place::Postgres(postgres) => postgres::to_migrate(postgres).await?,
    };
    let migrations = migrations(&mut connection);
    let before = applied(&mut connection).await?;
    known(migrations, &before)?;
    match connection.link() {
        Link::Sqlite(link) => run_on_sqlite(link, &before)?,
        Link::Postgres(link) => {
            let run = migrations.run(link).await;
            run.map_err(|error| refused(&error))?;
        }
    }
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

/// Runs what is missing, each migration in a transaction, in which it is written down as sqlx does
/// for the other engine.
fn run_on_sqlite(link: &mut rusqlite::Connection, before: &Applied) -> Result<(), Failure> {
    link.execute_batch(
        "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
           version BIGINT PRIMARY KEY,
           description TEXT NOT NULL,
           installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
           success BOOLEAN NOT NULL,
           checksum BLOB NOT NULL,
           execution_time BIGINT NOT NULL
         )",
    )?;
    for migration in SQLITE.iter() {
        if before.contains_key(&migration.version) {
            continue;
        }
        // Another process that migrates at the same time waits here, and then finds the row.
        let transaction = link.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql.as_str())?;
        transaction.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (?1, ?2, TRUE, ?3, 0)",
            (
                migration.version,
                migration.description.as_ref(),
                migration.checksum.as_ref(),
            ),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses migrations that this build does not know, or knows otherwise.
fn known(migrations: &Migrator, applied: &Applied) -> Result<(), Failure> {
    for (&version, (checksum, success)) in applied {
        let Some(known) = migrations.iter().find(|known| known.version == version) else {
            return Err(Failure::SchemaUnknown { version });
        };
        if known.checksum.as_ref() != checksum.as_slice() || !success {
            return Err(Failure::SchemaChanged { version });
        }
    }
    Ok(())
}

/// Refuses any schema but the one this build was made for.
pub(super) async fn check(connection: &mut Connection) -> Result<(), Failure> {
    let migrations = migrations(connection);
    let applied = applied(connection).await?;
    known(migrations, &applied)?;
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
