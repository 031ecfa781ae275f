//! Keys are replaced while the service runs: nothing is out of reach meanwhile, whatever is killed,
//! and afterwards nothing stands under a key that was retired.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::processor::Reference;
use cloakroom::seal::file::{PrivateKek, PublicKek, read_passphrase};
use cloakroom::seal::mac::{MacKey, MacKeys};
use cloakroom::seal::{
    Context, DataKeyLimits, KekId, Opener, Sealed, Sealer, UnwrapKey, WrapKey, WrappedDataKey,
};
use cloakroom::token::{DataKeyId, Environment, TokenId};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
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

/// How big the drill is: `CLOAKROOM_ROTATION_TOKENS`, `CLOAKROOM_ROTATION_KILLS`.
fn size(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
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
    }
}

/// Tokens that the service did not make, as it would have made them: sealed by its own code.
async fn insert_tokens(database: &SqlitePool, dir: &Path, count: u64) {
    let public = PublicKek::read(&dir.join("kek-public.json"), Environment::Test).unwrap();
    let limits = DataKeyLimits::new(60, 100).unwrap();
    let sealer = Sealer::new(WrapKey::File(public), marking(dir), limits, Clock::system());
    let mut known = BTreeSet::new();
    let mut transaction = database.begin().await.unwrap();
    for number in 0..count {
        let now = Clock::system().now();
        let id = TokenId::new(Environment::Test, now).to_string();
        let reference = Reference::new("cus_1", &format!("pm_{number}"), None).unwrap();
        let value = sealer.seal(&place(&id), &reference.encode()).await.unwrap();
        let key = &*value.data_key;
        if known.insert(key.id.to_string()) {
            let insert =
                "INSERT INTO data_keys (id, kek, wrapped, created_at_ms) VALUES ($1, $2, $3, $4)";
            sqlx::query(insert)
                .bind(key.id.to_string())
                .bind(key.kek.as_str())
                .bind(&key.wrapped)
                .bind(key.created_at.unix_ms())
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        let insert = "INSERT INTO tokens (id, account, status, sealed, data_key_id, brand, last4, exp_month, exp_year, funding, usage, metadata, created_at_ms)
             VALUES ($1, 'default', 'active', $2, $3, 'visa', '4242', 12, 2034, 'credit', 'off_session', '{}', $4)";
        sqlx::query(insert)
            .bind(&id)
            .bind(value.sealed.as_bytes())
            .bind(key.id.to_string())
            .bind(now.unix_ms())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
}

/// A token and its data key: ids, bytes, and when the key was made.
type SealedRow = (String, Vec<u8>, String, String, Vec<u8>, i64);

/// Opens every token of the database with the key in service and no other; how many there are.
async fn all_open(database: &SqlitePool, dir: &Path, active: &str) -> u64 {
    let passphrase = read_passphrase(&dir.join("kek-passphrase")).unwrap();
    let private = dir.join(format!("{active}.json"));
    let private = PrivateKek::read(&private, &passphrase, Environment::Test).unwrap();
    let opener = Opener::new(Environment::Test, marking(dir), Clock::system());
    opener.hold(UnwrapKey::File(private)).unwrap();
    let rows: Vec<SealedRow> = sqlx::query_as(
        "SELECT tokens.id, tokens.sealed, data_keys.id, data_keys.kek, data_keys.wrapped, data_keys.created_at_ms
           FROM tokens JOIN data_keys ON data_keys.id = tokens.data_key_id",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let mut count = 0;
    for (id, sealed, key, kek, wrapped, created_at_ms) in rows {
        let data_key = WrappedDataKey {
            id: DataKeyId::parse(&key, Environment::Test).unwrap(),
            kek: KekId::try_from(kek).unwrap(),
            wrapped,
            created_at: Timestamp::from_unix_ms(created_at_ms),
        };
        let reference = opener
            .open(&place(&id), &Sealed::from_bytes(sealed), &data_key)
            .await
            .unwrap_or_else(|refused| panic!("{id}: {refused}"));
        assert!(Reference::decode(reference.expose()).is_ok(), "{id}");
        count += 1;
    }
    count
}

/// Charges, one after the other, until told to stop; how long each took.
async fn charge_on(app: &App, token: &str, stop: &AtomicBool, round: &str) -> Vec<Duration> {
    let caller = app.client(Who::Billing);
    let url = format!("{}/v1/charges", app.at.internal);
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{round}-{}", took.len());
        let headers = [("idempotency-key", key.as_str())];
        let order = serde_json::json!({ "token": token, "amount": 100, "currency": "eur" });
        let began = Instant::now();
        let request =
            crate::support::request(hyper::Method::POST, &url, &headers, order.to_string());
        match caller.send(request).await {
            Ok(answer) => assert_eq!(answer.status, 201, "{}", answer.json()),
            // The process was killed under it.
            Err(_) => break,
        }
        took.push(began.elapsed());
    }
    took
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() - 1) * percent / 100]
}

