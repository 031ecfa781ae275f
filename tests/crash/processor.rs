//! The processor: `cloakroom sandbox` in a process of its own, which survives every kill of the
//! service and has counted what it really did.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Http, Who, card, client, read, request};

const FORM: &str = "application/x-www-form-urlencoded";

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

    /// A call in Stripe's own form, as its dashboard makes them. Nothing where a fault meets it.
    pub(crate) async fn dashboard(&self, method: Method, path: &str, form: &str) -> Option<Value> {
        let url = format!("{}{path}", self.url);
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", FORM),
        ];
        let sent = request(method, &url, &headers, form.to_owned());
        let answer = read(&self.http, sent).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// A list of Stripe's, whole; only when no fault is staged.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit=100{after}");
            let page = self.dashboard(Method::GET, &page, "").await.unwrap();
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] != true {
                return all;
            }
            let end = all.last().unwrap()["id"].as_str().unwrap();
            after = format!("&starting_after={end}");
        }
    }

    /// A card that a shopper's browser makes with the processor's own library.
    pub(crate) async fn browser_card(&self, number: &str) -> String {
        let cvc = card(number)["card"]["cvc"].as_str().unwrap().to_owned();
        let form = format!(
            "type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2034&card[cvc]={cvc}"
        );
        let path = "/_sandbox/payment_methods";
        let made = self.dashboard(Method::POST, path, &form).await.unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Sends an event once more, as it does for days where an endpoint has not answered.
    pub(crate) async fn resend(&self, event: &str) {
        let path = format!("events/{event}/resend");
        self.control(Method::POST, &path, &Value::Null).await;
    }

    /// From now on an endpoint of the service hears of everything that happens.
    pub(crate) async fn register(&self, url: &str, dir: &Path) {
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

    /// What it really did, whatever its callers were answered.
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
