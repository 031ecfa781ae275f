//! The audit log over the running service: what was done to it is found, and where; and without
//! anybody who takes copies of what is signed, nothing is answered.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::support::receiver::{Receiver, Reply};
use crate::support::{App, VISA, Who, eventually};

fn audit(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .arg("audit")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `audit verify` says; 0 where all is well, 65 where it is not.
pub(crate) fn verify(config: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let output = audit(config, &[&["verify", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    (report, output.status.code())
}

/// Waits until more than `before` events are in the log and under a checkpoint; how many are. The
/// looks themselves are events, so some wait at all times.
pub(crate) async fn signed(config: &Path, before: u64) -> u64 {
    let size = AtomicU64::new(0);
    eventually("every event is under a checkpoint", async || {
        let (report, code) = verify(config, &[]);
        // 66 until the first copy of a checkpoint is outside of the database.
        let is_compared = report["checkpoints_outside"] != 0;
        assert_eq!(code, Some(if is_compared { 0 } else { 66 }), "{report}");
        assert_eq!(report["ok"], is_compared);
        let signed = report["signed"].as_u64().unwrap();
        size.store(signed, Ordering::Relaxed);
        is_compared && signed > before && report["events"] == signed
    })
    .await;
    size.load(Ordering::Relaxed)
}

/// Waits until a copy of a checkpoint over so many events is outside of the database.
pub(crate) async fn copied(app: &App, size: u64) {
    eventually("the checkpoint is copied", async || {
        let copies = fs::read_to_string(app.path("audit-checkpoints.jsonl")).unwrap_or_default();
        let mut copies = copies.lines().map(serde_json::from_str::<Value>);
        copies.any(|copy| copy.is_ok_and(|copy| copy["size"].as_u64() >= Some(size)))
    })
    .await;
}

fn findings(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| (text(&finding["finding"]), text(&finding["detail"])))
        .collect()
}

pub(crate) async fn database(path: PathBuf) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path);
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options).await.unwrap()
}

/// Takes what stands beside a database's file away.
pub(crate) fn without_log(path: &Path) {
    for ending in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        drop(fs::remove_file(name));
    }
}

/// A stopped service's files, to be broken and mended.
struct Scene {
    dir: PathBuf,
    _held: tempfile::TempDir,
}

impl Scene {
    fn config(&self) -> PathBuf {
        self.dir.join("cloakroom.toml")
    }

    /// Does that to a fresh copy of the database as its owner, the guards taken away; what is found.
    async fn after(&self, statements: &[&str]) -> Vec<(String, String)> {
        let path = self.dir.join("cloakroom.db");
        without_log(&path);
        fs::copy(self.dir.join("kept.db"), &path).unwrap();
        let pool = database(path).await;
        let triggers: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'audit%'",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(triggers.len() >= 6);
        let drops = triggers.iter().map(|name| format!("DROP TRIGGER {name}"));
        let statements = statements.iter().map(|text| (*text).to_owned());
        for statement in drops.chain(statements) {
            let done = sqlx::query(AssertSqlSafe(statement)).execute(&pool).await;
            done.unwrap();
        }
        pool.close().await;
        let (report, code) = verify(&self.config(), &[]);
        let found = findings(&report);
        assert_eq!(
            code,
            Some(if found.is_empty() { 0 } else { 65 }),
            "{report}"
        );
        found
    }
}

/// A service that did something, was verified, and stopped.
async fn scene() -> Scene {
    let app = App::start();
    for number in 0..5 {
        let token = app.token(VISA).await;
        let charged = app.charge(&token, &number.to_string()).await;
        assert_eq!(charged.status, 201);
    }
    let config = app.path("cloakroom.toml");
    signed(&config, 20).await;
    let held = tempfile::tempdir().unwrap();
    let kept = Arc::clone(&app.dir);
    assert!(app.stop().success());
    let dir = held.path().join("scene");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(kept.path())
        .arg(&dir)
        .status();
    assert!(copied.unwrap().success());
    fs::copy(dir.join("cloakroom.db"), dir.join("kept.db")).unwrap();
    Scene { dir, _held: held }
}

