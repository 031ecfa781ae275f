//! What an operator sees: probes, metrics, logs, audit.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

use crate::support::{App, VISA, Who, ask, card, request};

async fn open(path: &Path) -> sqlx::SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

pub(crate) async fn pretend_a_newer_schema(path: &Path) {
    let mut database = open(path).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99999999999999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn probes_say_what_is_looked_at_and_how_it_is() {
    let app = App::start();
    let alive = app.get(Who::Nobody, &format!("{}/livez", app.at.ops)).await;
    assert_eq!(alive.status, 200);
    let ready = app
        .get(Who::Nobody, &format!("{}/readyz", app.at.ops))
        .await;
    assert_eq!(ready.status, 200, "{}", ready.json());
    let ready = ready.json();
    let checks: Vec<&str> = ready["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in [
        "store_and_audit",
        "key_canary",
        "clock",
        "certificate_capture",
        "certificate_internal",
        "certificate_ops",
        "replication",
        "memory_hardening",
        "confinement",
    ] {
        assert!(checks.contains(&name), "{checks:?}");
    }
}

#[tokio::test]
async fn metrics_count_requests_tokens_charges_and_refused_grants() {
    let app = App::start();
    let token = app.token(VISA).await;
    app.charge(&token, "k").await;
    app.get(Who::Checkout, &format!("{}/v1/charges/x", app.at.internal))
        .await;
    app.get(Who::Nobody, &format!("{}/4012888888881881", app.at.capture))
        .await;
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "cloakroom_tokenizations_total{outcome=\"created\"} 1",
        "cloakroom_charges_total{outcome=\"succeeded\"} 1",
        "cloakroom_grants_refused_total{plane=\"internal\"} 1",
        "cloakroom_data_keys_created_total",
        "cloakroom_build_info",
        "http_server_request_duration_seconds_bucket",
        "http_route=\"/v1/tokens\"",
        "http_route=\"_none\"",
        "cloakroom_store_commit_duration_seconds_count",
        "cloakroom_processor_request_duration_seconds_count{operation=\"charge\",outcome=",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request_and_the_log_knows_it() {
    let app = App::start();
    let secret = app.session().await;
    let made = app
        .post_card(
            &secret,
            &card(VISA),
            &[(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            )],
        )
        .await;
    let id = made.header("x-request-id").unwrap().to_owned();
    assert!(id.starts_with("test_req_"));
    let refused = app
        .get(Who::Nobody, &format!("{}/nowhere", app.at.capture))
        .await;
    assert!(refused.header("x-request-id").is_some());
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    // HSTS goes out under every name but localhost, where it would lock out other servers.
    assert_eq!(refused.header("strict-transport-security"), None);
    let named = app.at.capture.replace("localhost", "127.0.0.1");
    let answer = app.get(Who::Nobody, &format!("{named}/nowhere")).await;
    assert!(answer.header("strict-transport-security").is_some());
    let path = app.path("log");
    let lines = crate::support::answered(async || {
        let log = std::fs::read_to_string(&path).unwrap();
        log.contains(&id).then_some(log)
    })
    .await;
    for line in lines.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    assert!(lines.contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    // The session's secret is in no line.
    assert!(!lines.contains(secret.split_once("_secret_").unwrap().1));
}

#[tokio::test]
async fn every_act_and_every_refusal_is_an_audit_event_and_none_can_be_changed() {
    let app = App::start();
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "k").await.json();
    for path in [
        format!("tokens/{token}"),
        "tokens?customer_ref=customer-1".to_owned(),
        format!("charges/{}", charge["id"].as_str().unwrap()),
    ] {
        let url = format!("{}/v1/{path}", app.at.internal);
        assert_eq!(app.get(Who::Billing, &url).await.status, 200);
    }
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    app.send(
        Who::Billing,
        request(Method::DELETE, &url, &[], String::new()),
    )
    .await
    .problem(403, "not_granted");
    app.send(
        Who::Admin,
        request(Method::DELETE, &url, &[], String::new()),
    )
    .await;

    let mut database = open(&app.path("cloakroom.db")).await;
    let rows = sqlx::query("SELECT action, actor, outcome, request_id, origin, node, at_ms FROM audit_events ORDER BY at_ms, id")
        .fetch_all(&mut database)
        .await
        .unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get("action")).collect();
    for action in [
        "process.started",
        "keys.canary_made",
        "session.created",
        "card.attempted",
        "token.created",
        "charge.requested",
        "token.opened",
        "charge.settled",
        "token.read",
        "token.listed",
        "charge.read",
        "grant.refused",
        "token.deletion_started",
        "token.deleted",
    ] {
        assert!(
            actions.iter().any(|seen| seen == action),
            "{action} is not in {actions:?}"
        );
    }
    // The event of the open stands before the event of the outcome.
    let place = |action: &str| actions.iter().position(|seen| seen == action).unwrap();
    assert!(place("token.opened") < place("charge.settled"));
    let refused = &rows[place("grant.refused")];
    assert!(
        refused
            .get::<String, _>("actor")
            .contains("spiffe://cloakroom.dev/billing")
    );
    assert!(refused.get::<Option<String>, _>("request_id").is_some());

    for statement in [
        "UPDATE audit_events SET actor = 'nobody'",
        "DELETE FROM audit_events",
    ] {
        assert!(
            sqlx::query(statement).execute(&mut database).await.is_err(),
            "{statement}"
        );
    }
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_demo_shop_asks_for_a_session_and_charges_a_token() {
    let app = App::start();
    // Its page lists the test cards, and is not the service's.
    let page = request(Method::GET, &app.at.shop, &[], String::new());
    let page = ask(&app, page).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains(&app.at.capture)
    );
    let post = async |path: &str, cookie: &str, body: &Value| {
        let url = format!("{}{path}", app.at.shop);
        let headers = [("content-type", "application/json"), ("cookie", cookie)];
        app.send(
            Who::Nobody,
            request(Method::POST, &url, &headers, body.to_string()),
        )
        .await
    };
    let begun = post("/session", "", &json!({})).await;
    let cookie = begun.header("set-cookie").unwrap().to_owned();
    let (cookie, _) = cookie.split_once(';').unwrap();
    let session = begun.json();
    let secret = session["client_secret"].as_str().unwrap();
    let made = app
        .post_card(secret, &card(VISA), &[("origin", &app.at.shop)])
        .await;
    assert_eq!(
        made.header("access-control-allow-origin"),
        Some(app.at.shop.as_str())
    );
    // Who has begun the order is told how it stands; who has not, whether it is paid.
    let purchase = json!({ "session": session["id"] });
    let charged = post("/charge", cookie, &purchase).await;
    assert_eq!(charged.status, 200);
    let told = charged.json();
    let id = told["id"].as_str().unwrap();
    assert!(id.starts_with("test_chg_"), "{told}");
    assert_eq!(
        told,
        json!({ "id": id, "status": "succeeded", "decline": null, "next_action": null })
    );
    let paid = json!({ "status": "succeeded" });
    assert_eq!(post("/charge", "", &purchase).await.json(), paid);
    let returned = json!({ "charge": id });
    assert_eq!(post("/outcome", cookie, &returned).await.json(), told);
    let stranger = "__Host-shopper=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(post("/outcome", stranger, &returned).await.json(), paid);
}
