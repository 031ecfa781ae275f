//! Alerts over the wire: raised durably, told by signed webhook, again where a try fails.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::receiver::{Receiver, Reply};
use crate::support::{App, Who, eventually};

on_both_engines! {
    an_alert_arrives_signed_and_again_under_its_id_where_a_try_failed,
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) async fn report(app: &App) -> String {
    let url = format!("{}/v1/reports", app.at.capture);
    let body = json!({ "about": "abuse", "message": "A shop of yours takes stolen cards." });
    let answer = app.call(Who::Nobody, Method::POST, &url, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Where alerts go, in the configuration's words.
pub(crate) fn destination(receiver: &Receiver, more: &str) -> String {
    let secret = receiver.secret_file("alerts", SECRET);
    let table = receiver.table("pager", &[secret], more);
    format!("[{}]", table.replace("account=\"default\",", ""))
}

async fn an_alert_arrives_signed_and_again_under_its_id_where_a_try_failed(engine: Engine) {
    let receiver = Receiver::start().await;
    receiver.then(Reply::status(503));
    let to = destination(&receiver, ",allow_private_addresses=true");
    let app = App::on_with(engine, &[], &[("CLOAKROOM__ALERTS__WEBHOOKS", &to)]);
    let ticket = report(&app).await;
    eventually("the alert arrives", async || receiver.taken().len() == 1).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 2, "once refused, once taken");
    assert_eq!(
        arrived[0].header("webhook-id"),
        arrived[1].header("webhook-id")
    );
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let [id, timestamp, signature] = headers.map(|name| arrived[1].header(name));
    let key = cloakroom::webhooks::VerifyingKey::parse(SECRET).unwrap();
    let headers = cloakroom::webhooks::Headers {
        id,
        timestamp,
        signature,
    };
    let now = cloakroom::clock::Clock::system().now();
    cloakroom::webhooks::verify(&[key], &headers, &arrived[1].body, now).unwrap();

    let body = arrived[1].json();
    assert_eq!(body["type"], "alert.raised");
    let data = &body["data"];
    assert_eq!(data["id"], id);
    assert_eq!(
        (&data["name"], &data["severity"]),
        (&json!("report_taken"), &json!("page"))
    );
    assert_eq!(
        (&data["subject"], &data["environment"]),
        (&json!(ticket), &json!("test"))
    );
    assert!(
        data["next_step"]
            .as_str()
            .unwrap()
            .contains("GET /v1/reports")
    );
    assert!(
        !body.to_string().contains("stolen"),
        "a stranger's words stay here"
    );
}

#[tokio::test]
async fn alerts_go_to_no_private_address_and_no_redirect_is_followed() {
    let receiver = Receiver::start().await;
    let to = destination(&receiver, "");
    let app = App::start_with(&[], &[("CLOAKROOM__ALERTS__WEBHOOKS", &to)]);
    report(&app).await;
    let metric = async |app: &App, outcome: &str| {
        let url = format!("{}/metrics", app.at.ops);
        let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
        let name = format!("cloakroom_alert_deliveries_total{{outcome=\"{outcome}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap().to_owned()
    };
    eventually("it was tried", async || metric(&app, "failed").await != "0").await;
    assert_eq!(receiver.connections(), 0);
    drop(app);

    let port = receiver.port;
    receiver.then(Reply::Status(
        302,
        format!("location: https://localhost:{port}/elsewhere\r\n"),
    ));
    let to = destination(&receiver, ",allow_private_addresses=true");
    let app = App::start_with(&[], &[("CLOAKROOM__ALERTS__WEBHOOKS", &to)]);
    report(&app).await;
    eventually("it was tried", async || metric(&app, "failed").await != "0").await;
    let paths: Vec<_> = receiver.arrived().into_iter().map(|one| one.path).collect();
    assert!(
        paths.iter().all(|path| path == "/hooks?for=pager"),
        "{paths:?}"
    );
    let _kept: Vec<Value> = receiver.taken();
}
