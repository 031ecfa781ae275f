//! An incident from its opening to its close: whom an intruder touched, and telling them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hyper::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::receiver::{Receiver, Reply};
use crate::support::{App, VISA, Who, card, request};

const INTRUDER: &str = "spiffe://cloakroom.dev/billing";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn incident(app: &App, verb: &str, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .envs(env.iter().copied())
        .args(["incident", verb, "--config"])
        .arg(app.path("cloakroom.toml"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Opens an incident; its id, and when.
fn open(app: &App) -> (String, String) {
    let opened = incident(app, "open", &["--title", "A stolen key", "--json"], &[]);
    let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    (text("id"), text("opened_at"))
}

/// A token of a customer.
async fn token(app: &App, customer: &str) -> String {
    let order = json!({ "customer_ref": customer });
    let session = app.order_session(&order).await.json();
    let secret = session["client_secret"].as_str().unwrap();
    let answer = app.post_card(secret, &card(VISA), &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn get(app: &App, who: Who, path: &str) {
    let url = format!("{}/v1/{path}", app.at.internal);
    let answer = app.get(who, &url).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

fn read(path: &Path, field: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line[field].as_str().unwrap().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn the_scope_of_a_scripted_intrusion_is_what_the_intruder_touched_and_nothing_else() {
    let app = App::start();
    let mut tokens = Vec::new();
    for n in 0..7 {
        tokens.push(token(&app, &format!("c{n}")).await);
    }
    let [read_it, charged, listed, refused, before, honest, spared] = &tokens[..] else {
        panic!("seven");
    };
    get(&app, Who::Billing, &format!("tokens/{before}")).await;
    let (id, since) = open(&app);
    get(&app, Who::Billing, &format!("tokens/{read_it}")).await;
    assert_eq!(app.charge(charged, "k").await.status, 201);
    get(&app, Who::Billing, "tokens?customer_ref=c2").await;
    let url = format!("{}/v1/tokens/{refused}", app.at.internal);
    let delete = request(Method::DELETE, &url, &[], String::new());
    app.send(Who::Billing, delete)
        .await
        .problem(403, "not_granted");
    get(&app, Who::Admin, &format!("tokens/{honest}")).await;

    let dir = TempDir::new().unwrap();
    let out = dir.path().join("scope");
    let out_name = out.to_str().unwrap();
    let scope = |out: &str, more: &[&str]| {
        let mut all = vec![id.as_str(), "--json", "--out", out];
        all.extend_from_slice(more);
        incident(&app, "scope", &all, &[])
    };
    let done = scope(out_name, &["--client", INTRUDER, "--since", &since]);
    assert!(done.status.success(), "{done:?}");
    let touched = read(&out.join("touched.jsonl"), "token");
    assert_eq!(touched, set(&[read_it, charged, listed]));
    let untouched = read(&out.join("untouched.jsonl"), "token");
    assert_eq!(untouched, set(&[refused, before, honest, spared]));
    let customers = read(&out.join("customers/default.jsonl"), "customer");
    assert_eq!(customers, set(&["c0", "c1", "c2"]));
    let others = read(&out.join("customers-untouched/default.jsonl"), "customer");
    assert_eq!(others, set(&["c3", "c4", "c5", "c6"]));
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(summary["log"]["findings"], 0);
    assert_eq!(
        summary["customers"],
        json!({ "touched": 3, "untouched": 4 })
    );

    // By key: everything is sealed under the one there is. Without criteria there is no scope, and
    // nothing is written over.
    let mut database = sqlx::SqliteConnection::connect(app.path("cloakroom.db").to_str().unwrap())
        .await
        .unwrap();
    let kek: String = sqlx::query_scalar("SELECT kek FROM data_keys LIMIT 1")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let by_key = dir.path().join("key");
    let done = scope(by_key.to_str().unwrap(), &["--key", &kek]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(read(&by_key.join("touched.jsonl"), "token").len(), 7);
    assert_eq!(
        scope(out_name, &["--client", INTRUDER]).status.code(),
        Some(73)
    );
    assert_eq!(scope(out_name, &[]).status.code(), Some(64));

    // Of a log that was changed nobody can say whom it does not name.
    for sql in [
        "DROP TRIGGER audit_events_update",
        "UPDATE audit_events SET actor = 'spiffe://cloakroom.dev/admin' WHERE actor = 'spiffe://cloakroom.dev/billing'",
    ] {
        sqlx::query(sql).execute(&mut database).await.unwrap();
    }
    let cheated = dir.path().join("cheated");
    let cheated = scope(cheated.to_str().unwrap(), &["--client", INTRUDER]);
    assert_eq!(cheated.status.code(), Some(65), "{cheated:?}");
}

// The receiver answers on the other thread while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_is_told_of_each_customer_once_and_of_none_after_the_close() {
    let (app, receiver) = (App::start(), Receiver::start().await);
    for customer in ["ann", "bob", "cid"] {
        token(&app, customer).await;
    }
    let (id, _) = open(&app);
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("scope");
    let out = out.to_str().unwrap();
    let everything = ["--until", "2999-01-01T00:00:00Z"];
    let scoped = incident(
        &app,
        "scope",
        &[&[&*id, "--out", out], &everything[..]].concat(),
        &[],
    );
    assert!(scoped.status.success(), "{scoped:?}");
    let secret = receiver.secret_file("secret", WHSEC);
    let table = receiver.table("shop", &[secret], ",allow_private_addresses=true");
    let env = [("CLOAKROOM__WEBHOOKS", &*format!("[{table}]"))];
    let notify = |id: &str| {
        let arguments = [id, "--scope", out, "--webhook", "--json"];
        incident(&app, "notify", &arguments, &env)
    };
    let (other, _) = open(&app);
    assert_eq!(notify(&other).status.code(), Some(65), "another's scope");
    receiver.then(Reply::By(|_| (503, "come back later".to_owned())));
    let told = notify(&id);
    assert!(told.status.success(), "{told:?}");
    let states: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(states["states"], json!({ "told": 3 }));
    let of = |taken: &[Value]| -> Vec<String> {
        let mut names: Vec<String> = taken
            .iter()
            .map(|one| one["data"]["customer_ref"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(of(&receiver.taken()), ["ann", "bob", "cid"]);
    assert_eq!(receiver.arrived().len(), 4, "one of them twice");
    let ids: BTreeSet<String> = receiver
        .arrived()
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 3, "under one name");
    let body = &receiver.taken()[0];
    assert_eq!(body["type"], "incident.customer_affected");
    assert_eq!(body["data"]["tokens"].as_array().unwrap().len(), 1);

    assert!(notify(&id).status.success());
    assert_eq!(receiver.arrived().len(), 4, "nobody again");
    assert!(incident(&app, "close", &[&id], &[]).status.success());
    assert_eq!(notify(&id).status.code(), Some(66));
    let mut database = sqlx::SqliteConnection::connect(app.path("cloakroom.db").to_str().unwrap())
        .await
        .unwrap();
    let acts: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_events WHERE subject = $1 ORDER BY at_ms, id")
            .bind(&id)
            .fetch_all(&mut database)
            .await
            .unwrap();
    let (started, ended) = ("incident.notify_started", "incident.notify_ended");
    assert_eq!(
        acts,
        [
            "incident.opened",
            "incident.scoped",
            started,
            ended,
            started,
            ended,
            "incident.closed"
        ]
    );
}

#[tokio::test]
async fn a_card_number_on_the_command_line_is_refused_and_kept_nowhere() {
    let app = App::start();
    for title in [
        "Card 4242424242424242",
        "Card 4242.4242.4242.4242",
        "Card ４２４２ ４２４２ ４２４２ ４２４２ 12/30",
    ] {
        let refused = incident(&app, "open", &["--title", title], &[]);
        assert_eq!(refused.status.code(), Some(64), "{title}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("holds a card number"), "{said}");
        assert!(!said.contains("4242"), "{said}");
    }
    let (id, _) = open(&app);
    let client = ["--client", "4242424242424242"];
    let refused = incident(
        &app,
        "scope",
        &[[id.as_str()].as_slice(), &client].concat(),
        &[],
    );
    assert_eq!(refused.status.code(), Some(64));
}

#[tokio::test]
async fn a_scope_of_what_was_never_seen_or_of_no_time_is_refused_and_writes_nothing() {
    let app = App::start();
    let made = token(&app, "customer-1").await;
    get(&app, Who::Billing, &format!("tokens/{made}")).await;
    let (id, _) = open(&app);
    let scope = |selector: &[&str], out: &str| {
        let out = app.path(out);
        let out = ["--out", out.to_str().unwrap()];
        let arguments = [[id.as_str()].as_slice(), selector, &out].concat();
        incident(&app, "scope", &arguments, &[])
    };
    let (early, late) = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z");
    for (selector, code, words) in [
        (
            ["--client", "spiffe://cloakroom.dev/biling"].as_slice(),
            65,
            "spiffe://cloakroom.dev/biling",
        ),
        (&["--node", "devv"], 65, "--node devv"),
        (&["--key", "dek_nothing"], 65, "--key dek_nothing"),
        (
            &["--token-range", "test_tok_0..test_tok_00"],
            65,
            "--token-range",
        ),
        (
            &["--since", late, "--until", early],
            64,
            "ends before it begins",
        ),
        (
            &["--client", INTRUDER, "--since", late, "--until", late],
            64,
            "ends before it begins",
        ),
        (&["--since", "2199-01-01T00:00:00Z"], 64, "in the future"),
        (
            &["--token-range", "test_tok_9..test_tok_0"],
            64,
            "ends before it begins",
        ),
    ] {
        let refused = scope(selector, "nothing");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{selector:?}: {said}");
        assert!(said.contains(words), "{selector:?}: {said}");
        assert!(!app.path("nothing").exists(), "{selector:?}");
    }
    let range = format!("{made}..{made}");
    for (place, selector) in [
        ["--client", INTRUDER].as_slice(),
        &["--node", "dev"],
        &["--token-range", &range, "--since", early],
        &[
            "--client",
            "spiffe://cloakroom.dev/biling",
            "--even-if-unseen",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let done = scope(selector, &format!("scope-{place}"));
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
