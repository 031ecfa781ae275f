//! Outgoing webhooks, from what happens to a receiver that believes nothing but signatures.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::engines::{Engine, on_both_engines};
use crate::support::postgres::Server;
use crate::support::receiver::{Arrived, Receiver, Reply};
use crate::support::{App, VISA, Who, eventually};

on_both_engines! {
    every_event_arrives_signed_and_what_failed_arrives_again_under_its_id,
    an_endpoint_that_is_gone_is_left_alone_until_the_next_start,
    a_silent_receiver_holds_up_nobody_else,
    what_is_owed_to_an_endpoint_that_was_taken_out_is_given_up,
}

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3";
const PRIVATE: &str = ",allow_private_addresses=true";

/// A secret key, and what verifies its signatures, made without the product.
fn key_pair() -> (String, String) {
    let seed = digest::digest(&digest::SHA256, b"only for this test");
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).unwrap();
    (
        format!("whsk_{}", STANDARD.encode(seed.as_ref())),
        format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref())),
    )
}

/// Whether one of the signatures is by `key`, by the words of the specification and nothing else.
fn is_signed(arrived: &Arrived, key: &str) -> bool {
    let now_s = cloakroom::clock::Clock::system().now().unix_ms() / 1_000;
    let sent_s: i64 = arrived.header("webhook-timestamp").parse().unwrap();
    assert!(now_s.abs_diff(sent_s) <= 300, "{sent_s}");
    let mut content = Vec::new();
    for part in ["webhook-id", "webhook-timestamp"] {
        content.extend_from_slice(arrived.header(part).as_bytes());
        content.push(b'.');
    }
    content.extend_from_slice(&arrived.body);
    let signatures = arrived.header("webhook-signature").split(' ');
    let mut given = signatures.map(|one| one.split_once(',').unwrap());
    if let Some(secret) = key.strip_prefix("whsec_") {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap());
        let tag = STANDARD.encode(hmac::sign(&key, &content));
        return given.any(|(version, text)| {
            let same = constant_time::verify_slices_are_equal(text.as_bytes(), tag.as_bytes());
            version == "v1" && same.is_ok()
        });
    }
    let public = key.strip_prefix("whpk_").unwrap();
    let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(public).unwrap());
    given.any(|(version, text)| {
        let signature = STANDARD.decode(text).unwrap();
        version == "v1a" && public.verify(&content, &signature).is_ok()
    })
}

fn webhooks(tables: &[String]) -> String {
    format!("[{}]", tables.join(","))
}

async fn feed(app: &App) -> Vec<Value> {
    let url = format!("{}/v1/events?limit=100", app.at.internal);
    let page = app.get(Who::Billing, &url).await.json();
    page["data"].as_array().unwrap().clone()
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    events.iter().map(id).collect()
}

/// Waits until the receiver has taken all that the feed tells, which is at least `count` events.
async fn has_all(app: &App, receiver: &Receiver, count: usize) {
    eventually("the receiver has all", async || {
        let told = feed(app).await;
        told.len() >= count && ids(&told).is_subset(&ids(&receiver.taken()))
    })
    .await;
}

async fn metrics(app: &App) -> String {
    let url = format!("{}/metrics", app.at.ops);
    String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap()
}