fn is_one(found: &[(String, String)], name: &str, says: &str) {
    let [(finding, detail)] = found else {
        panic!("one finding: {found:?}")
    };
    assert!(finding == name && detail.contains(says), "{found:?}");
}

#[tokio::test]
async fn whatever_is_done_to_the_log_is_found_and_where() {
    let scene = scene().await;
    assert_eq!(scene.after(&[]).await, []);
    let seven = "(SELECT event_id FROM audit_log WHERE seq = 7)";

    // One bit.
    let flip = format!("UPDATE audit_events SET at_ms = at_ms + 1 WHERE id = {seven}");
    is_one(&scene.after(&[&flip]).await, "changed", "at 7: ");
    // Deleted.
    let delete = format!("DELETE FROM audit_events WHERE id = {seven}");
    is_one(&scene.after(&[&delete]).await, "deleted", "at 7: ");
    // With its place: a gap, and the tree is another.
    let place = "DELETE FROM audit_log WHERE seq = 7";
    let found = scene.after(&[&delete, place]).await;
    let whole = "DELETE FROM audit_events WHERE id NOT IN (SELECT event_id FROM audit_log) AND id NOT IN (SELECT event_id FROM audit_pending)";
    assert_eq!(found[0].0, "gap", "{found:?}");
    let with_place = scene.after(&[place, whole]).await;
    is_one(&with_place, "gap", "from 7 to before 8");
    // Reordered.
    let found = scene
        .after(&[
            "UPDATE audit_log SET seq = 1000000 WHERE seq = 3",
            "UPDATE audit_log SET seq = 3 WHERE seq = 7",
            "UPDATE audit_log SET seq = 7 WHERE seq = 1000000",
        ])
        .await;
    is_one(&found, "not_as_signed", "between ");
    // Inserted.
    let insert = "INSERT INTO audit_events (id, at_ms, actor_kind, action, outcome, origin, node)
                  VALUES ('test_evt_x', 5, 'process', 'token.deleted', 'success', '-', 'dev')";
    is_one(&scene.after(&[insert]).await, "inserted", "test_evt_x");
    // Cut off, in the store and in its checkpoints; the sink's file knows better.
    let found = scene
        .after(&[
            "DELETE FROM audit_checkpoints WHERE size > 9",
            "DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_log WHERE seq > 9)",
            "DELETE FROM audit_log WHERE seq > 9",
        ])
        .await;
    is_one(&found, "cut_off", "the log ends at 10 ");
    // A forged checkpoint, and one that is none.
    let forge = "UPDATE audit_checkpoints SET note = replace(note, substr(note, -12, 4), 'AAAA')
                  WHERE size = (SELECT MAX(size) FROM audit_checkpoints)";
    is_one(
        &scene.after(&[forge]).await,
        "forged",
        "the store's checkpoint of",
    );
    let given = scene.dir.join("given");
    fs::write(&given, "cloakroom\n5\nAAAA\n\n\u{2014} cloakroom AAAA\n").unwrap();
    assert_eq!(scene.after(&[]).await, []);
    let (report, code) = verify(&scene.config(), &["--checkpoint", given.to_str().unwrap()]);
    assert_eq!(
        (code, findings(&report)[0].0.as_str()),
        (Some(65), "forged")
    );
}

#[tokio::test]
async fn without_a_copy_outside_of_the_database_the_log_is_not_called_whole() {
    let scene = scene().await;
    let (report, code) = verify(&scene.config(), &[]);
    assert_eq!((code, &report["ok"]), (Some(0), &true.into()), "{report}");
    let files = ["audit-checkpoints.jsonl", "audit-checkpoints-too.jsonl"];
    let files = files.map(|name| scene.dir.join(name));
    let away = scene.dir.join("away");
    fs::rename(&files[0], &away).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let (report, code) = verify(&scene.config(), &[]);
    assert_eq!((code, &report["ok"]), (Some(66), &false.into()), "{report}");
    assert_eq!(report["checkpoints_outside"], 0);
    assert!(report["checkpoints"].as_u64().unwrap() > 0);
    let (report, code) = verify(&scene.config(), &["--checkpoint", away.to_str().unwrap()]);
    assert_eq!((code, &report["ok"]), (Some(0), &true.into()), "{report}");
}

