//! PostgreSQL goes away in every way, under load: who asks meanwhile is told so, what was
//! acknowledged is there afterwards, and nobody has to restart anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::Engine;
use crate::support::postgres::Server;
use crate::support::{Answer, App, VISA, Who, card, eventually, request};

/// Limits within which a test can wait: the service gives up what does not answer, and takes up
/// again what it had given up.
const SHORT: [(&str, &str); 5] = [
    ("CLOAKROOM__STORE__POSTGRES__CONNECT_TIMEOUT_MS", "1000"),
    ("CLOAKROOM__STORE__POSTGRES__STATEMENT_TIMEOUT_MS", "1500"),
    ("CLOAKROOM__STORE__POSTGRES__BATCH_TIMEOUT_MS", "3000"),
    (
        "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__REQUEST_TIMEOUT_MS",
        "1000",
    ),
    ("CLOAKROOM__LIMITS__WORK_LEASE_MS", "1500"),
];
/// Always declined for lack of funds.
const POOR: &str = "4000000000009995";
const CLIENTS: usize = 4;

/// What the clients of a test have been told for good.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    /// Answers that were a success or a decline.
    good: AtomicUsize,
    /// Answers that were 503.
    unavailable: AtomicUsize,
    /// By id, how each charge ended for its client.
    charges: Mutex<BTreeMap<String, &'static str>>,
    /// By charge, its refund.
    refunds: Mutex<BTreeMap<String, String>>,
    tokens: Mutex<Vec<String>>,
}

