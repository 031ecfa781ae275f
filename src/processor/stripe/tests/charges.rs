//! Charging: what is asked, and what each answer means for the money.

use super::*;
use crate::processor::{Failure, Payment, PaymentStatus};

const AUTHENTICATION: &str = r#"{"error":{"type":"card_error","code":"authentication_required","decline_code":"authentication_required","message":"Your card was declined. This transaction requires authentication.","payment_intent":{"id":"pi_1","status":"requires_payment_method"}}}"#;
const ACTION: &str = r#"{"id":"pi_1","status":"requires_action","next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://issuer.example/3ds"}}}"#;

async fn charge(peer: &Peer) -> Result<Payment, Failure> {
    let metadata = BTreeMap::new();
    processor(peer)
        .charge(&reference(), &charge_order(&metadata))
        .await
}

fn action() -> PaymentStatus {
    PaymentStatus::RequiresAction {
        redirect_url: "https://issuer.example/3ds".to_owned(),
    }
}

#[tokio::test]
async fn a_charge_without_the_shopper_is_one_call_under_its_key() {
    let peer = Peer::start(vec![ok(PAYMENT)]).await;
    let payment = charge(&peer).await.unwrap();
    assert_eq!(payment.id, "pi_1");
    assert_eq!(payment.status, PaymentStatus::Succeeded);

    let received = peer.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line(), "POST /v1/payment_intents");
    assert_eq!(received[0].header("idempotency-key"), Some("key"));
    assert_form(
        &received[0],
        &[
            ("allowed_payment_method_types[0]", "card"),
            ("amount", "1250"),
            ("capture_method", "automatic"),
            ("confirm", "true"),
            ("currency", "eur"),
            ("customer", "cus_1"),
            ("expand[0]", "latest_charge"),
            ("metadata[cloakroom_charge]", "test_chg_1"),
            ("metadata[cloakroom_key]", "mark"),
            ("off_session", "true"),
            ("payment_method", "pm_1"),
        ],
    );
}

#[tokio::test]
async fn a_charge_with_the_shopper_says_where_they_come_back_to() {
    let metadata = BTreeMap::from([
        ("order".to_owned(), "A & B = 100%".to_owned()),
        ("cloakroom_charge".to_owned(), "forged".to_owned()),
        ("cloakroom_key".to_owned(), "forged".to_owned()),
    ]);
    let peer = Peer::start(vec![ok(PAYMENT)]).await;
    let order = ChargeOrder {
        capture: false,
        off_session: false,
        currency: "chf",
        description: Some("Two tickets"),
        statement_descriptor_suffix: Some("TICKETS"),
        ..charge_order(&metadata)
    };
    processor(&peer).charge(&reference(), &order).await.unwrap();
    assert_form(
        &peer.received()[0],
        &[
            ("allowed_payment_method_types[0]", "card"),
            ("amount", "1250"),
            ("capture_method", "manual"),
            ("confirm", "true"),
            ("currency", "chf"),
            ("customer", "cus_1"),
            ("description", "Two tickets"),
            ("expand[0]", "latest_charge"),
            ("metadata[cloakroom_charge]", "test_chg_1"),
            ("metadata[cloakroom_key]", "mark"),
            ("metadata[order]", "A & B = 100%"),
            ("payment_method", "pm_1"),
            ("return_url", RETURN_URL),
            ("statement_descriptor_suffix", "TICKETS"),
        ],
    );
}

#[tokio::test]
async fn a_charge_whose_setup_is_pending_asks_for_both_at_once() {
    let metadata = BTreeMap::new();
    // No more than the shopper has agreed to.
    for usage in [Usage::OffSession, Usage::OnSession] {
        let peer = Peer::start(vec![ok(ACTION)]).await;
        let order = ChargeOrder {
            off_session: true,
            setup_pending: true,
            usage,
            ..charge_order(&metadata)
        };
        let payment = processor(&peer).charge(&reference(), &order).await.unwrap();
        assert_eq!(payment.status, action());
        let pairs = peer.received()[0].pairs();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert!(pairs.contains(&pair("setup_future_usage", usage.name())));
        assert!(pairs.contains(&pair("return_url", RETURN_URL)));
        assert!(!pairs.iter().any(|(key, _)| key == "off_session"));
    }
}

#[tokio::test]
async fn a_repeated_charge_is_the_same_to_the_byte() {
    let metadata: BTreeMap<String, String> = (0..40)
        .map(|index| (format!("key_{index}"), index.to_string()))
        .collect();
    let peer = Peer::start((0..4).map(|_| ok(PAYMENT)).collect()).await;
    for _ in 0..4 {
        // Each call builds its own hash map, with its own order.
        let order = charge_order(&metadata);
        processor(&peer).charge(&reference(), &order).await.unwrap();
    }
    let received = peer.received();
    assert!(received.iter().all(|one| one.body == received[0].body));
}

#[tokio::test]
async fn every_state_of_a_payment_has_its_name() {
    for (status, expected) in [
        ("succeeded", Some(PaymentStatus::Succeeded)),
        ("requires_capture", Some(PaymentStatus::RequiresCapture)),
        ("processing", Some(PaymentStatus::Processing)),
        ("canceled", Some(PaymentStatus::Canceled)),
        ("requires_confirmation", Some(PaymentStatus::Processing)),
        ("brand_new", None),
    ] {
        let body = PAYMENT.replace("succeeded", status);
        let peer = Peer::start(vec![ok(&body)]).await;
        match (charge(&peer).await, expected) {
            (Ok(payment), Some(expected)) => assert_eq!(payment.status, expected),
            (Err(failure), None) => assert_eq!(failure, Failure::OutcomeUnknown),
            (result, _) => panic!("{status}: {result:?}"),
        }
    }
    let peer = Peer::start(vec![ok(ACTION)]).await;
    let payment = charge(&peer).await.unwrap();
    assert_eq!(payment.status, action());
    assert!(!format!("{payment:?}").contains("issuer.example"));
}

