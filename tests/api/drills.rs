//! The table of pci-docs/threats.md, row by row: what an attacker takes, and what that gives.
//!
//! Each drill takes the thing from a running service of two processes, tries everything with it
//! that this file can think of, and shows that the search finds what is there.

use std::fs;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cloakroom::card::scan;
use cloakroom::seal::file::{PrivateKek, read_passphrase};
use cloakroom::seal::mac::MacKey;
use cloakroom::token::Environment;
use hyper::Method;
use serde_json::{Value, json};

use crate::forward::{disk, public_half};
use crate::support::apart::Apart;
use crate::support::loot::{Memory, SealedRow, holds_private_half, opened};
use crate::support::postgres::{Server, program};
use crate::support::scanner::hexadecimal;
use crate::support::{App, VISA, Who, ask, card, eventually, leaks::holds, request};

const MASTERCARD: &str = "5555555555554444";
const DECLINED: &str = "4000000000000002";

/// A session's secret for a customer.
async fn session_of(app: &App, customer: &str) -> String {
    let order = json!({ "customer_ref": customer });
    let answer = app.order_session(&order).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["client_secret"].as_str().unwrap().to_owned()
}

/// A token of a customer's card.
pub(crate) async fn token_of(app: &App, number: &str, customer: &str) -> String {
    let secret = session_of(app, customer).await;
    let answer = app.post_card(&secret, &card(number), &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn server(app: &App) -> &Server {
    app.server.as_ref().unwrap()
}

/// The database as its files have it, write-ahead log and all.
fn files_of(server: &Server) -> Vec<u8> {
    server.sql("CHECKPOINT");
    let data = server.directory().join("data");
    // Of the cluster's other databases nothing is ours.
    let database = server.sql("SELECT oid FROM pg_database WHERE datname = current_database()");
    let mut files = disk(&data.join("base").join(database));
    files.extend(disk(&data.join("pg_wal")));
    files
        .iter()
        .flat_map(|file| fs::read(file).unwrap_or_default())
        .collect()
}

/// The database as a backup has it.
fn backup_of(server: &Server) -> Vec<u8> {
    let dump = program("pg_dump")
        .args(["-U", "owner", "-d", "postgres", "-h"])
        .arg(server.directory())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(dump.status.success());
    dump.stdout
}

/// Key files of both hosts, as texts.
fn secrets(app: &App) -> Vec<Vec<u8>> {
    let keys = ["capture-host/keys", "internal-host/keys"];
    let files = keys.iter().flat_map(|host| disk(&app.path(host)));
    files
        .filter(|file| !file.ends_with("kek-public.json"))
        .map(|file| fs::read(file).unwrap().trim_ascii().to_vec())
        .collect()
}

/// The part of a client secret that is secret.
fn secret_part(client_secret: &str) -> &str {
    client_secret.split_once("_secret_").unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_alone_opens_nothing_and_forges_nothing() {
    let app = App::start_apart();
    let server = server(&app);
    let token = token_of(&app, VISA, "one").await;
    let other = token_of(&app, MASTERCARD, "two").await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let mine = session_of(&app, "thief").await;
    let theirs = session_of(&app, "victim").await;

    let files = files_of(server);
    assert!(
        holds(&files, token.as_bytes()),
        "the files are the database's"
    );
    for number in [VISA, MASTERCARD] {
        assert!(!holds(&files, number.as_bytes()));
    }
    assert!(!holds(&files, b"pm_1Sbx"), "a PaymentMethod's id in clear");
    for secret in [&mine, &theirs] {
        assert!(!holds(&files, secret_part(secret).as_bytes()));
        let raw = BASE64_URL_SAFE_NO_PAD.decode(secret_part(secret)).unwrap();
        assert!(!holds(&files, &raw));
    }
    let rows = SealedRow::all(server);
    assert_eq!(rows.len(), 2);
    assert!(opened(&Memory::of_bytes(files), &rows).is_empty());

    // With the right to write: another's session under a secret of one's own, and another's card
    // under a token of one's own.
    let id = |secret: &str| secret.split_once("_secret_").unwrap().0.to_owned();
    let copied = format!(
        "UPDATE sessions SET secret_mac = (SELECT secret_mac FROM sessions WHERE id = '{}')
          WHERE id = '{}'",
        id(&mine),
        id(&theirs)
    );
    server.sql(&copied);
    let forged = format!("{}_secret_{}", id(&theirs), secret_part(&mine));
    let answer = app.post_card(&forged, &card(VISA), &[]).await;
    answer.problem(401, "unauthenticated");
    let kept = server.sql(&format!(
        "SELECT encode(secret_mac, 'base64') FROM sessions WHERE id = '{}'",
        id(&mine)
    ));
    let kept = kept.replace('+', "-").replace('/', "_").replace('=', "");
    let forged = format!("{}_secret_{kept}", id(&mine));
    let answer = app.post_card(&forged, &card(VISA), &[]).await;
    answer.problem(401, "unauthenticated");
    server.sql(&format!(
        "UPDATE tokens SET sealed = (SELECT sealed FROM tokens WHERE id = '{other}') WHERE id = '{token}'"
    ));
    app.charge(&token, "forged").await.problem(503, "sealed");
    // The control: what was not touched still serves.
    assert_eq!(app.charge(&other, "own").await.status, 201);
    let answer = app.post_card(&mine, &card(VISA), &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_gives_no_more_than_the_database() {
    let app = App::start_apart();
    let token = token_of(&app, VISA, "one").await;
    let secret = session_of(&app, "two").await;
    let dump = backup_of(server(&app));
    assert!(holds(&dump, token.as_bytes()), "the backup is whole");
    assert!(!holds(&dump, secret_part(&secret).as_bytes()));
    assert_eq!(scan::all(&dump).count(), 0, "card numbers");
    for secret in secrets(&app) {
        assert!(!holds(&dump, &secret));
    }
    // A dump writes bytes as hexadecimal.
    let text = String::from_utf8(dump).unwrap();
    assert!(!text.contains("pm_1Sbx") && !text.contains(&hexadecimal(b"pm_1Sbx")));
    let values = text.split("\\\\x").skip(1).flat_map(|rest| {
        let digits: Vec<u8> = rest.bytes().take_while(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks_exact(2).map(byte).collect::<Vec<_>>()
    });
    let values: Vec<u8> = values.collect();
    assert!(values.len() > 557, "sealed values were read");
    assert!(opened(&Memory::of_bytes(values), &SealedRow::all(server(&app))).is_empty());
}

/// What the processor says to a key that was stolen.
async fn at_the_processor(app: &App, key: &str, method: Method, path: &str, form: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let url = format!("{}{path}", app.at.sandbox);
    ask(app, request(method, &url, &headers, form.to_owned()))
        .await
        .status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_capture_hosts_disk_opens_nothing_makes_no_session_and_charges_nobody() {
    let app = App::start_apart();
    token_of(&app, VISA, "one").await;
    let open_session = session_of(&app, "two").await;
    let host = app.path("capture-host");

    // The key that may vault cards vaults cards, and nothing else.
    let key = fs::read_to_string(host.join("keys/stripe-capture.key")).unwrap();
    let charge = "amount=1250&currency=eur&payment_method=pm_card_visa&confirm=true";
    for (method, path, form) in [
        (Method::POST, "/v1/payment_intents", charge),
        (Method::GET, "/v1/payment_intents", ""),
        (Method::POST, "/v1/refunds", "payment_intent=pi_1"),
        (Method::GET, "/_sandbox/ledger", ""),
    ] {
        let status = at_the_processor(&app, key.trim(), method.clone(), path, form).await;
        assert_eq!(status, 403, "{method} {path}");
    }
    let full = fs::read_to_string(app.path("stripe-internal.key")).unwrap();
    let control = at_the_processor(&app, full.trim(), Method::GET, "/v1/payment_intents", "").await;
    assert_eq!(control, 200, "the key of the other host may");

    // The key that checks session secrets makes none.
    let verify = MacKey::read(&host.join("keys/session-verify.key")).unwrap();
    let (id, _) = open_session.split_once("_secret_").unwrap();
    for label in ["session secret", "session secret check"] {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(verify.tag(label, &[id.as_bytes()]));
        let forged = format!("{id}_secret_{secret}");
        let answer = app.post_card(&forged, &card(VISA), &[]).await;
        answer.problem(401, "unauthenticated");
    }

    // Its login inserts, and reads nothing back.
    let server = server(&app);
    for statement in [
        "SELECT sealed FROM tokens",
        "SELECT sealed FROM orphans",
        "UPDATE tokens SET sealed = '\\x00'",
        "DELETE FROM tokens",
        "SELECT * FROM audit_events",
        "UPDATE audit_events SET node = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "SET ROLE cloakroom_internal",
        "SELECT * FROM processor_customers",
        "INSERT INTO charges (id) VALUES ('x')",
        "UPDATE charges SET amount = 1",
        "INSERT INTO refunds (id) VALUES ('x')",
        "UPDATE refunds SET amount = 1",
        "UPDATE sessions SET customer_ref = 'thief'",
        "UPDATE sessions SET processor_customer = 'cus_thief'",
        "UPDATE sessions SET owner_mac = NULL",
        "DELETE FROM sessions",
        "UPDATE tokens SET customer_ref = 'thief'",
        "DELETE FROM idempotency_keys",
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "INSERT INTO deliveries (event_id) VALUES ('x')",
        "DELETE FROM quarantine",
    ] {
        let refusal = server.refusal("forms", statement);
        assert!(
            refusal.is_some_and(|said| said.contains("permission denied")),
            "{statement}"
        );
    }
    assert_eq!(
        server.refusal("forms", "SELECT id, brand, last4 FROM tokens"),
        None
    );
    what_its_login_may_write_is_not_believed(&app).await;
    // That its files open nothing: `forward`. That a process with more does not start: `apart`.
}

async fn what_its_login_may_write_is_not_believed(app: &App) {
    let server = server(app);
    // An event that never was cannot be inserted, and what it may write that somebody acts on is not
    // believed: the card of another customer is not answered with.
    let forged = "INSERT INTO events (id, account, kind, data, created_at_ms) VALUES ('test_evt_1', 'default', 'charge.succeeded', '{\"amount\":500000}', 0)";
    let refusal = server.refusal("forms", forged).unwrap();
    assert!(refusal.contains("permission denied"), "{refusal}");
    let thief = token_of(app, MASTERCARD, "thief").await;
    let turned = "UPDATE token_cards SET token_id = (SELECT token_id FROM token_cards WHERE customer_ref = 'one') WHERE customer_ref = 'thief'";
    assert_eq!(server.refusal("forms", turned), None);
    let again = token_of(app, MASTERCARD, "thief").await;
    let victim = server.sql("SELECT id FROM tokens WHERE customer_ref = 'one'");
    assert!(again != thief && again != victim, "{again}");
    eventually("it is told of", async || {
        server.sql("SELECT count(*) FROM alerts WHERE name = 'row_quarantined' AND subject = 'token_cards'") == "1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_capture_hosts_key_and_a_cards_fingerprint_tell_which_tokens_are_that_card() {
    let app = App::start_apart();
    let same = [
        token_of(&app, VISA, "one").await,
        token_of(&app, VISA, "two").await,
    ];
    let different = token_of(&app, MASTERCARD, "three").await;
    let server = server(&app);
    // Nobody sees from the marks alone that two customers have one card.
    let mark = |token: &str| {
        let sql = format!(
            "SELECT encode(fingerprint_mac, 'hex') FROM token_cards WHERE token_id = '{token}'"
        );
        server.sql(&sql)
    };
    assert_ne!(mark(&same[0]), mark(&same[1]));

    // With the host's key, who also knows the processor's fingerprint of a card finds its tokens,
    // one customer after the other.
    let full = fs::read_to_string(app.path("stripe-internal.key")).unwrap();
    let bearer = format!("Bearer {}", full.trim());
    let mut fingerprints = Vec::new();
    for method in app.ledger().await["payment_methods"].as_array().unwrap() {
        let id = method["id"].as_str().unwrap();
        let url = format!("{}/v1/payment_methods/{id}", app.at.sandbox);
        let headers = [("authorization", bearer.as_str())];
        let shown = ask(&app, request(Method::GET, &url, &headers, String::new())).await;
        let fingerprint = shown.json()["card"]["fingerprint"].clone();
        fingerprints.push(fingerprint.as_str().unwrap().to_owned());
    }
    let key = app.path("capture-host/keys/fingerprint.key");
    let key = MacKey::read(&key).unwrap();
    let is_of = |guess: &str, customer: &str, token: &str| {
        let parts = [b"default", customer.as_bytes(), guess.as_bytes()];
        hexadecimal(&key.tag("processor fingerprint", &parts)) == mark(token)
    };
    let finds = |customer: &str, token: &str| {
        let found = fingerprints
            .iter()
            .find(|guess| is_of(guess, customer, token));
        found.unwrap_or_else(|| panic!("{customer}")).clone()
    };
    let (first, second) = (finds("one", &same[0]), finds("two", &same[1]));
    assert_eq!(first, second);
    assert_ne!(finds("three", &different), first);

    // And that is all: nothing on the host opens a value.
    let rows = SealedRow::all(server);
    let disk = disk(&app.path("capture-host"));
    let bytes = disk
        .iter()
        .flat_map(|file| fs::read(file).unwrap())
        .collect();
    assert!(opened(&Memory::of_bytes(bytes), &rows).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_of_both_processes_give_nothing() {
    let app = App::start_apart_as(&Apart {
        overrides: &[("CLOAKROOM__LOG__LEVEL", "debug")],
        ..Apart::default()
    });
    let secret = session_of(&app, "one").await;
    let broken = json!({"card": {"number": VISA, "exp_month": 13, "exp_year": 2034, "cvc": "737"}});
    assert_eq!(app.post_card(&secret, &broken, &[]).await.status, 422);
    let declined = token_of(&app, DECLINED, "three").await;
    app.charge(&declined, "d")
        .await
        .problem(402, "card_declined");
    let token = token_of(&app, VISA, "two").await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let nowhere = format!("{}/v1/nowhere/{VISA}", app.at.capture);
    app.get(Who::Nobody, &nowhere).await;

    let logs =
        [app.path("capture-log"), app.path("internal-log")].map(|log| fs::read(log).unwrap());
    for log in &logs {
        assert!(holds(log, b"\"level\":\"DEBUG\""), "everything was logged");
        assert_eq!(scan::all(log).count(), 0, "card numbers");
        for forbidden in [
            "737",
            "pm_1Sbx",
            secret_part(&secret),
            "rk_test_",
            "sk_test_",
        ] {
            let quoted = format!("\"{forbidden}\"");
            let needle = if forbidden.len() > 3 {
                forbidden
            } else {
                &quoted
            };
            assert!(!holds(log, needle.as_bytes()), "{forbidden}");
        }
        for secret in secrets(&app) {
            assert!(!holds(log, &secret));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_internal_host_opens_and_charges_and_cannot_change_what_is_logged_of_it() {
    let app = App::start_apart();
    let token = token_of(&app, VISA, "one").await;
    let server = server(&app);
    let opens = || server.sql("SELECT count(*) FROM audit_events WHERE action = 'token.opened'");
    assert_eq!(opens(), "0");
    assert_eq!(app.charge(&token, "k").await.status, 201);
    assert_eq!(opens(), "1", "every open through the service is an event");

    // Who has the host has the key, on its disk and in its memory: this row is a warning.
    let host = app.path("internal-host/keys");
    let passphrase = read_passphrase(&host.join("kek-passphrase")).unwrap();
    let private = host.join("kek-private.json");
    assert!(PrivateKek::read(&private, &passphrase, Environment::Test).is_ok());
    let memory = Memory::of(app.pid_of("internal"));
    assert!(holds_private_half(
        &memory,
        &public_half(&app.path("capture-host"))
    ));
    assert_eq!(opened(&memory, &SealedRow::all(server)).len(), 1);

    // What it did it cannot undo in the log, and without its passphrase the file opens nothing.
    for statement in [
        "UPDATE audit_events SET outcome = 'refused'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TABLE audit_events",
        "SET ROLE cloakroom_owner",
    ] {
        assert!(
            server.refusal("billing", statement).is_some(),
            "{statement}"
        );
    }
    assert!(PrivateKek::read(&private, b"another passphrase", Environment::Test).is_err());
    // No card is here either: it never comes this way.
    assert!(!memory.holds(VISA.as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_client_certificate_gives_its_scopes_and_no_card() {
    let app = App::start_apart();
    let token = token_of(&app, VISA, "one").await;
    let at = |path: &str| format!("{}{path}", app.at.internal);
    let read = app
        .get(Who::Billing, &at(&format!("/v1/tokens/{token}")))
        .await;
    assert_eq!(read.status, 200);
    let shown = String::from_utf8_lossy(&read.body).into_owned();
    assert_eq!(scan::all(&read.body).count(), 0);
    assert!(!shown.contains("pm_") && shown.contains("4242"), "{shown}");
    assert_eq!(
        app.charge(&token, "k").await.status,
        201,
        "it charges: that is its scope"
    );

    let refused = |who, method, path: String, body: Value| {
        let app = &app;
        async move {
            let request = request(method, &path, &[("idempotency-key", "s")], body.to_string());
            app.send(who, request).await.problem(403, "not_granted");
        }
    };
    let order = json!({ "customer_ref": "one" });
    refused(
        Who::Billing,
        Method::POST,
        at("/v1/capture_sessions"),
        order,
    )
    .await;
    let forget = at(&format!("/v1/tokens/{token}"));
    refused(Who::Billing, Method::DELETE, forget, json!({})).await;
    let charge = json!({ "token": token, "amount": 100, "currency": "eur" });
    refused(Who::Checkout, Method::POST, at("/v1/charges"), charge).await;
    // Each refusal is in the log, with the name of the certificate.
    let told = server(&app).sql(
        "SELECT count(*) FROM audit_events WHERE action = 'grant.refused' OR outcome = 'refused'",
    );
    assert!(told.parse::<u32>().unwrap() >= 3, "{told}");
}
