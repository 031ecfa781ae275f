//! What the same machine's databases do at the same moment with nothing around them: one row
//! committed, one row read. A scenario's figure means little without them on a shared machine.

use std::fs;
use std::path::Path;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::Outcome;
use super::cluster::{Database, Programs};

/// Of pgbench.
const CLIENTS: u32 = 16;
const ROWS: i64 = 100_000;
/// A row of about the size of ours.
const PAYLOAD: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A rate that a scenario is compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Yardstick {
    pub(crate) name: &'static str,
    pub(crate) how: String,
    pub(crate) per_s: f64,
}

/// One-row commits and one-row reads of SQLite, by one connection with nobody beside it. Each
/// commit is flushed (`synchronous = FULL`), as the service's are.
pub(crate) async fn sqlite(dir: &Path, seconds: u32) -> Outcome<Vec<Yardstick>> {
    let mut connection = SqliteConnectOptions::new()
        .filename(dir.join("yardstick.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::raw_sql("CREATE TABLE marks (id INTEGER PRIMARY KEY, payload TEXT NOT NULL)")
        .execute(&mut connection)
        .await?;
    let commits = per_second(seconds, &mut connection, Deed::Commit).await?;
    let reads = per_second(seconds, &mut connection, Deed::Read).await?;
    connection.close().await?;
    Ok(vec![
        Yardstick {
            name: "sqlite_insert",
            how: "SQLite, one row a commit, one connection, WAL, synchronous=FULL".to_owned(),
            per_s: commits,
        },
        Yardstick {
            name: "sqlite_select",
            how: "SQLite, one row by its key, one connection, through sqlx".to_owned(),
            per_s: reads,
        },
    ])
}

#[derive(Clone, Copy)]
enum Deed {
    Commit,
    Read,
}

async fn per_second(seconds: u32, connection: &mut SqliteConnection, deed: Deed) -> Outcome<f64> {
    let length = Duration::from_secs(seconds.into());
    let begun = Instant::now();
    let mut done = 0_u32;
    while begun.elapsed() < length {
        done = done.saturating_add(1);
        match deed {
            Deed::Commit => {
                sqlx::query("INSERT INTO marks (payload) VALUES ($1)")
                    .bind(PAYLOAD)
                    .execute(&mut *connection)
                    .await?;
            }
            Deed::Read => {
                sqlx::query("SELECT payload FROM marks WHERE id = $1")
                    .bind(i64::from(done % 100))
                    .fetch_optional(&mut *connection)
                    .await?;
            }
        }
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

/// pgbench with one statement a transaction, prepared, over the Unix socket.
pub(crate) fn postgres(
    programs: &Programs,
    database: &Database,
    seconds: u32,
) -> Outcome<Vec<Yardstick>> {
    let url = database.url();
    let prepare = format!(
        "CREATE SCHEMA yardstick;
         CREATE TABLE yardstick.marks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
         CREATE TABLE yardstick.rows (id bigint PRIMARY KEY, payload text NOT NULL);
         INSERT INTO yardstick.rows SELECT n, '{PAYLOAD}' FROM generate_series(1, {ROWS}) AS n;
         ANALYZE yardstick.rows;"
    );
    sql(programs, url, &prepare)?;
    let insert = format!("INSERT INTO yardstick.marks (payload) VALUES ('{PAYLOAD}');\n");
    let select =
        format!("\\set id random(1, {ROWS})\nSELECT payload FROM yardstick.rows WHERE id = :id;\n");
    let inserts = pgbench(programs, url, (&insert, seconds));
    let selects = pgbench(programs, url, (&select, seconds));
    sql(programs, url, "DROP SCHEMA yardstick CASCADE;")?;
    let how = |what: &str| {
        format!("PostgreSQL, {what}, pgbench -M prepared with {CLIENTS} clients, Unix socket")
    };
    Ok(vec![
        Yardstick {
            name: "pgbench_insert",
            how: how("one row a commit, fsync and synchronous_commit on"),
            per_s: inserts?,
        },
        Yardstick {
            name: "pgbench_select",
            how: how("one row by its key"),
            per_s: selects?,
        },
    ])
}

fn sql(programs: &Programs, url: &str, text: &str) -> Outcome<()> {
    let quiet = ["-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text];
    programs.run("psql", &quiet).map(drop)
}

fn pgbench(programs: &Programs, url: &str, (script, seconds): (&str, u32)) -> Outcome<f64> {
    // Whoever runs pgbench must be able to read it.
    let file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile()?;
    fs::write(file.path(), script)?;
    let file = file.path().to_str().ok_or("a file without a name")?;
    let (clients, seconds) = (CLIENTS.to_string(), seconds.to_string());
    let said = programs.run(
        "pgbench",
        &[
            "-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds, "-f", file, url,
        ],
    )?;
    tps(&said).ok_or_else(|| format!("pgbench gave no rate:\n{said}").into())
}

/// `tps = 1234.5 (without initial connection time)`
pub(crate) fn tps(said: &str) -> Option<f64> {
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    f64::from_str(rate.split(' ').next()?).ok()
}
