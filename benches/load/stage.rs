//! The service and its processor, started as two processes of the real binary.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Outcome;
use super::arguments::Arguments;
use super::process::{self, Memory};
use super::wire::{Connection, Endpoint, request};

/// Clients that prepare sessions and tokens; nothing of that is measured.
const PREPARING_CLIENTS: usize = 32;
/// A published test card that can be charged.
pub(crate) const CARD: &str =
    r#"{"card":{"number":"4242424242424242","exp_month":12,"exp_year":2034,"cvc":"123"}}"#;

/// No two sessions have the same customer.
static NEXT_CUSTOMER: AtomicU64 = AtomicU64::new(1);

/// Both processes; they end with it.
pub(crate) struct Stage {
    server: Running,
    sandbox: Running,
    dir: TempDir,
    capture: String,
    internal: String,
    ops: String,
    processor: String,
}

/// What the store has done since its start, from `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct StoreCounts {
    pub(crate) commits: f64,
    pub(crate) commit_s: f64,
    pub(crate) operations: f64,
}

impl Stage {
    /// Starts a service on the embedded database or on the one that `store` names, and its
    /// processor without latency.
    pub(crate) async fn start(arguments: &Arguments, store: Option<&Path>) -> Outcome<Self> {
        let dir = directory(arguments)?;
        let mut sandbox = Command::new(&arguments.binary);
        sandbox
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path());
        let (sandbox, processor) = Running::start(sandbox, &dir.path().join("sandbox.log"))?;
        let mut server = Command::new(&arguments.binary);
        server
            .args(["dev", "--json", "--sandbox-url", &processor, "--dir"])
            .arg(dir.path())
            .args(["--capture-port", "0", "--internal-port", "0"])
            .args(["--ops-port", "0", "--shop-port", "0"])
            .envs(arguments.set.iter().cloned());
        if let Some(store) = store {
            server.arg("--store").arg(store);
        }
        let (server, greeting) = Running::start(server, &dir.path().join("server.log"))?;
        let greeting: Value = serde_json::from_str(&greeting)?;
        let at = |plane: &str| greeting.get(plane).and_then(Value::as_str);
        let at = |plane: &str| {
            let url = at(plane).ok_or("a greeting without addresses");
            url.map(str::to_owned)
        };
        let stage = Self {
            capture: at("capture")?,
            internal: at("internal")?,
            ops: at("ops")?,
            processor,
            server,
            sandbox,
            dir,
        };
        stage.set_latency(0).await?;
        Ok(stage)
    }

    pub(crate) const fn server(&self) -> u32 {
        self.server.pid
    }

    pub(crate) const fn sandbox(&self) -> u32 {
        self.sandbox.pid
    }

    pub(crate) fn memory(&self) -> Outcome<Memory> {
        process::memory(self.server())
    }

    /// Where browsers post cards.
    pub(crate) fn capture(&self) -> Outcome<Endpoint> {
        Endpoint::new(&self.capture, self.dir.path(), None)
    }

    /// Where billing reads and charges.
    pub(crate) fn billing(&self) -> Outcome<Endpoint> {
        Endpoint::new(&self.internal, self.dir.path(), Some("client-billing"))
    }

    /// How long the processor takes for each answer. It writes no events down: nobody reads them.
    pub(crate) async fn set_latency(&self, latency_ms: u32) -> Outcome<()> {
        let key = fs::read_to_string(self.dir.path().join("stripe-internal.key"))?;
        let bearer = format!("Bearer {}", key.trim());
        let body = json!({ "latency_ms": latency_ms, "events": false }).to_string();
        let headers = [("Authorization", bearer.as_str())];
        let request = request("POST /_sandbox/settings", &headers, &body);
        let endpoint = Endpoint::new(&self.processor, self.dir.path(), None)?;
        let answer = endpoint.connect().await?.exchange(&request).await?;
        expect(answer.status == 200, "the sandbox takes no settings")
    }

    pub(crate) async fn store_counts(&self) -> Outcome<StoreCounts> {
        let endpoint = Endpoint::new(&self.ops, self.dir.path(), None)?;
        let request = request("GET /metrics", &[], "");
        let answer = endpoint.connect().await?.exchange(&request).await?;
        expect(answer.status == 200, "there are no metrics")?;
        let text = String::from_utf8_lossy(&answer.body);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|value| value.trim().parse().ok());
            value.unwrap_or_default()
        };
        Ok(StoreCounts {
            commits: value("cloakroom_store_commit_duration_seconds_count "),
            commit_s: value("cloakroom_store_commit_duration_seconds_sum "),
            operations: value("cloakroom_store_batch_operations_sum "),
        })
    }

    /// So many encoded requests that post a card, each under a session of its own. Each session
    /// has a customer of its own: the same card of one customer would be one token.
    pub(crate) async fn posts(&self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        let checkout = Endpoint::new(&self.internal, self.dir.path(), Some("client-checkout"))?;
        let share = count.div_ceil(PREPARING_CLIENTS);
        let mut tasks = JoinSet::new();
        for client in 0..PREPARING_CLIENTS {
            let checkout = checkout.clone();
            let first = client.saturating_mul(share);
            let last = first.saturating_add(share).min(count);
            tasks.spawn(async move {
                let mut posts = Vec::with_capacity(share);
                let mut connection = checkout.connect().await?;
                for _ in first..last {
                    posts.push(post(&mut connection).await?);
                }
                Outcome::Ok(posts)
            });
        }
        let mut posts = Vec::with_capacity(count);
        while let Some(done) = tasks.join_next().await {
            posts.extend(done??);
        }
        Ok(posts)
    }

    /// So many tokens.
    pub(crate) async fn tokens(&self, count: usize) -> Outcome<Vec<String>> {
        let posts = self.posts(count).await?;
        let capture = self.capture()?;
        let mut tokens = Vec::with_capacity(count);
        for some in posts.chunks(PREPARING_CLIENTS) {
            let mut tasks = JoinSet::new();
            for post in some {
                let post = post.clone();
                let capture = capture.clone();
                tasks.spawn(async move {
                    let answer = capture.connect().await?.exchange(&post).await?;
                    text_in(&answer.body, "id", (answer.status, 201))
                });
            }
            while let Some(done) = tasks.join_next().await {
                tokens.push(done??);
            }
        }
        Ok(tokens)
    }
}

