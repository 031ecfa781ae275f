//! What the processor tells: signed over its raw bytes, once, in any order, and only what is true.

use aws_lc_rs::hmac;
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, Who, eventually, request};

on_both_engines! {
    a_notice_is_believed_for_its_signature_alone,
    a_forged_success_moves_no_charge,
    a_dispute_is_told_and_marked_and_a_repetition_is_not_told_again,
    a_renewed_card_and_a_refund_made_elsewhere_are_taken_over,
    duplicated_shuffled_and_late_notices_change_nothing_twice,
}

impl App {
    fn now_s() -> i64 {
        cloakroom::clock::Clock::system().now().unix_ms() / 1_000
    }

    fn signature(&self, at_s: i64, body: &str) -> String {
        let secret = std::fs::read_to_string(self.path("stripe-webhook.secret")).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.trim().as_bytes());
        let tag = hmac::sign(&key, format!("{at_s}.{body}").as_bytes());
        let hex = tag
            .as_ref()
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        format!("t={at_s},v1={hex}")
    }

    async fn tell(&self, signature: &str, body: &str) -> Answer {
        let url = format!("{}/webhooks/stripe", self.at.capture);
        let headers = [("stripe-signature", signature)];
        self.send(
            Who::Nobody,
            request(Method::POST, &url, &headers, body.to_owned()),
        )
        .await
    }

    pub(crate) async fn tell_signed(&self, event: &Value) -> Answer {
        let body = event.to_string();
        self.tell(&self.signature(Self::now_s(), &body), &body)
            .await
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let url = format!("{}/v1/events?limit=100", self.at.internal);
        let page = self.get(Who::Billing, &url).await.json();
        let data = page["data"].as_array().unwrap();
        data.iter()
            .filter(|event| event["type"] == kind)
            .cloned()
            .collect()
    }
}

fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({ "id": id, "object": "event", "type": kind, "livemode": false, "created": 1,
        "data": { "object": object } })
}

async fn a_notice_is_believed_for_its_signature_alone(engine: Engine) {
    let app = App::on(engine);
    let notice = event("evt_1", "customer.created", &json!({ "id": "cus_1" }));
    let body = notice.to_string();
    let now = App::now_s();
    let good = app.signature(now, &body);
    assert_eq!(app.tell(&good, &body).await.status, 200);
    assert_eq!(
        app.tell(&good, &body).await.status,
        200,
        "a repetition is taken as well"
    );
    // Several signatures, one of which is ours: a secret is being rotated.
    let tag = good.split_once("v1=").unwrap().1;
    let rotated = format!("t={now},v1={},v1={tag},v0=junk", "0".repeat(64));
    assert_eq!(app.tell(&rotated, &body).await.status, 200);
    for (signature, body) in [
        (String::new(), body.clone()),
        ("t=1".to_owned(), body.clone()),
        (format!("t={now},v1={}", "0".repeat(64)), body.clone()),
        (format!("t={now},v0={tag}"), body.clone()),
        (format!("t={},v1={tag}", now + 1), body.clone()),
        (format!("{good},t={now}"), body.clone()),
        (good.clone(), format!("{body} ")),
        (good.clone(), body.replace("cus_1", "cus_2")),
        (app.signature(now - 301, &body), body.clone()),
        (app.signature(now + 302, &body), body.clone()),
        (
            format!("t={now},v1={tag}{}", "x".repeat(5_000)),
            body.clone(),
        ),
    ] {
        app.tell(&signature, &body)
            .await
            .problem(401, "unauthenticated");
    }
    let url = format!("{}/webhooks/stripe", app.at.capture);
    app.call(Who::Nobody, Method::POST, &url, &notice)
        .await
        .problem(401, "unauthenticated");
    for nonsense in ["", "[]", "{}", "null", "{\"id\":1}", "\u{0}"] {
        let signature = app.signature(App::now_s(), nonsense);
        app.tell(&signature, nonsense)
            .await
            .problem(400, "malformed_request");
    }
    let mut live = notice;
    live["livemode"] = json!(true);
    app.tell_signed(&live)
        .await
        .problem(400, "malformed_request");
    let huge = "x".repeat(524_289);
    app.tell(&app.signature(now, &huge), &huge)
        .await
        .problem(413, "body_too_large");
}

async fn a_forged_success_moves_no_charge(engine: Engine) {
    let app = App::on(engine);
    // Stripe's word is asked for, whatever a notice says; here even a signed one lies.
    let token = app.token(VISA).await;
    let order = json!({ "token": token, "amount": 900, "currency": "eur",
        "metadata": { "sandbox_later": "held" } });
    let charge = app.order_charge(&order, "charge-1").await.json();
    assert_eq!(charge["status"], "processing");
    let payment = app.ledger().await["payment_intents"][0]["id"].clone();
    let lie = json!({ "id": payment, "status": "succeeded", "amount_received": 900,
        "metadata": { "cloakroom_charge": charge["id"] } });
    assert_eq!(
        app.tell_signed(&event("evt_lie", "payment_intent.succeeded", &lie))
            .await
            .status,
        200
    );
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let url = format!(
        "{}/v1/charges/{}",
        app.at.internal,
        charge["id"].as_str().unwrap()
    );
    assert_eq!(
        app.get(Who::Billing, &url).await.json()["status"],
        "processing"
    );
    let settle = format!("payment_intents/{}/settle", payment.as_str().unwrap());
    app.sandbox(Method::POST, &settle, &json!({ "outcome": "succeeded" }))
        .await;
    eventually("the processor's own word settles it", async || {
        app.get(Who::Billing, &url).await.json()["status"] == "succeeded"
    })
    .await;
}

