//! The watch over the wire: who fails again and again is turned away, the operator is told and can
//! lift it, and the answer says nothing of the rule.

use std::process::{Command, Stdio};
use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};

use crate::alerts::destination;
use crate::engines::{Engine, on_both_engines};
use crate::support::apart::Apart;
use crate::support::receiver::Receiver;
use crate::support::{Answer, App, VISA, Who, answered, card, eventually, request};

on_both_engines! {
    an_address_whose_cards_fail_is_turned_away_until_an_operator_lets_it_in,
    a_challenged_shop_takes_cards_of_verified_shoppers_only,
    a_client_past_its_budget_of_opens_is_cut_off_until_it_is_lifted,
}

const ENFORCE: (&str, &str) = ("CLOAKROOM__WATCH__MODE", "enforce");
const RULES: &str = "CLOAKROOM__WATCH__RULES";
/// Fails Luhn's check.
const IMPOSSIBLE: &str = "4242424242424241";

async fn post(app: &App, order: &Value, number: &str) -> Answer {
    let session = app.order_session(order).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
    app.post_card(&secret, &card(number), &[]).await
}

fn watch(app: &App, arguments: &[&str]) -> Option<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .arg("watch")
        .args(arguments)
        .args(["--json", "--config"])
        .arg(app.path("cloakroom.toml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || output.status.code() == Some(65),
        "{said}"
    );
    serde_json::from_slice(&output.stdout).ok()
}

/// Waits until a block of that subject is written down.
async fn listed(app: &App, subject: &str) -> Value {
    answered(async || {
        let blocks = watch(app, &["list"])?;
        let blocks = blocks["blocks"].as_array()?.clone();
        blocks.into_iter().find(|block| block["subject"] == subject)
    })
    .await
}

async fn an_address_whose_cards_fail_is_turned_away_until_an_operator_lets_it_in(engine: Engine) {
    let receiver = Receiver::start().await;
    let to = destination(&receiver, ",allow_private_addresses=true");
    let rules = (RULES, "{address_failures={hits_max=3}}");
    let overrides = [ENFORCE, rules, ("CLOAKROOM__ALERTS__WEBHOOKS", to.as_str())];
    let app = App::on_with(engine, &[], &overrides);
    let order = json!({});
    for _ in 0..4 {
        post(&app, &order, IMPOSSIBLE)
            .await
            .problem(422, "invalid_card");
    }
    // A good card too: it is not looked at.
    let refused = post(&app, &order, VISA).await;
    let problem = refused.problem(429, "rate_limited");
    assert!(
        problem["detail"].is_null(),
        "it says nothing of the rule: {problem}"
    );
    let retry_after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&retry_after));

    // A warning came before it.
    let told = || {
        let taken = receiver.taken().into_iter();
        let mut told = taken.map(|alert| alert["data"].clone());
        told.find(|told| told["name"] == "card_testing")
    };
    eventually("the operator is told", async || told().is_some()).await;
    let told = told().unwrap();
    assert_eq!(told["subject"], "address 127.0.0.1");
    assert!(
        told["seen"]
            .as_str()
            .unwrap()
            .contains("rule address_failures: 4 of 4")
    );
    assert!(
        told["next_step"]
            .as_str()
            .unwrap()
            .contains("cloakroom watch lift")
    );
    let block = listed(&app, "address 127.0.0.1").await;
    let asked = "SELECT count(*) FROM audit_events WHERE action = 'status.read' AND subject = 'watch.blocks' AND actor_kind = 'operator'";
    assert!(app.count(asked).await >= 1, "that it was asked is an event");
    assert_eq!(
        (&block["action"], &block["lifted_at"]),
        (&json!("block"), &json!(null))
    );

    assert!(watch(&app, &["lift", "address 127.0.0.1"]).is_some());
    assert!(
        watch(&app, &["lift", "address 127.0.0.1"]).is_none(),
        "once"
    );
    eventually("it is let in again", async || {
        post(&app, &order, VISA).await.status == 201
    })
    .await;
    for (action, outcome, count) in [
        ("watch.acted", "success", 1),
        ("watch.lifted", "success", 1),
        ("watch.lifted", "refused", 1),
    ] {
        let query = format!(
            "SELECT count(*) FROM audit_events WHERE action = '{action}' AND outcome = '{outcome}'"
        );
        assert_eq!(app.count(&query).await, count, "{action} {outcome}");
    }
    let refused =
        "SELECT count(*) FROM audit_events WHERE action = 'card.attempted' AND outcome = 'refused'";
    assert!(
        app.count(refused).await >= 1,
        "what is turned away is an event"
    );
}

