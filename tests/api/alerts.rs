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

#[tokio::test]
async fn a_test_alert_goes_every_way_and_each_is_told_of() {
    let (pager, desk) = (Receiver::start().await, Receiver::start().await);
    desk.then(Reply::status(503));
    let one = |receiver: &Receiver| destination(receiver, ",allow_private_addresses=true");
    let (pagers, desks) = (one(&pager), one(&desk).replace("\"pager\"", "\"desk\""));
    let both = format!(
        "{},{}",
        pagers.trim_end_matches(']'),
        desks.trim_start_matches('[')
    );
    let app = App::start();
    let run = async |to: &str, more: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command
            .args(["alerts", "test", "--config"])
            .arg(app.path("cloakroom.toml"))
            .args(more.split_whitespace())
            .env("CLOAKROOM__ALERTS__WEBHOOKS", to);
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
        let ran = ran.await.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
        (ran.status.code(), said, complaint)
    };
    let (code, said, complaint) = run(&both, "").await;
    assert_eq!(code, Some(69), "{said}{complaint}");
    assert!(said.contains("ok   pager: 200"), "{said}");
    assert!(said.contains("fail desk: 503"), "{said}");
    assert!(complaint.contains("1 of 2 did not take"), "{complaint}");
    let arrived = pager.taken();
    assert_eq!(arrived.len(), 1);
    let data = &arrived[0]["data"];
    assert_eq!(
        (&data["name"], &data["severity"]),
        (&"test".into(), &"page".into())
    );

    let (code, said, complaint) = run(&pagers, "--json").await;
    assert_eq!(code, Some(0), "{complaint}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["destinations"][0]["taken"], true, "{told}");
    // Nobody to tell is no success.
    let (code, _, complaint) = run("[]", "").await;
    assert_eq!(code, Some(78), "{complaint}");
}
