//! The watch and honest traffic over the wire: a shop with sales, a name that guests share, a client
//! near its budget. Cards come from several addresses of this machine.

use std::net::Ipv4Addr;
use std::process::Command;

use hyper::Method;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{
    Answer, App, Http, VISA, Who, answered, card, eventually, read, request, tls,
};

on_both_engines! {
    mistyped_numbers_of_few_addresses_do_not_challenge_a_shop_with_sales,
    mistakes_under_a_shared_name_stop_their_network_and_not_the_name,
    a_client_near_its_budget_is_warned_of_once_and_can_read_what_is_left,
}

const ENFORCE: (&str, &str) = ("CLOAKROOM__WATCH__MODE", "enforce");
const RULES: &str = "CLOAKROOM__WATCH__RULES";
/// Fails Luhn's check.
const IMPOSSIBLE: &str = "4242424242424241";

/// A browser in that network of this machine.
fn from(app: &App, network: u8, host: u8) -> Http {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_local_address(Some(Ipv4Addr::new(127, 0, network, host).into()));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(app.dir.path(), Who::Nobody))
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new()).build(https)
}

/// A session of that order, and a card posted to it from there.
async fn post(app: &App, order: &Value, number: &str, (network, host): (u8, u8)) -> Answer {
    let session = app.order_session(order).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
    let body = card(number);
    app.note_sent(&body);
    let bearer = format!("Bearer {secret}");
    let url = format!("{}/v1/tokens", app.at.capture);
    let headers = [("authorization", bearer.as_str())];
    let card = request(Method::POST, &url, &headers, body.to_string());
    let answer = read(&from(app, network, host), card).await.unwrap();
    app.note_said(&answer.body);
    answer
}

fn blocks(app: &App) -> Option<Vec<Value>> {
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["watch", "list", "--json", "--config"])
        .arg(app.path("cloakroom.toml"))
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).ok()?;
    told["blocks"].as_array().cloned()
}

async fn mistyped_numbers_of_few_addresses_do_not_challenge_a_shop_with_sales(engine: Engine) {
    let app = App::on_with(engine, &[], &[ENFORCE]);
    let shop = json!({ "origin": "https://shop.example" });
    for network in 20..28 {
        assert_eq!(post(&app, &shop, VISA, (network, 1)).await.status, 201);
    }
    for mistake in 0..24 {
        post(&app, &shop, IMPOSSIBLE, (1 + mistake % 4, 1))
            .await
            .problem(422, "invalid_card");
    }
    let honest = post(&app, &shop, VISA, (30, 1)).await;
    assert_eq!(honest.status, 201, "{}", honest.json());

    // The same from many networks is an attack.
    let mut challenged = None;
    for mistake in 0..24 {
        let answer = post(&app, &shop, IMPOSSIBLE, (40 + mistake % 12, 1)).await;
        if answer.status == 403 {
            answer.problem(403, "verification_required");
            challenged = Some(mistake);
            break;
        }
    }
    assert!(challenged.is_some_and(|after| after >= 4), "{challenged:?}");
    post(&app, &shop, VISA, (31, 1))
        .await
        .problem(403, "verification_required");
}

async fn mistakes_under_a_shared_name_stop_their_network_and_not_the_name(engine: Engine) {
    let app = App::on_with(engine, &[], &[ENFORCE]);
    let guest = json!({ "customer_ref": "guest" });
    for network in 20..23 {
        assert_eq!(post(&app, &guest, VISA, (network, 1)).await.status, 201);
    }
    // Of two people in one network.
    for mistake in 0..9 {
        post(&app, &guest, IMPOSSIBLE, (9, 1 + mistake % 2))
            .await
            .problem(422, "invalid_card");
    }
    let stopped = post(&app, &guest, VISA, (9, 7)).await;
    let problem = stopped.problem(429, "rate_limited");
    assert!(problem["detail"].is_null(), "{problem}");
    let retry_after: u32 = stopped.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=900).contains(&retry_after), "short: {retry_after}");
    for network in [20, 40] {
        let other = post(&app, &guest, VISA, (network, 2)).await;
        assert_eq!(other.status, 201, "{}", other.json());
    }
    let subject = "customer-network default guest 127.0.9.0/24";
    let block = answered(async || {
        blocks(&app)?
            .into_iter()
            .find(|one| one["subject"] == subject)
    });
    assert_eq!(block.await["rule"], "customer_failures");
    let config = app.path("cloakroom.toml");
    let lift = ["watch", "lift", subject, "--config"];
    let lifted = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(lift)
        .arg(config)
        .output()
        .unwrap();
    assert!(lifted.status.success());
    eventually("its network is let in again", async || {
        post(&app, &guest, VISA, (9, 7)).await.status == 201
    })
    .await;
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(log.contains("a customer in network 127.0.9.0/24"));
    assert!(!log.contains("default guest"), "the log names no customer");
}

async fn a_client_near_its_budget_is_warned_of_once_and_can_read_what_is_left(engine: Engine) {
    let rules = (
        RULES,
        "{client_opens={hits_max=5},client_sessions={hits_max=5}}",
    );
    let app = App::on_with(engine, &[], &[ENFORCE, rules]);
    let token = app.token(VISA).await;
    for charge in 1..=5 {
        let made = app.charge(&token, &format!("k-{charge}")).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let (policy, limit) = (made.header("ratelimit-policy"), made.header("ratelimit"));
        if charge < 4 {
            assert_eq!((policy, limit), (None, None));
            continue;
        }
        assert_eq!(policy, Some("\"opens\";q=5;w=3600"));
        let left = format!("\"opens\";r={};t=", 5 - charge);
        let reset: u32 = limit.unwrap().strip_prefix(&left).unwrap().parse().unwrap();
        assert!((1..=3_600).contains(&reset), "{reset}");
    }
    let billing = "client spiffe://cloakroom.dev/billing";
    let warned = format!(
        "SELECT count(*) FROM audit_events WHERE action = 'watch.warned' AND outcome = 'success' AND subject = '{billing}'"
    );
    let told = format!(
        "SELECT count(*) FROM alerts WHERE name = 'threshold_near' AND severity = 'ticket' AND subject = '{billing}'"
    );
    eventually("the operator is warned", async || {
        app.count(&warned).await >= 1
    })
    .await;
    // Another client is told nothing of it.
    let read_of_other = app
        .get(
            Who::Checkout,
            &format!("{}/v1/tokens/{token}", app.at.internal),
        )
        .await;
    assert_eq!(read_of_other.header("ratelimit"), None);

    // Sessions: one was made for the token above.
    for made in 2..=6 {
        let session = app.order_session(&json!({})).await;
        assert_eq!(session.status, 201, "{}", session.json());
        assert_eq!(session.header("ratelimit").is_some(), made >= 4, "{made}");
    }
    let refused = app.order_session(&json!({})).await;
    refused.problem(429, "rate_limited");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some("\"sessions\";q=5;w=60")
    );
    let retry_after = refused.header("retry-after").unwrap();
    let limit = format!("\"sessions\";r=0;t={retry_after}");
    assert_eq!(refused.header("ratelimit"), Some(limit.as_str()));

    // Past the budget it is cut off, and was warned of once.
    assert_eq!(app.charge(&token, "k-6").await.status, 201);
    let cut_off = app.charge(&token, "k-7").await;
    cut_off.problem(403, "not_granted");
    assert_eq!(cut_off.header("ratelimit"), None);
    eventually("it is written down", async || {
        app.count("SELECT count(*) FROM watch_blocks").await >= 2
    })
    .await;
    assert_eq!((app.count(&warned).await, app.count(&told).await), (1, 1));
}
