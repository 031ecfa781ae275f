//! The operator's status page, over the wire.

use hyper::Method;
use serde_json::json;

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, Who};

on_both_engines! {
    the_status_page_shows_what_happened_with_its_source_and_each_look_is_recorded,
}

const SEEN: &str = "SELECT count(*) FROM audit_events WHERE action = 'status.read' AND actor_kind = 'client' AND outcome = 'success'";

async fn status(app: &App, who: Who) -> Answer {
    app.get(who, &format!("{}/status", app.at.internal)).await
}

/// The value and the source of a figure.
fn figure(page: &str, name: &str) -> (String, String) {
    let from = page.find(&format!("<dt>{name}</dt>"));
    let rest = &page[from.unwrap_or_else(|| panic!("no {name} in {page}"))..];
    let within = |open: &str, close: &str| {
        let text = rest.split(open).nth(1).unwrap();
        text.split(close).next().unwrap().to_owned()
    };
    let value = within("<dd class=\"value", "</dd>");
    let value = value.split_once('>').unwrap().1.to_owned();
    assert!(within("<time datetime=\"", "\"").ends_with('Z'), "{name}");
    (value, within("<code>", "</code>"))
}

async fn the_status_page_shows_what_happened_with_its_source_and_each_look_is_recorded(
    engine: Engine,
) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let refused = app.token("4000000000000341").await;
    assert_eq!(app.charge(&refused, "declined").await.status, 402);
    let report = json!({ "about": "abuse", "message": "Look at <b>this</b> shop." });
    let url = format!("{}/v1/reports", app.at.capture);
    assert_eq!(
        app.call(Who::Nobody, Method::POST, &url, &report)
            .await
            .status,
        201
    );

    assert_eq!(app.count(SEEN).await, 0);
    let answer = status(&app, Who::Admin).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.count(SEEN).await, 1);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("script-src"),
        "{policy}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = String::from_utf8(answer.body).unwrap();
    assert!(!page.contains("<script") && !page.contains("style=\""));
    // No attribute that runs anything: onclick="…".
    let letter = |letter: char| letter.is_ascii_lowercase();
    let runs = |rest: &str| rest.trim_start_matches(letter).starts_with('=');
    assert!(!page.split(" on").skip(1).any(runs), "{page}");

    let (value, source) = figure(&page, "Charges: outcomes");
    assert_eq!(value, "declined 1, succeeded 1");
    assert_eq!(source, "cloakroom_charges_total");
    assert_eq!(figure(&page, "Charges: declined").0, "1 (50.0 %)");
    assert_eq!(figure(&page, "Cards offered: outcomes").0, "created 2");
    assert_eq!(figure(&page, "Capture: our faults (5xx)").0, "0 (0.0 %)");
    assert!(!page.contains(">-0"), "{page}");
    let (value, source) = figure(&page, "Charges open");
    assert_eq!((value.as_str(), source.as_str()), ("none", "charges"));
    let (value, source) = figure(
        &page,
        "Reports within 7 days, to be read at GET /v1/reports",
    );
    assert_eq!((value.as_str(), source.as_str()), ("1", "reports"));
    let replicas = figure(&page, "Synchronous replicas").0;
    let expected = match engine {
        Engine::Sqlite => "one file on one machine",
        Engine::Postgres => "0 attached, 0 waited for, 0 required",
    };
    assert_eq!(replicas, expected);
    assert_eq!(figure(&page, "Accounts left alone (breaker open)").0, "0");
    for name in ["Store and audit", "Key canary", "Clock"] {
        assert_eq!(figure(&page, name), ("ok".to_owned(), "/readyz".to_owned()));
    }
    for plane in ["Capture", "Internal", "Ops"] {
        let (value, source) = figure(&page, &format!("{plane}: certificate"));
        assert!(
            value.starts_with("ends ") && value.ends_with(" left"),
            "{value}"
        );
        assert_eq!(source, "cloakroom_tls_end_timestamp_seconds");
    }
    assert!(
        page.contains("data keys</dt><dd class=\"value\">"),
        "{page}"
    );
    // What is said of nobody: no token, no customer, no report's words.
    for word in [token.as_str(), "customer-1", "this</b>", "pm_", "4242"] {
        assert!(!page.contains(word), "{word}");
    }

    // Who lacks the scope is refused, and has looked at nothing.
    status(&app, Who::Billing).await.problem(403, "not_granted");
    assert_eq!(app.count(SEEN).await, 1);
}

#[tokio::test]
async fn what_is_open_is_a_metric_from_the_start() {
    let app = App::start();
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for table in ["charges", "refunds", "orphans", "deliveries"] {
        for name in ["rows", "overdue_seconds"] {
            let line = format!("cloakroom_open_work_{name}{{table=\"{table}\"}} 0");
            assert!(metrics.lines().any(|have| have == line), "{line}");
        }
    }
}

#[tokio::test]
async fn the_first_line_of_the_command_says_whether_the_process_is_ready() {
    let app = App::start();
    app.token(VISA).await;
    let config = app.path("cloakroom.toml");
    let status = |more: &[&str]| {
        let arguments = ["status", "--config", config.to_str().unwrap()];
        crate::cli::run(&[&arguments[..], more].concat())
    };
    let output = status(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let first = said.lines().next().unwrap();
    assert!(first.ends_with("(test) is ready"), "{said}");
    for part in ["key_canary", "charges", "data keys", "events in the log"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let output = status(&["--json"]);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["ready"], true, "{seen}");
    assert!(seen["audit"]["events"].as_u64().is_some(), "{seen}");
    assert!(seen["keks"][0]["data_keys"].as_u64() >= Some(1), "{seen}");

    let dir = std::sync::Arc::clone(&app.dir);
    assert!(app.stop().success());
    let output = status(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(
        said.lines().next().unwrap().contains("is not running"),
        "{said}"
    );
    drop(dir);
}
