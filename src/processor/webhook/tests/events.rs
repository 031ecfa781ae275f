//! Every kind of notice that means something, in Stripe's own form.

use super::*;

/// A PaymentIntent with what else stands in one.
fn payment() -> Value {
    json!({
        "id": "pi_3PgafwB7WZ01zgkW0z7nKfxT", "object": "payment_intent", "amount": 1250,
        "amount_received": 1250, "client_secret": "pi_3_secret_x", "currency": "eur",
        "customer": "cus_1", "latest_charge": "ch_3", "livemode": false, "status": "succeeded",
        "metadata": { "cloakroom_charge": "test_chg_01kat3fzb4e7mssst1q4mz9jtw", "order": "7" },
        "last_payment_error": null, "next_action": null, "payment_method": "pm_1",
    })
}

fn charge() -> Value {
    json!({
        "id": "ch_3", "object": "charge", "amount": 1250, "captured": true, "currency": "eur",
        "amount_captured": 1250,
        "metadata": { "cloakroom_charge": "test_chg_01kat3fzb4e7mssst1q4mz9jtw" },
        "billing_details": { "name": "Jenny Rosen", "email": "jenny@shop.example" },
        "payment_intent": "pi_3PgafwB7WZ01zgkW0z7nKfxT", "status": "succeeded",
        "outcome": { "seller_message": "Payment complete." },
    })
}

fn refund() -> Value {
    json!({
        "id": "re_1Pgc72B7WZ01zgkWqPvrRrPE", "object": "refund", "amount": 500,
        "charge": "ch_3", "currency": "eur", "created": 1_795_411_090,
        "destination_details": { "type": "card", "card": { "type": "refund", "reference_status": "pending" } },
        "metadata": { "cloakroom_refund": "test_ref_01kat3fzb4e7mssst1q4mz9jtw" },
        "payment_intent": "pi_3PgafwB7WZ01zgkW0z7nKfxT", "reason": "requested_by_customer",
        "status": "succeeded",
    })
}

fn dispute() -> Value {
    json!({
        "id": "dp_1Pgc71B7WZ01zgkWMevJiAUx", "object": "dispute", "amount": 1250,
        "balance_transactions": [], "charge": "ch_3", "currency": "eur",
        "evidence": { "customer_name": "Jenny Rosen", "uncategorized_text": "Free text." },
        "evidence_details": { "due_by": 1_796_000_000, "has_evidence": false },
        "is_charge_refundable": true, "livemode": false, "metadata": {},
        "payment_intent": "pi_3PgafwB7WZ01zgkW0z7nKfxT", "reason": "product_not_received",
        "status": "needs_response",
    })
}

fn method() -> Value {
    json!({
        "id": "pm_1PgafuB7WZ01zgkW", "object": "payment_method", "type": "card",
        "billing_details": { "name": "Jenny Rosen" }, "customer": "cus_1",
        "card": {
            "brand": "mastercard", "checks": { "cvc_check": "pass" }, "country": "DE",
            "display_brand": "mastercard", "exp_month": 2, "exp_year": 2031,
            "fingerprint": "Xt5EWLLDS7FJjR1c", "funding": "debit", "last4": "4444",
            "networks": { "available": ["mastercard"], "preferred": null },
        },
    })
}

/// The same with one field another.
fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

#[test]
fn what_becomes_of_a_payment_names_it_and_its_charge() {
    let expected = |status| What::Payment {
        payment: "pi_3PgafwB7WZ01zgkW0z7nKfxT".to_owned(),
        charge: Some("test_chg_01kat3fzb4e7mssst1q4mz9jtw".to_owned()),
        status,
        captured: Some(1_250),
    };
    let succeeded = expected(Some(PaymentState::Succeeded));
    let expected = expected(None);
    // That it was made is known from the answer.
    assert_eq!(told("payment_intent.created", payment()), Ok(What::Other));
    for kind in [
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.requires_action",
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
    ] {
        assert_eq!(told(kind, payment()), Ok(succeeded.clone()), "{kind}");
    }
    for kind in [
        "charge.succeeded",
        "charge.failed",
        "charge.captured",
        "charge.expired",
        "charge.pending",
        "charge.refunded",
    ] {
        assert_eq!(told(kind, charge()), Ok(expected.clone()), "{kind}");
        let expanded = with(charge(), "payment_intent", payment());
        assert_eq!(told(kind, expanded), Ok(expected.clone()), "{kind}");
        let without = with(charge(), "payment_intent", Value::Null);
        assert_eq!(told(kind, without), Ok(What::Other), "{kind}");
    }
}

