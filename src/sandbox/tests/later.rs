//! What settles later: payments that are `processing`, refunds that are `pending`.

use serde_json::json;

use super::*;

impl Stage {
    async fn slow_charge(&self, how: &str) -> Answer {
        self.settings(r#"{"later_ms":400}"#).await;
        let order = self.order("4242424242424242").await;
        let order = format!("{order}&metadata[sandbox_later]={how}");
        self.post("/v1/payment_intents", &order).await
    }

    async fn refund(&self, number: &str, more: &str) -> (Answer, String) {
        let paid = self.charge_off_session(number).await;
        let form = format!("payment_intent={}{more}", paid.id());
        let charge = paid.body["latest_charge"].as_str().unwrap().to_owned();
        (self.post("/v1/refunds", &form).await, charge)
    }
}

#[actix_web::test]
async fn a_payment_is_processing_and_then_succeeds_or_fails() {
    let stage = Stage::open();
    let good = stage.slow_charge("succeeded").await;
    let bad = stage.slow_charge("failed").await;
    for answer in [&good, &bad] {
        assert_eq!(answer.body["status"], "processing", "{}", answer.text);
        assert_eq!(answer.body["amount_received"], 0);
        let charge = answer.body["latest_charge"].as_str().unwrap();
        let charge = stage.get(&format!("/v1/charges/{charge}")).await.body;
        let told = (&charge["status"], &charge["paid"], &charge["captured"]);
        assert_eq!(told, (&json!("pending"), &json!(false), &json!(false)));
    }
    let path = format!("/v1/payment_intents/{}", good.id());
    let ended = stage.becomes(&path, "succeeded").await;
    assert_eq!(ended["amount_received"], 1250);
    assert_eq!(
        stage.kinds(&good.id()).await,
        [
            "payment_intent.created",
            "payment_intent.processing",
            "payment_intent.succeeded"
        ]
    );
    let path = format!("/v1/payment_intents/{}", bad.id());
    let ended = stage.becomes(&path, "requires_payment_method").await;
    let error = &ended["last_payment_error"];
    assert_eq!(error["decline_code"], "generic_decline");
    let told = stage.told(&bad.id()).await;
    assert_eq!(told[2]["type"], "payment_intent.payment_failed");
    assert_eq!(told[2]["request"]["id"], Value::Null);
    let charge = bad.body["latest_charge"].as_str().unwrap();
    assert_eq!(
        stage.kinds(charge).await,
        ["charge.pending", "charge.failed"]
    );
    let made = stage.ledger().await["made"].take();
    let made = (&made["charges_succeeded"], &made["charges_failed"]);
    assert_eq!(made, (&json!(1), &json!(1)));
}

#[actix_web::test]
async fn while_a_payment_is_processing_nothing_else_can_be_done_with_it() {
    let stage = Stage::open();
    let held = stage.slow_charge("held").await;
    let path = format!("/v1/payment_intents/{}", held.id());
    for verb in ["confirm", "capture", "cancel"] {
        let answer = stage.post(&format!("{path}/{verb}"), "").await;
        let code = "payment_intent_unexpected_state";
        assert_eq!(answer.refusal(), (400, "invalid_request_error", code));
        assert_eq!(answer.error()["payment_intent"]["status"], "processing");
    }
    let refund = stage
        .post("/v1/refunds", &format!("payment_intent={}", held.id()))
        .await;
    assert_eq!(refund.status, 400);

    let settle = format!("payment_intents/{}/settle", held.id());
    let ended = stage.control(&settle, r#"{"outcome":"succeeded"}"#).await;
    assert_eq!(ended["status"], "succeeded");
    let again = stage
        .post(&format!("/_sandbox/{settle}"), r#"{"outcome":"failed"}"#)
        .await;
    assert_eq!(again.status, 400);
    assert_eq!(stage.get(&path).await.body["status"], "succeeded");
}

#[actix_web::test]
async fn a_switch_makes_all_payments_slow_and_a_held_one_can_be_captured_after_it() {
    let stage = Stage::open();
    stage
        .settings(r#"{"payments":"succeeded","later_ms":30}"#)
        .await;
    let order = stage.order("4242424242424242").await;
    let order = format!("{order}&capture_method=manual");
    let slow = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(slow.body["status"], "processing");
    let path = format!("/v1/payment_intents/{}", slow.id());
    stage.becomes(&path, "requires_capture").await;
    let taken = stage.post(&format!("{path}/capture"), "").await;
    assert_eq!(taken.body["status"], "succeeded");
    let order = format!("{order}&metadata[sandbox_later]=at_once");
    let quick = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(quick.body["status"], "requires_capture");
    // A decline is a decline, however slow.
    let refused = stage.charge_off_session("4000000000000002").await;
    assert_eq!(refused.status, 402);
}

#[actix_web::test]
async fn the_published_card_refunds_slowly() {
    let stage = Stage::open();
    stage.settings(r#"{"later_ms":400}"#).await;
    let (refund, charge) = stage.refund("4000000000007726", "").await;
    assert_eq!(refund.body["status"], "pending");
    assert_eq!(refund.body["pending_reason"], "processing");
    let read = stage.get(&format!("/v1/charges/{charge}")).await.body;
    assert_eq!(
        (&read["amount_refunded"], &read["refunded"]),
        (&json!(1250), &json!(true))
    );
    let path = format!("/v1/refunds/{}", refund.id());
    stage.becomes(&path, "succeeded").await;
    let told = stage.told(&refund.id()).await;
    let kinds: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["refund.created", "refund.updated"]);
    let before = json!({"status": "pending"});
    assert_eq!(told[1]["data"]["previous_attributes"], before);
}

#[actix_web::test]
async fn the_published_card_refunds_and_then_does_not() {
    let stage = Stage::open();
    stage.settings(r#"{"later_ms":400}"#).await;
    let (refund, charge) = stage.refund("4000000000005126", "&amount=1000").await;
    assert_eq!(refund.body["status"], "succeeded");
    let path = format!("/v1/refunds/{}", refund.id());
    let failed = stage.becomes(&path, "failed").await;
    assert_eq!(failed["failure_reason"], "expired_or_canceled_card");
    let kinds = stage.kinds(&refund.id()).await;
    assert_eq!(kinds, ["refund.created", "refund.updated", "refund.failed"]);
    // The money is the merchant's again, all of it.
    let read = stage.get(&format!("/v1/charges/{charge}")).await.body;
    assert_eq!(read["amount_refunded"], 0);
    let form = format!("charge={charge}&amount=1250&metadata[sandbox_later]=held");
    let again = stage.post("/v1/refunds", &form).await;
    assert_eq!(again.body["amount"], 1250);
    assert_eq!(again.body["status"], "pending");
}

#[actix_web::test]
async fn refunds_settle_as_they_are_told() {
    let stage = Stage::open();
    stage.settings(r#"{"later_ms":30}"#).await;
    let (failing, charge) = stage
        .refund("4242424242424242", "&metadata[sandbox_later]=failed")
        .await;
    assert_eq!(failing.body["status"], "pending");
    let path = format!("/v1/refunds/{}", failing.id());
    stage.becomes(&path, "failed").await;
    stage.settings(r#"{"refunds":"held"}"#).await;
    let held = stage.post("/v1/refunds", &format!("charge={charge}")).await;
    let settle = format!("refunds/{}/settle", held.id());
    for (outcome, status) in [
        ("succeeded", 200),
        ("succeeded", 400),
        ("failed", 200),
        ("failed", 400),
    ] {
        let body = json!({ "outcome": outcome }).to_string();
        let answer = stage.post(&format!("/_sandbox/{settle}"), &body).await;
        assert_eq!(answer.status, status, "{outcome}");
    }
    let wrong = stage
        .post(&format!("/_sandbox/{settle}"), r#"{"outcome":"maybe"}"#)
        .await;
    assert_eq!(wrong.status, 400);
}
