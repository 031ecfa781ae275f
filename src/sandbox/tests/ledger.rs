//! The ledger: what one charge of ours and one refund of ours really came to.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn a_charge_that_was_made_twice_shows() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let once = format!("{order}&metadata[cloakroom_charge]=chg_once");
    let twice = format!("{order}&metadata[cloakroom_charge]=chg_twice&capture_method=manual");
    for _ in 0..2 {
        stage
            .post_keyed("/v1/payment_intents", &once, "k")
            .await
            .id();
    }
    let first = stage.post("/v1/payment_intents", &twice).await.id();
    let second = stage.post("/v1/payment_intents", &twice).await.id();
    let path = |id: &str, verb: &str| format!("/v1/payment_intents/{id}/{verb}");
    stage
        .post(&path(&first, "capture"), "amount_to_capture=700")
        .await
        .id();
    stage.post(&path(&second, "cancel"), "").await.id();
    let form = format!("payment_intent={first}&amount=200&metadata[cloakroom_refund]=ref_1");
    stage.post_keyed("/v1/refunds", &form, "r").await.id();
    stage.post_keyed("/v1/refunds", &form, "r").await.id();
    stage.post("/v1/refunds", &form).await.id();

    let ledger = stage.ledger().await;
    let sums = &ledger["by_charge"];
    let single = &sums["chg_once"];
    assert_eq!(
        (&single["payments"], &single["paid"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&single["captured"], &single["amount_captured"]),
        (&json!(1), &json!(1250))
    );
    assert_eq!(
        (&single["refunds"], &single["canceled"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        sums["chg_twice"],
        json!({
            "payments": 2, "paid": 2, "captured": 1, "canceled": 1, "processing": 0,
            "declined": 0, "refunds": 2, "amount_authorized": 2500, "amount_captured": 700,
            "amount_refunded": 400, "ids": [second, first],
        })
    );
    let refund = &ledger["by_refund"]["ref_1"];
    assert_eq!(
        (&refund["refunds"], &refund["succeeded"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(refund["amount"], 400);
    let one = stage.get("/_sandbox/ledger/charges/chg_twice").await.body;
    assert_eq!(one, sums["chg_twice"]);
    let one = stage.get("/_sandbox/ledger/refunds/ref_1").await.body;
    assert_eq!(one, *refund);
    let none = stage.get("/_sandbox/ledger/charges/chg_never").await.body;
    assert_eq!((&none["payments"], &none["paid"]), (&json!(0), &json!(0)));
}

#[actix_web::test]
async fn what_failed_or_is_not_decided_is_not_counted_as_paid() {
    let stage = Stage::open();
    let order = stage.order("4000000000009995").await;
    let order = format!("{order}&metadata[cloakroom_charge]=chg_poor");
    assert_eq!(stage.post("/v1/payment_intents", &order).await.status, 402);
    let order = stage.order("4242424242424242").await;
    let order = format!("{order}&metadata[cloakroom_charge]=chg_slow&metadata[sandbox_later]=held");
    let slow = stage.post("/v1/payment_intents", &order).await.id();
    let read = |id: &'static str| {
        let stage = &stage;
        async move {
            stage
                .get(&format!("/_sandbox/ledger/charges/{id}"))
                .await
                .body
        }
    };
    let poor = read("chg_poor").await;
    assert_eq!(
        (&poor["payments"], &poor["paid"], &poor["declined"]),
        (&json!(1), &json!(0), &json!(1))
    );
    let waiting = read("chg_slow").await;
    assert_eq!(
        (&waiting["processing"], &waiting["paid"]),
        (&json!(1), &json!(0))
    );
    let settle = format!("payment_intents/{slow}/settle");
    stage.control(&settle, r#"{"outcome":"succeeded"}"#).await;
    assert_eq!(read("chg_slow").await["paid"], 1);

    let form = format!(
        "payment_intent={slow}&metadata[cloakroom_refund]=ref_2&metadata[sandbox_later]=held"
    );
    let refund = stage.post("/v1/refunds", &form).await.id();
    let read = stage.get("/_sandbox/ledger/refunds/ref_2").await.body;
    assert_eq!(
        (&read["pending"], &read["amount"]),
        (&json!(1), &json!(1250))
    );
    stage
        .control(
            &format!("refunds/{refund}/settle"),
            r#"{"outcome":"failed"}"#,
        )
        .await;
    let read = stage.get("/_sandbox/ledger/refunds/ref_2").await.body;
    assert_eq!((&read["failed"], &read["amount"]), (&json!(1), &json!(0)));
}
