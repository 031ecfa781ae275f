//! Webhooks: who is told, over what connection, how often, signed how.

use serde_json::json;

use super::receiver::Receiver;
use super::*;

const SIGNING: &str = "whsec_of_the_test";

impl Stage {
    /// Registers the receiver for events of those kinds.
    async fn tell(&self, receiver: &Receiver, kinds: &[&str]) -> Value {
        let order = json!({"url": receiver.url, "secret": SIGNING, "enabled_events": kinds});
        self.control("webhooks", &order.to_string()).await
    }

    /// Waits until no mail is on its way, and answers what became of it.
    async fn tally(&self) -> Value {
        for _ in 0..500 {
            let webhooks = self.ledger().await["webhooks"].take();
            if webhooks["waiting"] == 0 {
                return webhooks["tally"].clone();
            }
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the mail does not end");
    }
}

#[actix_web::test]
async fn an_event_is_delivered_signed_and_as_it_is_listed() {
    let stage = Stage::open();
    let receiver = Receiver::open(&stage);
    stage.tell(&receiver, &["payment_intent.succeeded"]).await;
    let order = stage.order("4242424242424242").await;
    let paid = stage
        .post_keyed("/v1/payment_intents", &order, "order-7")
        .await;
    let received = receiver.wait_for(1).await.remove(0);

    let time = received.verify(SIGNING).unwrap();
    assert_eq!(time, stage.clock.now().unix_ms() / 1_000);
    assert!(received.verify("whsec_another").is_err());
    let mut forged = received.clone();
    forged.text = forged.text.replace("1250", "1251");
    assert!(forged.verify(SIGNING).is_err());

    let event = received.event();
    let id = event["id"].as_str().unwrap();
    assert!(id.starts_with("evt_"));
    assert_eq!(event["object"], "event");
    assert_eq!(event["api_version"], "2026-09-30.endive");
    assert_eq!(event["livemode"], false);
    assert_eq!(event["created"], time);
    assert_eq!(event["data"]["object"], paid.body);
    assert_eq!(event["data"].get("previous_attributes"), None);
    assert_eq!(event["pending_webhooks"], 1);
    let request = &event["request"];
    assert_eq!(request["idempotency_key"], "order-7");
    assert_eq!(request["id"], paid.header("request-id").unwrap());

    stage.tally().await;
    let mut listed = stage.get(&format!("/v1/events/{id}")).await.body;
    assert_eq!(listed["pending_webhooks"], 0);
    listed["pending_webhooks"] = json!(1);
    assert_eq!(listed, event);
}

#[actix_web::test]
async fn an_endpoint_registered_over_stripes_wire_is_told_its_secret_once() {
    let stage = Stage::open();
    let receiver = Receiver::open(&stage);
    let form = format!(
        "url={}&enabled_events[]=customer.created&enabled_events[]=charge.*&metadata[a]=b",
        receiver.url
    );
    let made = stage.post("/v1/webhook_endpoints", &form).await;
    let path = format!("/v1/webhook_endpoints/{}", made.id());
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 38);
    assert_eq!(made.body["status"], "enabled");
    assert_eq!(
        made.body["enabled_events"],
        json!(["customer.created", "charge.*"])
    );
    let read = stage.get(&path).await.body;
    assert_eq!((&read["id"], read.get("secret")), (&made.body["id"], None));

    stage.charge_off_session("4242424242424242").await.id();
    let received = receiver.wait_for(2).await;
    assert!(
        received
            .iter()
            .all(|received| received.verify(&secret).is_ok())
    );
    let mut kinds: Vec<_> = received.iter().map(receiver::Received::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["charge.succeeded", "customer.created"]);

    let off = stage.post(&path, "disabled=true").await;
    assert_eq!(off.body["status"], "disabled");
    stage.customer().await;
    let on = stage
        .post(&path, "disabled=false&enabled_events[]=customer.created")
        .await;
    assert_eq!(on.body["enabled_events"], json!(["customer.created"]));
    stage.charge_off_session("4242424242424242").await.id();
    assert_eq!(receiver.wait_for(3).await.len(), 3);

    assert_eq!(stage.ids("/v1/webhook_endpoints").await.0, [made.id()]);
    let gone = stage.send(stage.request("DELETE", &path, "")).await;
    assert_eq!(gone.body["deleted"], true);
    assert_eq!(stage.get(&path).await.status, 404);
    stage.customer().await;
    stage.tally().await;
    assert_eq!(receiver.received().len(), 3);
}

