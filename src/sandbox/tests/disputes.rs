//! Disputes: which cards lead to them, how they end, what they forbid.

use super::*;

impl Stage {
    /// A charge on that card, and the dispute that comes of it.
    async fn disputed(&self, number: &str) -> (String, Value) {
        self.settings(r#"{"later_ms":30}"#).await;
        let paid = self.charge_off_session(number).await;
        let charge = paid.body["latest_charge"].as_str().unwrap().to_owned();
        for _ in 0..250 {
            let list = self
                .get(&format!("/v1/disputes?charge={charge}"))
                .await
                .body;
            if let Some(dispute) = list["data"].get(0) {
                return (charge, dispute.clone());
            }
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no dispute");
    }
}

#[actix_web::test]
async fn the_published_cards_are_disputed() {
    let stage = Stage::open();
    for (number, reason, status, refundable) in [
        ("4000000000000259", "fraudulent", "needs_response", false),
        (
            "4000000000002685",
            "product_not_received",
            "needs_response",
            false,
        ),
        (
            "4000000000001976",
            "fraudulent",
            "warning_needs_response",
            true,
        ),
    ] {
        let (charge, dispute) = stage.disputed(number).await;
        assert_eq!(dispute["reason"], reason, "{number}");
        assert_eq!(dispute["status"], status);
        assert_eq!(dispute["amount"], 1250);
        assert_eq!(dispute["is_charge_refundable"], refundable);
        let id = dispute["id"].as_str().unwrap();
        // A question moves no money.
        let kinds = ["charge.dispute.created", "charge.dispute.funds_withdrawn"];
        let told = if refundable { &kinds[..1] } else { &kinds[..] };
        assert_eq!(stage.kinds(id).await, told);
        let read = stage.get(&format!("/v1/charges/{charge}")).await.body;
        assert_eq!(read["disputed"], true);
        let refund = stage.post("/v1/refunds", &format!("charge={charge}")).await;
        if refundable {
            assert_eq!(refund.status, 200);
        } else {
            let code = "charge_disputed";
            assert_eq!(refund.refusal(), (400, "invalid_request_error", code));
        }
    }
    assert_eq!(stage.ledger().await["made"]["disputes"], 3);
}

#[actix_web::test]
async fn an_early_fraud_warning_is_no_dispute() {
    let stage = Stage::open();
    stage.settings(r#"{"later_ms":30}"#).await;
    let paid = stage.charge_off_session("4000000000005423").await;
    let charge = paid.body["latest_charge"].as_str().unwrap();
    let path = "/v1/events?type=radar.early_fraud_warning.created";
    let mut told = Value::Null;
    for _ in 0..250 {
        let list = stage.get(path).await.body;
        if let Some(event) = list["data"].get(0) {
            told = event.clone();
            break;
        }
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
    }
    let warning = &told["data"]["object"];
    assert_eq!(warning["object"], "radar.early_fraud_warning");
    assert_eq!(warning["charge"], charge);
    assert_eq!(warning["actionable"], true);
    assert!(stage.ids("/v1/disputes").await.0.is_empty());
}

#[actix_web::test]
async fn a_dispute_is_won_by_evidence_lost_by_consent_or_decided_by_hand() {
    let stage = Stage::open();
    for (path, form, status) in [
        (
            "/v1/disputes/{id}",
            "evidence[uncategorized_text]=winning_evidence",
            "won",
        ),
        (
            "/v1/disputes/{id}",
            "evidence[uncategorized_text]=losing_evidence",
            "lost",
        ),
        ("/v1/disputes/{id}/close", "", "lost"),
        (
            "/_sandbox/disputes/{id}/close",
            r#"{"outcome":"won"}"#,
            "won",
        ),
        (
            "/_sandbox/disputes/{id}/close",
            r#"{"outcome":"lost"}"#,
            "lost",
        ),
    ] {
        let (_, dispute) = stage.disputed("4000000000000259").await;
        let id = dispute["id"].as_str().unwrap();
        let path = path.replace("{id}", id);
        let closed = stage.post(&path, form).await;
        assert_eq!(closed.body["status"], status, "{}", closed.text);
        let told = stage.told(id).await;
        let last = told.last().unwrap();
        assert_eq!(last["data"]["object"]["status"], status);
        let mut kinds = vec!["created", "funds_withdrawn"];
        if form.starts_with("evidence") {
            kinds.push("updated");
        }
        kinds.push("closed");
        if status == "won" {
            kinds.push("funds_reinstated");
        }
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|kind| format!("charge.dispute.{kind}"))
            .collect();
        assert_eq!(stage.kinds(id).await, kinds);
        assert_eq!(
            stage.post(&path, form).await.status,
            400,
            "closed is closed"
        );
    }
}

#[actix_web::test]
async fn other_evidence_waits_for_the_issuer_and_an_inquiry_only_ends() {
    let stage = Stage::open();
    let (_, dispute) = stage.disputed("4000000000001976").await;
    let path = format!("/v1/disputes/{}", dispute["id"].as_str().unwrap());
    let noted = stage.post(&path, "metadata[a]=b").await;
    assert_eq!(noted.body["status"], "warning_needs_response");
    let sent = stage
        .post(&path, "evidence[product_description]=Socks")
        .await;
    assert_eq!(sent.body["status"], "warning_under_review");
    assert_eq!(sent.body["evidence_details"]["has_evidence"], true);
    let closed = stage.post(&format!("{path}/close"), "").await;
    assert_eq!(closed.body["status"], "warning_closed");
}

#[actix_web::test]
async fn any_captured_charge_can_be_disputed_by_hand_and_only_once() {
    let stage = Stage::open();
    let paid = stage.charge_off_session("4242424242424242").await;
    let charge = paid.body["latest_charge"].as_str().unwrap();
    let control = format!("charges/{charge}/dispute");
    let complaint = r#"{"kind":"duplicate","amount":300}"#;
    let dispute = stage.control(&control, complaint).await;
    assert_eq!(dispute["reason"], "duplicate");
    assert_eq!(dispute["amount"], 300);
    let path = format!("/_sandbox/{control}");
    assert_eq!(stage.post(&path, complaint).await.status, 400);
    assert_eq!(stage.post(&path, r#"{"kind":"bored"}"#).await.status, 400);
    let order = stage.order("4242424242424242").await;
    let held = stage
        .post(
            "/v1/payment_intents",
            &format!("{order}&capture_method=manual"),
        )
        .await;
    let charge = held.body["latest_charge"].as_str().unwrap();
    let path = format!("/_sandbox/charges/{charge}/dispute");
    assert_eq!(stage.post(&path, complaint).await.status, 400);
    stage.control(&format!("charges/{charge}/warn"), "").await;
    let path = "/v1/events?type=radar.early_fraud_warning.created";
    assert_eq!(stage.ids(path).await.0.len(), 1);
}