async fn readiness(app: &App) -> String {
    let url = format!("{}/readyz", app.at.ops);
    let answer = app.get(Who::Nobody, &url).await.json();
    let mut lines = answer["checks"].as_array().unwrap().iter();
    let line = lines.find(|line| line["name"] == "audit_witness");
    line.unwrap()["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_every_sink_down_nothing_is_answered_and_nothing_is_missing_afterwards() {
    let outside = tempfile::tempdir().unwrap();
    let (there, away) = (outside.path().join("sink"), outside.path().join("away"));
    fs::create_dir(&there).unwrap();
    let sinks = format!("[{{file=\"{}\"}}]", there.join("checkpoints").display());
    let overrides = [
        ("CLOAKROOM__AUDIT__SINKS", sinks.as_str()),
        ("CLOAKROOM__AUDIT__SINK_OUTAGE_S_MAX", "3"),
    ];
    let app = App::start_with(&[], &overrides);
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "before").await.status, 201);
    assert_ne!(readiness(&app).await, "failed");

    fs::rename(&there, &away).unwrap();
    // What is done now waits for a witness, and in time nothing more is done.
    assert_eq!(app.charge(&token, "last").await.status, 201);
    let number = AtomicU32::new(0);
    eventually("the service stops answering", async || {
        let key = number.fetch_add(1, Ordering::Relaxed);
        app.charge(&token, &format!("during-{key}")).await.status == 503
    })
    .await;
    assert_eq!(readiness(&app).await, "failed");
    let refused = app.charge(&token, "refused").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(503, "store_unavailable");
    let order = serde_json::json!({ "customer_ref": "customer-1" });
    assert_eq!(app.order_session(&order).await.status, 503);
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    assert_eq!(app.get(Who::Billing, &url).await.status, 503);

    fs::rename(&away, &there).unwrap();
    eventually("it answers again", async || {
        app.charge(&token, "refused").await.status == 201
    })
    .await;
    let config = app.path("cloakroom.toml");
    eventually("every event is under a checkpoint", async || {
        let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["audit", "verify", "--json", "--config"])
            .arg(&config)
            .envs(overrides)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{report}");
        report["events"] == report["signed"]
    })
    .await;
    assert_ne!(readiness(&app).await, "failed");
}