#[actix_web::test]
async fn an_endpoint_that_is_none_is_refused() {
    let stage = Stage::open();
    for (form, param) in [
        ("enabled_events[]=*", "url"),
        ("url=https://shop.example/hook", "enabled_events"),
        ("url=http://shop.example/hook&enabled_events[]=*", "url"),
        ("url=shop&enabled_events[]=*", "url"),
        (
            "url=https://shop.example/&enabled_events[]=a%20b",
            "enabled_events",
        ),
    ] {
        let answer = stage.post("/v1/webhook_endpoints", form).await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!(param)),
            "{form}"
        );
    }
    for order in [
        json!({"url": "http://127.0.0.1:1/"}),
        json!({"url": "https://127.0.0.1:1/", "ca_pem": "no certificate"}),
        json!({"url": "https://127.0.0.1:1/", "surprise": 1}),
    ] {
        let answer = stage.post("/_sandbox/webhooks", &order.to_string()).await;
        assert_eq!(answer.status, 400, "{order}");
    }
    let order = json!({"url": "https://127.0.0.1:1/"}).to_string();
    for _ in 0..16 {
        stage.control("webhooks", &order).await;
    }
    assert_eq!(stage.post("/_sandbox/webhooks", &order).await.status, 400);
    let request = stage.request("DELETE", "/_sandbox/webhooks", "");
    assert_eq!(stage.send(request).await.body["endpoints"], json!([]));
    assert_eq!(
        stage.get("/_sandbox/webhooks").await.body["endpoints"],
        json!([])
    );
}

#[actix_web::test]
async fn an_authority_comes_with_the_endpoint_or_the_endpoint_is_not_trusted() {
    let stage = Stage::open();
    let (stranger, pem) = Receiver::stranger();
    let order = json!({"url": stranger.url, "secret": SIGNING}).to_string();
    stage.control("webhooks", &order).await;
    stage.customer().await;
    let tally = loop {
        let tally = stage.ledger().await["webhooks"]["tally"].take();
        if tally["refused"] != 0 {
            break tally;
        }
    };
    assert_eq!(tally["delivered"], 0);
    stage
        .send(stage.request("DELETE", "/_sandbox/webhooks", ""))
        .await;

    let order = json!({"url": stranger.url, "secret": SIGNING, "ca_pem": pem}).to_string();
    stage.control("webhooks", &order).await;
    let customer = stage.customer().await;
    let received = stranger.wait_for(1).await;
    assert_eq!(
        received[0].event()["data"]["object"]["id"],
        customer.as_str()
    );
    assert_eq!(received.len(), 1);
}

#[actix_web::test]
async fn what_is_not_taken_is_sent_again_and_a_redirect_is_not_followed() {
    let stage = Stage::open();
    let receiver = Receiver::open(&stage);
    stage.tell(&receiver, &[]).await;
    receiver.answer([500, 302]);
    stage.customer().await;
    let received = receiver.wait_for(3).await;
    assert_eq!(received[0].text, received[2].text);
    assert!(received[2].verify(SIGNING).is_ok());
    let tally = stage.tally().await;
    assert_eq!(
        (&tally["refused"], &tally["delivered"]),
        (&json!(2), &json!(1))
    );
}

#[actix_web::test]
async fn a_bad_postman_duplicates_shuffles_and_loses() {
    let stage = Stage::open();
    let receiver = Receiver::open(&stage);
    stage.tell(&receiver, &["customer.created"]).await;
    stage
        .settings(r#"{"webhooks":{"duplicates":1,"reorder_window":6,"seed":3}}"#)
        .await;
    for _ in 0..3 {
        stage.customer().await;
    }
    let received = receiver.wait_for(6).await;
    let mut ids: Vec<_> = received
        .iter()
        .map(|r| r.event()["id"].to_string())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((received.len(), ids.len()), (6, 3));
    stage.tally().await;

    stage.settings(r#"{"webhooks":{"drop_percent":100}}"#).await;
    stage.customer().await;
    stage.settings(r#"{"webhooks":{"stopped":true}}"#).await;
    stage.customer().await;
    let webhooks = stage.ledger().await["webhooks"].take();
    assert_eq!(
        (&webhooks["waiting"], &webhooks["tally"]["dropped"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(receiver.received().len(), 6);
    stage.settings(r#"{"webhooks":{}}"#).await;
    assert_eq!(receiver.wait_for(7).await.len(), 7);
    let refused = stage
        .post("/_sandbox/settings", r#"{"webhooks":{"drop_percent":101}}"#)
        .await;
    assert_eq!(refused.status, 400);
}

#[actix_web::test]
async fn an_event_is_sent_once_more_when_asked() {
    let stage = Stage::open();
    let receiver = Receiver::open(&stage);
    stage.tell(&receiver, &["customer.created"]).await;
    stage.customer().await;
    let first = receiver.wait_for(1).await.remove(0);
    let id = first.event()["id"].as_str().unwrap().to_owned();
    stage.clock.advance(600_000);
    stage.control(&format!("events/{id}/resend"), "").await;
    let second = receiver.wait_for(2).await.remove(1);
    assert_eq!(first.text, second.text);
    let then = first.verify(SIGNING).unwrap();
    assert_eq!(second.verify(SIGNING).unwrap().checked_sub(then), Some(600));
    assert_eq!(
        stage.post("/_sandbox/events/evt_x/resend", "").await.status,
        404
    );
}