#[test]
fn a_payment_that_names_no_charge_of_ours_is_known_by_its_own_id() {
    for metadata in [
        json!({}),
        json!(null),
        json!({ "order": "7" }),
        json!({ "cloakroom_charge": null }),
        json!({ "cloakroom_charge": "" }),
        json!({ "cloakroom_charge": "two words" }),
        json!({ "cloakroom_charge": "test_chg_1/../x" }),
    ] {
        let expected = What::Payment {
            payment: "pi_3PgafwB7WZ01zgkW0z7nKfxT".to_owned(),
            charge: None,
            status: Some(PaymentState::Succeeded),
            captured: Some(1_250),
        };
        let object = with(payment(), "metadata", metadata.clone());
        let told = told("payment_intent.succeeded", object);
        assert_eq!(told, Ok(expected), "{metadata}");
    }
}

#[test]
fn a_refunds_notice_tells_all_that_an_answer_would() {
    let expected = |state, failure: Option<&str>| What::Refund {
        refund: "re_1Pgc72B7WZ01zgkWqPvrRrPE".to_owned(),
        payment: Some("pi_3PgafwB7WZ01zgkW0z7nKfxT".to_owned()),
        ours: Some("test_ref_01kat3fzb4e7mssst1q4mz9jtw".to_owned()),
        amount: 500,
        currency: "eur".to_owned(),
        state,
        failure: failure.and_then(DeclineCode::parse),
    };
    for kind in [
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.refund.updated",
    ] {
        for (status, state) in [
            ("pending", RefundState::Pending),
            ("requires_action", RefundState::Pending),
            ("succeeded", RefundState::Succeeded),
            ("canceled", RefundState::Canceled),
        ] {
            let object = with(refund(), "status", json!(status));
            assert_eq!(told(kind, object), Ok(expected(state, None)), "{kind}");
        }
        let failed = with(refund(), "status", json!("failed"));
        let failed = with(failed, "failure_reason", json!("lost_or_stolen_card"));
        let reason = Some("lost_or_stolen_card");
        assert_eq!(
            told(kind, failed),
            Ok(expected(RefundState::Failed, reason))
        );
    }
}

#[test]
fn a_refund_made_elsewhere_names_none_of_ours() {
    let object = with(refund(), "metadata", json!({}));
    let object = with(object, "payment_intent", Value::Null);
    let object = with(object, "id", json!("pyr_1"));
    let object = with(object, "failure_reason", json!("Free text"));
    let What::Refund {
        refund,
        payment: None,
        ours: None,
        failure: None,
        ..
    } = told("refund.created", object).unwrap()
    else {
        panic!("not such a refund");
    };
    assert_eq!(refund, "pyr_1");
}

#[test]
fn a_dispute_tells_how_far_it_is() {
    for (kind, phase) in [
        ("charge.dispute.created", DisputePhase::Opened),
        ("charge.dispute.updated", DisputePhase::Updated),
        ("charge.dispute.funds_withdrawn", DisputePhase::Updated),
        ("charge.dispute.funds_reinstated", DisputePhase::Updated),
        ("charge.dispute.closed", DisputePhase::Closed),
    ] {
        let expected = What::Dispute {
            dispute: "dp_1Pgc71B7WZ01zgkWMevJiAUx".to_owned(),
            payment: Some("pi_3PgafwB7WZ01zgkW0z7nKfxT".to_owned()),
            amount: 1_250,
            currency: "eur".to_owned(),
            reason: "product_not_received".to_owned(),
            status: "needs_response".to_owned(),
            state: DisputeStatus::NeedsResponse,
            phase,
        };
        assert_eq!(told(kind, dispute()), Ok(expected), "{kind}");
    }
    // Of a charge without a PaymentIntent, with the older prefix, about nothing.
    let object = with(dispute(), "payment_intent", Value::Null);
    let object = with(object, "id", json!("du_1"));
    let object = with(object, "amount", json!(0));
    let told = told("charge.dispute.created", object).unwrap();
    assert!(matches!(
        told,
        What::Dispute {
            payment: None,
            amount: 0,
            ..
        }
    ));
}

#[test]
fn a_renewed_card_tells_what_the_world_may_know_of_it() {
    for kind in [
        "payment_method.automatically_updated",
        "payment_method.card_automatically_updated",
        "payment_method.updated",
    ] {
        let expected = What::Card {
            payment_method: "pm_1PgafuB7WZ01zgkW".to_owned(),
            card: CardSummary {
                brand: "mastercard".to_owned(),
                last4: "4444".to_owned(),
                exp_month: 2,
                exp_year: 2031,
                funding: "debit".to_owned(),
                country: Some("DE".to_owned()),
            },
        };
        assert_eq!(told(kind, method()), Ok(expected), "{kind}");
        // An account, and a card of Stripe's older kind, are none of ours.
        for other in [
            with(method(), "card", Value::Null),
            with(method(), "id", json!("card_1")),
            with(method(), "id", json!("src_1")),
        ] {
            assert_eq!(told(kind, other), Ok(What::Other), "{kind}");
        }
    }
}