#[tokio::test]
async fn a_decline_ends_the_payment_it_names() {
    let at_200 = r#"{"id":"pi_1","status":"requires_payment_method","last_payment_error":{"code":"card_declined","decline_code":"insufficient_funds"}}"#;
    for reply in [Reply::json(402, DECLINED), ok(at_200)] {
        let peer = Peer::start(vec![reply]).await;
        let payment = charge(&peer).await.unwrap();
        assert_eq!(payment.id, "pi_1");
        let PaymentStatus::Declined(decline) = payment.status else {
            panic!("not declined");
        };
        assert_eq!(decline.code.as_str(), "insufficient_funds");
        assert!(decline.retryable);
        assert_eq!(peer.received().len(), 1);
    }
    let nameless = DECLINED.replace("payment_intent", "other");
    let peer = Peer::start(vec![Reply::json(402, &nameless)]).await;
    assert!(matches!(charge(&peer).await, Err(Failure::Declined(_))));
}

#[tokio::test]
async fn a_shopper_who_is_away_and_wanted_is_sent_for_with_the_same_payment() {
    let peer = Peer::start(vec![Reply::json(402, AUTHENTICATION), ok(ACTION)]).await;
    let payment = charge(&peer).await.unwrap();
    assert_eq!((payment.id.as_str(), payment.status), ("pi_1", action()));

    let received = peer.received();
    assert_eq!(received[1].line(), "POST /v1/payment_intents/pi_1/confirm");
    assert_eq!(received[1].header("idempotency-key"), Some("key-auth"));
    assert_form(
        &received[1],
        &[
            ("expand[0]", "latest_charge"),
            ("payment_method", "pm_1"),
            ("return_url", RETURN_URL),
        ],
    );
}

#[tokio::test]
async fn a_shopper_who_is_there_is_not_sent_for_again() {
    let metadata = BTreeMap::new();
    for (off_session, setup_pending) in [(false, false), (true, true)] {
        let peer = Peer::start(vec![Reply::json(402, AUTHENTICATION)]).await;
        let order = ChargeOrder {
            off_session,
            setup_pending,
            ..charge_order(&metadata)
        };
        let payment = processor(&peer).charge(&reference(), &order).await.unwrap();
        assert!(matches!(payment.status, PaymentStatus::Declined(_)));
        assert_eq!(peer.received().len(), 1);
    }
}

#[tokio::test]
async fn sending_for_the_shopper_in_vain_never_means_that_nothing_happened() {
    let limited = r#"{"error":{"type":"invalid_request_error","code":"rate_limit"}}"#;
    for (second, expected) in [
        (Reply::Cut, Failure::OutcomeUnknown),
        (Reply::json(500, ""), Failure::OutcomeUnknown),
        (Reply::json(429, limited), Failure::OutcomeUnknown),
        (Reply::json(401, "{}"), Failure::NotAuthorized),
    ] {
        let peer = Peer::start(vec![Reply::json(402, AUTHENTICATION), second]).await;
        assert_eq!(charge(&peer).await, Err(expected));
    }
    let script = vec![Reply::json(402, AUTHENTICATION), Reply::json(402, DECLINED)];
    let payment = charge(&Peer::start(script).await).await.unwrap();
    assert!(matches!(payment.status, PaymentStatus::Declined(_)));
}

#[tokio::test]
async fn a_charge_whose_answer_is_lost_is_not_repeated_here() {
    for reply in [Reply::Cut, Reply::CutInAnswer, Reply::json(502, "")] {
        let peer = Peer::start(vec![reply]).await;
        assert_eq!(charge(&peer).await, Err(Failure::OutcomeUnknown));
        assert_eq!(peer.received().len(), 1);
    }
}

#[tokio::test]
async fn a_charge_whose_fault_is_kept_is_to_be_looked_up() {
    for status in [500, 503, 424] {
        let peer = Peer::start(vec![kept(status, ""), ok(PAYMENT)]).await;
        assert_eq!(charge(&peer).await, Err(Failure::FaultKept));
        assert_eq!(peer.received().len(), 1);
    }
    let script = vec![Reply::json(402, AUTHENTICATION), kept(500, ""), ok(ACTION)];
    let peer = Peer::start(script).await;
    assert_eq!(charge(&peer).await, Err(Failure::FaultKept));
    assert_eq!(peer.received().len(), 2);
    // A decline that is kept is a decline.
    let kept = Reply::with(402, &[("idempotent-replayed", "true")], DECLINED);
    let payment = charge(&Peer::start(vec![kept]).await).await;
    assert!(matches!(
        payment.unwrap().status,
        PaymentStatus::Declined(_)
    ));
}

#[tokio::test]
async fn what_was_taken_counts_once_the_charge_has_succeeded() {
    for (status, captured) in [
        ("succeeded", 1_250),
        ("requires_capture", 0),
        ("processing", 0),
    ] {
        let body = PAYMENT.replace("succeeded", status).replace(
            r#""latest_charge":"ch_1""#,
            r#""amount_received":1250,"currency":"eur""#,
        );
        let payment = charge(&Peer::start(vec![ok(&body)]).await).await.unwrap();
        assert_eq!(payment.captured, captured, "{status}");
    }
    let body = PAYMENT.replace(
        r#""latest_charge":"ch_1""#,
        r#""amount_received":-1,"currency":"eur""#,
    );
    let result = charge(&Peer::start(vec![ok(&body)]).await).await;
    assert_eq!(result, Err(Failure::OutcomeUnknown));
}
