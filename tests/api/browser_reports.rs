//! What anybody may post as a browser's report, and what of it pages the operator.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, VISA, Who, request};

/// The address that a page of a new session reports to, as its headers say it.
async fn page_of_a_session(app: &App) -> String {
    let order = json!({ "customer_ref": "c", "origin": "https://shop.example" });
    let session = app.order_session(&order).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let id = session.json()["id"].as_str().unwrap().to_owned();
    let url = format!("{}/fields/v1/frame?session={id}", app.at.capture);
    address(&app.get(Who::Nobody, &url).await)
}

fn address(page: &Answer) -> String {
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    let address = policy.split("report-uri ").nth(1).unwrap();
    let address = address.split(';').next().unwrap().to_owned();
    let endpoints = page.header("reporting-endpoints").unwrap();
    assert_eq!(endpoints, format!("cards=\"{address}\""));
    address
}

fn blocked(url: &str) -> Value {
    json!([{ "type": "csp-violation", "body": { "effectiveDirective": "script-src-elem", "blockedURL": url } }])
}

async fn post(app: &App, address: &str, body: &str) -> Answer {
    let url = format!("{}{address}", app.at.capture);
    let headers = [("content-type", "application/reports+json")];
    let report = request(Method::POST, &url, &headers, body.to_owned());
    app.send(Who::Nobody, report).await
}

/// The lines of the ops plane's metrics that begin so and are not 0.
async fn counted(app: &App, start: &str) -> Vec<String> {
    let url = format!("{}/metrics", app.at.ops);
    let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn forty_reports_that_no_page_of_ours_has_sent_page_nobody() {
    let app = App::start();
    let ours = page_of_a_session(&app).await;
    let evil = blocked("https://evil.example/x.js").to_string();
    let forged = ours.replace("page=test_cs_", "page=test_cs_0");
    let tag = ours.rsplit_once('.').unwrap().1;
    let charge = "/fields/v1/reports?page=test_chg_01h455vb4pex5vsknk084sn02q.1.";
    for address in [
        "/fields/v1/reports",
        "/fields/v1/reports?page=",
        &forged,
        &format!("{charge}{tag}"),
    ] {
        for _ in 0..10 {
            assert_eq!(post(&app, address, &evil).await.status, 204);
        }
    }
    assert_eq!(
        counted(&app, "cloakroom_browser_report").await,
        ["cloakroom_browser_reports_total{violated=\"unproven\"} 40"]
    );
    // The page of a charge can be loaded by anybody for any charge: it has no address of its own.
    let token = app.token(VISA).await;
    let made = app.charge(&token, "k").await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let page = app
        .get(Who::Nobody, &format!("{}/pay/charges/{id}", app.at.capture))
        .await;
    assert!(!String::from_utf8(page.body).unwrap().contains("page=test_"));
}

#[tokio::test]
async fn a_page_of_a_session_is_believed_and_counts_once_however_often_it_reports() {
    let app = App::start();
    let ours = page_of_a_session(&app).await;
    let evil = blocked("https://evil.example/x.js").to_string();
    for _ in 0..20 {
        assert_eq!(post(&app, &ours, &evil).await.status, 204);
    }
    // From the same address, another session's.
    let another = page_of_a_session(&app).await;
    assert_ne!(ours, another);
    assert_eq!(post(&app, &another, &evil).await.status, 204);
    post(&app, &ours, "nonsense")
        .await
        .problem(400, "malformed_request");
    assert_eq!(
        counted(&app, "cloakroom_browser_report").await,
        [
            "cloakroom_browser_report_addresses_total{violated=\"script-src-elem\"} 1",
            "cloakroom_browser_reports_total{violated=\"script-src-elem\"} 21",
        ]
    );
}

/// The log would hold it, masked, and the alert on secrets in the log would page.
#[tokio::test]
async fn a_card_number_in_the_host_that_was_blocked_is_not_logged() {
    let app = App::start();
    let ours = page_of_a_session(&app).await;
    for host in [
        "4242424242424242.example",
        "4242-4242-4242-4242.example",
        "4242.4242.4242.4242.example",
    ] {
        let report = blocked(&format!("https://{host}/x.js")).to_string();
        assert_eq!(post(&app, &ours, &report).await.status, 204);
    }
    assert_eq!(
        counted(&app, "cloakroom_browser_reports_total").await,
        ["cloakroom_browser_reports_total{violated=\"script-src-elem\"} 3"]
    );
    assert_eq!(
        counted(&app, "cloakroom_log_redactions_total").await,
        Vec::<String>::new()
    );
}
