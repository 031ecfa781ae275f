//! Evidence of two processes on PostgreSQL, and what only they can break.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::support::apart::Apart;

struct Two {
    app: App,
    configs: [PathBuf; 2],
    auditor: PathBuf,
    made: std::cell::Cell<u32>,
}

impl Two {
    fn collect(&self, more: &[&str]) -> Collected {
        self.made.set(self.made.get() + 1);
        let out = self.app.path(&format!("bundle-{}", self.made.get()));
        let key = self.app.path("checkpoint.key");
        let logs = ["capture-log", "internal-log"].map(|name| self.app.path(name));
        let [capture, internal] = logs.each_ref().map(|log| log.to_str().unwrap());
        let logs = ["--log", capture, "--log", internal];
        let all = [&["--key", key.to_str().unwrap()], &logs[..], more].concat();
        let configs = self.configs.each_ref().map(PathBuf::as_path);
        collect(&out, &configs, &all)
    }

    fn as_auditor(&self) -> Collected {
        self.collect(&["--auditor", self.auditor.to_str().unwrap()])
    }
}

/// Gives the internal host another TLS key, which its process takes while it runs.
fn own_key(app: &App) {
    let pair = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let made = made.self_signed(&pair).unwrap();
    let tls = app.path("internal-host").join("tls");
    fs::write(tls.join("internal.pem"), made.pem()).unwrap();
    fs::write(tls.join("internal.key"), pair.serialize_pem()).unwrap();
}

async fn two() -> Two {
    let order = Apart {
        overrides: &[("CLOAKROOM__AUDIT__CHECKPOINT_INTERVAL_S", "1")],
        ..Apart::default()
    };
    let app = App::start_apart_as(&order);
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let server = app.server.as_ref().unwrap();
    server.sql("CREATE ROLE auditor LOGIN IN ROLE cloakroom_audit");
    let configs =
        [("capture", &app.at.capture), ("internal", &app.at.internal)].map(|(plane, url)| {
            let file = app
                .path(&format!("{plane}-host"))
                .join(format!("{plane}.toml"));
            let log = fs::read_to_string(app.path(&format!("{plane}-log"))).unwrap();
            let serving = log
                .lines()
                .find(|line| line.contains("\"serving\""))
                .unwrap();
            let serving: Value = serde_json::from_str(serving).unwrap();
            let ops = serving["ops"].as_str().unwrap();
            let (zero, own) = (
                "listen = \"127.0.0.1:0\"",
                format!("listen = \"127.0.0.1:{}\"", port(url)),
            );
            let mut text = fs::read_to_string(&file).unwrap().replacen(zero, &own, 1);
            text = text.replacen(zero, &format!("listen = \"{ops}\""), 1);
            let copy = file.with_file_name("evidence.toml");
            fs::write(&copy, text).unwrap();
            copy
        });
    let auditor = copy(
        &configs[1],
        "auditor.toml",
        &[("user = \"billing\"", "user = \"auditor\"")],
    );
    signed(&auditor).await;
    let made = std::cell::Cell::new(0);
    Two {
        app,
        configs,
        auditor,
        made,
    }
}

#[tokio::test]
async fn two_processes_on_postgresql_pass_and_each_break_of_theirs_turns_its_check_red() {
    let two = two().await;
    // The rehearsal's hosts have one TLS key.
    let shared = two.as_auditor();
    assert_eq!(
        shared.red(),
        BTreeSet::from(["planes_apart"]),
        "{:?}",
        shared.checks
    );
    assert!(shared.seen("planes_apart").contains("have one TLS key"));
    own_key(&two.app);
    eventually("the internal plane has a key of its own", async || {
        two.as_auditor().red().is_empty()
    })
    .await;
    let good = two.as_auditor();
    assert_eq!(good.red(), BTreeSet::new(), "{:?}", good.checks);
    // PostgreSQL keeps its own files, and no backup is configured.
    assert_eq!(
        good.ended("not_applicable"),
        BTreeSet::from(["backups", "database_files"])
    );
    assert!(good.seen("planes_apart").contains("TLS keys of their own"));
    assert!(
        good.seen("database_protections")
            .contains("billing is a member of cloakroom_internal")
    );
    assert!(
        good.seen("leaks")
            .contains("tokens as internal-1 reads it: 0 in 1 rows")
    );

    // Without a login that may read the log, nobody says that it is whole.
    let blind = two.collect(&[]);
    assert_eq!(
        blind.red(),
        BTreeSet::from(["audit_log", "audit_retention"]),
        "{:?}",
        blind.checks
    );

    let server = two.app.server.as_ref().unwrap();
    server.sql("GRANT SELECT (sealed) ON tokens TO cloakroom_capture");
    // The login is refused at once, so nobody searches the tables as it.
    let red = two.as_auditor();
    assert_eq!(
        red.red(),
        BTreeSet::from(["database_protections", "leaks"]),
        "{:?}",
        red.checks
    );
    assert!(
        red.seen("database_protections")
            .contains("right cloakroom_capture ON tokens")
    );
    server.sql("REVOKE SELECT (sealed) ON tokens FROM cloakroom_capture");

    server.sql("CREATE ROLE stranger LOGIN SUPERUSER IN ROLE cloakroom_capture");
    let red = two.as_auditor();
    assert_eq!(
        red.red(),
        BTreeSet::from(["database_protections"]),
        "{:?}",
        red.checks
    );
    server.sql("DROP ROLE stranger");

    server.sql("UPDATE charges SET description = 'for 4242 4242 4242 4242'");
    let red = two.as_auditor();
    assert_eq!(red.red(), BTreeSet::from(["leaks"]), "{:?}", red.checks);
    server.sql("UPDATE charges SET description = NULL");

    server.sql(
        "ALTER TABLE audit_events DISABLE TRIGGER audit_events_rows;
         UPDATE audit_events SET actor = 'somebody else' WHERE action = 'token.created';
         ALTER TABLE audit_events ENABLE TRIGGER audit_events_rows",
    );
    let red = two.as_auditor();
    assert_eq!(red.red(), BTreeSet::from(["audit_log"]), "{:?}", red.checks);
}