impl Told {
    /// Whether an answer is for good; everything that it may be otherwise is named here.
    fn is_final(&self, answer: &Answer) -> bool {
        if matches!(answer.status, 200 | 201 | 402) {
            self.good.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let body = answer.json();
        let code = body["code"].as_str().unwrap();
        match (answer.status, code) {
            (503, "store_unavailable") => {
                self.unavailable.fetch_add(1, Ordering::Relaxed);
            }
            // The processor had been asked when the store went away: until that request is over,
            // which may take the reconciler, its key is in flight.
            (409, "conflict_in_flight") => {}
            other => panic!("{other:?} {body}"),
        }
        answer.problem(answer.status, code);
        let retry_after_s: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(retry_after_s >= 1 && body["retryable"] == true, "{body}");
        false
    }

    async fn until_final<F: Future<Output = Answer>>(&self, ask: impl Fn() -> F) -> Answer {
        // More impatient than it is told to be; half a minute beyond any outage here.
        for _ in 0..300 {
            let answer = ask().await;
            if self.is_final(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("no final answer");
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Waits until so many more answers were good.
    async fn well(&self, more: usize) {
        let before = self.good.load(Ordering::Relaxed);
        eventually("it goes well", async || {
            self.good.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }

    /// Waits until so many more answers were 503.
    async fn noticed(&self, more: usize) {
        let before = self.unavailable.load(Ordering::Relaxed);
        eventually("callers are told", async || {
            self.unavailable.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Charges and refunds, one after the other, each under its key until there is a final answer.
async fn bill(app: &App, told: &Told, client: usize, tokens: &[(String, &'static str)]) {
    let mut number = 0;
    while told.goes_on() {
        let (token, becomes) = &tokens[number % tokens.len()];
        let key = format!("c-{client}-{number}");
        number += 1;
        let answer = told.until_final(|| app.charge(token, &key)).await;
        let id = if answer.status == 402 { "charge" } else { "id" };
        let answer = answer.json();
        let id = text(&answer[id]);
        let twice = told.charges.lock().unwrap().insert(id.clone(), becomes);
        assert_eq!(twice, None, "two keys, one charge");
        // One that is not settled yet has nothing to give back.
        if answer["status"] != "succeeded" {
            continue;
        }
        let url = format!("{}/v1/refunds", app.at.internal);
        let key = format!("r-{client}-{number}");
        let body = json!({ "charge": id, "amount": 250 }).to_string();
        let refund = told
            .until_final(|| {
                let headers = [("idempotency-key", key.as_str())];
                app.send(
                    Who::Billing,
                    request(Method::POST, &url, &headers, body.clone()),
                )
            })
            .await;
        let refund = text(&refund.json()["id"]);
        told.refunds.lock().unwrap().insert(id, refund);
    }
}

/// Sessions and cards, each under its key until there is a final answer.
async fn check_out(app: &App, told: &Told) {
    let mut number = 0;
    while told.goes_on() {
        number += 1;
        let key = format!("t-{number}");
        let headers = [("idempotency-key", key.as_str())];
        let url = format!("{}/v1/capture_sessions", app.at.internal);
        let order = json!({ "customer_ref": key }).to_string();
        let session = told
            .until_final(|| {
                app.send(
                    Who::Checkout,
                    request(Method::POST, &url, &headers, order.clone()),
                )
            })
            .await
            .json();
        let secret = text(&session["client_secret"]);
        let body = card(VISA);
        let token = told
            .until_final(|| app.post_card(&secret, &body, &headers))
            .await
            .json();
        told.tokens.lock().unwrap().push(text(&token["id"]));
    }
}

async fn look_on(app: &App, told: &Told, token: &str) {
    while told.goes_on() {
        for path in [
            format!("/v1/tokens/{token}"),
            "/v1/charges?limit=3".to_owned(),
            "/v1/events?limit=3".to_owned(),
        ] {
            let url = format!("{}{path}", app.at.internal);
            let answer = app.get(Who::Billing, &url).await;
            told.is_final(&answer);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs `outage` under load, and then looks for what was lost and what was done twice.
async fn through(outage: impl AsyncFnOnce(&mut Server, &Told)) {
    let mut app = App::on_with(Engine::Postgres, &[], &SHORT);
    let mut server = app.server.take().unwrap();
    let good = app.token(VISA).await;
    let tokens = [
        (good.clone(), "succeeded"),
        (app.token(POOR).await, "declined"),
    ];
    let (app, told) = (Arc::new(app), Arc::new(Told::default()));
    // On threads of its own: what is done to the server blocks this one.
    let load = tokio::spawn({
        let (app, told) = (Arc::clone(&app), Arc::clone(&told));
        async move {
            let billing = (0..CLIENTS).map(|client| bill(&app, &told, client, &tokens));
            tokio::join!(
                join_all(billing),
                check_out(&app, &told),
                look_on(&app, &told, &good)
            );
        }
    });
    told.well(20).await;
    outage(&mut server, &told).await;
    // Nobody restarts anything, and all is well again.
    told.well(40).await;
    told.stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let mut app = Arc::into_inner(app).unwrap();
    app.server = Some(server);
    ready_again(&app).await;
    nothing_is_lost_or_double(&app, &told).await;
}

async fn ready_again(app: &App) {
    let url = format!("{}/readyz", app.at.ops);
    eventually("it is ready", async || {
        app.get(Who::Nobody, &url).await.status == 200
    })
    .await;
}

async fn nothing_is_lost_or_double(app: &App, told: &Told) {
    let server = app.server.as_ref().unwrap();
    eventually("everything is settled", async || {
        server.sql("SELECT count(*) FROM charges WHERE status = 'processing'") == "0"
            && server.sql("SELECT count(*) FROM refunds WHERE status = 'processing'") == "0"
            && server.sql("SELECT count(*) FROM events WHERE seq IS NULL") == "0"
    })
    .await;
    let charges = told.charges.lock().unwrap().clone();
    let refunds = told.refunds.lock().unwrap().clone();
    let ledger = app.ledger().await;
    let mut asked: Vec<&String> = charges.keys().collect();
    asked.sort();
    let mut made: Vec<&String> = ledger["by_charge"].as_object().unwrap().keys().collect();
    made.sort();
    assert_eq!(asked, made, "every payment has its charge");
    assert_eq!(
        server.sql("SELECT count(*) FROM charges"),
        charges.len().to_string()
    );
    assert_eq!(
        server.sql("SELECT count(*) FROM refunds"),
        refunds.len().to_string()
    );
    for (id, becomes) in &charges {
        let url = format!("{}/v1/charges/{id}", app.at.internal);
        let charge = app.get(Who::Billing, &url).await.json();
        assert_eq!(charge["status"], *becomes, "{charge}");
        let back = if refunds.contains_key(id) { 250 } else { 0 };
        assert_eq!(charge["amount_refunded"], back, "{charge}");
        let done = &ledger["by_charge"][id];
        let paid = u64::from(*becomes == "succeeded");
        assert_eq!(
            (&done["payments"], &done["paid"], &done["captured"]),
            (&json!(1), &json!(paid), &json!(paid)),
            "{id} {done}"
        );
        assert_eq!(done["amount_refunded"], back, "{id} {done}");
        // Told once.
        let events = server.sql(&format!(
            "SELECT count(*) FROM events WHERE kind = 'charge.{becomes}' AND data LIKE '%{id}%'"
        ));
        assert_eq!(events, "1", "{id}");
    }
    let tokens = told.tokens.lock().unwrap().clone();
    for token in tokens {
        let url = format!("{}/v1/tokens/{token}", app.at.internal);
        let token = app.get(Who::Billing, &url).await.json();
        assert_eq!(token["status"], "active", "{token}");
    }
    eventually("no card is left that is nobody's token", async || {
        let attached = app.ledger().await["payment_methods"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|method| !method["customer"].is_null())
            .count();
        server.sql("SELECT count(*) FROM tokens WHERE status = 'active'") == attached.to_string()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_stopped_and_started_again_loses_and_doubles_nothing() {
    through(async |server, told| {
        server.kill();
        told.noticed(12).await;
        server.run(&[]);
        told.well(10).await;
        // And a second time, while the first is being recovered from.
        server.kill();
        told.noticed(3).await;
        server.run(&[]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_and_double_nothing() {
    through(async |server, told| {
        for _ in 0..15 {
            server.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
            );
            told.well(3).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_for_a_while_loses_and_doubles_nothing() {
    through(async |server, told| {
        let read_only = |server: &Server, setting: &str| {
            server.sql(&format!(
                "ALTER SYSTEM SET default_transaction_read_only = {setting}"
            ));
            server.sql("SELECT pg_reload_conf()");
        };
        read_only(server, "on");
        told.noticed(12).await;
        read_only(server, "off");
        told.well(10).await;
        // And by a restart, as a failover to a standby looks to its clients.
        server.kill();
        server.run(&["default_transaction_read_only=on"]);
        told.noticed(3).await;
        server.kill();
        server.run(&[]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_for_a_while_loses_and_doubles_nothing() {
    through(async |server, told| {
        let frozen = server.freeze();
        told.noticed(CLIENTS).await;
        frozen.thaw();
    })
    .await;
}
