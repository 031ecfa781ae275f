//! The negative controls: what each check watches is broken, and that check turns red.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::*;

/// Checks whose negative controls are elsewhere: unit tests of `cli::evidence::papers`, and the
/// two processes of `super::apart`.
const ELSEWHERE: [&str; 4] = [
    "test_map",
    "bill_of_materials",
    "event_catalogue",
    "planes_apart",
];

/// A running service, and what its configuration says.
struct Stage {
    app: App,
    config: PathBuf,
    made: u32,
    broken: BTreeSet<String>,
}

impl Stage {
    async fn new() -> Self {
        let app = App::start();
        let token = app.token(VISA).await;
        assert_eq!(app.charge(&token, "k").await.status, 201);
        let config = of_dev(&app);
        signed(&config).await;
        Self {
            app,
            config,
            made: 0,
            broken: BTreeSet::new(),
        }
    }

    /// Asserts that `id` is red now, and says why; others that stand in `also` may be.
    fn is_red(&mut self, id: &str, also: &[&str], (config, more): (&Path, &[&str]), says: &str) {
        self.made += 1;
        let out = self.app.path(&format!("broken-{}", self.made));
        let collected = collect(&out, &[config], more);
        let red = collected.red();
        assert!(red.contains(id), "{id} is not red: {red:?}");
        assert!(collected.seen(id).contains(says), "{}", collected.seen(id));
        let others = red
            .iter()
            .filter(|other| **other != id && !also.contains(other));
        assert_eq!(others.count(), 0, "besides {id}: {red:?}");
        self.broken.insert(id.to_owned());
    }

    /// The same after that was changed in the configuration.
    fn red_with(&mut self, id: &str, also: &[&str], changes: &[(&str, &str)], says: &str) {
        let config = copy(&self.config, "changed.toml", changes);
        self.is_red(id, also, (&config, &[]), says);
    }

    /// The same after that was done to a copy of the database.
    async fn red_after(&mut self, id: &str, also: &[&str], statements: &[&str], says: &str) {
        let kept = self.app.path("broken.db");
        for ending in ["", "-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{ending}", kept.display())));
        }
        let live = database(&self.app.path("cloakroom.db")).await;
        let copied = format!("VACUUM INTO '{}'", kept.display());
        sqlx::query(AssertSqlSafe(copied))
            .execute(&live)
            .await
            .unwrap();
        live.close().await;
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
        let pool = database(&kept).await;
        for statement in statements {
            let done = sqlx::query(AssertSqlSafe((*statement).to_owned()))
                .execute(&pool)
                .await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        pool.close().await;
        let config = copy(
            &self.config,
            "broken.toml",
            &[("cloakroom.db", "broken.db")],
        );
        self.is_red(id, also, (&config, &[]), says);
    }

    /// Where somebody else listens in the place of a plane.
    fn in_place_of(&self, url: &str, impostor: &Impostor) -> (String, String) {
        let _ = self;
        (
            format!("127.0.0.1:{}", port(url)),
            format!("127.0.0.1:{}", impostor.port),
        )
    }
}

async fn database(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path);
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options).await.unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn every_check_turns_red_when_what_it_watches_is_broken() {
    let mut stage = Stage::new().await;
    let before = collect(&stage.app.path("before"), &[&stage.config], &[]);
    assert_eq!(before.red(), BTreeSet::new(), "{:?}", before.checks);
    files(&mut stage);
    configuration(&mut stage);
    listeners(&mut stage);
    rows(&mut stage).await;
    let all: BTreeSet<&str> = before.checks.keys().map(String::as_str).collect();
    let controlled: BTreeSet<&str> = stage
        .broken
        .iter()
        .map(String::as_str)
        .chain(ELSEWHERE)
        .collect();
    assert_eq!(all, controlled, "each check has its negative control");
    // What was planted is not to be found by whoever looks for leaks of the service.
    for planted in [
        "planted.log",
        "broken.db",
        "broken.db-wal",
        "broken.db-shm",
        "live.key",
    ] {
        drop(fs::remove_file(stage.app.path(planted)));
    }
    // Nothing of it has hurt the service itself.
    let after = collect(&stage.app.path("after"), &[&stage.config], &[]);
    assert_eq!(after.red(), BTreeSet::new(), "{:?}", after.checks);
}

