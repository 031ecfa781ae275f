//! What callers see when the processor is asked for more than it takes, and when it fails.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who};

on_both_engines! {
    charges_over_the_rate_answer_429_and_go_through_when_they_come_back_as_told,
    cards_are_taken_in_while_charges_wait,
    a_processor_that_fails_is_left_alone_and_callers_are_told_503_with_a_time,
}

const STRIPE: &str = "CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE";

fn app(engine: Engine, overrides: &[(&str, &str)]) -> App {
    let named: Vec<(String, &str)> = overrides
        .iter()
        .map(|(key, value)| (format!("{STRIPE}__{key}"), *value))
        .collect();
    let named: Vec<(&str, &str)> = named.iter().map(|(key, value)| (&**key, *value)).collect();
    App::on_with(engine, &[], &named)
}

async fn payments(app: &App) -> usize {
    let ledger = app.ledger().await;
    ledger["payment_intents"].as_array().unwrap().len()
}

async fn charges_over_the_rate_answer_429_and_go_through_when_they_come_back_as_told(
    engine: Engine,
) {
    let app = app(
        engine,
        &[("INTERNAL_REQUESTS_PER_S_MAX", "4"), ("WAIT_MS_MAX", "600")],
    );
    let token = app.token(VISA).await;
    let keys: Vec<String> = (0..12).map(|number| format!("k{number}")).collect();
    let began = Instant::now();
    let answers =
        futures_util::future::join_all(keys.iter().map(|key| app.charge(&token, key))).await;
    // Those that are refused are refused at once, not when the patience of all is over.
    assert!(began.elapsed() < Duration::from_secs(3));
    let mut made = 0;
    let mut refused = Vec::new();
    for (key, answer) in keys.iter().zip(&answers) {
        if answer.status == 201 {
            made += 1;
        } else {
            answer.problem(429, "rate_limited");
            let retry_after_s: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3).contains(&retry_after_s), "{retry_after_s}");
            refused.push((key, retry_after_s));
        }
    }
    assert!(made > 0 && !refused.is_empty(), "{made}");
    assert_eq!(payments(&app).await, made);

    // One that was refused comes back when it was told to, with its key, and is charged once.
    let (key, retry_after_s) = refused.first().unwrap();
    tokio::time::sleep(Duration::from_secs(*retry_after_s)).await;
    assert_eq!(app.charge(&token, key).await.status, 201);
    assert_eq!(payments(&app).await, made + 1);
}

async fn cards_are_taken_in_while_charges_wait(engine: Engine) {
    let app = app(
        engine,
        &[
            ("INTERNAL_REQUESTS_PER_S_MAX", "2"),
            ("WAIT_MS_MAX", "5000"),
        ],
    );
    let token = app.token(VISA).await;
    let secret = app.session().await;
    let flood = (0..8).map(|number| {
        let (app, token) = (&app, &token);
        async move { app.charge(token, &format!("f{number}")).await }
    });
    let card = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let made = app
            .post_card(&secret, &crate::support::card(VISA), &[])
            .await;
        (made.status, began.elapsed())
    };
    let began = Instant::now();
    let (_, (status, took)) = tokio::join!(futures_util::future::join_all(flood), card);
    assert_eq!(status, 201);
    assert!(began.elapsed() > Duration::from_secs(2));
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

async fn a_processor_that_fails_is_left_alone_and_callers_are_told_503_with_a_time(engine: Engine) {
    let app = app(
        engine,
        &[
            ("BREAKER_FAILURES_IN_A_ROW_MAX", "2"),
            ("BREAKER_OPEN_MS", "60000"),
        ],
    );
    let token = app.token(VISA).await;
    let fault =
        json!({"path": "/v1/payment_intents", "times": 2, "fault": "status", "status": 500});
    app.sandbox(Method::POST, "faults", &fault).await;
    for key in ["one", "two"] {
        let charge = app.charge(&token, key).await;
        assert_eq!(charge.json()["status"], "processing", "{key}");
    }
    for key in ["three", "four"] {
        let refused = app.charge(&token, key).await;
        refused.problem(503, "processor_unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    // Certainly nothing was sent, and no payment was made of what was refused.
    assert_eq!(payments(&app).await, 0);
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        r#"cloakroom_processor_breaker_open{plane="internal"} 1"#,
        r#"cloakroom_processor_breaker_open{plane="capture"} 0"#,
        r#"cloakroom_processor_refusals_total{plane="internal",reason="breaker_open"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
