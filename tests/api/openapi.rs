//! Both planes' OpenAPI documents: what they are is written down, and changes only on purpose.

use std::path::Path;

use hyper::Method;
use serde_json::Value;

use crate::cli::run;
use crate::support::{App, Who, client, read, request};

const PLANES: [&str; 2] = ["capture", "internal"];

fn printed(plane: &str) -> String {
    let output = run(&["openapi", "--plane", plane]);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Every operation of a document: (path, method, operation).
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
        })
        .collect()
}

#[test]
fn the_contract_is_what_the_snapshot_says() {
    for plane in PLANES {
        let now = printed(plane);
        let name = format!("tests/snapshots/openapi-{plane}.json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let then = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = now
            .lines()
            .zip(then.lines())
            .position(|(now, then)| now != then)
            .unwrap_or_else(|| now.lines().count().min(then.lines().count()));
        let line = |text: &str| text.lines().nth(differs).unwrap_or("(end)").to_owned();
        assert!(
            now == then,
            "the {plane} plane's contract has changed, first at line {}:\n  snapshot: {}\n  now:      {}\n\
             If that is meant, and clients can live with it, renew the snapshot:\n  \
             cargo run -- openapi --plane {plane} > {name}",
            differs + 1,
            line(&then),
            line(&now),
        );
    }
}

/// What a generator of clients needs beside paths: where, by what right, in which group; constants
/// and known names, and what is posted to endpoints.
#[test]
fn a_generated_client_knows_servers_tags_credentials_names_and_webhooks() {
    for plane in PLANES {
        let document: Value = serde_json::from_str(&printed(plane)).unwrap();
        let server = document["servers"][0]["url"].as_str().unwrap();
        assert!(server.starts_with("https://"), "{server}");
        let named: Vec<&Value> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        for (path, method, operation) in operations(&document) {
            let tags = operation["tags"].as_array().unwrap();
            assert_eq!(tags.len(), 1, "{method} {path}");
            assert!(named.contains(&&tags[0]), "{method} {path}: {tags:?}");
        }
        let problem = &document["components"]["schemas"]["ProblemDocument"]["properties"];
        let codes = problem["code"]["anyOf"][0]["enum"].as_array().unwrap();
        assert!(codes.contains(&"idempotency_mismatch".into()), "{codes:?}");
        // The open tail: a code of a later version is read, too.
        assert_eq!(problem["code"]["anyOf"][1]["type"], "string");
    }
    let internal: Value = serde_json::from_str(&printed("internal")).unwrap();
    assert_eq!(
        internal["components"]["securitySchemes"]["client_certificate"]["type"],
        "mutualTLS"
    );
    let schemas = &internal["components"]["schemas"];
    let charge = &schemas["Charge"]["properties"];
    assert_eq!(charge["object"]["const"], "charge");
    let statuses = charge["status"]["anyOf"][0]["enum"].as_array().unwrap();
    // Every status has its event, and the event the type of its data.
    for status in statuses {
        let kind = format!("charge.{}", status.as_str().unwrap());
        let body = &internal["webhooks"][&kind]["post"]["requestBody"]["content"];
        let schema = body["application/json"]["schema"]["$ref"].as_str().unwrap();
        assert_eq!(schema, "#/components/schemas/ChargeEvent", "{kind}");
    }
    let data = &schemas["ChargeEvent"]["allOf"][1]["properties"]["data"]["$ref"];
    assert_eq!(data, "#/components/schemas/Charge");
    assert!(internal["webhooks"]["dispute.opened"].is_object());
}

#[test]
fn no_operation_hides_a_status_behind_default() {
    for plane in PLANES {
        let document: Value = serde_json::from_str(&printed(plane)).unwrap();
        for (path, method, operation) in operations(&document) {
            let responses = operation["responses"].as_object().unwrap();
            assert!(!responses.contains_key("default"), "{method} {path}");
            assert!(responses.contains_key("500"), "{method} {path}");
            for (status, response) in responses {
                let told = response["description"].as_str().unwrap_or_default();
                assert!(!told.is_empty(), "{method} {path} {status} says nothing");
                if status.starts_with(['4', '5']) {
                    let content = response["content"].as_object().unwrap();
                    assert!(content.keys().eq(["application/problem+json"]), "{path}");
                }
            }
        }
    }
}

/// A document that does not name a path that is served, or names one that is not, is a wrong one.
#[tokio::test]
async fn each_documented_operation_is_served_and_the_served_document_is_the_printed_one() {
    let app = App::start();
    for (plane, at) in [("capture", &app.at.capture), ("internal", &app.at.internal)] {
        let document: Value = serde_json::from_str(&printed(plane)).unwrap();
        // Not through the app, which takes the document's example of a card for a leaked one.
        let url = format!("{at}/openapi.json");
        let request = request(Method::GET, &url, &[], String::new());
        let served = read(&client(app.dir.path(), Who::Billing), request)
            .await
            .unwrap();
        assert_eq!(served.json(), document);
        for (path, method, _) in operations(&document) {
            let url = format!(
                "{at}{}",
                path.replace("{id}", "x").replace("{code}", "internal")
            );
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = app.call(Who::Admin, method, &url, &Value::Null).await;
            assert_ne!(answer.status, 405, "{path}");
            if answer.status == 404 {
                // The id is not found; a path that is not served would not ask for a grant.
                assert!(path.contains("{id}"), "{path}");
            }
        }
    }
}
