//! Keys are replaced while the service runs: nothing is out of reach meanwhile, whatever is killed,
//! and afterwards nothing stands under a key that was retired.

mod both;
mod drill;
mod vouching;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::processor::Reference;
use cloakroom::seal::file::{self, PrivateKek, PublicKek, read_passphrase};
use cloakroom::seal::mac::{MacKey, MacKeys};
use cloakroom::seal::{
    Context, DataKeyLimits, KekId, Opener, Sealed, Sealer, UnwrapKey, WrapKey, WrappedDataKey,
};
use cloakroom::token::{DataKeyId, Environment, TokenId};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use tempfile::TempDir;

use crate::support::{App, VISA, Who, eventually};

fn keys(app: &App, arguments: &[&str]) -> Output {
    command(app, arguments).output().unwrap()
}

fn command(app: &App, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(app.path("cloakroom.toml"))
        .stdin(Stdio::null());
    command
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn status(app: &App) -> Value {
    json(&keys(app, &["status", "--json"]))
}

/// The key of that state, with what stands under it.
fn of_state<'a>(status: &'a Value, state: &str) -> &'a Value {
    let keks = status["keks"].as_array().unwrap();
    let found = keks.iter().find(|kek| kek["state"] == state);
    found.unwrap_or_else(|| panic!("no {state} key: {status}"))
}

async fn database(app: &App) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(app.path("cloakroom.db"))
        .busy_timeout(Duration::from_secs(20));
    SqlitePoolOptions::new()
        .connect_with(options)
        .await
        .unwrap()
}

