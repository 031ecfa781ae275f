//! Every problem of the contract, provoked over the wire.

use std::collections::BTreeSet;
use std::fs;

use cloakroom::problem::Code;
use hyper::Method;
use serde_json::json;

use crate::engines::{Engine, on_both_engines};
use crate::support::postgres::Server;
use crate::support::{App, VISA, Who, card, raw, request};

on_both_engines! { each_code_of_the_contract_is_reached_over_the_wire }

/// Codes that other tests provoke: where, and why not here.
const ELSEWHERE: [&str; 2] = [
    // tests/api/watch.rs: it wants a rule that has tripped.
    "verification_required",
    // A fault of ours cannot be provoked from outside; if it can, that is the bug to mend.
    "internal",
];

async fn each_code_of_the_contract_is_reached_over_the_wire(engine: Engine) {
    let app = App::on(engine);
    let mut seen = BTreeSet::new();
    let mut note = |answer: &crate::support::Answer| {
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        answer.problem(answer.status, &code);
        seen.insert(code);
    };
    let internal = |path: &str| format!("{}{path}", app.at.internal);
    let secret = app.session().await;
    let token = app.token(VISA).await;

    let body = |text: &str| {
        request(
            Method::POST,
            &internal("/v1/capture_sessions"),
            &[],
            text.to_owned(),
        )
    };
    note(&app.send(Who::Checkout, body("{")).await);
    note(&app.send(Who::Checkout, body(r#"{"usage":"never"}"#)).await);
    note(
        &app.send(Who::Checkout, body(&format!("\"{}\"", "x".repeat(40_000))))
            .await,
    );
    note(&app.send(Who::Billing, body("{}")).await);
    let text = [("content-type", "text/plain")];
    let plain = request(
        Method::POST,
        &internal("/v1/capture_sessions"),
        &text,
        "{}".to_owned(),
    );
    note(&app.send(Who::Checkout, plain).await);
    note(&app.post_card("nobody", &card(VISA), &[]).await);
    note(&app.post_card(&secret, &card("4242424242424241"), &[]).await);
    note(
        &app.get(Who::Nobody, &format!("{}/nowhere", app.at.capture))
            .await,
    );
    note(
        &app.get(Who::Nobody, &format!("{}/v1/tokens", app.at.capture))
            .await,
    );
    app.charge(&token, "k").await;
    let other = json!({"token": token, "amount": 4_300, "currency": "eur"});
    note(&app.order_charge(&other, "k").await);
    let declined = app.token("4000000000000002").await;
    note(&app.charge(&declined, "d").await);
    // Another card: the same one would be the same token.
    let gone = app.token("5555555555554444").await;
    let url = internal(&format!("/v1/tokens/{gone}"));
    app.send(
        Who::Admin,
        request(Method::DELETE, &url, &[], String::new()),
    )
    .await;
    note(&app.get(Who::Admin, &url).await);

    // A body that does not come, a request that still runs, limits, and what is not there.
    note(&slow_body(&app, &secret).await);
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 1000}))
        .await;
    let (_, conflict) = tokio::join!(app.charge(&token, "twice"), async {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        app.charge(&token, "twice").await
    });
    note(&conflict);
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 0}))
        .await;
    let fault = |status: u16| json!({"path": "/v1/payment_intents", "times": 1, "fault": "status", "status": status});
    app.sandbox(Method::POST, "faults", &fault(429)).await;
    note(&app.charge(&token, "limited").await);
    app.sandbox(
        Method::POST,
        "faults",
        &json!({"path": "/v1/payment_methods", "times": 1, "fault": "status", "status": 500}),
    )
    .await;
    let fresh = app.session().await;
    note(&app.post_card(&fresh, &card(VISA), &[]).await);
    note(&sealed(&app, &token).await);
    note(&store_gone(&app).await);

    let all: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.name().to_owned())
        .filter(|code| !ELSEWHERE.contains(&code.as_str()))
        .collect();
    assert_eq!(seen, all);
}

/// A body announced and not sent.
async fn slow_body(app: &App, secret: &str) -> crate::support::Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = raw::connect(app, Who::Nobody, &app.at.capture)
        .await
        .unwrap();
    let head = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"card\":"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    // The limit is 10 s; the answer must come by itself.
    while let Ok(Ok(count)) = tokio::time::timeout(
        std::time::Duration::from_secs(15),
        connection.read(&mut buffer),
    )
    .await
    {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    answer_of(&bytes)
}

/// A raw answer as the client would have read it.
fn answer_of(bytes: &[u8]) -> crate::support::Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer with a head");
    let mut headers = hyper::HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        let name: hyper::header::HeaderName = name.to_lowercase().parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    crate::support::Answer {
        status: raw::status(bytes),
        headers,
        body: body.as_bytes().to_vec(),
    }
}

/// A charge on a token whose sealed value somebody has changed.
async fn sealed(app: &App, token: &str) -> crate::support::Answer {
    let zeros = match app.server {
        None => "zeroblob(557)",
        Some(_) => "decode(repeat('00', 557), 'hex')",
    };
    app.change_rows(&format!(
        "UPDATE tokens SET sealed = {zeros} WHERE id = '{token}'"
    ))
    .await;
    app.charge(token, "damaged").await
}

/// A session when the database cannot be written.
async fn store_gone(app: &App) -> crate::support::Answer {
    match &app.server {
        None => {
            let lock = crate::sealed::lock(&app.path("cloakroom.db")).await;
            let answer = unwritten(app).await;
            lock.release().await;
            answer
        }
        Some(server) => {
            read_only(server, "on");
            let answer = unwritten(app).await;
            read_only(server, "off");
            answer
        }
    }
}

/// Whether the server takes writes, of which its clients are told by their next statement.
fn read_only(server: &Server, setting: &str) {
    server.sql(&format!(
        "ALTER SYSTEM SET default_transaction_read_only = {setting}"
    ));
    server.sql("SELECT pg_reload_conf()");
}

async fn unwritten(app: &App) -> crate::support::Answer {
    let answer = app.order_session(&json!({"customer_ref": "c"})).await;
    assert!(answer.header("retry-after").is_some());
    let ready = app
        .get(Who::Nobody, &format!("{}/readyz", app.at.ops))
        .await;
    assert_eq!(ready.status, 503, "{}", ready.json());
    answer
}

#[tokio::test]
async fn the_type_of_every_problem_is_a_page_on_both_planes() {
    let app = App::start();
    for code in Code::ALL {
        for (who, plane) in [
            (Who::Nobody, &app.at.capture),
            (Who::Billing, &app.at.internal),
        ] {
            let page = app
                .get(who, &format!("{plane}/problems/{}", code.name()))
                .await;
            assert_eq!(page.status, 200);
            assert!(String::from_utf8_lossy(&page.body).contains(code.name()));
        }
    }
    app.get(Who::Nobody, &format!("{}/problems/none", app.at.capture))
        .await
        .problem(404, "not_found");
    assert!(fs::metadata(app.path("cloakroom.db")).is_ok());
}

#[tokio::test]
async fn an_id_of_the_live_environment_is_refused_by_name() {
    let app = App::start();
    let token = app.token(VISA).await;
    let live = token.trim_start_matches("test_");
    let url = format!("{}/v1/tokens/{live}", app.at.internal);
    let problem = app.get(Who::Billing, &url).await.problem(404, "not_found");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("live environment")
    );
    let problem = app.charge(live, "k").await.problem(422, "invalid_request");
    assert_eq!(
        problem["errors"][0],
        json!({"pointer": "/token", "reason": "wrong_environment"})
    );
}
