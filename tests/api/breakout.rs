//! A thief inside the running service: programs, files and ports that are not its own are refused.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::apart::Apart;
use crate::support::{App, VISA, Who};

fn thief() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_cloakroom"));
    binary.parent().unwrap().join("examples/breakout")
}

/// The capture process with a thief inside, and the internal one as it is.
fn scene(overrides: &[(&str, &str)]) -> App {
    App::start_apart_as(&Apart {
        capture_binary: thief(),
        overrides,
        ..Apart::default()
    })
}

/// What came of an order.
async fn order(app: &mut App, order: &str) -> String {
    let log = app.path("capture-log");
    told(app.beside[0].stdin.as_mut().unwrap(), &log, order).await
}

async fn told(thief: &mut ChildStdin, log: &Path, order: &str) -> String {
    writeln!(thief, "{order}").unwrap();
    for _ in 0..100 {
        let text = fs::read_to_string(log).unwrap();
        let tried = format!("tried {order}: ");
        if let Some(line) = text.lines().rev().find(|line| line.starts_with(&tried)) {
            return line[tried.len()..].to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer to {order}");
}

const DONE: &str = "here done, there done";
const DENIED: &str = "here PermissionDenied, there PermissionDenied";

struct Wanted {
    orders: Vec<String>,
    _listening: TcpListener,
    secret: tempfile::NamedTempFile,
}

/// What a thief would like to do, each of which this machine would let root do.
fn wanted() -> Wanted {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listening.local_addr().unwrap().port();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let orders = vec![
        "exec /bin/true".to_owned(),
        format!("read {}", secret.path().display()),
        "read /etc/shadow".to_owned(),
        format!("write {}", secret.path().display()),
        format!("connect {port}"),
        "listen".to_owned(),
        // Ways around what looks at `connect` and at families alone.
        format!("mptcp {port}"),
        format!("fastopen {port}"),
        format!("option {port}"),
        format!("udp {port}"),
        "udp-listen".to_owned(),
        format!("map {}", library()),
        "dumpable".to_owned(),
    ];
    Wanted {
        orders,
        _listening: listening,
        secret,
    }
}

/// A library that the program has not loaded.
fn library() -> String {
    let architecture = std::env::consts::ARCH;
    format!("/usr/lib/{architecture}-linux-gnu/libresolv.so.2")
}

#[tokio::test]
async fn inside_the_running_service_exec_foreign_files_and_unlisted_ports_are_refused() {
    let mut app = scene(&[]);
    let wanted = wanted();
    for wish in &wanted.orders {
        assert_eq!(order(&mut app, wish).await, DENIED, "{wish}");
    }
    assert_eq!(fs::read(wanted.secret.path()).unwrap(), b"");
    // Nor can a file of its own be opened to everybody.
    let own = app.path("capture-host").join("tls/capture.pem");
    let wish = format!("fchmod {}", own.display());
    assert_eq!(order(&mut app, &wish).await, DENIED);
    // What it needs it can still do, and does.
    assert_eq!(
        order(&mut app, &format!("read {}", own.display())).await,
        DONE
    );
    let processor = app.at.sandbox.rsplit(':').next().unwrap().to_owned();
    assert_eq!(order(&mut app, &format!("connect {processor}")).await, DONE);
    // The keys of the other process are on this machine, and out of reach.
    let foreign = app.path("internal-host").join("keys/kek-private.json");
    assert_eq!(
        order(&mut app, &format!("read {}", foreign.display())).await,
        DENIED
    );

    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
}

/// The internal process reads its keys, those that a rotation puts there while it runs, and not the
/// operator's, who signs which keys there are.
#[tokio::test]
async fn inside_the_running_internal_process_the_manifest_key_is_out_of_reach() {
    let mut app = App::start_apart_as(&Apart {
        internal_binary: thief(),
        ..Apart::default()
    });
    let keys = app.path("internal-host").join("keys");
    let manifest = keys.join("manifest.key");
    fs::copy(app.path("manifest.key"), &manifest).unwrap();
    let further = keys.join("keks/kek_of_a_rotation.json");
    fs::write(&further, "{}").unwrap();
    let private = keys.join("kek-private.json");
    let log = app.path("internal-log");
    for (file, outcome) in [(&manifest, DENIED), (&private, DONE), (&further, DONE)] {
        let wish = format!("read {}", file.display());
        let stdin = app.stdin_of("internal");
        assert_eq!(told(stdin, &log, &wish).await, outcome, "{wish}");
    }
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
}

#[tokio::test]
async fn without_confinement_the_thief_does_all_of_it() {
    let mut app = scene(&[("CLOAKROOM__PROCESS__CONFINEMENT", "off")]);
    for wish in &wanted().orders {
        assert_eq!(order(&mut app, wish).await, DONE, "{wish}");
    }
    let own = app.path("capture-host").join("tls/capture.pem");
    let wish = format!("fchmod {}", own.display());
    assert_eq!(order(&mut app, &wish).await, DONE);
    let ready = app
        .get(Who::Nobody, &format!("{}/readyz", app.at.ops))
        .await
        .json();
    let line = ready["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["name"] == "confinement");
    let line = line.unwrap();
    assert_eq!(line["state"], "warning", "{line}");
    assert!(
        line["detail"].as_str().unwrap().contains("turns it off"),
        "{line}"
    );
    let log = fs::read_to_string(app.path("internal-log")).unwrap();
    assert!(log.contains("has not given up"), "it is said loudly");
}

#[tokio::test]
async fn every_thread_of_both_processes_is_confined_and_readiness_says_so() {
    let app = App::start_apart();
    app.token(VISA).await;
    for name in ["capture", "internal"] {
        let tasks = format!("/proc/{}/task", app.pid_of(name));
        let mut threads = 0;
        for task in fs::read_dir(tasks).unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let field = |wanted: &str| {
                let line = status
                    .lines()
                    .find(|line| line.starts_with(wanted))
                    .unwrap();
                line.split_whitespace().nth(1).unwrap().to_owned()
            };
            assert_eq!(
                (field("Seccomp:"), field("NoNewPrivs:")),
                ("2".into(), "1".into()),
                "{status}"
            );
            threads += 1;
        }
        assert!(threads > 4, "{threads}");
    }
    let ready = app
        .get(Who::Nobody, &format!("{}/readyz", app.at.ops))
        .await
        .json();
    let checks = ready["checks"].as_array().unwrap();
    let state =
        |name: &str| checks.iter().find(|line| line["name"] == name).unwrap()["state"].clone();
    assert_eq!(
        (state("confinement"), state("memory_hardening")),
        ("ok".into(), "ok".into())
    );
}

/// The database of the other scenes stands behind a local socket; SQLite needs none.
#[tokio::test]
async fn a_process_whose_configuration_names_no_local_socket_connects_to_none() {
    let dir = Arc::new(TempDir::new().unwrap());
    assert!(App::start_in(Arc::clone(&dir), &[], &[]).stop().success());
    let local = dir.path().join("somebodys.socket");
    let _listening = UnixListener::bind(&local).unwrap();
    let wish = format!("unix {}", local.display());
    for (confinement, outcome) in [("require", DENIED), ("off", DONE)] {
        let log = dir.path().join(format!("thief-log-{confinement}"));
        let planes = ["CAPTURE", "INTERNAL", "OPS"];
        let mut process = Command::new(thief())
            .args(["serve", "--config"])
            .arg(dir.path().join("cloakroom.toml"))
            .envs(planes.map(|plane| (format!("CLOAKROOM__{plane}__LISTEN"), "127.0.0.1:0")))
            .env("CLOAKROOM__PROCESS__CONFINEMENT", confinement)
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        // Nothing is listened to before it serves: the line waits until then.
        let came = told(&mut stdin, &log, &wish).await;
        assert_eq!(came, outcome, "{confinement}");
        drop(stdin);
        assert!(process.wait().unwrap().success());
    }
}