#[tokio::test]
async fn what_a_stopped_service_would_have_shown_is_not_seen_and_so_red() {
    let app = App::start();
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let config = of_dev(&app);
    signed(&config).await;
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    let of_process = BTreeSet::from([
        "transport",
        "readiness",
        "memory",
        "confinement",
        "payment_page",
        "incident_contact",
        "running_program",
    ]);
    let stopped = collect(&dir.path().join("stopped"), &[&config], &[]);
    assert_eq!(stopped.red(), of_process, "{:?}", stopped.checks);
    assert_eq!(stopped.ended("not_seen"), of_process);
    // Whoever says that the node runs on another host, has its bundle from there.
    let elsewhere = ["--elsewhere", "dev"];
    let elsewhere = collect(&dir.path().join("elsewhere"), &[&config], &elsewhere);
    assert_eq!(elsewhere.red(), BTreeSet::new(), "{:?}", elsewhere.checks);
    assert!(elsewhere.seen("memory").contains("by --elsewhere"));
    let out = dir.path().join("unknown");
    let unknown = evidence(&[
        "collect",
        "--out",
        out.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--elsewhere",
        "nobody",
    ]);
    assert_eq!(unknown.status.code(), Some(64));
}

/// The nodes of a pair have the same addresses, each on its own host: what listens here is not the
/// other one.
#[tokio::test]
async fn what_listens_here_is_not_taken_for_a_node_that_runs_elsewhere() {
    let app = App::start();
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let config = of_dev(&app);
    signed(&config).await;
    let two = copy(&config, "two.toml", &[("node = \"dev\"", "node = \"two\"")]);
    let more = ["--elsewhere", "two"];
    let collected = collect(&app.path("pair"), &[&config, &two], &more);
    assert_eq!(collected.red(), BTreeSet::new(), "{:?}", collected.checks);
    for check in [
        "transport",
        "readiness",
        "memory",
        "payment_page",
        "running_program",
    ] {
        let of_two: Vec<&str> = collected
            .seen(check)
            .lines()
            .filter(|line| line.contains("two"))
            .collect();
        assert!(!of_two.is_empty(), "{check}");
        for line in of_two {
            assert!(line.contains("by --elsewhere"), "{check}: {line}");
        }
    }
}

fn files(stage: &mut Stage) {
    let config = stage.config.clone();
    let key = stage.app.path("receipt.key");
    mode(&key, 0o644);
    stage.is_red("secret_files", &[], (&config, &[]), "has the mode 0644");
    mode(&key, 0o600);
    let rows = stage.app.path("cloakroom.db");
    mode(&rows, 0o640);
    stage.is_red("database_files", &[], (&config, &[]), "has the mode 0640");
    mode(&rows, 0o600);
    let log = stage.app.path("planted.log");
    fs::write(&log, "a card: 4000 0566 5566 5556, and so on\n").unwrap();
    stage.is_red(
        "leaks",
        &[],
        (&config, &["--log", log.to_str().unwrap()]),
        "planted.log: 1 in",
    );
    let empty = stage.app.path("empty.log");
    fs::write(&empty, "").unwrap();
    stage.is_red(
        "leaks",
        &[],
        (&config, &["--log", empty.to_str().unwrap()]),
        "empty.log is empty",
    );
}