async fn readiness(app: &App) -> Value {
    let url = format!("{}/readyz", app.at.ops);
    let answer = app.get(Who::Nobody, &url).await.json();
    let lines = answer["checks"].as_array().unwrap();
    lines
        .iter()
        .find(|line| line["name"] == "key_manifest")
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_kek_is_replaced_under_a_running_service() {
    let app = App::start();
    let before = app.token(VISA).await;
    assert_eq!(app.charge(&before, "before").await.status, 201);
    assert_eq!(readiness(&app).await["state"], "not_applicable");

    let moved = json(&keys(&app, &["rotate", "--json"]));
    assert!(moved["finished_at"].is_string(), "{moved}");
    let now = status(&app);
    let (active, old) = (of_state(&now, "active"), of_state(&now, "decrypt_only"));
    assert_ne!(active["kek"], old["kek"]);
    assert_eq!(
        (&old["data_keys"], &old["tokens"]),
        (&0.into(), &0.into()),
        "{now}"
    );
    assert_eq!(active["tokens"], 1);
    assert_eq!(readiness(&app).await["state"], "ok");

    // What was sealed before opens, and what is sealed now is under the new key.
    assert_eq!(app.charge(&before, "after").await.status, 201);
    let after = app.token("5555555555554444").await;
    assert_eq!(app.charge(&after, "new").await.status, 201);
    let now = status(&app);
    assert_eq!(of_state(&now, "active")["tokens"], 2);
    assert_eq!(of_state(&now, "decrypt_only")["data_keys"], 0);

    // The key in service cannot be given up, the old one can; then even its file is not needed.
    let active = of_state(&now, "active")["kek"].as_str().unwrap().to_owned();
    let old = of_state(&now, "decrypt_only")["kek"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = keys(&app, &["retire", &active, "--state", "destroyed"]);
    assert_eq!(refused.status.code(), Some(65));
    for state in ["compromised", "destroyed"] {
        let retired = keys(&app, &["retire", &old, "--state", state]);
        assert!(retired.status.success(), "{retired:?}");
    }
    assert_eq!(of_state(&status(&app), "destroyed")["kek"], old);
    let dir = Arc::clone(&app.dir);
    drop(app);
    let app = App::start_in(dir, &[], &[]);
    assert_eq!(app.charge(&before, "restarted").await.status, 201);
}

#[tokio::test]
async fn tokens_are_moved_to_fresh_data_keys_and_keep_their_ids() {
    let app = App::start();
    let tokens = [app.token(VISA).await, app.token("5555555555554444").await];
    let database = database(&app).await;
    let select = "SELECT sealed FROM tokens ORDER BY id";
    let before: Vec<Vec<u8>> = sqlx::query_scalar(select)
        .fetch_all(&database)
        .await
        .unwrap();
    let url = format!("{}/v1/tokens/{}", app.at.internal, tokens[1]);
    let gone = app
        .call(Who::Admin, hyper::Method::DELETE, &url, &Value::Null)
        .await;
    assert_eq!(gone.status, 200);

    let moved = json(&keys(&app, &["reseal", "--json"]));
    assert_eq!(
        (&moved["done"], &moved["total"]),
        (&2.into(), &2.into()),
        "{moved}"
    );
    let after: Vec<Option<Vec<u8>>> = sqlx::query_scalar(select)
        .fetch_all(&database)
        .await
        .unwrap();
    assert_ne!(after[0].as_deref(), Some(before[0].as_slice()));
    assert_eq!(after[1], None, "what was erased stays erased");
    assert_eq!(app.charge(&tokens[0], "after").await.status, 201);
    app.charge(&tokens[1], "deleted")
        .await
        .problem(410, "token_deleted");
    let acts: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM audit_events WHERE action = 'token.resealed' AND subject = $1",
    )
    .bind(&tokens[0])
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(acts, 1, "the opening is on record");
}

#[tokio::test]
async fn a_manifest_that_our_key_has_not_signed_is_not_followed_and_a_start_is_refused() {
    let app = App::start();
    let token = app.token(VISA).await;
    let stranger = App::start();
    json(&keys(&stranger, &["rotate", "--json"]));
    json(&keys(&app, &["rotate", "--json"]));
    let version = status(&app)["manifest_version"].as_i64().unwrap();
    let forged: String = sqlx::query_scalar("SELECT jws FROM key_manifests WHERE version = 3")
        .fetch_one(&database(&stranger).await)
        .await
        .unwrap();
    let put = "INSERT INTO key_manifests (version, jws, created_at_ms) VALUES ($1, $2, 1)";
    let database = database(&app).await;
    let next = version.checked_add(1).unwrap();
    sqlx::query(put)
        .bind(next)
        .bind(&forged)
        .execute(&database)
        .await
        .unwrap();

    eventually("readiness says so", async || {
        readiness(&app).await["state"] == "failed"
    })
    .await;
    let line = readiness(&app).await;
    assert!(
        line["detail"]
            .as_str()
            .unwrap()
            .contains("not one that our key has signed"),
        "{line}"
    );
    // What was in force still is.
    assert_eq!(app.charge(&token, "still").await.status, 201);
    let refused = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config"])
        .arg(app.path("cloakroom.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("not one that our key has signed"),
        "{said}"
    );
    // Nor does anybody rotate on top of it.
    assert_eq!(keys(&app, &["rotate"]).status.code(), Some(65));
    // Versions are only ever added.
    let removed = sqlx::query("DELETE FROM key_manifests")
        .execute(&database)
        .await;
    assert!(removed.unwrap_err().to_string().contains("append-only"));
}

#[tokio::test]
async fn a_key_whose_cryptoperiod_is_over_takes_no_card_and_still_opens() {
    let app = App::start();
    let token = app.token(VISA).await;
    json(&keys(&app, &["rotate", "--json"]));
    // A year and a day later; the manifest is signed anew by the test with the operator's key.
    let key = cloakroom::seal::signing::SigningKey::read(&app.path("manifest.key")).unwrap();
    let database = database(&app).await;
    let (version, jws): (i64, String) =
        sqlx::query_as("SELECT version, jws FROM key_manifests ORDER BY version DESC LIMIT 1")
            .fetch_one(&database)
            .await
            .unwrap();
    let text = key
        .verifying()
        .open_jws("cloakroom-key-manifest+jws", &jws)
        .unwrap();
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    let next = version.checked_add(1).unwrap();
    manifest["version"] = next.into();
    for kek in manifest["keks"].as_array_mut().unwrap() {
        kek["activated_at_ms"] = (Clock::system().now().unix_ms() - 366 * 86_400_000).into();
    }
    let jws = key.jws(
        "cloakroom-key-manifest+jws",
        manifest.to_string().as_bytes(),
    );
    sqlx::query("INSERT INTO key_manifests (version, jws, created_at_ms) VALUES ($1, $2, 1)")
        .bind(next)
        .bind(jws)
        .execute(&database)
        .await
        .unwrap();
    eventually("readiness says so", async || {
        readiness(&app).await["state"] == "failed"
    })
    .await;
    // The data key in service ends with its own limits; after a restart none is made.
    let dir = Arc::clone(&app.dir);
    drop(app);
    let app = App::start_in(dir, &[], &[]);
    assert_eq!(app.charge(&token, "opens").await.status, 201);
    let secret = app.session().await;
    let card = crate::support::card("5555555555554444");
    app.post_card(&secret, &card, &[])
        .await
        .problem(503, "sealed");
    json(&keys(&app, &["rotate", "--json"]));
    assert_eq!(
        app.post_card(&app.session().await, &card, &[]).await.status,
        201
    );
}

async fn put_data_key(connection: &mut SqliteConnection, key: &WrappedDataKey) {
    let insert = "INSERT INTO data_keys (id, kek, wrapped, created_at_ms) VALUES ($1, $2, $3, $4)";
    sqlx::query(insert)
        .bind(key.id.to_string())
        .bind(key.kek.as_str())
        .bind(&key.wrapped)
        .bind(key.created_at.unix_ms())
        .execute(connection)
        .await
        .unwrap();
}

/// What vouches for data keys in that directory.
fn marking(dir: &Path) -> Arc<MacKeys> {
    let key = MacKey::read(&dir.join("fingerprint.key")).unwrap();
    Arc::new(MacKeys::new(key, None))
}

const PLACE: (&str, &str) = ("tokens", "sealed");

fn place(token: &str) -> Context<'_> {
    Context {
        environment: Environment::Test,
        account: "default",
        table: PLACE.0,
        row: token,
        column: PLACE.1,
        customer_ref: None,
        usage: "off_session",
    }
}