async fn a_challenged_shop_takes_cards_of_verified_shoppers_only(engine: Engine) {
    let rules = (RULES, "{shop_guesses={hits_max=2,networks_min=1}}");
    let app = App::on_with(engine, &[], &[ENFORCE, rules]);
    let shop = json!({ "origin": "https://shop.example" });
    for _ in 0..3 {
        post(&app, &shop, IMPOSSIBLE)
            .await
            .problem(422, "invalid_card");
    }
    let problem = post(&app, &shop, VISA)
        .await
        .problem(403, "verification_required");
    assert!(problem["detail"].is_null() && problem["retryable"] == false);
    let verified = json!({ "origin": "https://shop.example", "shopper_verified": true });
    assert_eq!(post(&app, &verified, VISA).await.status, 201);
    let other = json!({ "origin": "https://other.example" });
    assert_eq!(post(&app, &other, VISA).await.status, 201);
    // It is no lack of a right: nobody is told of an intruder.
    let grants = "SELECT count(*) FROM audit_events WHERE action = 'grant.refused'";
    assert_eq!(app.count(grants).await, 0);
    let block = listed(&app, "shop default https://shop.example").await;
    assert_eq!(block["action"], "challenge");
}

async fn a_client_past_its_budget_of_opens_is_cut_off_until_it_is_lifted(engine: Engine) {
    let rules = (RULES, "{client_opens={hits_max=3}}");
    let app = App::on_with(engine, &[], &[ENFORCE, rules]);
    let token = app.token(VISA).await;
    for charge in 0..4 {
        let made = app.charge(&token, &format!("k-{charge}")).await;
        assert_eq!(made.status, 201, "{}", made.json());
    }
    app.charge(&token, "k-5").await.problem(403, "not_granted");
    let read = format!("{}/v1/tokens/{token}", app.at.internal);
    app.get(Who::Billing, &read)
        .await
        .problem(403, "not_granted");
    assert_eq!(
        app.get(Who::Admin, &read).await.status,
        200,
        "nobody else is"
    );

    let subject = "client spiffe://cloakroom.dev/billing";
    let block = listed(&app, subject).await;
    assert_eq!(
        (&block["action"], &block["ends_at"]),
        (&json!("block"), &json!(null))
    );
    assert!(watch(&app, &["lift", subject]).is_some());
    eventually("billing is let in again", async || {
        app.get(Who::Billing, &read).await.status == 200
    })
    .await;
    assert_eq!(app.charge(&token, "k-5").await.status, 201);
    assert_eq!(
        app.ledger().await["charges"].as_array().map(Vec::len),
        Some(5)
    );
}

