//! Sealed values in the database, changed by somebody's hand.

use std::path::Path;

use cloakroom::token::{Environment, TokenId};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use crate::support::{App, VISA};

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(std::time::Duration::from_secs(10))
        .connect()
        .await
        .unwrap()
}

/// Replaces a token's sealed value with the value of an SQL expression.
async fn damage(path: &Path, token: &str, expression: &str) {
    let statement = format!("UPDATE tokens SET sealed = {expression} WHERE id = '{token}'");
    change(path, &statement).await;
}

/// Changes one row.
pub(crate) async fn change(path: &Path, statement: &str) {
    let mut database = open(path).await;
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    database.close().await.unwrap();
}

/// Runs a statement that changes no row.
pub(crate) async fn run(path: &Path, statement: &str) {
    let mut database = open(path).await;
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::query(statement).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

/// What a query for a text answers.
pub(crate) async fn text(path: &Path, query: &str) -> String {
    let mut database = open(path).await;
    let row = sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_one(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    row.get(0)
}

/// What a query for a number answers.
pub(crate) async fn count(path: &Path, query: &str) -> i64 {
    let mut database = open(path).await;
    let row = sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_one(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    row.get(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Holds the database's write lock, as a stuck backup or another process would.
pub(crate) struct Lock(SqliteConnection);

pub(crate) async fn lock(path: &Path) -> Lock {
    let mut database = open(path).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut database)
        .await
        .unwrap();
    Lock(database)
}

impl Lock {
    pub(crate) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

async fn sealed_value(path: &Path, token: &str) -> Vec<u8> {
    let mut database = open(path).await;
    let row = sqlx::query("SELECT sealed FROM tokens WHERE id = $1")
        .bind(token)
        .fetch_one(&mut database)
        .await
        .unwrap();
    let sealed = row.get(0);
    database.close().await.unwrap();
    sealed
}

#[tokio::test]
async fn a_sealed_value_that_was_swapped_cut_or_changed_is_refused_with_one_answer() {
    let app = App::start();
    let database = app.path("cloakroom.db");
    let token = app.token(VISA).await;
    let other = app.token("5555555555554444").await;
    let value = sealed_value(&database, &token).await;
    let swapped = sealed_value(&database, &other).await;
    assert_eq!(value.len(), swapped.len(), "sizes tell nothing");

    // The schema itself refuses a value of no bytes.
    let mut hostile = vec![swapped, vec![0], value[..value.len() - 1].to_vec(), {
        let mut longer = value.clone();
        longer.push(0);
        longer
    }];
    // Every byte of the header and of the tag, and some of the ciphertext: each position is tried
    // in the unit tests of src/seal, where it costs no round trip.
    for at in (0..32)
        .chain((32..value.len() - 16).step_by(67))
        .chain(value.len() - 16..value.len())
    {
        let mut flipped = value.clone();
        flipped[at] ^= 1 << (at % 8);
        hostile.push(flipped);
    }
    let mut answers = std::collections::BTreeSet::new();
    for (number, bytes) in hostile.iter().enumerate() {
        let hex = hex(bytes);
        damage(&database, &token, &format!("x'{hex}'")).await;
        let answer = app.charge(&token, &format!("damaged-{number}")).await;
        let mut problem = answer.problem(503, "sealed");
        problem["request_id"] = json!("");
        answers.insert(problem.to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(app.ledger().await["payment_intents"], json!([]));

    // Put back, it opens: nothing but the value was wrong.
    let hex = hex(&value);
    damage(&database, &token, &format!("x'{hex}'")).await;
    assert_eq!(app.charge(&token, "whole").await.status, 201);
    assert!(TokenId::parse(&token, Environment::Test).is_ok());
}

#[tokio::test]
async fn a_process_with_another_kek_does_not_start_on_these_rows() {
    let app = App::start();
    app.token(VISA).await;
    let stranger = App::start();
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    for name in ["kek-public.json", "kek-private.json", "kek-passphrase"] {
        std::fs::copy(stranger.path(name), dir.path().join(name)).unwrap();
    }
    let config = dir.path().join("cloakroom.toml");
    let refused = crate::cli::run(&["serve", "--config", config.to_str().unwrap()]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("sealed") || said.contains("KEK"), "{said}");
}