#[test]
fn a_dispute_is_open_until_the_bank_has_decided() {
    for status in DisputeStatus::ALL {
        assert_eq!(DisputeStatus::from_name(status.name()), status);
        let object = with(dispute(), "status", json!(status.name()));
        // The money comes back after the end: the kind of the event does not open it again.
        let told = told("charge.dispute.funds_reinstated", object).unwrap();
        let What::Dispute { state, .. } = told else {
            panic!("not a dispute");
        };
        assert_eq!(state, status);
        let over = ["won", "lost", "warning_closed", "prevented"].contains(&status.name());
        assert_eq!(state.is_open(), !over, "{status:?}");
    }
    assert!(DisputeStatus::from_name("brand_new").is_open());
}

#[test]
fn a_detached_card_is_named() {
    let kind = "payment_method.detached";
    let expected = What::Detached {
        payment_method: "pm_1PgafuB7WZ01zgkW".to_owned(),
    };
    let detached = with(method(), "customer", Value::Null);
    assert_eq!(told(kind, detached), Ok(expected));
    for id in ["card_1", "src_1"] {
        let other = with(method(), "id", json!(id));
        assert_eq!(told(kind, other), Ok(What::Other), "{id}");
    }
}

#[test]
fn an_event_of_a_connected_account_names_it() {
    let mut connect = event("payment_intent.succeeded", payment());
    for (account, expected) in [
        (json!("acct_1PgafwB7WZ01"), Ok(Some("acct_1PgafwB7WZ01"))),
        (Value::Null, Ok(None)),
        (json!("pi_1"), Err(&NoticeRefused::Unreadable)),
        (json!(7), Err(&NoticeRefused::Unreadable)),
    ] {
        connect["account"] = account.clone();
        let notice = signed(&serde_json::to_vec(&connect).unwrap());
        let named = notice.as_ref().map(|notice| notice.account.as_deref());
        assert_eq!(named, expected, "{account}");
    }
}

#[test]
fn amounts_of_an_event_are_in_our_unit_whatever_stripe_counts_in() {
    let object = with(refund(), "currency", json!("isk"));
    let refunded = told("refund.updated", object).unwrap();
    assert!(matches!(refunded, What::Refund { amount: 5, .. }));
    let object = with(payment(), "currency", json!("mga"));
    let paid = told("payment_intent.succeeded", object).unwrap();
    let expected = Some(125_000);
    assert!(matches!(paid, What::Payment { captured, .. } if captured == expected));
    // A part of a króna is none that could be written down.
    let object = with(dispute(), "currency", json!("isk"));
    let object = with(object, "amount", json!(1_250));
    let disputed = told("charge.dispute.created", object).unwrap();
    assert!(matches!(disputed, What::Dispute { amount: 0, .. }));
}

#[test]
fn an_issuers_consent_names_the_card() {
    let object = json!({
        "id": "seti_1", "object": "setup_intent", "status": "succeeded", "usage": "off_session",
        "client_secret": "seti_1_secret_x", "payment_method": "pm_1", "customer": "cus_1",
    });
    let expected = What::Setup {
        payment_method: "pm_1".to_owned(),
    };
    let kind = "setup_intent.succeeded";
    assert_eq!(told(kind, object.clone()), Ok(expected.clone()));
    let expanded = with(object.clone(), "payment_method", json!({ "id": "pm_1" }));
    assert_eq!(told(kind, expanded), Ok(expected));
    for other in [json!(null), json!("card_1"), json!("src_1")] {
        let object = with(object.clone(), "payment_method", other);
        assert_eq!(told(kind, object), Ok(What::Other));
    }
}

#[test]
fn what_means_nothing_to_us_is_something_else() {
    for kind in [
        "customer.created",
        "charge.updated",
        "setup_intent.created",
        "setup_intent.requires_action",
        "payment_method.attached",
        "payment_intents.succeeded",
        "refunds.created",
        "radar.early_fraud_warning.created",
        "brand.new",
        "",
    ] {
        for object in [payment(), json!({}), json!(null), json!([1])] {
            assert_eq!(told(kind, object), Ok(What::Other), "{kind}");
        }
    }
}
