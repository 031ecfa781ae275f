//! The real binary, started as a newcomer would start it, and clients that talk to it.
//!
//! Dropping an [`App`] stops it and then looks through everything it has left on disk and said
//! over the wire for what must never be there.

pub(crate) mod apart;
pub(crate) mod fields;
pub(crate) mod leaks;
pub(crate) mod loot;
#[expect(dead_code, reason = "each test binary uses its own part of it")]
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod scanner;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;

use postgres::Server;

pub(crate) const VISA: &str = "4242424242424242";
pub(crate) const CVC: &str = "123";
/// Of the service's log, when its test fails.
const LOG_LINES_SHOWN: usize = 60;

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    Checkout,
    Billing,
    Admin,
}

impl Who {
    const fn file(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Checkout => Some("client-checkout"),
            Self::Billing => Some("client-billing"),
            Self::Admin => Some("client-admin"),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asserts that this is the problem of that code, in full RFC 9457 form, and answers it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        assert!(body["retryable"].is_boolean() && body["title"].is_string());
        body
    }
}

/// Where the planes of an app are.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) capture: String,
    pub(crate) internal: String,
    pub(crate) ops: String,
    pub(crate) sandbox: String,
    pub(crate) shop: String,
}

/// A running `cloakroom dev`.
pub(crate) struct App {
    pub(crate) at: Addresses,
    pub(crate) dir: Arc<TempDir>,
    /// The PostgreSQL below, where there is one; it ends after the service.
    pub(crate) server: Option<Server>,
    child: Child,
    /// Processes beside it, where there are several.
    pub(crate) beside: Vec<apart::Beside>,
    said: Mutex<Vec<u8>>,
    sent: Mutex<BTreeSet<String>>,
}

