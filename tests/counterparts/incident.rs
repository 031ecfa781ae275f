//! Customers are told of an incident by mail, each once, by runs that are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mail::Post;
use crate::support::receiver::{Receiver, Reply};
use crate::support::{App, eventually};

const KILLS: usize = 5;

/// An incident with a scope of so many customers, and where they are.
struct Case {
    app: App,
    post: Post,
    dir: TempDir,
    incident: String,
    customers: usize,
}

impl Case {
    fn new(customers: usize) -> Self {
        let (app, post, dir) = (App::start(), Post::start("tls"), TempDir::new().unwrap());
        let config = app.path("cloakroom.toml");
        let opened = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["incident", "open", "--title", "A lost laptop", "--config"])
            .arg(config)
            .output()
            .unwrap();
        assert!(opened.status.success(), "{opened:?}");
        let incident = String::from_utf8(opened.stdout).unwrap().trim().to_owned();
        let scope = dir.path().join("scope");
        fs::create_dir_all(scope.join("customers")).unwrap();
        let summary = json!({ "incident": incident }).to_string();
        fs::write(scope.join("summary.json"), summary).unwrap();
        let lines = |of: &dyn Fn(usize) -> Value| {
            let lines: Vec<String> = (0..customers).map(|n| of(n).to_string()).collect();
            lines.join("\n")
        };
        let affected = lines(
            &|n| json!({ "account": "default", "customer": format!("c{n}"), "tokens": [format!("tok{n}")] }),
        );
        fs::write(scope.join("customers/default.jsonl"), affected).unwrap();
        let contacts = lines(
            &|n| json!({ "account": "default", "customer": format!("c{n}"), "email": format!("c{n}@buyer.example") }),
        );
        fs::write(dir.path().join("contacts"), contacts).unwrap();
        let template = "Subject: {{title}}\n\nDear {{customer}}, it is about {{tokens}}.\n";
        fs::write(dir.path().join("template"), template).unwrap();
        Self {
            app,
            post,
            dir,
            incident,
            customers,
        }
    }

    fn notify(&self, again: Option<&Path>) -> Command {
        let mut command = self.notify_from(Some("contacts"));
        if let Some(again) = again {
            command.arg("--again").arg(again);
        }
        command
    }

    /// With addresses from that file, or from their merchant.
    fn notify_from(&self, contacts: Option<&str>) -> Command {
        let to = ",to=[\"ops@shop.example\"]";
        let settings = self.post.settings("tls", &self.post.authority(), to);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command
            .env("CLOAKROOM__ALERTS__MAIL", settings)
            .args(["incident", "notify", &self.incident, "--json"])
            .args(["--messages-per-s-max", "10000", "--config"])
            .arg(self.app.path("cloakroom.toml"));
        for (name, file) in [("--scope", "scope"), ("--template", "template")] {
            command.arg(name).arg(self.dir.path().join(file));
        }
        match contacts {
            Some(file) => command.arg("--contacts").arg(self.dir.path().join(file)),
            None => command.arg("--resolve"),
        };
        command
    }

    /// How often each mailbox was sent something.
    fn sent(&self) -> BTreeMap<String, usize> {
        let mut sent = BTreeMap::new();
        for message in self.post.messages() {
            let to = message["to"][0].as_str().unwrap();
            *sent.entry(to.to_owned()).or_default() += 1;
        }
        sent
    }

    /// Customers in that state, by the record that the run wrote.
    fn recorded(&self, state: &str) -> BTreeSet<String> {
        let record = self.dir.path().join("scope/record-mail.jsonl");
        let record = fs::read_to_string(record).unwrap();
        let lines = record.lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["state"] == state)
            .map(|line| line["customer"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn customers() -> usize {
    // 10,000 for the figure that docs/measurements.md states.
    let asked = std::env::var_os("CLOAKROOM_TEST_CUSTOMERS");
    asked.map_or(2_000, |count| count.to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn every_customer_is_told_once_through_five_kills() {
    let case = Case::new(customers());
    for kill in 1..=KILLS {
        let enough = case.customers * kill / (KILLS + 2);
        let mut run = case
            .notify(None)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("a part of them is told", async || {
            case.post.messages().len() >= enough
        })
        .await;
        run.kill().unwrap();
        assert!(!run.wait().unwrap().success(), "it was cut");
    }
    let last = case.notify(None).output().unwrap();
    let unknown = case.recorded("unknown");
    let told: Value = serde_json::from_slice(&last.stdout).unwrap();
    println!("{told}");
    // What was under way when a run was killed, and no more than that, has an unknown end.
    assert_eq!(case.recorded("told").len() + unknown.len(), case.customers);
    assert!(unknown.len() <= KILLS * 16, "{}", unknown.len());
    assert_eq!(last.status.success(), unknown.is_empty());
    let sent = case.sent();
    assert!(sent.values().all(|times| *times == 1), "nobody twice");
    for customer in case.recorded("told") {
        assert!(sent.contains_key(&format!("{customer}@buyer.example")));
    }

    // The mail server's log says which of them it did not take: these are told now.
    let missing = unknown
        .iter()
        .filter(|customer| !sent.contains_key(&format!("{customer}@buyer.example")))
        .map(|customer| json!({ "account": "default", "customer": customer }).to_string());
    let missing: Vec<String> = missing.collect();
    let again = case.dir.path().join("again");
    fs::write(&again, missing.join("\n")).unwrap();
    let run = case.notify(Some(&again)).output().unwrap();
    assert_eq!(
        case.recorded("unknown").len(),
        unknown.len() - missing.len()
    );
    let sent = case.sent();
    assert_eq!(sent.len(), case.customers, "{run:?}");
    assert!(sent.values().all(|times| *times == 1), "nobody twice");
    let first = case.post.messages().remove(0).to_string();
    assert!(
        first.contains("A lost laptop") && first.contains("it is about tok"),
        "{first}"
    );

    // No address is kept, in the database or in a log.
    for name in ["cloakroom.db", "cloakroom.db-wal", "log"] {
        let kept = fs::read(case.app.path(name)).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&kept).contains("@buyer.example"),
            "{name}"
        );
    }
}

/// What the shop says of its customers: one has moved away, one has no real address.
fn whereabouts(asked: &Value) -> (u16, String) {
    let customer = asked["data"]["customer_ref"].as_str().unwrap();
    match customer {
        "c1" => (404, String::new()),
        "c2" => (200, json!({ "email": "not an address" }).to_string()),
        _ => (
            200,
            json!({ "email": format!("{customer}@buyer.example") }).to_string(),
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_are_asked_for_at_their_merchant_and_told_by_mail() {
    let (case, receiver) = (Case::new(6), Receiver::start().await);
    receiver.then(Reply::status(503));
    receiver.otherwise(Reply::By(whereabouts));
    let secret = receiver.secret_file("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let kinds = ",allow_private_addresses=true,events=[\"incident.contact_wanted\"]";
    let table = receiver.table("shop", &[secret], kinds);
    let run = || {
        let mut command = case.notify_from(None);
        command.env("CLOAKROOM__WEBHOOKS", format!("[{table}]"));
        command.output().unwrap()
    };
    let first = run();
    assert_eq!(
        case.recorded("told"),
        names(&["c0", "c3", "c4", "c5"]),
        "{first:?}"
    );
    assert_eq!(case.recorded("no_contact"), names(&["c1"]));
    assert_eq!(case.recorded("refused"), names(&["c2"]));
    assert_eq!(first.status.code(), Some(69), "not everybody was told");
    let asked = receiver.arrived();
    assert!(
        asked
            .iter()
            .all(|one| one.json()["type"] == "incident.contact_wanted")
    );
    assert!(
        asked
            .iter()
            .all(|one| one.headers.contains_key("webhook-signature"))
    );
    assert_eq!(asked.len(), 7, "the one that was answered 503 twice");
    // Who was told is not asked for again.
    run();
    let again = receiver.arrived().split_off(asked.len());
    let about = again
        .iter()
        .map(|one| one.json()["data"]["customer_ref"].clone());
    assert!(
        about
            .into_iter()
            .all(|customer| customer == "c1" || customer == "c2")
    );
    assert!(
        case.sent().values().all(|times| *times == 1),
        "nobody twice"
    );
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(ToString::to_string).collect()
}