async fn every_event_arrives_signed_and_what_failed_arrives_again_under_its_id(engine: Engine) {
    let receiver = Receiver::start().await;
    let (secret_key, public_key) = key_pair();
    let secrets = [
        receiver.secret_file("a", OLD),
        receiver.secret_file("b", &secret_key),
    ];
    // Redirects are failures like others: they are not followed, and the message comes again.
    receiver.then(Reply::status(500));
    let elsewhere = format!(
        "location: https://localhost:{}/elsewhere\r\n",
        receiver.port
    );
    receiver.then(Reply::Status(307, elsewhere));
    let table = webhooks(&[receiver.table("shop", &secrets, PRIVATE)]);
    let app = App::on_with(engine, &[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    let token = app.token(VISA).await;
    app.charge(&token, "k").await;
    has_all(&app, &receiver, 2).await;

    let arrived = receiver.arrived();
    for one in &arrived {
        assert!(is_signed(one, OLD) && is_signed(one, &public_key));
        assert!(!is_signed(one, NEW));
        let mut changed = one.clone();
        changed.body[1] ^= 1;
        assert!(!is_signed(&changed, OLD) && !is_signed(&changed, &public_key));
        assert_eq!(one.header("webhook-id"), one.json()["id"]);
        assert_eq!(one.path, "/hooks?for=shop");
        assert_eq!(one.header("content-type"), "application/json");
    }
    // What arrived is what the feed shows, and each failure came again as the same message.
    for event in feed(&app).await {
        assert!(receiver.taken().contains(&event), "{event}");
    }
    let failed: Vec<&Arrived> = arrived
        .iter()
        .filter(|one| one.answered != Some(200))
        .collect();
    assert_eq!(failed.len(), 2);
    for first in failed {
        let same = |one: &&Arrived| one.header("webhook-id") == first.header("webhook-id");
        let again = arrived.iter().rfind(same).unwrap();
        assert_eq!((again.answered, &again.body), (Some(200), &first.body));
        let at = |one: &Arrived| -> i64 { one.header("webhook-timestamp").parse().unwrap() };
        assert!(at(again) >= at(first) + 3, "five seconds later, or four");
    }
    let count = arrived.len();
    app.charge(&token, "k2").await;
    has_all(&app, &receiver, 3).await;
    assert_eq!(
        receiver.arrived().len(),
        count + 1,
        "what was taken is over"
    );
    let text = metrics(&app).await;
    let metric = r#"cloakroom_webhook_endpoint_disabled{endpoint="shop"} 0"#;
    assert!(text.contains(metric), "{text}");
}

async fn an_endpoint_that_is_gone_is_left_alone_until_the_next_start(engine: Engine) {
    let (gone, other) = (Receiver::start().await, Receiver::start().await);
    gone.otherwise(Reply::status(410));
    let table = |name: &str, receiver: &Receiver| {
        receiver.table(name, &[receiver.secret_file("a", OLD)], PRIVATE)
    };
    let table = webhooks(&[table("gone", &gone), table("other", &other)]);
    let app = App::on_with(engine, &[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    let token = app.token(VISA).await;
    eventually("it is disabled", async || {
        let text = metrics(&app).await;
        text.contains(r#"cloakroom_webhook_endpoint_disabled{endpoint="gone"} 1"#)
    })
    .await;
    let before = gone.arrived().len();
    for key in ["k1", "k2", "k3"] {
        app.charge(&token, key).await;
    }
    has_all(&app, &other, 4).await;
    assert_eq!(gone.arrived().len(), before, "it is told nothing more");
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    let said = |line: &str| line.contains("ERROR") && line.contains("410 Gone");
    assert!(log.lines().any(said), "{log}");

    // Whoever answered so by mistake has what came after it, once the service has been restarted.
    gone.otherwise(Reply::status(200));
    let _app = again(app, &table);
    let charges = |events: &[Value]| {
        let charge = |event: &&Value| event["type"] == "charge.succeeded";
        events.iter().filter(charge).count()
    };
    eventually("what waited arrives", async || charges(&gone.taken()) == 3).await;
}

/// The service, stopped and started again with these endpoints.
fn again(mut app: App, webhooks: &str) -> App {
    let server = app.server.take();
    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    let store = server.as_ref().map(Server::store_file);
    let store = store.as_ref().map(|path| path.to_str().unwrap());
    let arguments: Vec<&str> = store
        .into_iter()
        .flat_map(|path| ["--store", path])
        .collect();
    let mut app = App::start_in(dir, &arguments, &[("CLOAKROOM__WEBHOOKS", webhooks)]);
    app.server = server;
    app
}

async fn what_is_owed_to_an_endpoint_that_was_taken_out_is_given_up(engine: Engine) {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(500));
    let secrets = [receiver.secret_file("a", OLD)];
    let table = webhooks(&[receiver.table("shop", &secrets, PRIVATE)]);
    let app = App::on_with(engine, &[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    app.token(VISA).await;
    let due = "SELECT count(*) FROM deliveries WHERE status = 'due' AND answer = '500'";
    eventually("it is to be tried again", async || {
        app.count(due).await == 1
    })
    .await;
    let app = again(app, "[]");
    let over = "SELECT count(*) FROM deliveries WHERE status = 'given_up' AND answer = 'removed'";
    eventually("it is given up", async || app.count(over).await == 1).await;
    assert_eq!(app.count("SELECT count(*) FROM deliveries").await, 1);
}

async fn a_silent_receiver_holds_up_nobody_else(engine: Engine) {
    let (silent, other) = (Receiver::start().await, Receiver::start().await);
    silent.otherwise(Reply::Silence);
    let patient = format!("{PRIVATE},request_timeout_ms=60000");
    let table = |name: &str, receiver: &Receiver| {
        receiver.table(name, &[receiver.secret_file("a", OLD)], &patient)
    };
    let table = webhooks(&[table("silent", &silent), table("other", &other)]);
    let app = App::on_with(engine, &[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    let token = app.token(VISA).await;
    // More than are sent to one receiver at a time.
    for number in 0..40 {
        app.charge(&token, &format!("k{number}")).await;
    }
    has_all(&app, &other, 41).await;
    let waiting = silent.arrived().len();
    assert!((1..=16).contains(&waiting), "{waiting}");
}

#[tokio::test]
async fn a_secret_is_replaced_without_losing_a_message() {
    let receiver = Receiver::start().await;
    let (secret_key, public_key) = key_pair();
    let old = receiver.secret_file("old", OLD);
    let new = receiver.secret_file("new", NEW);
    let pair = receiver.secret_file("pair", &secret_key);
    let phases: [(Vec<PathBuf>, &str); 3] = [
        (vec![old.clone()], OLD),
        (vec![old, new.clone(), pair.clone()], NEW),
        (vec![new, pair], &public_key),
    ];
    let mut dir = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let mut seen = 0;
    for (number, (secrets, known)) in phases.into_iter().enumerate() {
        let table = webhooks(&[receiver.table("shop", &secrets, PRIVATE)]);
        let overrides = [("CLOAKROOM__WEBHOOKS", table.as_str())];
        let app = App::start_in(std::sync::Arc::clone(&dir), &[], &overrides);
        let token = app.token(VISA).await;
        app.charge(&token, &format!("k{number}")).await;
        // A failure in between is made good under the secrets of its time.
        has_all(&app, &receiver, seen + 1).await;
        seen = feed(&app).await.len();
        let arrived = receiver.arrived();
        let last = arrived.last().unwrap();
        assert!(is_signed(last, known));
        assert_eq!(is_signed(last, OLD), number < 2);
        let signatures = last.header("webhook-signature").split(' ').count();
        assert_eq!(signatures, [1, 3, 2][number]);

        // The receiver's half of a key pair is there to be read.
        let log = std::fs::read_to_string(app.path("log")).unwrap();
        assert_eq!(log.contains(&public_key), number > 0);
        let check = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["check", "--config"])
            .arg(app.path("cloakroom.toml"))
            .envs(overrides)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(said.contains("webhook shop"), "{said}");
        assert_eq!(said.contains(&public_key), number > 0, "{said}");
        dir = std::sync::Arc::clone(&app.dir);
        assert!(app.stop().success());
    }
}

#[tokio::test]
async fn a_receiver_at_a_private_address_is_not_connected_to_unless_it_may_be() {
    let receiver = Receiver::start().await;
    let secrets = [receiver.secret_file("a", OLD)];
    let table = webhooks(&[receiver.table("shop", &secrets, "")]);
    let app = App::start_with(&[], &[("CLOAKROOM__WEBHOOKS", &table)]);
    app.token(VISA).await;
    eventually("it was tried", async || {
        let log = std::fs::read_to_string(app.path("log")).unwrap();
        log.contains("private_address")
    })
    .await;
    assert_eq!(receiver.connections(), 0);

    // Written as an address it is refused before anything is served.
    let literal = table.replace("localhost", "127.0.0.1");
    let refused = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["serve", "--config"])
        .arg(app.path("cloakroom.toml"))
        .env("CLOAKROOM__WEBHOOKS", literal)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("webhook shop") && said.contains("not public"),
        "{said}"
    );
}