fn configuration(stage: &mut Stage) {
    // The private key, under a passphrase that costs a thief nothing.
    let text = fs::read_to_string(stage.app.path("kek-private.json")).unwrap();
    let weak = stage.app.path("weak.json");
    fs::write(
        &weak,
        text.replace("\"memory_kib\": 65536", "\"memory_kib\": 8"),
    )
    .unwrap();
    mode(&weak, 0o600);
    stage.red_with(
        "kek_custody",
        &[],
        &[("kek-private.json", "weak.json")],
        "Argon2id with 8 KiB",
    );
    stage.red_with(
        "client_access",
        &[],
        &[(
            "\"charges:create\"",
            "\"charges:create\", \"sessions:create\"",
        )],
        "makes sessions and takes money",
    );
    stage.red_with(
        "client_access",
        &[],
        &[("\"charges:create\"", "\"charges:create\", \"keys:unseal\"")],
        "opens keys and takes money",
    );
    stage.red_with(
        "client_access",
        &[],
        &[("\"tokens:delete\"", "\"tokens:delete\", \"refunds:create\"")],
        "deletes tokens and takes money",
    );
    // A configuration that hides the plane that would tell.
    let text = fs::read_to_string(&stage.config).unwrap();
    let ops = text.split("[ops]").nth(1).unwrap();
    let ops = ops.split("\n[").next().unwrap();
    let hidden = format!("[ops]{ops}");
    let told_there = ["readiness", "memory", "confinement"];
    stage.red_with("readiness", &told_there, &[(&hidden, "")], "has no [ops]");
    let live = stage.app.path("live.key");
    fs::write(&live, "sk_live_0123456789abcdef0123456789abcdef").unwrap();
    mode(&live, 0o600);
    stage.red_with(
        "processor_keys",
        &[],
        &[("\"stripe-capture.key\"", "\"live.key\"")],
        "capture_key_file",
    );
    // What is fair in development is not where cards are real; much else does not fit then.
    let everything = [
        "planes_apart",
        "key_register",
        "database_protections",
        "audit_log",
        "audit_copies",
        "audit_retention",
        "processor_keys",
        "leaks",
        "kek_custody",
        "backups",
    ];
    let to_live = [("environment = \"test\"", "environment = \"live\"")];
    stage.red_with("watch", &everything, &to_live, "rules stop nobody");
    let backup = "[backup]\nrecipient_file = \"none\"\nplaces = [\"one\", \"two\"]\n\n[audit]\n";
    stage.red_with("backups", &[], &[("[audit]\n", backup)], "made: never");
    let too = "[[audit.sinks]]\nfile = \"audit-checkpoints-too.jsonl\"\n";
    stage.red_with("audit_copies", &[], &[(too, "")], "1 places for copies");
    let empty = "[[audit.sinks]]\nfile = \"nobody-wrote-here.jsonl\"\n";
    stage.red_with("audit_copies", &[], &[(too, empty)], "goes to 0 events");
    // A certificate of yesterday. The listener has another one, which the checks that connect see.
    let pair = KeyPair::generate().unwrap();
    let mut ended = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    ended.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let ended = ended.self_signed(&pair).unwrap();
    fs::write(stage.app.path("ended.pem"), ended.pem()).unwrap();
    let connected = [
        "transport",
        "readiness",
        "memory",
        "confinement",
        "payment_page",
        "incident_contact",
    ];
    stage.red_with(
        "certificates",
        &connected,
        &[(
            "certificate_file = \"server.pem\"",
            "certificate_file = \"ended.pem\"",
        )],
        "2020-01-01",
    );
}

