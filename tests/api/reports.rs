//! Reports from anybody: with a program, with the plainest browser, within bounds.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, VISA, Who, request};

async fn report(app: &App, body: &Value) -> Answer {
    let url = format!("{}/v1/reports", app.at.capture);
    app.call(Who::Nobody, Method::POST, &url, body).await
}

async fn fill_in(app: &App, form: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/report", app.at.capture);
    app.send(
        Who::Nobody,
        request(Method::POST, &url, &headers, form.to_owned()),
    )
    .await
}

async fn received(app: &App) -> Vec<Value> {
    let url = format!("{}/v1/reports?limit=100", app.at.internal);
    let answer = app.get(Who::Admin, &url).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn anybody_reports_and_gets_a_ticket_and_the_operator_reads_it() {
    let app = App::start();
    let body = json!({
        "about": "incident",
        "message": "Somebody offers your customers' addresses.\nI saw it on Monday.",
        "contact": "anna@example.com",
    });
    let answer = report(&app, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let ticket = answer.json()["id"].as_str().unwrap().to_owned();
    assert!(ticket.starts_with("test_rep_"), "{ticket}");
    assert_eq!(answer.json().as_object().unwrap().len(), 3);

    let seen = received(&app).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["id"], *ticket);
    assert_eq!(seen[0]["message"], body["message"]);
    assert_eq!(seen[0]["contact"], "anna@example.com");
    assert_eq!(seen[0]["origin"], "127.0.0.1");
    // The alert names the ticket and not what a stranger wrote.
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    let alert = log.lines().find(|line| line.contains(&ticket)).unwrap();
    assert!(alert.contains("\"ERROR\""), "{alert}");
    assert!(!log.contains("addresses") && !log.contains("anna@"));
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("cloakroom_reports_total{about=\"incident\"} 1"));
    // Billing has no such scope.
    let url = format!("{}/v1/reports", app.at.internal);
    app.get(Who::Billing, &url)
        .await
        .problem(403, "not_granted");
}

#[tokio::test]
async fn a_report_with_a_card_number_is_neither_kept_nor_repeated() {
    let app = App::start();
    let grouped = "4242 4242 4242 4242";
    for (body, pointer) in [
        (
            json!({ "message": format!("they have {VISA}") }),
            "/message",
        ),
        (
            json!({ "message": format!("they have {grouped}!") }),
            "/message",
        ),
        (json!({ "message": "look", "contact": VISA }), "/contact"),
    ] {
        let problem = report(&app, &body).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        assert_eq!(problem["errors"][0]["reason"], "card_number");
        assert!(!problem.to_string().contains("4242"));
    }
    let page = fill_in(&app, "about=abuse&message=mine+is+4242+4242+4242+4242").await;
    assert_eq!(page.status, 422);
    let page = String::from_utf8(page.body).unwrap();
    assert!(
        page.contains("role=\"alert\"") && !page.contains("4242"),
        "{page}"
    );
    assert!(received(&app).await.is_empty());
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(!log.contains("4242424242424242") && !log.contains(grouped));
}

#[tokio::test]
async fn the_form_works_without_a_script_and_thanks_with_the_ticket() {
    let app = App::start();
    let page = app
        .get(Who::Nobody, &format!("{}/report", app.at.capture))
        .await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"));
    let html = String::from_utf8(page.body).unwrap();
    assert!(!html.contains("<script") && !html.contains("style"));
    for field in ["about", "message", "contact"] {
        assert!(html.contains(&format!("label for=\"{field}\"")), "{field}");
    }
    let sent = fill_in(
        &app,
        "about=vulnerability&message=Your+form+%3Cb%3E&contact=",
    )
    .await;
    assert_eq!(sent.status, 303);
    let place = sent.header("location").unwrap().to_owned();
    let thanks = app
        .get(Who::Nobody, &format!("{}{place}", app.at.capture))
        .await;
    let ticket = place.rsplit('/').next().unwrap();
    assert!(String::from_utf8(thanks.body).unwrap().contains(ticket));
    let seen = received(&app).await;
    assert_eq!(seen[0]["id"], ticket);
    assert_eq!(seen[0]["about"], "vulnerability");
    assert_eq!(seen[0]["message"], "Your form <b>");
    assert_eq!(seen[0]["contact"], Value::Null);
    // What is no ticket is no page, and nothing of the path comes back.
    let url = format!("{}/report/rep_%3Cscript%3E", app.at.capture);
    app.get(Who::Nobody, &url).await.problem(404, "not_found");
}

#[tokio::test]
async fn more_reports_than_are_taken_are_refused_with_a_time_to_come_back() {
    let app = App::start_with(
        &[],
        &[("CLOAKROOM__LIMITS__REPORTS_OF_AN_ADDRESS_PER_HOUR_MAX", "2")],
    );
    let body = json!({ "message": "again" });
    let url = format!("{}/v1/reports", app.at.capture);
    let tries = (0..6).map(|_| app.call(Who::Nobody, Method::POST, &url, &body));
    let answers = futures_util::future::join_all(tries).await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(taken, 2);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(429, "rate_limited");
        assert_eq!(answer.header("retry-after"), Some("3600"));
    }
    assert_eq!(received(&app).await.len(), 2);
    let page = fill_in(&app, "message=again").await;
    assert_eq!(page.status, 429);
}

#[tokio::test]
async fn a_report_that_is_none_is_refused_by_its_place() {
    let app = App::start();
    for (body, pointer, reason) in [
        (json!({}), "/message", "required"),
        (json!({ "message": "  " }), "/message", "empty"),
        (
            json!({ "message": "x".repeat(8_001) }),
            "/message",
            "too_long",
        ),
        (
            json!({ "message": "a\u{0}b" }),
            "/message",
            "control_character",
        ),
        (
            json!({ "message": "m", "contact": "" }),
            "/contact",
            "empty",
        ),
    ] {
        let problem = report(&app, &body).await.problem(422, "invalid_request");
        let error = &problem["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["reason"]),
            (&json!(pointer), &json!(reason))
        );
    }
}

#[tokio::test]
async fn security_txt_says_where_to_report_and_till_when() {
    let app = App::start();
    let url = format!("{}/.well-known/security.txt", app.at.capture);
    let answer = app.get(Who::Nobody, &url).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let text = String::from_utf8(answer.body).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(value("Contact"), format!("{}/report", app.at.capture));
    assert_eq!(value("Canonical"), url);
    // RFC 9116 2.5.5: one moment to come, within a year.
    assert_eq!(text.matches("Expires:").count(), 1);
    let expires = value("Expires");
    assert!(expires.ends_with('Z') && expires.len() >= 20, "{expires}");
}
