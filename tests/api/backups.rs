//! Backups of the embedded database: made, proved and restored as an operator does it, and the ways
//! that lose.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engines::Engine;
use crate::sealed::count;
use crate::support::{App, VISA, Who, eventually};

const PASSPHRASE: &str = "a long enough passphrase";

/// What stays when the service's disk is lost: two places, and the private half of the key.
struct Elsewhere {
    dir: TempDir,
    overrides: Vec<(&'static str, String)>,
}

impl Elsewhere {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["one", "two", "keys", "other-keys"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let this = Self {
            overrides: Vec::new(),
            dir,
        };
        cloakroom::seal::file::write_private(&this.path("passphrase"), PASSPHRASE.as_bytes())
            .unwrap();
        for keys in ["keys", "other-keys"] {
            let made = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
                .args(["backup", "keys", "--environment", "test", "--out"])
                .arg(this.path(keys))
                .arg("--passphrase-file")
                .arg(this.path("passphrase"))
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", said(&made));
        }
        let places = format!("[{:?}, {:?}]", this.path("one"), this.path("two"));
        let recipient = this.path("keys/backup-public.json").display().to_string();
        Self {
            overrides: vec![
                ("CLOAKROOM__BACKUP__PLACES", places),
                ("CLOAKROOM__BACKUP__RECIPIENT_FILE", recipient),
                ("CLOAKROOM__BACKUP__INTERVAL_S", "86400".to_owned()),
            ],
            ..this
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, dir: &Arc<TempDir>) -> App {
        let overrides: Vec<(&str, &str)> = self
            .overrides
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        App::start_in(Arc::clone(dir), &[], &overrides)
    }

    fn command(&self, dir: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.args(arguments).arg("--config");
        command.arg(dir.join("cloakroom.toml"));
        command.envs(self.overrides.iter().map(|(key, value)| (*key, value)));
        command
    }

    fn run(&self, dir: &Path, arguments: &[&str]) -> Output {
        self.command(dir, arguments).output().unwrap()
    }

    fn json(&self, dir: &Path, arguments: &[&str]) -> Value {
        let output = self.run(dir, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn opened_with(&self, keys: &str) -> [String; 4] {
        [
            "--identity".to_owned(),
            self.path(keys)
                .join("backup-private.json")
                .display()
                .to_string(),
            "--passphrase-file".to_owned(),
            self.path("passphrase").display().to_string(),
        ]
    }

    fn sealed(&self, place: &str) -> PathBuf {
        let files = fs::read_dir(self.path(place)).unwrap();
        let mut files: Vec<PathBuf> = files
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "sealed")
            })
            .collect();
        files.sort();
        files.pop().unwrap()
    }
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Everything but the keys and the certificates.
fn lose_the_disk(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("cloakroom.db") || name.starts_with("audit-checkpoints") {
            fs::remove_file(path).unwrap();
        }
    }
}

async fn has_first_backup(elsewhere: &Elsewhere, dir: &Path) {
    eventually("the service makes a backup by itself", async || {
        let listed = elsewhere.json(dir, &["backup", "list"]);
        listed["backups"].as_array().unwrap().len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_restored_from_a_backup_and_a_plain_copy_loses() {
    let (elsewhere, dir) = (Elsewhere::new(), Arc::new(TempDir::new().unwrap()));
    let app = elsewhere.start(&dir);
    let at = dir.path();
    has_first_backup(&elsewhere, at).await;
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "before").await.status, 201);

    // What everybody does first: the file alone lacks what stands in the write-ahead log.
    let copy = elsewhere.path("copy.db");
    fs::copy(at.join("cloakroom.db"), &copy).unwrap();
    let tokens = "SELECT count(*) FROM tokens";
    assert_eq!(count(&at.join("cloakroom.db"), tokens).await, 1);
    assert!(
        !has_token(&copy).await,
        "a plain copy of the file had the token"
    );

    let made = elsewhere.json(at, &["backup", "create"]);
    assert_eq!(made["backup"]["tokens"], 1, "{made}");
    let late = app.token("5555555555554444").await;
    assert_eq!(app.charge(&late, "after").await.status, 201);

    // The private half is not on the host: nothing is opened, and all is verified.
    let verified = elsewhere.json(at, &["backup", "verify", "--all"]);
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["backups"].as_array().unwrap().len(), 2);
    assert_eq!(verified["proved"], Value::Null);
    let unproved = elsewhere.run(at, &["backup", "status"]);
    assert_eq!(unproved.status.code(), Some(65), "{}", said(&unproved));
    let identity = elsewhere.opened_with("keys");
    let drill = [&["backup", "drill"][..], &texts(&identity)].concat();
    let proved = elsewhere.json(at, &drill);
    assert_eq!(proved["proved"]["canary"], true, "{proved}");
    assert_eq!(proved["audited"], true);
    assert_eq!(elsewhere.json(at, &["backup", "status"])["ok"], true);
    eventually("the proof's age is a metric", async || {
        let metrics = app
            .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
            .await;
        let metrics = String::from_utf8(metrics.body).unwrap();
        let line = "cloakroom_backup_last_proof_timestamp_seconds 0";
        !metrics.contains(line) && metrics.contains("cloakroom_backup_places 2")
    })
    .await;
    let acts = elsewhere.run(at, &["audit", "export"]);
    for act in ["backup.created", "backup.verified", "backup.proved"] {
        assert!(said(&acts).contains(&format!("\"{act}\"")), "{act}");
    }

    // A database is never overwritten.
    let database = at.join("cloakroom.db");
    let to = database.to_str().unwrap().to_owned();
    let restore = [&["backup", "restore", "--to", &to][..], &texts(&identity)].concat();
    assert_eq!(elsewhere.run(at, &restore).status.code(), Some(73));

    drop(app);
    lose_the_disk(at);
    let restored = elsewhere.run(at, &restore);
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(
        said(&restored).contains("cloakroom reconcile"),
        "{}",
        said(&restored)
    );
    assert!(!at.join("cloakroom.db-restoring").exists());

    let app = elsewhere.start(&dir);
    assert_eq!(app.charge(&token, "again").await.status, 201);
    let lost = app.charge(&late, "lost").await;
    assert_eq!(lost.status, 404, "{}", lost.json());
    let note = elsewhere.path("checkpoint");
    fs::write(&note, made["backup"]["audit_checkpoint"].as_str().unwrap()).unwrap();
    let note = note.to_str().unwrap().to_owned();
    eventually(
        "the log holds, also against the backup's checkpoint",
        async || {
            let verify = ["audit", "verify", "--checkpoint", &note];
            elsewhere.run(at, &verify).status.success()
        },
    )
    .await;
    let acts = elsewhere.run(at, &["audit", "export", "--action", "backup.restored"]);
    assert_eq!(said(&acts).lines().count(), 1, "{}", said(&acts));
}

/// Whether a copy of the database has a token, if it is a database with such a table at all.
async fn has_token(copy: &Path) -> bool {
    let url = format!("sqlite:{}?mode=ro", copy.display());
    let Ok(pool) = sqlx::SqlitePool::connect(&url).await else {
        return false;
    };
    let found: Result<i64, _> = sqlx::query_scalar("SELECT count(*) FROM tokens")
        .fetch_one(&pool)
        .await;
    found.is_ok_and(|found| found > 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_touched_or_is_anothers_is_not_restored() {
    let (elsewhere, dir) = (Elsewhere::new(), Arc::new(TempDir::new().unwrap()));
    let app = elsewhere.start(&dir);
    let at = dir.path();
    has_first_backup(&elsewhere, at).await;
    let to = elsewhere.path("restored.db");
    let to = to.to_str().unwrap().to_owned();
    let restore = |keys: &str| {
        let identity = elsewhere.opened_with(keys);
        let restore = [&["backup", "restore", "--to", &to][..], &texts(&identity)].concat();
        let output = elsewhere.run(at, &restore);
        assert_eq!(Path::new(&to).exists(), output.status.success());
        (output.status.code().unwrap(), said(&output))
    };
    let (code, why) = restore("other-keys");
    assert_eq!(code, 78, "{why}");
    assert!(why.contains("is sealed to"), "{why}");

    // One copy is damaged: the other is taken. Both: none is.
    let damage = |place: &str| {
        let path = elsewhere.sealed(place);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage("one");
    let verified = elsewhere.run(at, &["backup", "verify"]);
    assert_eq!(verified.status.code(), Some(65));
    assert!(said(&verified).contains("SHA-256"), "{}", said(&verified));
    let (code, why) = restore("keys");
    assert_eq!(code, 0, "{why}");
    fs::remove_file(&to).unwrap();
    damage("two");
    let (code, why) = restore("keys");
    assert_eq!(code, 65, "{why}");
    assert!(why.contains("does not open"), "{why}");
    // The newest is cut in both places: it is not listed any more, and that is said.
    let made = elsewhere.json(at, &["backup", "create"]);
    for place in ["one", "two"] {
        let path = elsewhere.sealed(place);
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let listed = elsewhere.json(at, &["backup", "list"]).to_string();
    let newest = made["backup"]["name"].as_str().unwrap();
    assert!(listed.contains(&format!("{newest}.sealed")), "{listed}");
    let verified = elsewhere.run(at, &["backup", "verify", "--all"]);
    assert_eq!(verified.status.code(), Some(65));
    assert!(
        said(&verified).contains("bytes long"),
        "{}",
        said(&verified)
    );
    let check = elsewhere.run(at, &["check"]);
    assert!(
        said(&check).contains("are on one device"),
        "{}",
        said(&check)
    );
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_leaves_none_that_is_listed_and_nothing_in_clear() {
    let (elsewhere, dir) = (Elsewhere::new(), Arc::new(TempDir::new().unwrap()));
    let app = elsewhere.start(&dir);
    let at = dir.path();
    has_first_backup(&elsewhere, at).await;
    let left = || at.join("cloakroom.db-backup-snapshot").exists();
    let mut was_left = 0;
    for round in 0..60_u64 {
        let mut create = elsewhere.command(at, &["backup", "create"]);
        let mut child = create
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5 + 5 * (round % 30))).await;
        drop(child.kill());
        child.wait().unwrap();
        was_left += u32::from(left());
        // Whole wherever it is listed; killed between two places, the second has not got it.
        let verified = elsewhere.run(at, &["backup", "verify", "--all", "--json"]);
        let told: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(told["faults"], json!([]), "{told}");
        for backup in told["backups"].as_array().unwrap() {
            assert!(backup["copies"].as_u64() > Some(0), "{told}");
            let mut faults = backup["faults"].as_array().unwrap().iter();
            let is_absent = |fault: &Value| fault["why"].to_string().contains("No such file");
            assert!(faults.all(is_absent), "{told}");
        }
    }
    eprintln!("killed while the snapshot was there: {was_left} of 60");
    // A start removes it, whoever left it.
    fs::write(at.join("cloakroom.db-backup-snapshot"), "in clear").unwrap();
    fs::write(elsewhere.path("one/half.sealed.partial"), "half").unwrap();
    drop(app);
    let app = elsewhere.start(&dir);
    let half = elsewhere.path("one/half.sealed.partial");
    eventually("a start removes it", async || !left() && !half.exists()).await;
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_makes_backups_by_itself_and_a_key_that_one_needs_is_not_destroyed() {
    let (mut elsewhere, dir) = (Elsewhere::new(), Arc::new(TempDir::new().unwrap()));
    elsewhere
        .overrides
        .retain(|(key, _)| !key.ends_with("INTERVAL_S"));
    elsewhere.overrides.extend([
        ("CLOAKROOM__BACKUP__INTERVAL_S", "1".to_owned()),
        ("CLOAKROOM__BACKUP__BACKUPS_KEPT_MAX", "2".to_owned()),
    ]);
    let app = elsewhere.start(&dir);
    let at = dir.path();
    app.token(VISA).await;
    eventually("the oldest goes", async || {
        let acts = elsewhere.run(at, &["audit", "export", "--action", "backup.removed"]);
        !acts.stdout.is_empty()
    })
    .await;
    let listed = elsewhere.json(at, &["backup", "list"]);
    assert!(listed["backups"].as_array().unwrap().len() <= 3, "{listed}");
    assert_eq!(listed["faults"].as_array().unwrap().len(), 0, "{listed}");
    drop(app);

    // From now on none is made, and those that are kept are under the first key.
    elsewhere
        .overrides
        .retain(|(key, _)| !key.ends_with("INTERVAL_S"));
    let app = elsewhere.start(&dir);
    let status = elsewhere.json(at, &["keys", "status"]);
    let first = status["keks"][0]["kek"].as_str().unwrap().to_owned();
    let rotated = elsewhere.run(at, &["keys", "rotate"]);
    assert!(rotated.status.success(), "{}", said(&rotated));
    let retire = ["keys", "retire", &first, "--state", "destroyed"];
    let refused = elsewhere.run(at, &retire);
    assert_eq!(refused.status.code(), Some(65), "{}", said(&refused));
    assert!(
        said(&refused).contains("backups that are kept need"),
        "{}",
        said(&refused)
    );
    let told = elsewhere.run(at, &[&retire[..], &["--despite-backups"]].concat());
    assert!(told.status.success(), "{}", said(&told));
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql_the_age_of_archive_and_repositories_is_told() {
    let app = App::on(Engine::Postgres);
    let program = app.path("pgbackrest");
    let stop_s = Clock::system().now().unix_ms() / 1_000 - 7_200;
    let answer = json!([{
        "name": "cloakroom",
        "status": { "code": 0, "message": "ok" },
        "repo": [{ "key": 1 }, { "key": 2 }],
        "backup": [{ "database": { "repo-key": 1 }, "timestamp": { "start": 1, "stop": stop_s } }],
    }]);
    fs::write(&program, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let status = |overrides: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["backup", "status", "--json", "--config"])
            .arg(app.path("cloakroom.toml"))
            .envs(overrides.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(65), "{}", said(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told
    };
    // The test's server archives nothing.
    let told = status(&[]);
    let faults = told["faults"].to_string();
    assert!(faults.contains("archive_mode is off"), "{told}");
    assert!(faults.contains("is not configured"), "{told}");
    let told = status(&[
        (
            "CLOAKROOM__BACKUP__PGBACKREST__COMMAND",
            program.to_str().unwrap(),
        ),
        ("CLOAKROOM__BACKUP__PGBACKREST__STANZA", "cloakroom"),
    ]);
    let ages = &told["repository_backup_age_s"];
    assert!(
        (7_200..7_260).contains(&ages["1"].as_u64().unwrap()),
        "{told}"
    );
    let faults = told["faults"].to_string();
    assert!(
        faults.contains("repository 2") && !faults.contains("repository 1"),
        "{told}"
    );
}