async fn a_dispute_is_told_and_marked_and_a_repetition_is_not_told_again(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "charge-1").await.json();
    let id = charge["id"].as_str().unwrap();
    let payment = app.ledger().await["payment_intents"][0]["id"].clone();
    let dispute = json!({ "id": "dp_1", "payment_intent": payment, "amount": 1250,
        "currency": "eur", "reason": "fraudulent", "status": "needs_response" });
    let opened = event("evt_opened", "charge.dispute.created", &dispute);
    for _ in 0..3 {
        assert_eq!(app.tell_signed(&opened).await.status, 200);
    }
    let url = format!("{}/v1/charges/{id}", app.at.internal);
    eventually("the charge is disputed", async || {
        app.get(Who::Billing, &url).await.json()["disputed"] == true
    })
    .await;
    eventually("it is told once", async || {
        app.events("dispute.opened").await.len() == 1
    })
    .await;
    let told = app.events("dispute.opened").await[0].clone();
    assert_eq!(told["data"]["charge"], id);
    assert_eq!(told["data"]["reason"], "fraudulent");
    let mut won = dispute;
    won["status"] = json!("won");
    app.tell_signed(&event("evt_closed", "charge.dispute.closed", &won))
        .await;
    eventually("the charge is not disputed any more", async || {
        app.get(Who::Billing, &url).await.json()["disputed"] == false
    })
    .await;
    eventually("its end is told", async || {
        app.events("dispute.closed").await.len() == 1
    })
    .await;
}

async fn a_renewed_card_and_a_refund_made_elsewhere_are_taken_over(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "charge-1").await.json();
    let ledger = app.ledger().await;
    let method = ledger["payment_methods"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("payment_methods/{method}/update");
    let renewed = json!({ "exp_month": 3, "exp_year": 2039, "last4": "1881" });
    app.sandbox(Method::POST, &path, &renewed).await;
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    eventually("the token has the new card", async || {
        let card = app.get(Who::Billing, &url).await.json()["card"].clone();
        card["exp_year"] == 2039 && card["last4"] == "1881" && card["exp_month"] == 3
    })
    .await;
    eventually("it is told", async || {
        app.events("token.updated").await.len() == 1
    })
    .await;

    let payment = ledger["payment_intents"][0]["id"].clone();
    // Somebody gives some of it back at the processor; events about it that come twice, late and
    // with another state are no more than the reason to look.
    let form = format!("payment_intent={}&amount=250", payment.as_str().unwrap());
    let made = app.dashboard(Method::POST, "refunds", &form).await;
    let refund = |status: &str| {
        json!({ "id": made["id"], "payment_intent": payment, "amount": 250, "currency": "eur",
            "status": status, "metadata": {} })
    };
    app.tell_signed(&event("evt_r2", "refund.updated", &refund("succeeded")))
        .await;
    app.tell_signed(&event("evt_r1", "refund.created", &refund("pending")))
        .await;
    let id = charge["id"].as_str().unwrap();
    let url = format!("{}/v1/charges/{id}", app.at.internal);
    eventually("the refund is taken over", async || {
        app.get(Who::Billing, &url).await.json()["amount_refunded"] == 250
    })
    .await;
    let url = format!("{}/v1/refunds?charge={id}", app.at.internal);
    let refunds = app.get(Who::Billing, &url).await.json();
    assert_eq!(refunds["data"].as_array().unwrap().len(), 1, "{refunds}");
    assert_eq!(refunds["data"][0]["status"], "succeeded");
}

async fn duplicated_shuffled_and_late_notices_change_nothing_twice(engine: Engine) {
    let app = App::on(engine);
    let manner = json!({ "webhooks": { "duplicates": 2, "reorder_window": 8, "delay_ms": 200,
        "seed": 7 }, "later_ms": 300, "payments": "succeeded" });
    app.sandbox(Method::POST, "settings", &manner).await;
    let token = app.token(VISA).await;
    let mut charges = Vec::new();
    for number in 0..8 {
        let answer = app.charge(&token, &format!("charge-{number}")).await;
        charges.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    eventually("every charge is settled and told once", async || {
        let told = app.events("charge.succeeded").await;
        charges.iter().all(|charge| {
            told.iter()
                .filter(|event| event["data"]["id"] == charge.as_str())
                .count()
                == 1
        })
    })
    .await;
    eventually("all mail has arrived", async || {
        app.ledger().await["webhooks"]["waiting"] == 0
    })
    .await;
    assert_eq!(app.events("charge.succeeded").await.len(), charges.len());
}