#[tokio::test]
async fn a_block_survives_a_restart_and_an_observing_service_only_tells() {
    let rules = (RULES, "{address_failures={hits_max=3}}");
    let app = App::start_with(&[], &[ENFORCE, rules]);
    let order = json!({});
    for _ in 0..4 {
        post(&app, &order, IMPOSSIBLE)
            .await
            .problem(422, "invalid_card");
    }
    listed(&app, "address 127.0.0.1").await;
    let dir = Arc::clone(&app.dir);
    drop(app);
    let app = App::start_in(dir, &[], &[ENFORCE, rules]);
    eventually("the block is known again", async || {
        post(&app, &order, VISA).await.status == 429
    })
    .await;
    drop(app);

    // As `cloakroom dev` starts: the same, observed.
    let app = App::start_with(&[], &[rules]);
    for _ in 0..4 {
        post(&app, &order, IMPOSSIBLE)
            .await
            .problem(422, "invalid_card");
    }
    eventually("it is counted", async || {
        let url = format!("{}/metrics", app.at.ops);
        let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
        let line =
            "cloakroom_watch_rules_tripped_total{enforced=\"false\",rule=\"address_failures\"} 1";
        text.contains(line)
    })
    .await;
    assert_eq!(post(&app, &order, VISA).await.status, 201);
    assert_eq!(app.count("SELECT count(*) FROM watch_blocks").await, 0);
    assert_eq!(
        app.count("SELECT count(*) FROM alerts WHERE name = 'card_testing'")
            .await,
        1
    );
}

#[tokio::test]
async fn what_the_capture_process_decides_holds_in_the_internal_process() {
    let rules = (RULES, "{customer_failures={hits_max=2}}");
    let app = App::start_apart_as(&Apart {
        overrides: &[rules],
        ..Apart::default()
    });
    let (anna, bert) = (
        json!({ "customer_ref": "anna" }),
        json!({ "customer_ref": "bert" }),
    );
    for _ in 0..3 {
        post(&app, &anna, IMPOSSIBLE)
            .await
            .problem(422, "invalid_card");
    }
    eventually("no session is made for her", async || {
        app.order_session(&anna).await.status == 429
    })
    .await;
    assert_eq!(post(&app, &bert, VISA).await.status, 201);
    assert_eq!(
        app.count("SELECT count(*) FROM alerts WHERE node = 'capture-1' AND name = 'card_testing'")
            .await,
        1
    );
}

#[tokio::test]
async fn nothing_of_a_card_range_is_kept_or_told() {
    let rules = (RULES, "{card_range_failures={hits_max=2,per_cent_max=0}}");
    let app = App::start_with(&[], &[ENFORCE, rules]);
    let decline = json!({ "decline_at_attach": true });
    app.sandbox(Method::POST, "settings", &decline).await;
    let order = json!({});
    // Of one range, and declined by the issuer.
    for _ in 0..3 {
        post(&app, &order, "4000000000000002")
            .await
            .problem(402, "card_declined");
    }
    post(&app, &order, "4000000000009995")
        .await
        .problem(403, "verification_required");
    assert_eq!(post(&app, &order, VISA).await.status, 201, "another range");
    eventually("the operator is told", async || {
        app.count("SELECT count(*) FROM alerts WHERE subject LIKE 'a card range%'")
            .await
            == 1
    })
    .await;
    assert_eq!(app.count("SELECT count(*) FROM watch_blocks").await, 0);
    assert_eq!(
        app.count("SELECT count(*) FROM watch_buckets WHERE rule = 'card_range_failures'")
            .await,
        0
    );
    let told = "SELECT count(*) FROM alerts WHERE seen LIKE '%4000%' OR subject LIKE '%4000%'";
    assert_eq!(app.count(told).await, 0);
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(!log.contains("40000000"), "the log has no range");
}

#[tokio::test]
async fn who_is_refused_at_the_door_again_and_again_is_told_of_once() {
    let app = App::start_with(&[], &[(RULES, "{client_refusals={hits_max=3}}")]);
    let url = format!("{}/v1/charges", app.at.internal);
    for key in 0..8 {
        let key = format!("k-{key}");
        let charge = request(
            Method::POST,
            &url,
            &[("idempotency-key", &key)],
            "{}".to_owned(),
        );
        app.send(Who::Checkout, charge)
            .await
            .problem(403, "not_granted");
    }
    eventually("the operator is told", async || {
        let told = "SELECT count(*) FROM alerts WHERE name = 'grants_refused' AND subject = 'client spiffe://cloakroom.dev/checkout'";
        app.count(told).await == 1
    })
    .await;
}
