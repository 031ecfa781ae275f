//! A database that is not the one that was known: an older one, one whose log was rewritten, one
//! whose key manifest was rolled back. Nothing is done on it until an operator accepts it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use cloakroom::audit::tree::Edge;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::audit_log::{copied, database, signed, verify, without_log};
use crate::engines::Engine;
use crate::nodes::Second;
use crate::support::{App, VISA, Who, eventually, request};

const MASTERCARD: &str = "5555555555554444";

/// `cloakroom dev` in that directory, which is expected not to start.
fn start_in(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["dev", "--json", "--dir"])
        .arg(dir)
        .args(["--capture-port", "0", "--internal-port", "0"])
        .args(["--ops-port", "0", "--sandbox-port", "0", "--shop-port", "0"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn is_refused(output: &Output, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains(says), "{said}");
}

/// Runs statements as the database's owner, the guards of the audit log taken away.
async fn as_owner(path: &Path, statements: &[String]) {
    let pool = database(path.to_owned()).await;
    let triggers: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND (tbl_name LIKE 'audit%' OR tbl_name = 'key_manifests')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let drops = triggers.iter().map(|name| format!("DROP TRIGGER {name}"));
    for statement in drops.chain(statements.iter().cloned()) {
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&pool).await;
        done.unwrap();
    }
    pool.close().await;
}

fn exported(dir: &TempDir, action: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["audit", "export", "--action", action, "--config"])
        .arg(dir.path().join("cloakroom.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_database_of_yesterday_does_nothing_until_an_operator_accepts_it() {
    let app = App::start();
    let kept = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let first = signed(&config, 8).await;
    let dir = Arc::clone(&app.dir);
    assert!(app.stop().success());
    let path = dir.path().join("cloakroom.db");
    let yesterday = dir.path().join("yesterday.db");
    fs::copy(&path, &yesterday).unwrap();
    let app = App::start_in(Arc::clone(&dir), &[], &[]);
    app.token(MASTERCARD).await;
    let second = signed(&config, first).await;
    assert!(app.stop().success());
    without_log(&path);
    fs::copy(&yesterday, &path).unwrap();

    // Found by whoever verifies, and by a start; a preflight says it too.
    let (report, code) = verify(&config, &[]);
    assert_eq!(code, Some(65), "{report}");
    assert_eq!(report["findings"][0]["finding"], "cut_off");
    is_refused(&start_in(dir.path(), &[]), "the database is an older one");
    let empty = start_in(dir.path(), &["--accept-rollback", ""]);
    assert_eq!(empty.status.code(), Some(64));

    let reason = "restored from the backup of 3 o'clock";
    let accept = ["--accept-rollback", reason];
    let app = App::start_in(Arc::clone(&dir), &accept, &[]);
    assert_eq!(app.charge(&kept, "after").await.status, 201);
    // `signed` wants a verification without a finding.
    signed(&config, first).await;
    let (report, code) = verify(&config, &[]);
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])));
    let rollbacks = report["rollbacks"].as_array().unwrap();
    let [rollback] = rollbacks.as_slice() else {
        panic!("{report}")
    };
    assert_eq!(rollback["epoch"], 1);
    assert!(rollback["signed_before"].as_u64().unwrap() >= second);
    let accepted = exported(&dir, "audit.rollback_accepted");
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    assert_eq!(accepted[0]["subject"], reason);
    assert_eq!(accepted[0]["actor_kind"], "operator");
    assert!(app.stop().success());

    // It goes on from there, also behind the place where the older history ended.
    let app = App::start_in(Arc::clone(&dir), &[], &[]);
    for number in 0..8 {
        let key = format!("later-{number}");
        assert_eq!(app.charge(&kept, &key).await.status, 201);
    }
    signed(&config, second).await;
    assert!(app.stop().success());
    // What is left in a unit accepts no rollback to come.
    is_refused(&start_in(dir.path(), &accept), "no rollback to accept");
    without_log(&path);
    fs::copy(&yesterday, &path).unwrap();
    is_refused(&start_in(dir.path(), &[]), "the database is an older one");
}

