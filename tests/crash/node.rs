//! A node: `cloakroom serve` as a process that is killed and started again on the same ports.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::chance::Chance;

/// How long a node may take to listen, restarts of the database included.
const START_MAX: Duration = Duration::from_mins(1);
/// Processes die sooner than connections are accepted: what a look costs.
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Node {
    config: PathBuf,
    log: PathBuf,
    /// How long it waits for the processor.
    timeout_ms: u32,
    capture_port: u16,
    internal_port: u16,
    child: Option<Child>,
}

impl Node {
    /// A node with the configuration that `dev` wrote and listeners of its own. Nothing else
    /// differs: what a request to the processor says must not depend on who sends it.
    pub(crate) fn new(dir: &Path, name: &str, timeout_ms: u32, chance: &mut Chance) -> Self {
        let text = std::fs::read_to_string(dir.join("cloakroom.toml")).unwrap();
        let ports = [free_port(chance), free_port(chance), free_port(chance)];
        let mut listeners = ports.iter();
        let lines = text.lines().map(|line| {
            if line.starts_with("listen = ") {
                format!("listen = \"127.0.0.1:{}\"", listeners.next().unwrap())
            } else if line.starts_with("node = ") {
                format!("node = \"{name}\"")
            } else {
                line.to_owned()
            }
        });
        let config = dir.join(format!("{name}.toml"));
        let lines: Vec<String> = lines.collect();
        std::fs::write(&config, lines.join("\n")).unwrap();
        Self {
            config,
            timeout_ms,
            log: dir.join(format!("{name}.log")),
            capture_port: ports[0],
            internal_port: ports[1],
            child: None,
        }
    }

    pub(crate) fn capture(&self) -> String {
        format!("https://localhost:{}", self.capture_port)
    }

    pub(crate) fn internal(&self) -> String {
        format!("https://localhost:{}", self.internal_port)
    }

    /// Starts the process and waits until it listens. One that gives up, because the database is
    /// not there yet, is started again, as a supervisor would.
    pub(crate) async fn start(&mut self) {
        let started = Instant::now();
        let internal = SocketAddr::from(([127, 0, 0, 1], self.internal_port));
        while started.elapsed() < START_MAX {
            let mut child = match self.child.take() {
                Some(child) => child,
                None => self.spawn(),
            };
            if child.try_wait().unwrap().is_some() {
                tokio::time::sleep(POLL * 10).await;
                continue;
            }
            self.child = Some(child);
            if TcpStream::connect(internal).is_ok() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        panic!("the node does not start: {last:?}");
    }

    fn spawn(&self) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        // Another build of the service may be killed instead, such as the release binary.
        let built = env!("CARGO_BIN_EXE_cloakroom").into();
        Command::new(std::env::var_os("CLOAKROOM_CRASH_BINARY").unwrap_or(built))
            .args(["serve", "--config"])
            .arg(&self.config)
            .env(
                "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__REQUEST_TIMEOUT_MS",
                self.timeout_ms.to_string(),
            )
            // As short as it may be: what is resumed comes close behind what was begun.
            .env("CLOAKROOM__LIMITS__WORK_LEASE_MS", "1000")
            // A client that repeats a card's request through many kills is not a thief who guesses.
            .env("CLOAKROOM__LIMITS__SESSION_ATTEMPTS_MAX", "1000")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// SIGKILL: no handler runs.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port below those that the system gives to connections, so that nobody has it by chance while
/// the node is dead.
fn free_port(chance: &mut Chance) -> u16 {
    for _ in 0..1_000 {
        // What is free is no matter of the seed.
        let shifted = chance.draw() ^ u64::from(std::process::id()).rotate_left(17);
        let port = u16::try_from(10_000 + shifted % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
