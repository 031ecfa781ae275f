//! The processor: `cloakroom sandbox` in a process of its own, which survives every kill of the
//! service and has counted what it really did.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Http, Who, client, read, request};

pub(crate) struct Processor {
    child: Child,
    pub(crate) url: String,
    bearer: String,
    http: Http,
}

impl Processor {
    /// Starts it with the keys and certificates of a directory of `cloakroom dev`, which it makes
    /// where they are missing.
    pub(crate) fn start(dir: &Path) -> Self {
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
        let key = std::fs::read_to_string(dir.join("stripe-internal.key")).unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
            bearer: format!("Bearer {}", key.trim()),
            http: client(dir, Who::Nobody),
        }
    }

    /// A call of its control plane.
    pub(crate) async fn control(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.url);
        let headers = [("authorization", self.bearer.as_str())];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = read(&self.http, request(method, &url, &headers, text))
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    /// Tells the endpoint of the service everything that happens from now on.
    pub(crate) async fn tell(&self, url: &str, dir: &Path) {
        let secret = std::fs::read_to_string(dir.join("stripe-webhook.secret")).unwrap();
        let order = json!({ "url": url, "secret": secret.trim() });
        self.control(Method::POST, "webhooks", &order).await;
    }

    pub(crate) async fn set(&self, settings: &Value) {
        self.control(Method::POST, "settings", settings).await;
    }

    pub(crate) async fn stage(&self, fault: &Value) {
        self.control(Method::POST, "faults", fault).await;
    }

    pub(crate) async fn clear_faults(&self) {
        self.control(Method::DELETE, "faults", &Value::Null).await;
    }

    /// How many requests have met a fault since the start.
    pub(crate) async fn struck(&self) -> u64 {
        let faults = self.control(Method::GET, "faults", &Value::Null).await;
        faults["struck"].as_u64().unwrap()
    }

    /// What it really did, whatever its callers were told.
    pub(crate) async fn ledger(&self) -> Value {
        self.control(Method::GET, "ledger", &Value::Null).await
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
