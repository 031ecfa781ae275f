//! Both planes' contracts, read by others: a validator of OpenAPI, and schemathesis as a client that
//! tries what the documents allow and what they do not.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{cloakroom, file, must_succeed, program, told};
use crate::support::{App, VISA, Who, card, request};

/// Approved at set-up, declined at every charge.
const DECLINED_AT_CHARGE: &str = "4000000000000341";

#[test]
fn both_documents_are_valid_openapi_3_1() {
    let dir = TempDir::new().unwrap();
    for plane in ["capture", "internal"] {
        let printed = cloakroom(&["openapi".as_ref(), "--plane".as_ref(), plane.as_ref()])
            .output()
            .unwrap();
        let path = dir.path().join(format!("{plane}.json"));
        std::fs::write(&path, &printed.stdout).unwrap();
        let mut validator = program("openapi-spec-validator");
        validator.args(["--schema", "3.1"]);
        must_succeed(validator.arg(&path));

        // The validator does refuse: without its title the document is none.
        let mut document: Value = serde_json::from_slice(&printed.stdout).unwrap();
        document["info"].as_object_mut().unwrap().remove("title");
        std::fs::write(&path, document.to_string()).unwrap();
        let output = validator.output().unwrap();
        assert!(!output.status.success(), "{}", told(&output));
    }
}

/// How often each (method, route, status) was answered, as the plane's own metrics say.
async fn answered(app: &App, plane: &str) -> BTreeMap<(String, String, u16), u64> {
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let text = String::from_utf8(metrics.body).unwrap();
    let label = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    text.lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
        .filter(|line| line.contains(&format!("\"{plane}\"")))
        .filter_map(|line| {
            let key = (
                label(line, "http_request_method")?,
                label(line, "http_route")?,
                label(line, "http_response_status_code")?.parse().ok()?,
            );
            Some((key, line.rsplit(' ').next()?.parse().ok()?))
        })
        .collect()
}

