//! The store beside the service: looked into, held still, and on PostgreSQL killed itself.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::support::postgres::{PORT, Server};
use crate::tables::HOLD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

pub(crate) enum Store {
    Sqlite(PathBuf),
    Postgres(Mutex<Server>, PathBuf),
}

/// A connection beside the service's.
enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A store that takes no commit until this is released.
pub(crate) struct StoreLock(Link);

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

impl Store {
    pub(crate) fn new(engine: Engine, dir: &Path) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(dir.join("cloakroom.db")),
            Engine::Postgres => {
                let server = Server::start();
                let directory = server.directory().to_owned();
                Self::Postgres(Mutex::new(server), directory)
            }
        }
    }

    /// What `cloakroom dev --store` takes; nothing for the embedded one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(server, _) => Some(server.lock().unwrap().store_file()),
        }
    }

    async fn connect(&self) -> Result<Link, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(path) => Link::Sqlite(
                SqliteConnectOptions::new()
                    .filename(path)
                    .busy_timeout(Duration::from_secs(10))
                    .connect()
                    .await?,
            ),
            Self::Postgres(_, directory) => Link::Postgres(
                PgConnectOptions::new_without_pgpass()
                    .socket(directory)
                    .port(PORT)
                    .username("owner")
                    .database("postgres")
                    .connect()
                    .await?,
            ),
        })
    }

    /// The numbers in the one column that `sql` asks for.
    pub(crate) async fn numbers(&self, sql: &'static str) -> Result<Vec<i64>, sqlx::Error> {
        match self.connect().await? {
            Link::Sqlite(mut link) => {
                let rows = sqlx::query_scalar(sql).fetch_all(&mut link).await?;
                link.close().await?;
                Ok(rows)
            }
            Link::Postgres(mut link) => {
                let rows = sqlx::query_scalar(sql).fetch_all(&mut link).await?;
                link.close().await?;
                Ok(rows)
            }
        }
    }

    pub(crate) async fn number(&self, sql: &'static str) -> Result<i64, sqlx::Error> {
        let numbers = self.numbers(sql).await?;
        numbers.first().copied().ok_or(sqlx::Error::RowNotFound)
    }

    /// The texts in the one column that `sql` asks for.
    pub(crate) async fn texts(&self, sql: &'static str) -> Result<Vec<String>, sqlx::Error> {
        match self.connect().await? {
            Link::Sqlite(mut link) => {
                let rows = sqlx::query_scalar(sql).fetch_all(&mut link).await?;
                link.close().await?;
                Ok(rows)
            }
            Link::Postgres(mut link) => {
                let rows = sqlx::query_scalar(sql).fetch_all(&mut link).await?;
                link.close().await?;
                Ok(rows)
            }
        }
    }

    /// Lets nobody commit: every commit of the service writes an audit event.
    pub(crate) async fn hold(&self) -> Result<StoreLock, sqlx::Error> {
        let mut link = self.connect().await?;
        match &mut link {
            Link::Sqlite(link) => {
                sqlx::query("BEGIN IMMEDIATE").execute(link).await?;
            }
            Link::Postgres(link) => {
                sqlx::query("BEGIN").execute(&mut *link).await?;
                sqlx::query(HOLD).execute(link).await?;
            }
        }
        Ok(StoreLock(link))
    }

    /// Ends every process of the database server at once and starts it again; the embedded one
    /// dies with the service.
    pub(crate) fn crash(&self, rest: Duration) {
        if let Self::Postgres(server, _) = self {
            let mut server = server.lock().unwrap();
            server.kill();
            std::thread::sleep(rest);
            server.run(&[]);
        }
    }

    /// Asserts that the file is whole; PostgreSQL has said so by starting.
    pub(crate) async fn assert_whole(&self) {
        if let Link::Sqlite(mut link) = self.connect().await.unwrap() {
            let verdict: String = sqlx::query_scalar("PRAGMA integrity_check")
                .fetch_one(&mut link)
                .await
                .unwrap();
            assert_eq!(verdict, "ok");
            link.close().await.unwrap();
        }
    }
}

impl StoreLock {
    pub(crate) async fn release(self) {
        // Closing rolls back; a server that was killed meanwhile has done so already.
        let _gone = match self.0 {
            Link::Sqlite(link) => link.close().await,
            Link::Postgres(link) => link.close().await,
        };
    }
}