#[tokio::test]
async fn rotation_and_reseal_survive_kills_under_load() {
    let tokens = size("CLOAKROOM_ROTATION_TOKENS", 3_000);
    let kills = size("CLOAKROOM_ROTATION_KILLS", 3);
    let dir = Arc::new(TempDir::new().unwrap());
    let mut app = App::start_in(Arc::clone(&dir), &[], &[]);
    let token = app.token(VISA).await;
    let database = database(&app).await;
    insert_tokens(&database, dir.path(), tokens).await;

    // Charges alone, for comparison.
    let stop = AtomicBool::new(false);
    let timer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (mut before, ()) = tokio::join!(charge_on(&app, &token, &stop, "before"), timer);

    json(&keys(&app, &["rotate", "--json"]));
    let active = of_state(&status(&app), "active")["kek"]
        .as_str()
        .unwrap()
        .to_owned();
    let asked_at = Clock::system().now();
    let asked = command(&app, &["reseal", "--json", "--rows-per-s-max", "20000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut during = Vec::new();
    for kill in 0..kills {
        let stop = AtomicBool::new(false);
        let timer = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            Command::new("kill")
                .args(["-9", &app.pid().to_string()])
                .status()
                .unwrap();
        };
        let round = format!("kill-{kill}");
        let (took, ()) = tokio::join!(charge_on(&app, &token, &stop, &round), timer);
        during.extend(took);
        drop(app);
        app = App::start_in(Arc::clone(&dir), &[], &[]);
    }
    let stop = AtomicBool::new(false);
    let watch = async {
        let done = tokio::task::spawn_blocking(|| asked.wait_with_output().unwrap());
        let done = done.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (took, done) = tokio::join!(charge_on(&app, &token, &stop, "last"), watch);
    during.extend(took);
    let done = json(&done);
    assert!(done["finished_at"].is_string(), "{done}");
    let seconds = began.elapsed().as_secs_f64();

    let now = status(&app);
    assert_eq!(of_state(&now, "decrypt_only")["data_keys"], 0, "{now}");
    let opened = all_open(&database, dir.path(), &active).await;
    assert_eq!(opened, tokens + 1);
    let old: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM tokens JOIN data_keys ON data_keys.id = tokens.data_key_id WHERE data_keys.created_at_ms < $1",
    )
    .bind(asked_at.unix_ms())
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(old, 0);
    assert!(!before.is_empty() && !during.is_empty());
    let ratio = |percent| {
        percentile(&mut during.clone(), percent).as_secs_f64()
            / percentile(&mut before.clone(), percent).as_secs_f64()
    };
    println!(
        "{opened} tokens, {kills} kills: {seconds:.1} s; charges during it against before: p50 \
         x{:.2}, p99 x{:.2} ({} and {} charges, p50 before {:?})",
        ratio(50),
        ratio(99),
        during.len(),
        before.len(),
        percentile(&mut before, 50),
    );
}