fn listeners(stage: &mut Stage) {
    let old = Impostor::start(&stage.app, "TLSv1_2", "200", "{}");
    let (from, to) = stage.in_place_of(&stage.app.at.internal.clone(), &old);
    let program = ["running_program"];
    stage.red_with(
        "transport",
        &program,
        &[(&from, &to)],
        "no handshake by TLS 1.3",
    );

    let page = Impostor::start(&stage.app, "TLSv1_3", "200", "steal(document.forms)");
    let (from, to) = stage.in_place_of(&stage.app.at.capture.clone(), &page);
    let of_page = ["incident_contact", "transport", "running_program"];
    stage.red_with(
        "payment_page",
        &of_page,
        &[(&from, &to)],
        "default-src 'none'",
    );
    let page = Impostor::start(&stage.app, "TLSv1_3", "404", "");
    let (from, to) = stage.in_place_of(&stage.app.at.capture.clone(), &page);
    let of_page = ["payment_page", "transport", "running_program"];
    stage.red_with(
        "incident_contact",
        &of_page,
        &[(&from, &to)],
        "answered 404",
    );

    for (check, line) in [("readiness", "store"), ("memory", "memory_hardening")] {
        let told = format!(
            "{{\"status\":\"ready\",\"checks\":[{{\"name\":\"{line}\",\"state\":\"warning\"}}]}}"
        );
        let ops = Impostor::start(&stage.app, "TLSv1_3", "200", &told);
        let (from, to) = stage.in_place_of(&stage.app.at.ops.clone(), &ops);
        let says = format!("{line} warning");
        let also = ["transport", "running_program"];
        stage.red_with(check, &also, &[(&from, &to)], &says);
    }
    // A server of twelve lines that says that all is well.
    let told = r#"{"status":"ready","checks":[{"name":"store","state":"ok"},{"name":"memory_hardening","state":"ok"},{"name":"confinement","state":"ok"}]}"#;
    let ops = Impostor::start(&stage.app, "TLSv1_3", "200", told);
    let (from, to) = stage.in_place_of(&stage.app.at.ops.clone(), &ops);
    let changes = [(from.as_str(), to.as_str())];
    stage.red_with("running_program", &["transport"], &changes, "which runs");
    // A service that gives nothing up, and says so.
    let lax = App::start_with(&[], &[("CLOAKROOM__PROCESS__CONFINEMENT", "off")]);
    let (from, to) = (
        port(&stage.app.at.ops).to_owned(),
        port(&lax.at.ops).to_owned(),
    );
    let theirs = lax.path("server.pem");
    let changes = [(
        format!("127.0.0.1:{from}\"\ncertificate_file = \"server.pem\""),
        format!(
            "127.0.0.1:{to}\"\ncertificate_file = \"{}\"",
            theirs.display()
        ),
    )];
    let changes: Vec<_> = changes
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    let also = ["running_program"];
    stage.red_with("confinement", &also, &changes, "confinement");
}

async fn rows(stage: &mut Stage) {
    stage
        .red_after(
            "database_protections",
            &[],
            &["DROP TRIGGER audit_events_update"],
            "missing: trigger",
        )
        .await;
    let ago = "UPDATE data_keys SET created_at_ms = created_at_ms - 400 * 86400000";
    stage
        .red_after("key_register", &[], &[ago], "(400 of 365 days)")
        .await;
    let guards = [
        "DROP TRIGGER audit_events_update",
        "DROP TRIGGER audit_events_delete",
        "DROP TRIGGER audit_log_delete",
    ];
    let changed = "UPDATE audit_events SET actor = 'somebody else' WHERE action = 'token.created'";
    let statements = [guards[0], changed];
    stage
        .red_after(
            "audit_log",
            &["database_protections"],
            &statements,
            "was changed",
        )
        .await;
    let first =
        "DELETE FROM audit_events WHERE id = (SELECT event_id FROM audit_log WHERE seq = 0)";
    let statements = [
        guards[1],
        guards[2],
        first,
        "DELETE FROM audit_log WHERE seq = 0",
    ];
    let also = ["audit_log", "database_protections"];
    stage
        .red_after("audit_retention", &also, &statements, "has the place 1")
        .await;
    // In the row and in its index.
    let card = "UPDATE tokens SET customer_ref = 'card 4242424242424242'";
    stage
        .red_after("leaks", &[], &[card], "broken.db: 2 in")
        .await;
    // In spellings that a search for log lines passes by.
    for spelled in ["4242.4242.4242.4242", "４２４２４２４２４２４２４２４２"] {
        let card = format!("UPDATE tokens SET customer_ref = 'card {spelled}'");
        stage
            .red_after(
                "leaks",
                &[],
                &[&card],
                "tokens as dev reads it: 1 in 1 rows",
            )
            .await;
    }
}