fn directory(arguments: &Arguments) -> Outcome<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("cloakroom-load-");
    Ok(match &arguments.dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None => builder.tempdir()?,
    })
}

/// Makes a session, and from it the request that posts a card.
async fn post(connection: &mut Connection) -> Outcome<Vec<u8>> {
    let customer = format!("customer-{}", NEXT_CUSTOMER.fetch_add(1, Ordering::Relaxed));
    let order = json!({ "customer_ref": customer, "expires_in_s": 86_400 }).to_string();
    let request_bytes = request("POST /v1/capture_sessions", &[], &order);
    let answer = connection.exchange(&request_bytes).await?;
    let secret = text_in(&answer.body, "client_secret", (answer.status, 201))?;
    let bearer = format!("Bearer {secret}");
    Ok(request(
        "POST /v1/tokens",
        &[("Authorization", &bearer)],
        CARD,
    ))
}

/// A member of a JSON answer that must have this status.
fn text_in(body: &[u8], member: &str, (status, expected): (u16, u16)) -> Outcome<String> {
    let said = || String::from_utf8_lossy(body).into_owned();
    if status != expected {
        return Err(format!("{status} where {expected} was expected: {}", said()).into());
    }
    let body: Value = serde_json::from_slice(body)?;
    let text = body.get(member).and_then(Value::as_str);
    Ok(text
        .ok_or_else(|| format!("an answer without {member}"))?
        .to_owned())
}

fn expect(holds: bool, otherwise: &'static str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// A process that has said its first line, and is killed with this.
struct Running {
    child: Child,
    pid: u32,
}

impl Running {
    fn start(mut command: Command, log: &PathBuf) -> Outcome<(Self, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let said = child.stdout.take();
        let pid = child.id();
        let running = Self { child, pid };
        let mut line = String::new();
        if let Some(said) = said {
            BufReader::new(said).read_line(&mut line)?;
        }
        let line = line.trim().to_owned();
        if line.is_empty() {
            // It has ended: a log that is still being written would lack its last words.
            std::thread::sleep(Duration::from_millis(200));
            let log = fs::read_to_string(log).unwrap_or_default();
            return Err(format!("the service did not start:\n{log}").into());
        }
        Ok((running, line))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to be done then.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
