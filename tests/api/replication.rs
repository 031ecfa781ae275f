//! The promise of copies: kept, broken and kept again.

use serde_json::{Value, json};

use crate::support::postgres::Server;
use crate::support::{App, VISA, Who, eventually};

/// A promise of two copies that is broken: not ready, and nothing is taken; kept again, all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_replicas_make_the_service_unready_and_refuse_writes() {
    let mut primary = Server::start();
    let mut copy = primary.standby("copy");
    primary.kill();
    primary.run(&["synchronous_standby_names=copy"]);
    let store = primary.store_file();
    let text = std::fs::read_to_string(&store).unwrap() + "require_synchronous_replicas = 1\n";
    std::fs::write(&store, text).unwrap();
    let app = App::start_with(&["--store", store.to_str().unwrap()], &[]);
    let ready = async || {
        let url = format!("{}/readyz", app.at.ops);
        let answer = app.get(Who::Nobody, &url).await;
        let checks = answer.json()["checks"].as_array().unwrap().clone();
        let named = |check: &&Value| check["name"] == "replication";
        let state = checks.iter().find(named).unwrap()["state"].clone();
        (answer.status, state)
    };
    assert_eq!(ready().await, (200, json!("ok")));
    let token = app.token(VISA).await;

    copy.kill();
    eventually("the copy is missed", async || {
        ready().await == (503, json!("failed"))
    })
    .await;
    let refused = app.charge(&token, "k").await;
    refused.problem(503, "store_unavailable");
    assert!(refused.header("retry-after").is_some());
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "cloakroom_store_synchronous_replicas{kind=\"attached\"} 0",
        "cloakroom_store_synchronous_replicas{kind=\"required\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }

    copy.run(&["cluster_name=copy"]);
    eventually("the copy is back", async || {
        ready().await == (200, json!("ok"))
    })
    .await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
}
