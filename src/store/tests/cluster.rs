//! Ways to a PostgreSQL server of one test.

use std::path::PathBuf;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::store::{Duty, Host, Postgres};

#[expect(dead_code, reason = "tests over the wire use more of it")]
#[path = "../../../tests/support/postgres.rs"]
mod postgres;

pub(super) use postgres::Server;

pub(super) async fn connect(server: &Server, user: &str) -> PgConnection {
    PgConnectOptions::new_without_pgpass()
        .socket(server.directory())
        .port(postgres::PORT)
        .username(user)
        .database("postgres")
        .connect()
        .await
        .unwrap()
}

pub(super) fn place(server: &Server, user: &str) -> Postgres {
    Postgres {
        hosts: vec![Host::Socket {
            directory: PathBuf::from(server.directory()),
            port: postgres::PORT,
        }],
        database: "postgres".into(),
        user: user.into(),
        duty: Duty::Unlimited,
        password: None,
        ca_file: None,
        connect_timeout_ms: 5_000,
        statement_timeout_ms: 5_000,
        lock_timeout_ms: 5_000,
        batch_timeout_ms: 8_000,
        writers_max: 3,
        require_synchronous_replicas: 0,
    }
}