/// The places that are no files: each gets every checkpoint in order, also what it did not take at
/// first, and what they got is believed by the verifier.
#[tokio::test]
async fn checkpoints_get_to_an_https_address_and_to_syslog_in_order() {
    let receiver = Receiver::start().await;
    for _ in 0..3 {
        receiver.then(Reply::status(503));
    }
    let outside = tempfile::tempdir().unwrap();
    let socket = outside.path().join("log");
    let syslog = UnixDatagram::bind(&socket).unwrap();
    syslog.set_nonblocking(true).unwrap();
    let sinks = format!(
        "[{{url=\"https://localhost:{}/checkpoints\",ca_file=\"{}\"}},{{syslog_socket=\"{}\"}}]",
        receiver.port,
        receiver.ca_file().display(),
        socket.display()
    );
    let app = App::start_with(&[], &[("CLOAKROOM__AUDIT__SINKS", &sinks)]);
    let token = app.token(VISA).await;
    let number = AtomicU32::new(0);
    eventually("four checkpoints were taken", async || {
        let key = number.fetch_add(1, Ordering::Relaxed).to_string();
        assert_eq!(app.charge(&token, &key).await.status, 201);
        receiver.taken().len() >= 4
    })
    .await;
    let held = receiver.taken();
    let sizes: Vec<u64> = held
        .iter()
        .map(|copy| copy["size"].as_u64().unwrap())
        .collect();
    assert!(sizes.is_sorted_by(|one, next| one < next), "{sizes:?}");
    // What was refused came again under its name before anything else did.
    let arrived = receiver.arrived();
    let names: Vec<&str> = arrived
        .iter()
        .map(|one| one.header("idempotency-key"))
        .collect();
    let first = format!("checkpoint-{}-", sizes[0]);
    assert!(
        names[..4]
            .iter()
            .all(|name| *name == names[0] && name.starts_with(&first)),
        "{names:?}"
    );
    assert!(arrived.iter().all(|one| one.path == "/checkpoints"));

    let copies: String = held.iter().map(|copy| copy.to_string() + "\n").collect();
    let given = outside.path().join("from-https.jsonl");
    fs::write(&given, copies).unwrap();
    let given = ["--checkpoint", given.to_str().unwrap()];
    let config = app.path("cloakroom.toml");
    let (report, code) = verify(&config, &given);
    assert_eq!(code, Some(0), "{report}");
    assert!(report["checkpoints"].as_u64().unwrap() >= 4);

    let mut message = vec![0; 4_096];
    let read = syslog.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..read]).into_owned();
    assert!(
        message.starts_with("<109>1 ") && message.contains("cloakroom-audit-"),
        "{message}"
    );
}

#[tokio::test]
async fn the_log_is_exported_line_by_line_and_as_ocsf_and_reading_it_is_an_event() {
    let app = App::start();
    let token = app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = audit(&config, &[&["export"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    eventually("the token's event has its place", async || {
        !lines(&["--action", "token.created"]).is_empty()
    })
    .await;
    let of = |event: &Value| event["subject"] == token.as_str();
    let created = lines(&["--action", "token.created"]);
    assert!(created.len() == 1 && of(&created[0]), "{created:?}");
    eventually("the exports before are in the log", async || {
        lines(&["--action", "audit.read"]).len() >= 2
    })
    .await;

    let ocsf = lines(&["--format", "ocsf", "--action", "token.created"]);
    let [event] = ocsf.as_slice() else {
        panic!("{ocsf:?}")
    };
    assert_eq!(event["class_uid"], 6_003);
    assert_eq!(event["type_uid"], 600_301);
    assert_eq!(event["resources"][0]["uid"], token.as_str());
    assert_eq!(event["time"], created[0]["at_ms"]);
    let at = created[0]["at_ms"].as_i64().unwrap();
    let later = cloakroom::clock::Timestamp::from_unix_ms(at + 1).rfc3339();
    assert!(
        !lines(&["--since", &later, "--action", "token.created"])
            .iter()
            .any(of)
    );
    assert!(
        lines(&["--until", &later, "--action", "token.created"])
            .iter()
            .any(of)
    );
    let all = lines(&["--format", "ocsf"]);
    assert!(all.len() > 5, "{all:?}");
    assert_eq!(not_ocsf(&all), Vec::<String>::new());
    // What we wrote before: no class of the schema has it.
    let mut other = all[0].clone();
    other["device"] = serde_json::json!({ "hostname": "pay-1", "type_id": 1 });
    other["src_endpoint"]["ip"] = serde_json::json!("-");
    other["api"]["request"] = serde_json::json!({ "uid": null });
    assert_eq!(not_ocsf(&[other]).len(), 3);

    let wrong = audit(&config, &["export", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(64));
}

/// What OCSF's own schema has against those events.
fn not_ocsf(events: &[Value]) -> Vec<String> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../counterparts/bin/python");
    let checker = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counterparts/ocsf.py");
    let mut checker = Command::new(python)
        .arg(checker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = serde_json::to_vec(events).unwrap();
    checker.stdin.take().unwrap().write_all(&given).unwrap();
    let output = checker.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}
