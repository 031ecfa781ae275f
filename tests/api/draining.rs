//! A stop that nobody notices: readiness says so first, answers end their connections, and a
//! balancer sends everything to the other process.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::postgres::Server;
use crate::support::{App, Who, client, eventually, read, request};

/// Longer than a balancer's check needs.
const DRAIN_S: &str = "2";
/// What is asked of the two processes while they are restarted, at least.
const REQUESTS_MIN: usize = 1_000;
const CLIENTS: usize = 4;

#[tokio::test]
async fn a_process_that_was_asked_to_stop_says_so_before_it_stops() {
    let mut app = App::start_with(&[], &[("CLOAKROOM__LIMITS__DRAIN_S", DRAIN_S)]);
    let readiness = format!("{}/readyz", app.at.ops);
    let own = format!("{readiness}?for=balancer");
    assert_eq!(app.get(Who::Nobody, &readiness).await.status, 200);
    assert_eq!(app.get(Who::Nobody, &own).await.status, 200);
    let other = format!("{readiness}?for=anybody");
    let refused = app.get(Who::Nobody, &other).await;
    refused.problem(400, "malformed_request");

    let tokens = format!("{}/v1/tokens?customer_ref=c", app.at.internal);
    let before = app.get(Who::Billing, &tokens).await;
    assert_eq!((before.status, before.header("connection")), (200, None));
    ask_to_stop(app.pid());
    eventually("both say that it is draining", async || {
        let all = app.get(Who::Nobody, &readiness).await;
        let own = app.get(Who::Nobody, &own).await;
        let draining = |body: serde_json::Value| {
            let checks = body["checks"].as_array().unwrap().clone();
            checks
                .iter()
                .any(|check| check["name"] == "draining" && check["state"] == "failed")
        };
        all.status == 503 && own.status == 503 && draining(all.json()) && draining(own.json())
    })
    .await;
    // It still answers, and lets its callers go.
    let during = app.get(Who::Billing, &tokens).await;
    assert_eq!(
        (during.status, during.header("connection")),
        (200, Some("close"))
    );
    assert!(app.terminate().success());
}

#[tokio::test]
async fn two_processes_restarted_one_after_the_other_behind_a_balancer_answer_every_request() {
    let dir = Arc::new(TempDir::new().unwrap());
    let sandbox = Sandbox::start(dir.path());
    let server = Server::copied(env!("CARGO_TARGET_TMPDIR"));
    let store = server.store_file();
    let arguments = [
        "--sandbox-url",
        &sandbox.url,
        "--store",
        store.to_str().unwrap(),
    ];
    assert!(
        App::start_in(Arc::clone(&dir), &arguments, &[])
            .stop()
            .success()
    );

    let mut nodes = [Node::new(dir.path(), "one"), Node::new(dir.path(), "two")];
    for node in &mut nodes {
        node.start();
    }
    let balancer = Balancer::start(dir.path(), &nodes);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let callers = (0..CLIENTS).map(|number| {
        let (over, asked, dir, balancer) = (&over, &asked, dir.path(), &balancer);
        async move {
            let http = client(dir, Who::Checkout);
            let url = format!("{}/v1/capture_sessions", balancer.url());
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let order = asked.fetch_add(1, Ordering::Relaxed);
                let body = json!({ "customer_ref": format!("c-{number}-{}", order % 3) });
                match read(&http, request(Method::POST, &url, &[], body.to_string())).await {
                    Ok(answer) if answer.status == 201 => {}
                    Ok(answer) => {
                        wrong.push(format!("{order}: {} {}", answer.status, answer.json()));
                    }
                    Err(error) => wrong.push(format!("{order}: {error}")),
                }
            }
            wrong
        }
    });
    let restarts = async {
        while asked.load(Ordering::Relaxed) < REQUESTS_MIN / 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for node in &mut nodes {
            ask_to_stop(node.child.as_ref().unwrap().id());
            let child = node.child.take().unwrap();
            let ended = tokio::task::spawn_blocking(move || {
                let mut child = child;
                child.wait().unwrap()
            });
            assert!(ended.await.unwrap().success());
            node.start();
            // The balancer's next two checks see it.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        while asked.load(Ordering::Relaxed) < REQUESTS_MIN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (wrong, ()) = tokio::join!(join_all(callers), restarts);
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {asked:?}: {wrong:#?}", wrong.len());
}

fn ask_to_stop(pid: u32) {
    let sent = Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens on {port}");
}

/// The processor, in a process of its own.
struct Sandbox {
    child: Child,
    url: String,
}

impl Sandbox {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// One of two processes with the same configuration but for its listeners.
struct Node {
    config: PathBuf,
    log: PathBuf,
    capture: u16,
    internal: u16,
    ops: u16,
    child: Option<Child>,
}

impl Node {
    fn new(dir: &Path, name: &str) -> Self {
        let [capture, internal, ops] = [free_port(), free_port(), free_port()];
        let mut ports = [capture, internal, ops].into_iter();
        let text = std::fs::read_to_string(dir.join("cloakroom.toml")).unwrap();
        let lines = text.lines().map(|line| match line {
            _ if line.starts_with("listen = ") => {
                format!("listen = \"127.0.0.1:{}\"", ports.next().unwrap())
            }
            _ if line.starts_with("node = ") => format!("node = \"{name}\""),
            _ if line.starts_with("drain_s = ") => format!("drain_s = {DRAIN_S}"),
            _ => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let config = dir.join(format!("{name}.toml"));
        std::fs::write(&config, text).unwrap();
        Self {
            config,
            log: dir.join(format!("{name}.log")),
            capture,
            internal,
            ops,
            child: None,
        }
    }

    fn start(&mut self) {
        let served = self.times_served();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["serve", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        // Its sockets are bound long before it answers at them.
        for _ in 0..300 {
            if self.times_served() > served {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} does not serve", self.config.display());
    }

    /// How often its log says that it serves.
    fn times_served(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.matches("\"message\":\"serving\"").count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// `HAProxy` in front of both planes, by the configuration that is shipped.
struct Balancer {
    child: Child,
    port: u16,
}

impl Balancer {
    fn start(dir: &Path, nodes: &[Node; 2]) -> Self {
        let [port, capture_port] = [free_port(), free_port()];
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new("haproxy");
        command
            .args(["-db", "-f", "deploy/haproxy/haproxy.cfg"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CAPTURE_BIND", local(capture_port))
            .env("INTERNAL_BIND", local(port))
            .env("OPS_CA", dir.join("ca.pem"))
            .env("OPS_NAME", "localhost");
        for (node, number) in nodes.iter().zip(1..) {
            for (plane, at) in [("CAPTURE", node.capture), ("INTERNAL", node.internal)] {
                let name = format!("{plane}_{number}");
                command.env(format!("{name}_OPS"), node.ops.to_string());
                command.env(name, local(at));
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(port);
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