/// A token of a customer of its own, so that the same card is another token.
async fn token_of_its_own(app: &App, number: &str, customer: usize) -> String {
    let order = json!({ "customer_ref": format!("customer-{customer}") });
    let session = app.order_session(&order).await.json();
    let secret = session["client_secret"].as_str().unwrap();
    let made = app.post_card(secret, &card(number), &[]).await;
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Runs schemathesis against a plane of that app, with every check, and wants it to find nothing.
async fn exercise(app: &App, plane: &str, url: &str) -> BTreeMap<(String, String, u16), u64> {
    // Many, because a fuzzer that walks from operation to operation deletes what it has read.
    let mut tokens = Vec::new();
    for number in [VISA, DECLINED_AT_CHARGE].repeat(10) {
        tokens.push(token_of_its_own(app, number, tokens.len()).await);
    }
    let doomed = tokens.split_off(16);
    let charge = app.charge(&tokens[0], "before").await.json();
    let mut held = Vec::new();
    for number in 0..16 {
        let order =
            json!({ "token": tokens[0], "amount": 900, "currency": "eur", "capture": false });
        let made = app.order_charge(&order, &format!("held-{number}")).await;
        held.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let refunds = format!("{}/v1/refunds", app.at.internal);
    let order = json!({ "charge": charge["id"], "amount": 1 }).to_string();
    let headers = [("idempotency-key", "refund-before")];
    let order = request(hyper::Method::POST, &refunds, &headers, order);
    let refund = app.send(Who::Billing, order).await.json();
    let work = TempDir::new().unwrap();
    let at = |name: &str| app.path(name);
    let mut schemathesis = program("schemathesis");
    schemathesis
        .arg("--config-file")
        .arg(file("schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json"), "--tls-verify"])
        .arg(at("ca.pem"))
        .arg("--request-cert")
        .arg(at("client-billing.pem"))
        .arg("--request-cert-key")
        .arg(at("client-billing.key"))
        // It leaves its memory of earlier runs in the directory where it runs.
        .current_dir(work.path())
        .env("SCHEMATHESIS_HOOKS", file("schemathesis_hooks.py"))
        .env("CLOAKROOM_DIR", app.dir.path())
        .env("CLOAKROOM_INTERNAL", &app.at.internal)
        .env("CLOAKROOM_TOKENS", tokens.join(" "))
        .env("CLOAKROOM_DOOMED", doomed.join(" "))
        .env("CLOAKROOM_CHARGES", charge["id"].as_str().unwrap())
        .env("CLOAKROOM_HELD", held.join(" "))
        .env("CLOAKROOM_REFUNDS", refund["id"].as_str().unwrap());
    // In a thread of its own: the app's clients need this one.
    let told = tokio::task::spawn_blocking(move || must_succeed(&mut schemathesis))
        .await
        .unwrap();
    assert!(
        told.contains(" passed"),
        "it says that it has done something"
    );
    let answered = answered(app, plane).await;
    for ((method, route, status), count) in &answered {
        println!("{count:5} {status} {method} {route}");
    }
    let errors = answered.keys().find(|(_, _, status)| *status >= 500);
    assert_eq!(errors, None);
    answered
}

/// What a run must have reached to have been worth it.
fn reached(
    answered: &BTreeMap<(String, String, u16), u64>,
    method: &str,
    route: &str,
    statuses: &[u16],
) {
    for status in statuses {
        let key = (method.to_owned(), route.to_owned(), *status);
        assert!(answered.contains_key(&key), "{key:?} was never reached");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_on_the_capture_plane() {
    // A fuzzer reports more in a minute than is taken in an hour.
    let budgets = ["OF_AN_ADDRESS_PER_HOUR", "PER_HOUR"];
    let budgets = budgets.map(|budget| format!("CLOAKROOM__LIMITS__REPORTS_{budget}_MAX"));
    let budgets = budgets.each_ref().map(|name| (name.as_str(), "1000000"));
    let app = App::start_with(&[], &budgets);
    let url = app.at.capture.clone();
    let answered = exercise(&app, "capture", &url).await;
    reached(&answered, "POST", "/v1/tokens", &[201, 202, 401, 415, 422]);
    reached(&answered, "GET", "/problems/{code}", &[200, 404]);
    reached(&answered, "POST", "/webhooks/stripe", &[200, 401]);
    reached(&answered, "POST", "/v1/reports", &[201, 415, 422]);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_on_the_internal_plane() {
    // Here one client may do what else takes a custodian.
    let client = |name: &str, scopes: &str| {
        format!("{{san=\"spiffe://cloakroom.dev/{name}\",account=\"default\",scopes=[{scopes}]}}")
    };
    let clients = [
        client("checkout", r#""sessions:create","tokens:attach""#),
        client(
            "billing",
            r#""tokens:read","charges:create","charges:read","refunds:create","events:read""#,
        ),
        client(
            "admin",
            r#""tokens:read","tokens:delete","reports:read","status:read","keys:status","keys:unseal""#,
        ),
    ];
    let clients = format!("[{}]", clients.join(","));
    let app = App::start_with(&[], &[("CLOAKROOM__CLIENTS", &clients)]);
    let url = app.at.internal.clone();
    let answered = exercise(&app, "internal", &url).await;
    reached(
        &answered,
        "POST",
        "/v1/capture_sessions",
        &[201, 400, 415, 422],
    );
    reached(&answered, "POST", "/v1/charges", &[201, 400, 402, 415, 422]);
    reached(&answered, "GET", "/v1/charges/{id}", &[200]);
    reached(&answered, "GET", "/v1/charges", &[200, 422]);
    reached(&answered, "POST", "/v1/charges/{id}/capture", &[200, 422]);
    reached(&answered, "POST", "/v1/charges/{id}/cancel", &[200, 422]);
    reached(&answered, "POST", "/v1/refunds", &[201, 422]);
    reached(&answered, "GET", "/v1/refunds/{id}", &[200]);
    reached(&answered, "GET", "/v1/events", &[200]);
    reached(&answered, "GET", "/v1/reports", &[200, 422]);
    reached(&answered, "GET", "/v1/tokens", &[200, 422]);
    reached(&answered, "GET", "/v1/tokens/{id}", &[200]);
    reached(&answered, "DELETE", "/v1/tokens/{id}", &[200, 410]);
    reached(&answered, "GET", "/status", &[200]);
    reached(&answered, "GET", "/v1/keys/seal_status", &[200]);
    reached(&answered, "GET", "/.well-known/jwks.json", &[200]);
}
