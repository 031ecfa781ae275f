//! A log whose reader is alive and does not read: a shipper that hangs, a terminal held with Ctrl-S.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{App, VISA, Who, request};

/// More than a pipe of 64 KiB and the queue before it take, each a line.
const REQUESTS: usize = 6_000;
/// Who asks at the same time.
const CALLERS: usize = 8;
/// No answer may take longer because of the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// `cloakroom serve`, the sandbox in a process of its own, and the log's pipe in our hand.
struct Scene {
    app: App,
    sandbox: Child,
    log: BufReader<ChildStdout>,
}

fn command(verb: &str, dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command
        .args([verb, "--config"])
        .arg(dir.path().join("cloakroom.toml"))
        .envs(["CAPTURE", "INTERNAL", "OPS"].map(|plane| {
            let key = format!("CLOAKROOM__{plane}__LISTEN");
            (key, "127.0.0.1:0")
        }));
    command
}

impl Scene {
    fn start() -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(sandbox.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        // `dev` writes the configuration and the keys, and makes the database.
        let made = App::start_in(Arc::clone(&dir), &["--sandbox-url", url.trim()], &[]);
        assert!(made.stop().success());
        let mut child = command("serve", &dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let serving = line_with(&mut log, "\"serving\"");
        let app = App::of_one(dir, child, &serving, url.trim());
        Self { app, sandbox, log }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.sandbox.kill().unwrap();
        self.sandbox.wait().unwrap();
    }
}

/// The next line of the log that holds `words`.
fn line_with(log: &mut impl BufRead, words: &str) -> Value {
    let mut line = String::new();
    while log.read_line(&mut line).unwrap() > 0 {
        if line.contains(words) {
            return serde_json::from_str(&line).unwrap();
        }
        line.clear();
    }
    panic!("the log ended without {words}");
}

/// Asks for what is not there, so often, and panics when an answer takes too long.
async fn ask_often(app: &App, times: usize) {
    let nowhere = format!("{}/nowhere", app.at.capture);
    let callers = (0..CALLERS).map(async |_| {
        let caller = app.client(Who::Nobody);
        for number in 0..times / CALLERS {
            let asked = caller.send(request(Method::GET, &nowhere, &[], String::new()));
            let answer = tokio::time::timeout(PATIENCE, asked).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer to request {number}"));
            assert_eq!(answer.unwrap().status, 404);
        }
    });
    futures_util::future::join_all(callers).await;
}

async fn lines_lost(app: &App) -> u64 {
    let url = format!("{}/metrics", app.at.ops);
    let metrics = app.get(Who::Nobody, &url);
    let metrics = tokio::time::timeout(PATIENCE, metrics).await;
    let metrics = String::from_utf8(metrics.expect("the ops plane answers").body).unwrap();
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cloakroom_log_lines_lost_total "));
    count.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_no_request_and_says_what_is_missing() {
    let mut scene = Scene::start();
    let app = &scene.app;

    // 1. From now on nobody reads. The pipe is full long before the last of these.
    ask_often(app, REQUESTS).await;

    // 2. Every plane answers, and money moves.
    let livez = format!("{}/livez", app.at.ops);
    let alive = tokio::time::timeout(PATIENCE, app.get(Who::Nobody, &livez)).await;
    assert_eq!(alive.expect("/livez answers").status, 200);
    let token = tokio::time::timeout(PATIENCE, app.token(VISA)).await;
    let token = token.expect("a card is taken");
    let charged = app.charge(&token, "order-1");
    let charged = tokio::time::timeout(PATIENCE, charged).await;
    assert_eq!(charged.expect("a charge is answered").status, 201);

    // 3. What found no room was counted, and a line says so once somebody reads again.
    let lost = lines_lost(app).await;
    assert!(lost > 0, "{lost}");
    let told = line_with(&mut scene.log, "\"lines_lost\"");
    assert!(told["lines_lost"].as_u64().unwrap() >= lost, "{told}");
    assert_eq!(told["level"], "WARN");

    // 4. Stalled once more, it stops when it is asked to, and not when the reader comes back.
    ask_often(app, 1_000).await;
    let began = Instant::now();
    let status = scene.app.terminate();
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(20));

    // 5. What was written is whole lines.
    let mut rest = Vec::new();
    scene.log.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    let whole = |line: &&str| line.ends_with('\n');
    for line in rest.split_inclusive('\n').filter(whole) {
        serde_json::from_str::<Value>(line).expect("a JSON line");
    }
}
