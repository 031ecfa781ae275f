//! `evidence collect|verify|diff` over the running service: all is well, and whatever is broken
//! turns its check red.

mod apart;
mod controls;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{App, VISA, eventually};

fn evidence(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .arg("evidence")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// How each check ended, and what it saw.
struct Collected {
    checks: BTreeMap<String, (String, String)>,
    code: Option<i32>,
}

impl Collected {
    fn ended(&self, verdict: &str) -> BTreeSet<&str> {
        let checks = self.checks.iter();
        let ended = checks.filter(|(_, (ended, _))| ended == verdict);
        ended.map(|(id, _)| id.as_str()).collect()
    }

    /// What fails, and what could not be seen.
    fn red(&self) -> BTreeSet<&str> {
        let mut red = self.ended("fail");
        red.append(&mut self.ended("not_seen"));
        red
    }

    fn seen(&self, id: &str) -> &str {
        &self.checks[id].1
    }
}

/// Collects into a new directory, and says what came of it.
fn collect(out: &Path, configs: &[&Path], more: &[&str]) -> Collected {
    let out = out.to_str().unwrap();
    let mut arguments = vec!["collect", "--json", "--out", out];
    for config in configs {
        arguments.extend(["--config", config.to_str().unwrap()]);
    }
    arguments.extend(more);
    // The log of `dev`, which the tests keep beside its configuration.
    let log = configs[0].with_file_name("log");
    if log.exists() && !more.contains(&"--log") {
        arguments.extend(["--log", log.to_str().unwrap()]);
    }
    let output = evidence(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = told["checks"].as_array().unwrap().iter().map(|check| {
        let seen: Vec<String> = check["observations"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        (
            text(&check["id"]),
            (text(&check["verdict"]), seen.join("\n")),
        )
    });
    let collected = Collected {
        checks: checks.collect(),
        code: output.status.code(),
    };
    let red = collected.red();
    let count = |name: &str| told[name].as_u64().unwrap();
    assert_eq!(
        count("failed") + count("not_seen"),
        u64::try_from(red.len()).unwrap()
    );
    assert_eq!(
        collected.code,
        Some(if red.is_empty() { 0 } else { 65 }),
        "{said}"
    );
    collected
}

/// A copy of a configuration beside it, with text in the place of text.
fn copy(config: &Path, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = fs::read_to_string(config).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {}", config.display());
        text = text.replace(from, to);
    }
    let copy = config.with_file_name(name);
    fs::write(&copy, text).unwrap();
    copy
}

/// The port in an address of an app.
fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

/// The configuration of a running `dev`, which names the ports that it has taken.
fn of_dev(app: &App) -> PathBuf {
    app.path("cloakroom.toml")
}

/// Waits until something of the log is signed and copied.
async fn signed(config: &Path) {
    eventually("a checkpoint is everywhere", async || {
        let verified = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["audit", "verify", "--json", "--config"])
            .arg(config)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
        report["signed"].as_u64() > Some(0)
    })
    .await;
}

/// A server with our own certificate that is not ours.
struct Impostor {
    child: Child,
    port: String,
}

impl Impostor {
    /// Speaks TLS up to that version, and answers everything with that status and body.
    fn start(app: &App, version: &str, status: &str, body: &str) -> Self {
        const PROGRAM: &str = "
import http.server, ssl, sys
certificate, key, version, status, body = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(status))
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = getattr(ssl.TLSVersion, version)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .args([app.path("server.pem"), app.path("server.key")])
            .args([version, status, body])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut port).unwrap();
        let port = port.trim().to_owned();
        assert!(port.parse::<u16>().is_ok(), "the impostor did not start");
        Self { child, port }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn what_was_collected_is_whole_signed_and_compared() {
    let app = App::start();
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let config = of_dev(&app);
    signed(&config).await;
    let log = app.path("log");
    let more = ["--log", log.to_str().unwrap()];
    let (first, second) = (app.path("first"), app.path("second"));
    let collected = collect(&first, &[&config], &more);
    assert_eq!(collected.red(), BTreeSet::new(), "{:?}", collected.checks);
    // In one process of the test environment these have nothing to look at.
    assert_eq!(
        collected.ended("not_applicable"),
        BTreeSet::from(["backups", "planes_apart", "watch"])
    );
    for file in [
        "checks.json",
        "summary.md",
        "manifest.json",
        "manifest.note",
        "keys/register.json",
        "tls/certificates.json",
        "database/protections.txt",
        "audit/verification.json",
        "audit/catalogue.json",
        "payment-page/scripts.json",
        "tests/map.json",
        "access/clients.json",
        "documents/supply/sbom.cdx.json",
        "documents/supply/cbom.cdx.json",
        "documents/controls.md",
        "configuration/dev.toml",
    ] {
        assert!(first.join(file).is_file(), "{file}");
    }
    let checks: Value =
        serde_json::from_slice(&fs::read(first.join("checks.json")).unwrap()).unwrap();
    for check in checks.as_array().unwrap() {
        let has = |name: &str| !check[name].as_array().unwrap().is_empty();
        assert!(
            has("requirements") && has("observations") && has("reproduce"),
            "{check}"
        );
        let files = check["files"].as_array().unwrap();
        let there = files
            .iter()
            .all(|file| first.join(file.as_str().unwrap()).is_file());
        assert!(there, "{check}");
    }
    // The log was read, and says so.
    eventually("the reading is in the log", async || {
        let exported = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["audit", "export", "--action", "audit.read", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        String::from_utf8_lossy(&exported.stdout).contains("\"evidence\"")
    })
    .await;

    let paths = (
        config.to_str().unwrap(),
        first.to_str().unwrap(),
        second.to_str().unwrap(),
    );
    let (config_path, one, two) = paths;
    let holds = evidence(&["verify", one, "--config", config_path]);
    assert_eq!(
        holds.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&holds.stderr)
    );
    let vkey = app.path("checkpoint.vkey");
    let by_key = ["verify", "--json", one, "--vkey", vkey.to_str().unwrap()];
    assert_eq!(evidence(&by_key).status.code(), Some(0));
    let again = evidence(&["collect", "--config", config_path, "--out", one]);
    assert_eq!(
        again.status.code(),
        Some(73),
        "a bundle is not written over"
    );

    collect(&second, &[&config], &more);
    let same = evidence(&["diff", "--json", one, two]);
    assert_eq!(same.status.code(), Some(0));
    let told: Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!(told["worse"], false);

    fs::write(first.join("keys/register.json"), "[]").unwrap();
    let altered = evidence(&["verify", one, "--config", config_path]);
    assert_eq!(altered.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&altered.stdout).contains("keys/register.json was changed"));
}

#[tokio::test]
async fn a_difference_that_is_worse_is_told_and_ends_with_ex_dataerr() {
    let app = App::start();
    let config = of_dev(&app);
    signed(&config).await;
    let (good, bad) = (app.path("good"), app.path("bad"));
    collect(&good, &[&config], &[]);
    let one_place = copy(
        &config,
        "one.toml",
        &[(
            "[[audit.sinks]]\nfile = \"audit-checkpoints-too.jsonl\"\n",
            "",
        )],
    );
    collect(&bad, &[&one_place], &[]);
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let worse = evidence(&["diff", good, bad]);
    let said = String::from_utf8_lossy(&worse.stdout).into_owned();
    assert_eq!(worse.status.code(), Some(65), "{said}");
    assert!(said.contains("audit_copies: pass -> fail"), "{said}");
    assert!(said.contains("+ fail: 1 places for copies"), "{said}");
    let better = evidence(&["diff", bad, good]);
    assert_eq!(better.status.code(), Some(0));
    let none = evidence(&["diff", good, "/nowhere"]);
    assert_eq!(none.status.code(), Some(66));
}