/// What the owner of the database writes over an event that was signed: its leaf, and the tree's edge.
async fn rewrite(path: &Path) {
    let pool = database(path.to_owned()).await;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let triggers: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'audit%'",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    for name in triggers {
        let drop = format!("DROP TRIGGER {name}");
        sqlx::query(AssertSqlSafe(drop))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE audit_log SET leaf = zeroblob(32) WHERE seq = 3")
        .execute(&mut *tx)
        .await
        .unwrap();
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar("SELECT leaf FROM audit_log ORDER BY seq")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    let mut edge = Edge::default();
    for leaf in leaves {
        edge.append(leaf.try_into().unwrap());
    }
    sqlx::query("UPDATE audit_head SET peaks = $1 WHERE id = 1")
        .bind(edge.bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_log_that_was_rewritten_is_not_signed_and_nothing_is_done_on_it() {
    let overrides = [("CLOAKROOM__AUDIT__CHECKPOINT_INTERVAL_S", "1")];
    let app = App::start_with(&[], &overrides);
    let token = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    signed(&config, 8).await;
    let path = app.path("cloakroom.db");
    rewrite(&path).await;
    let number = std::sync::atomic::AtomicU32::new(0);
    eventually("it stops answering", async || {
        let key = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        app.charge(&token, &format!("try-{key}")).await.status == 503
    })
    .await;
    let signed_sizes = "SELECT COUNT(*) FROM audit_checkpoints";
    let before = crate::sealed::count(&path, signed_sizes).await;
    eventually("it pages", async || {
        let alerts = "SELECT COUNT(*) FROM alerts WHERE name = 'audit_history_differs'";
        crate::sealed::count(&path, alerts).await == 1
    })
    .await;
    assert_eq!(crate::sealed::count(&path, signed_sizes).await, before);
    let (report, code) = verify(&config, &[]);
    assert_eq!(code, Some(65), "{report}");
    let dir = Arc::clone(&app.dir);
    drop(app);
    is_refused(&start_in(dir.path(), &[]), "it was rewritten");
}

#[tokio::test]
async fn a_key_manifest_that_was_rolled_back_is_not_followed() {
    let app = App::start();
    app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let rotated = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["keys", "rotate", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let path = app.path("cloakroom.db");
    let newest = crate::sealed::count(&path, "SELECT MAX(version) FROM key_manifests").await;
    let copies = app.path("audit-checkpoints.jsonl");
    let line = format!("\\nkey-manifest {newest}\\n");
    eventually("the version is under a checkpoint", async || {
        fs::read_to_string(&copies).unwrap().contains(&line)
    })
    .await;
    let dir = Arc::clone(&app.dir);
    assert!(app.stop().success());
    let delete = format!("DELETE FROM key_manifests WHERE version = {newest}");
    as_owner(&path, &[delete]).await;
    is_refused(&start_in(dir.path(), &[]), "the key manifest is version");
}

#[tokio::test]
async fn the_service_verifies_its_own_log_and_pages_when_it_was_altered() {
    let overrides = [("CLOAKROOM__AUDIT__VERIFICATION_INTERVAL_S", "1")];
    let app = App::start_with(&[], &overrides);
    app.token(VISA).await;
    let path = app.path("cloakroom.db");
    let verified = async |outcome: &str| {
        let events = format!(
            "SELECT COUNT(*) FROM audit_events WHERE action = 'audit.verified' AND outcome = '{outcome}'"
        );
        crate::sealed::count(&path, &events).await
    };
    eventually("it has verified its log twice", async || {
        verified("success").await >= 2
    })
    .await;
    let metrics = async || {
        let url = format!("{}/metrics", app.at.ops);
        String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap()
    };
    let text = metrics().await;
    assert!(text.contains("\ncloakroom_audit_findings 0\n"), "{text}");
    assert_eq!(verified("failed").await, 0);
    let alerts = "SELECT COUNT(*) FROM alerts WHERE name = 'audit_log_altered'";
    assert_eq!(crate::sealed::count(&path, alerts).await, 0);

    let delete =
        "DELETE FROM audit_events WHERE id = (SELECT event_id FROM audit_log WHERE seq = 3)";
    as_owner(&path, &[delete.to_owned()]).await;
    eventually("it pages", async || {
        crate::sealed::count(&path, alerts).await == 1
    })
    .await;
    assert!(verified("failed").await >= 1);
    assert!(metrics().await.contains("\ncloakroom_audit_findings 1\n"));
}

/// What a node answers to who asks for a session; none while it takes no connection.
async fn session_at(app: &App, node: &str) -> Option<u16> {
    let url = format!("{node}/v1/capture_sessions");
    let order = json!({ "customer_ref": "customer-1" }).to_string();
    let asked = request(hyper::Method::POST, &url, &[], order);
    let answer = app.client(Who::Checkout).send(asked).await.ok();
    answer.map(|answer| answer.status)
}

#[tokio::test]
async fn a_database_rolled_back_under_two_nodes_closes_both_and_one_acceptance_opens_both() {
    let app = App::on(Engine::Postgres);
    let server = app.server.as_ref().unwrap();
    let second = Second::beside(&app);
    let token = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let first = signed(&config, 8).await;
    server.sql("CREATE TABLE kept_head AS SELECT size, peaks FROM audit_head");
    for number in 0..3 {
        let charged = app.charge(&token, &format!("forgotten-{number}")).await;
        assert_eq!(charged.status, 201);
    }
    let size = signed(&config, first).await;
    copied(&app, size).await;
    let both = [app.at.internal.clone(), second.internal.clone()];
    for node in &both {
        assert_eq!(session_at(&app, node).await, Some(201));
    }

    // The owner of the database takes the last of the log away, and what it says of its end.
    server.sql(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         LOCK TABLE audit_head, audit_pending;
         DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_log WHERE seq >= (SELECT size FROM kept_head));
         DELETE FROM audit_pending WHERE seq >= (SELECT size FROM kept_head);
         DELETE FROM audit_log WHERE seq >= (SELECT size FROM kept_head);
         DELETE FROM audit_checkpoints WHERE size > (SELECT size FROM kept_head);
         UPDATE audit_head SET (size, peaks) = (SELECT size, peaks FROM kept_head);
         COMMIT",
    );
    for node in &both {
        eventually("a node stops answering", async || {
            session_at(&app, node).await == Some(503)
        })
        .await;
    }
    drop(second);
    let accept = ["--accept-rollback", "a drill"];
    let second = Second::beside_with(&app, &accept);
    for node in [&app.at.internal, &second.internal] {
        eventually("a node answers again", async || {
            session_at(&app, node).await == Some(201)
        })
        .await;
    }
    assert_eq!(app.charge(&token, "after").await.status, 201);
    signed(&config, 8).await;
}

/// A version that the manifest key has not signed, so much newer that the true one would be older.
#[tokio::test]
async fn a_forged_key_manifest_closes_nobody() {
    let app = App::on(Engine::Postgres);
    let server = app.server.as_ref().unwrap();
    let token = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let first = signed(&config, 8).await;
    server.sql(
        "INSERT INTO key_manifests
         SELECT 900, jws, created_at_ms FROM key_manifests ORDER BY version DESC LIMIT 1",
    );
    let charged = app.charge(&token, "under-the-forged-one").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    signed(&config, first).await;
    server.sql(
        "SET session_replication_role = replica; DELETE FROM key_manifests WHERE version = 900",
    );
    // Two looks of whoever compares.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(app.charge(&token, "after").await.status, 201);
    let differs = "SELECT count(*) FROM alerts WHERE name = 'audit_history_differs'";
    assert_eq!(app.count(differs).await, 0);
}
