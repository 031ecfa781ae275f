//! kill -9, again and again: what was acknowledged is there afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

use uuid::Uuid;

use crate::support::{App, VISA, Who, card, request};

/// Kills in one run.
const KILLS: usize = 20;
/// Tokenizations that the run asks for.
const TOKENIZATIONS: usize = 1_000;
/// Shoppers at one time.
const SHOPPERS: usize = 8;

/// A sandbox that survives the service.
struct Processor {
    child: std::process::Child,
    url: String,
}

impl Processor {
    fn start(dir: &TempDir) -> Self {
        use std::io::BufRead;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_during_a_thousand_tokenizations_lose_no_acknowledged_token() {
    let dir = Arc::new(TempDir::new().unwrap());
    let processor = Processor::start(&dir);
    let arguments = ["--sandbox-url", processor.url.as_str()];
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut asked = 0;
    // The pauses are seeded, so a run can be repeated.
    let mut seed: u64 = 0x5eed_c10a;
    let mut kills = 0;
    while asked < TOKENIZATIONS || kills < KILLS {
        let app = App::start_in(Arc::clone(&dir), &arguments, &[]);
        let stop = AtomicBool::new(false);
        let share =
            (TOKENIZATIONS - asked.min(TOKENIZATIONS)).div_ceil(KILLS.saturating_sub(kills).max(1));
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_millis(100 + (seed >> 33) % 700);
        let load = shop(&app, share, &stop);
        let killer = async {
            tokio::time::sleep(pause).await;
            if kills < KILLS {
                nix_kill(app.pid());
                stop.store(true, Ordering::SeqCst);
            }
        };
        let ((tokens, tried), ()) = tokio::join!(load, killer);
        asked += tried;
        acknowledged.extend(tokens);
        if kills < KILLS {
            kills += 1;
        }
        app.kill_9();
        integrity(&dir).await;
    }

    let app = App::start_in(Arc::clone(&dir), &arguments, &[]);
    assert!(
        acknowledged.len() > 200,
        "only {} were acknowledged",
        acknowledged.len()
    );
    let client = app.client(Who::Billing);
    for token in &acknowledged {
        let url = format!("{}/v1/tokens/{token}", app.at.internal);
        let found = client
            .send(request(hyper::Method::GET, &url, &[], String::new()))
            .await
            .unwrap();
        assert_eq!(found.status, 200, "{token} was acknowledged and is gone");
    }
    // And it opens: a tenth of them is charged.
    for token in acknowledged.iter().step_by(10) {
        assert_eq!(app.charge(token, token).await.status, 201);
    }
    println!(
        "{kills} kills, {asked} tokenizations asked, {} acknowledged, 0 lost",
        acknowledged.len()
    );
}

/// SIGKILL from outside, so that the app's own handle stays usable.
fn nix_kill(pid: u32) {
    std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
}

/// Shoppers that tokenize until their share is done or the service is gone.
async fn shop(app: &App, share: usize, stop: &AtomicBool) -> (Vec<String>, usize) {
    let left = std::sync::atomic::AtomicUsize::new(share);
    let shoppers = (0..SHOPPERS).map(|_| async {
        let (checkout, browser) = (app.client(Who::Checkout), app.client(Who::Nobody));
        let (mut tokens, mut tried) = (Vec::new(), 0);
        while !stop.load(Ordering::SeqCst)
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
        {
            tried += 1;
            let url = format!("{}/v1/capture_sessions", app.at.internal);
            // The same card of the same customer would be the same token.
            let customer = Uuid::new_v4();
            let order = format!(r#"{{"customer_ref":"{customer}"}}"#);
            let Ok(session) = checkout
                .send(request(hyper::Method::POST, &url, &[], order))
                .await
            else {
                continue;
            };
            let Ok(session) = serde_json::from_slice::<Value>(&session.body) else {
                continue;
            };
            let bearer = format!(
                "Bearer {}",
                session["client_secret"].as_str().unwrap_or_default()
            );
            let url = format!("{}/v1/tokens", app.at.capture);
            let headers = [("authorization", bearer.as_str())];
            let post = request(hyper::Method::POST, &url, &headers, card(VISA).to_string());
            let Ok(made) = browser.send(post).await else {
                continue;
            };
            if made.status == 201 {
                tokens.push(made.json()["id"].as_str().unwrap().to_owned());
            }
        }
        (tokens, tried)
    });
    let all = futures_util::future::join_all(shoppers).await;
    all.into_iter()
        .fold((Vec::new(), 0), |(mut tokens, tried), (more, also)| {
            tokens.extend(more);
            (tokens, tried + also)
        })
}

async fn integrity(dir: &TempDir) {
    let mut database = SqliteConnectOptions::new()
        .filename(dir.path().join("cloakroom.db"))
        .connect()
        .await
        .unwrap();
    let verdict: String = sqlx::query("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await
        .unwrap()
        .get(0);
    assert_eq!(verdict, "ok");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_charge_whose_process_died_is_settled_by_the_next_one_and_made_once() {
    let dir = Arc::new(TempDir::new().unwrap());
    let processor = Processor::start(&dir);
    let arguments = ["--sandbox-url", processor.url.as_str()];
    // The processor's timeout bounds the lease that the next process waits for.
    let overrides = [
        (
            "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__REQUEST_TIMEOUT_MS",
            "500",
        ),
        ("CLOAKROOM__LIMITS__WORK_LEASE_MARGIN_MS", "0"),
    ];
    let app = App::start_in(Arc::clone(&dir), &arguments, &overrides);
    let token = app.token(VISA).await;
    let fault = serde_json::json!({"path": "/v1/payment_intents", "times": 1, "fault": "delay", "delay_ms": 400});
    app.sandbox(hyper::Method::POST, "faults", &fault).await;
    let pid = app.pid();
    let (_, ()) = tokio::join!(
        async {
            let client = app.client(Who::Billing);
            let url = format!("{}/v1/charges", app.at.internal);
            let body = serde_json::json!({"token": token, "amount": 1250, "currency": "eur"});
            let headers = [("idempotency-key", "k")];
            client
                .send(request(
                    hyper::Method::POST,
                    &url,
                    &headers,
                    body.to_string(),
                ))
                .await
        },
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            nix_kill(pid);
        }
    );
    app.kill_9();

    let app = App::start_in(dir, &arguments, &overrides);
    let charge = crate::support::answered(async || {
        let answer = app.charge(&token, "k").await;
        (answer.status == 201 && answer.json()["status"] == "succeeded").then(|| answer.json())
    })
    .await;
    assert_eq!(charge["status"], "succeeded");
    let payments = app.ledger().await["payment_intents"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(payments, 1);
}
