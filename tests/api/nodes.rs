//! Two nodes on one PostgreSQL: a client that asks both of them at once is served once.

use std::process::Child;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::Engine;
use crate::support::{App, Who, request};

/// A second node of the service: another process with the same configuration and other ports.
pub(crate) struct Second {
    child: Child,
    pub(crate) internal: String,
}

impl Second {
    pub(crate) fn beside(app: &App) -> Self {
        Self::beside_with(app, &[])
    }

    /// Starts it with arguments.
    pub(crate) fn beside_with(app: &App, arguments: &[&str]) -> Self {
        let config = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
        // Its own ports; how browsers reach the service is the same.
        let ports = [&app.at.capture, &app.at.internal, &app.at.ops];
        let config: Vec<String> = config
            .lines()
            .map(|line| {
                if line.starts_with("public_url") || line.starts_with("return_url") {
                    return line.to_owned();
                }
                ports.iter().fold(line.to_owned(), |text, url| {
                    text.replace(&crate::doors::port_of(url), ":0")
                })
            })
            .collect();
        let path = app.path("second-node.toml");
        std::fs::write(&path, config.join("\n")).unwrap();
        let serve = ["serve", "--config", path.to_str().unwrap()];
        let mut child = crate::cli::spawn(&[&serve, arguments].concat());
        let address = crate::doors::internal_address(&mut child);
        Self {
            child,
            internal: format!("https://{address}"),
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The same request two hundred times, to each node in turn: one answer or "in flight".
async fn to_both(app: &App, second: &Second, what: (Who, &str, &str), body: &Value) -> Value {
    let (who, path, key) = what;
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let client = app.client(who);
    let ask = |node: &str| {
        let url = format!("{node}{path}");
        let headers = [("idempotency-key", key)];
        client.send_until_connected(request(Method::POST, &url, &headers, text.clone()))
    };
    let nodes = [app.at.internal.as_str(), second.internal.as_str()];
    let all = (0..200).map(|number| ask(nodes[number % 2]));
    let mut answers = Vec::new();
    for answer in join_all(all).await {
        let answer = answer.unwrap();
        if answer.status == 409 {
            answer.problem(409, "conflict_in_flight");
        } else {
            assert!(
                matches!(answer.status, 200 | 201),
                "{path} {}",
                answer.json()
            );
            answers.push(answer.json());
        }
    }
    // Who was told to come back does, to either node.
    for node in nodes {
        let again = ask(node).await.unwrap();
        assert!(matches!(again.status, 200 | 201), "{path} {}", again.json());
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        answers.push(again.json());
    }
    let last = answers.last().unwrap().clone();
    assert!(
        answers.iter().all(|answer| answer["id"] == last["id"]),
        "{path}"
    );
    last
}

/// Every POST of the internal plane that makes something.
#[tokio::test]
async fn one_key_at_two_nodes_two_hundred_times_has_one_effect_for_every_post() {
    let app = App::on(Engine::Postgres);
    let second = Second::beside(&app);
    crate::support::answered(async || {
        let url = format!("{}/openapi.json", second.internal);
        let asked = request(Method::GET, &url, &[], String::new());
        app.client(Who::Admin).send(asked).await.ok()
    })
    .await;

    let session = json!({ "customer_ref": "c" });
    let what = (Who::Checkout, "/v1/capture_sessions", "session");
    to_both(&app, &second, what, &session).await;
    assert_eq!(app.count("SELECT count(*) FROM sessions").await, 1);

    let method = app.vaulted_there().await;
    let attach = json!({ "payment_method": method, "customer_ref": "c" });
    let what = (Who::Checkout, "/v1/tokens/attach", "attach");
    let token = to_both(&app, &second, what, &attach).await["id"].clone();
    assert_eq!(app.count("SELECT count(*) FROM tokens").await, 1);

    let slow = json!({ "latency_ms": 100 });
    app.sandbox(Method::POST, "settings", &slow).await;
    let order = |capture: bool| json!({ "token": token, "amount": 1250, "currency": "eur", "capture": capture });
    let mut charges = Vec::new();
    for (key, capture) in [("paid", true), ("held", false), ("given-up", false)] {
        let what = (Who::Billing, "/v1/charges", key);
        let charge = to_both(&app, &second, what, &order(capture)).await;
        charges.push(charge["id"].as_str().unwrap().to_owned());
    }
    let [paid, held, given_up] = charges.as_slice() else {
        panic!("three charges");
    };
    let path = format!("/v1/charges/{held}/capture");
    let what = (Who::Billing, path.as_str(), "capture");
    let captured = to_both(&app, &second, what, &json!({ "amount": 1000 })).await;
    assert_eq!(captured["amount_captured"], 1000);
    let path = format!("/v1/charges/{given_up}/cancel");
    let what = (Who::Billing, path.as_str(), "cancel");
    let canceled = to_both(&app, &second, what, &Value::Null).await;
    assert_eq!(canceled["status"], "canceled");
    let what = (Who::Billing, "/v1/refunds", "refund");
    let refund = json!({ "charge": paid, "amount": 300 });
    to_both(&app, &second, what, &refund).await;

    for (charge, members) in [
        (
            paid,
            [
                ("paid", 1),
                ("amount_captured", 1250),
                ("amount_refunded", 300),
            ],
        ),
        (
            held,
            [
                ("paid", 1),
                ("amount_captured", 1000),
                ("amount_refunded", 0),
            ],
        ),
        (
            given_up,
            [
                ("canceled", 1),
                ("amount_captured", 0),
                ("amount_refunded", 0),
            ],
        ),
    ] {
        let there = app.payment_of(charge).await;
        assert_eq!(there["payments"], 1, "{there}");
        for (member, value) in members {
            assert_eq!(there[member], value, "{member} {there}");
        }
    }
    assert_eq!(app.ledger().await["made"]["refunds"], 1);
    assert_eq!(app.count("SELECT count(*) FROM refunds").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM charges").await, 3);
}
