//! Which events what leads to, and how they are listed.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn a_charge_tells_what_happened_in_order() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let taken = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(
        stage.kinds(&taken.id()).await,
        ["payment_intent.created", "payment_intent.succeeded"]
    );
    let charge = taken.body["latest_charge"].as_str().unwrap();
    let told = stage.told(charge).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["type"], "charge.succeeded");
    assert_eq!(told[0]["data"]["object"]["captured"], true);

    let held = stage
        .post(
            "/v1/payment_intents",
            &format!("{order}&capture_method=manual"),
        )
        .await;
    let path = format!("/v1/payment_intents/{}/capture", held.id());
    stage.post(&path, "amount_to_capture=700").await.id();
    assert_eq!(
        stage.kinds(&held.id()).await,
        [
            "payment_intent.created",
            "payment_intent.amount_capturable_updated",
            "payment_intent.succeeded"
        ]
    );
    let charge = held.body["latest_charge"].as_str().unwrap();
    let told = stage.told(charge).await;
    assert_eq!(told[0]["data"]["object"]["captured"], false);
    assert_eq!(told[1]["type"], "charge.captured");
    assert_eq!(told[1]["data"]["object"]["amount_captured"], 700);
    let before = json!({"amount_captured": 0, "captured": false});
    assert_eq!(told[1]["data"]["previous_attributes"], before);
}

#[actix_web::test]
async fn a_decline_and_a_cancellation_are_told() {
    let stage = Stage::open();
    let refused = stage.charge_off_session("4000000000009995").await;
    let intent = refused.error()["payment_intent"]["id"].as_str().unwrap();
    let told = stage.told(intent).await;
    assert_eq!(told[1]["type"], "payment_intent.payment_failed");
    let object = &told[1]["data"]["object"];
    assert_eq!(object["status"], "requires_payment_method");
    assert_eq!(
        object["last_payment_error"]["decline_code"],
        "insufficient_funds"
    );
    let charge = refused.error()["charge"].as_str().unwrap();
    assert_eq!(stage.kinds(charge).await, ["charge.failed"]);

    let cancel = format!("/v1/payment_intents/{intent}/cancel");
    stage
        .post(&cancel, "cancellation_reason=duplicate")
        .await
        .id();
    let told = stage.told(intent).await;
    assert_eq!(told[2]["type"], "payment_intent.canceled");
    assert_eq!(
        told[2]["data"]["object"]["cancellation_reason"],
        "duplicate"
    );
}

#[actix_web::test]
async fn a_set_up_tells_of_the_page_the_method_and_the_end() {
    let stage = Stage::open();
    let (customer, method) = stage.set_up("4000002500003155").await;
    assert_eq!(stage.kinds(&customer).await, ["customer.created"]);
    let (setup, _) = stage.ids("/v1/setup_intents").await;
    assert_eq!(
        stage.kinds(&setup[0]).await,
        [
            "setup_intent.created",
            "setup_intent.requires_action",
            "setup_intent.succeeded"
        ]
    );
    stage
        .post(&format!("/v1/payment_methods/{method}/detach"), "")
        .await
        .id();
    let told = stage.told(&method).await;
    assert_eq!(told[0]["type"], "payment_method.attached");
    assert_eq!(told[1]["type"], "payment_method.detached");
    let before = json!({"customer": customer});
    assert_eq!(told[1]["data"]["previous_attributes"], before);

    let method = stage.method("4000002500003155").await;
    let form = format!("customer={customer}&payment_method={method}&confirm=true");
    let setup = stage.post("/v1/setup_intents", &form).await;
    let page = format!("/authenticate/{}", setup.id());
    stage.post(&page, "outcome=fail").await;
    let told = stage.kinds(&setup.id()).await;
    assert_eq!(told[2], "setup_intent.setup_failed");
}

#[actix_web::test]
async fn a_refund_tells_of_itself_and_of_its_charge() {
    let stage = Stage::open();
    let paid = stage.charge_off_session("4242424242424242").await;
    let form = format!("payment_intent={}&amount=250", paid.id());
    let refund = stage.post("/v1/refunds", &form).await;
    assert_eq!(stage.kinds(&refund.id()).await, ["refund.created"]);
    let charge = paid.body["latest_charge"].as_str().unwrap();
    let told = stage.told(charge).await;
    assert_eq!(told[1]["type"], "charge.refunded");
    assert_eq!(told[1]["data"]["object"]["amount_refunded"], 250);
    assert_eq!(told[1]["data"]["previous_attributes"]["amount_refunded"], 0);
}

#[actix_web::test]
async fn events_are_listed_by_kind_and_can_be_switched_off() {
    let stage = Stage::open();
    let paid = stage.charge_off_session("4242424242424242").await;
    for (filter, count) in [
        ("type=charge.succeeded", 1),
        ("type=payment_intent.*", 2),
        ("types[]=charge.succeeded&types[]=customer.created", 2),
        ("type=charge.refunded", 0),
        ("delivery_success=true&limit=100", 7),
        ("delivery_success=false", 0),
    ] {
        let (ids, _) = stage.ids(&format!("/v1/events?{filter}")).await;
        assert_eq!(ids.len(), count, "{filter}");
    }
    let (all, more) = stage.ids("/v1/events?limit=3").await;
    assert!(more);
    let next = format!("/v1/events?limit=100&starting_after={}", all[2]);
    assert_eq!(stage.ids(&next).await.0.len(), 4);

    stage.settings(r#"{"events":false}"#).await;
    let form = format!("payment_intent={}", paid.id());
    stage.post("/v1/refunds", &form).await.id();
    assert_eq!(stage.ids("/v1/events?limit=100").await.0.len(), 7);
}

#[actix_web::test]
async fn what_never_executed_tells_nothing() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let (before, _) = stage.ids("/v1/events?limit=100").await;
    for _ in 0..2 {
        stage
            .fault(r#"{"path":"/v1/payment_intents","fault":"status","status":500}"#)
            .await;
        assert_eq!(
            stage
                .post_keyed("/v1/payment_intents", &order, "k")
                .await
                .status,
            500
        );
    }
    assert_eq!(stage.ids("/v1/events?limit=100").await.0, before);
}