impl App {
    /// Starts the service with its defaults in a directory of its own.
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts it with arguments and `CLOAKROOM__…` overrides.
    pub(crate) fn start_with(arguments: &[&str], overrides: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), arguments, overrides)
    }

    /// Starts it in a directory that may have been used before.
    pub(crate) fn start_in(
        dir: Arc<TempDir>,
        arguments: &[&str],
        overrides: &[(&str, &str)],
    ) -> Self {
        Self::start_binary(env!("CARGO_BIN_EXE_cloakroom"), dir, arguments, overrides)
    }

    /// Starts another binary with the same command line.
    pub(crate) fn start_binary(
        binary: impl AsRef<OsStr>,
        dir: Arc<TempDir>,
        arguments: &[&str],
        overrides: &[(&str, &str)],
    ) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.path().join("log"))
            .unwrap();
        let mut child = Command::new(binary)
            .args(["dev", "--json", "--dir"])
            .arg(dir.path())
            .args([
                "--capture-port",
                "0",
                "--internal-port",
                "0",
                "--ops-port",
                "0",
            ])
            .args(["--sandbox-port", "0", "--shop-port", "0"])
            .args(arguments)
            .envs(overrides.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let greeting: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            panic!("cloakroom dev did not start: {line}\n{log}")
        });
        let at = |plane: &str| greeting[plane].as_str().unwrap().to_owned();
        let at = Addresses {
            capture: at("capture"),
            internal: at("internal"),
            ops: at("ops"),
            sandbox: at("sandbox"),
            shop: at("shop"),
        };
        Self {
            at,
            dir,
            server: None,
            child,
            beside: Vec::new(),
            said: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// `cloakroom serve` that was started elsewhere and has said in its log where it listens.
    pub(crate) fn of_one(dir: Arc<TempDir>, child: Child, serving: &Value, sandbox: &str) -> Self {
        let at = |plane: &str| {
            let address = serving[plane].as_str().unwrap();
            format!("https://localhost:{}", address.rsplit(':').next().unwrap())
        };
        Self {
            at: Addresses {
                capture: at("capture"),
                internal: at("internal"),
                ops: at("ops"),
                sandbox: sandbox.to_owned(),
                shop: String::new(),
            },
            dir,
            server: None,
            child,
            beside: Vec::new(),
            said: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// An app of several processes that were started elsewhere.
    pub(crate) fn of_processes(
        at: Addresses,
        dir: Arc<TempDir>,
        server: Server,
        child: Child,
        beside: Vec<apart::Beside>,
    ) -> Self {
        Self {
            at,
            dir,
            server: Some(server),
            child,
            beside,
            said: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Asks the process to stop and waits for it.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.terminate()
    }

    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        // The processor last: what is under way needs it.
        for beside in &mut self.beside {
            ask_to_stop(&beside.child);
            beside.child.wait().unwrap();
        }
        self.beside.clear();
        ask_to_stop(&self.child);
        self.child.wait().unwrap()
    }

    /// A request as it is, from `who`.
    pub(crate) async fn send(&self, who: Who, request: Request<Full<Bytes>>) -> Answer {
        let client = self.client(who);
        client.send_until_connected(request).await.unwrap()
    }

    /// A client that keeps its connections.
    pub(crate) fn client(&self, who: Who) -> Caller<'_> {
        Caller {
            app: self,
            client: client(self.dir.path(), who),
        }
    }

    /// A JSON request.
    pub(crate) async fn call(&self, who: Who, method: Method, url: &str, body: &Value) -> Answer {
        self.send(who, request(method, url, &[], body.to_string()))
            .await
    }

    pub(crate) async fn get(&self, who: Who, url: &str) -> Answer {
        self.send(who, request(Method::GET, url, &[], String::new()))
            .await
    }

    /// A capture session's `client_secret`.
    pub(crate) async fn session(&self) -> String {
        let answer = self
            .order_session(&json!({ "customer_ref": "customer-1" }))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["client_secret"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn order_session(&self, order: &Value) -> Answer {
        let url = format!("{}/v1/capture_sessions", self.at.internal);
        self.call(Who::Checkout, Method::POST, &url, order).await
    }

    /// Posts a body to `/v1/tokens` under a session.
    pub(crate) async fn post_card(
        &self,
        secret: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.note_sent(body);
        let bearer = format!("Bearer {secret}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let url = format!("{}/v1/tokens", self.at.capture);
        self.send(
            Who::Nobody,
            request(Method::POST, &url, &all, body.to_string()),
        )
        .await
    }

    /// A token of that card, by the whole way from session to answer.
    pub(crate) async fn token(&self, number: &str) -> String {
        let secret = self.session().await;
        let answer = self.post_card(&secret, &card(number), &[]).await;
        assert!(matches!(answer.status, 201 | 202), "{}", answer.json());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A charge of 12.50 EUR on a token.
    pub(crate) async fn charge(&self, token: &str, key: &str) -> Answer {
        let order = json!({ "token": token, "amount": 1250, "currency": "eur" });
        self.order_charge(&order, key).await
    }

    pub(crate) async fn order_charge(&self, order: &Value, key: &str) -> Answer {
        let url = format!("{}/v1/charges", self.at.internal);
        let headers = [("idempotency-key", key)];
        self.send(
            Who::Billing,
            request(Method::POST, &url, &headers, order.to_string()),
        )
        .await
    }

    /// The shopper presses a button of the issuer's page: `complete` or `fail`.
    pub(crate) async fn visit_issuer(&self, page: &str, outcome: &str) {
        self.back_from_issuer(page, outcome).await;
    }

    /// Presses a button of the issuer's page; where that sends the shopper.
    pub(crate) async fn back_from_issuer(&self, page: &str, outcome: &str) -> String {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let press = request(Method::POST, page, &headers, format!("outcome={outcome}"));
        let done = self.send(Who::Nobody, press).await;
        assert!(matches!(done.status, 302 | 303), "{}", done.status);
        done.header("location").unwrap().to_owned()
    }

    /// A call of the sandbox's control plane.
    pub(crate) async fn sandbox(&self, method: Method, path: &str, body: &Value) -> Answer {
        let key = fs::read_to_string(self.path("stripe-internal.key")).unwrap();
        let bearer = format!("Bearer {}", key.trim());
        let url = format!("{}/_sandbox/{path}", self.at.sandbox);
        let headers = [("authorization", bearer.as_str())];
        let client = client(self.dir.path(), Who::Nobody);
        read(&client, request(method, &url, &headers, body.to_string()))
            .await
            .unwrap()
    }

    /// What the sandbox has really done.
    pub(crate) async fn ledger(&self) -> Value {
        self.sandbox(Method::GET, "ledger", &Value::Null)
            .await
            .json()
    }

    pub(crate) fn note_sent(&self, body: &Value) {
        if let Some(number) = body["card"]["number"].as_str() {
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            if digits.len() >= 12 {
                self.sent.lock().unwrap().insert(digits);
            }
        }
    }

    /// Notes an answer that was read by other means, for the scan at the end.
    pub(crate) fn note_said(&self, bytes: &[u8]) {
        self.said.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() || !self.beside.is_empty() {
            self.terminate();
        }
        if std::thread::panicking() {
            for name in ["log", "capture-log", "internal-log"] {
                let log = fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines.len().saturating_sub(LOG_LINES_SHOWN);
                eprintln!("the end of its {name}:\n{}", lines[last..].join("\n"));
            }
        } else {
            leaks::assert_none(
                self.dir.path(),
                &self.said.lock().unwrap(),
                &self.sent.lock().unwrap(),
            );
            fields::assert_known(self.dir.path());
            if let Some(server) = &self.server {
                leaks::assert_none_in(server, self.dir.path(), &self.sent.lock().unwrap());
            }
        }
    }
}

fn ask_to_stop(child: &Child) {
    // kill(1) because std offers only SIGKILL.
    let mut kill = Command::new("kill");
    kill.arg(child.id().to_string()).status().unwrap();
}

/// Asks again until there is an answer, for half a minute.
pub(crate) async fn answered<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    for _ in 0..150 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("no answer within 30 s");
}

/// Asks again until it is so, for half a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..150 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within 30 s: {what}");
}

/// Asks a party beside the app; its answer is not the app's, and not scanned.
pub(crate) async fn ask(app: &App, request: Request<Full<Bytes>>) -> Answer {
    read(&client(app.dir.path(), Who::Nobody), request)
        .await
        .unwrap()
}

/// A client with its own pool of connections.
pub(crate) struct Caller<'a> {
    app: &'a App,
    client: Http,
}

impl Caller<'_> {
    /// Sends it; connects anew where the connection was refused before anything was sent, as a
    /// server does with handshakes that a busy machine keeps waiting.
    pub(crate) async fn send_until_connected(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, String> {
        for _ in 0..100 {
            match self.send(request.clone()).await {
                Err(why) if why.contains("Error(Connect") => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                ended => return ended,
            }
        }
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answer = read(&self.client, request).await?;
        let mut said = self.app.said.lock().unwrap();
        for (name, value) in &answer.headers {
            said.extend_from_slice(name.as_str().as_bytes());
            said.extend_from_slice(value.as_bytes());
            said.push(b'\n');
        }
        said.extend_from_slice(&answer.body);
        Ok(answer)
    }
}

pub(crate) type Http = Client<hyper_rustls::HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(crate) async fn read(client: &Http, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let exchange = async {
        let answer = client
            .request(request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (head, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| format!("{error:?}"))?
            .to_bytes()
            .to_vec();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    };
    tokio::time::timeout(Duration::from_mins(1), exchange)
        .await
        .map_err(|_| "no answer within 60 s".to_owned())?
}

/// A request with a JSON body, or none when the text is empty.
pub(crate) fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(url);
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body)).unwrap()
}

/// A body with a card that lasts.
pub(crate) fn card(number: &str) -> Value {
    let cvc = if number.starts_with("34") || number.starts_with("37") {
        "1234"
    } else {
        CVC
    };
    json!({ "card": { "number": number, "exp_month": 12, "exp_year": 2034, "cvc": cvc } })
}

/// TLS as `who`, trusting only the app's own authority.
pub(crate) fn tls(dir: &Path, who: Who) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(dir.join("ca.pem")).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match who.file() {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::pem_file_iter(dir.join(format!("{name}.pem")))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

pub(crate) fn client(dir: &Path, who: Who) -> Http {
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(dir, who))
        .https_only()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(https)
}
