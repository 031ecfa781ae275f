//! A payment after it was made: what is asked about it, and what each answer means.

use super::*;
use crate::processor::{
    CancelOrder, CaptureOrder, Failure, Payment, PaymentDetails, PaymentStatus,
};

const CAPTURED: &str = r#"{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1250,"amount_received":1000,"currency":"eur","next_action":null,"last_payment_error":null,"metadata":{"cloakroom_charge":"test_chg_1"}}"#;
const CANCELED: &str = r#"{"id":"pi_1","status":"canceled","amount_received":0}"#;
/// 2026-11-23T05:20:00.999Z, and an hour before it in whole seconds.
const SINCE: Timestamp = Timestamp::from_unix_ms(1_795_411_200_999);
const SINCE_S: &str = "1795407600";

/// A question about the payment `pi_1`, however it is put.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Payment,
    Capture,
    Cancel,
}

const VERBS: [Verb; 3] = [Verb::Payment, Verb::Capture, Verb::Cancel];

fn capture_order(payment: &str, amount: Option<i64>) -> CaptureOrder<'_> {
    CaptureOrder {
        payment,
        amount,
        currency: "eur",
        idempotency_key: "test_chg_1-capture-1",
        client: CLIENT,
    }
}

fn cancel_order(payment: &str) -> CancelOrder<'_> {
    CancelOrder {
        payment,
        idempotency_key: "test_chg_1-cancel-1",
        client: CLIENT,
    }
}

async fn ask(peer: &Peer, verb: Verb, payment: &str) -> Result<Payment, Failure> {
    let processor = processor(peer);
    match verb {
        Verb::Payment => processor.payment(payment, CLIENT).await,
        Verb::Capture => processor.capture(&capture_order(payment, None)).await,
        Verb::Cancel => processor.cancel(&cancel_order(payment)).await,
    }
}

async fn answered(verb: Verb, script: Vec<Reply>) -> (Result<Payment, Failure>, usize) {
    let peer = Peer::start(script).await;
    let result = ask(&peer, verb, "pi_1").await;
    (result, peer.received().len())
}

async fn find(peer: &Peer) -> Result<Option<Payment>, Failure> {
    processor(peer)
        .find_payment("cus_1", Sought::Own("test_chg_1"), SINCE, CLIENT)
        .await
}

/// A payment that carries this charge of ours.
fn of(id: &str, charge: &str) -> String {
    CAPTURED.replace("pi_1", id).replace("test_chg_1", charge)
}

fn page(payments: &[String], has_more: bool) -> Reply {
    let data = payments.join(",");
    ok(&format!(
        r#"{{"object":"list","url":"/v1/payment_intents","has_more":{has_more},"data":[{data}]}}"#
    ))
}

#[tokio::test]
async fn a_payment_is_read_and_not_touched() {
    let peer = Peer::start(vec![ok(CAPTURED)]).await;
    let payment = ask(&peer, Verb::Payment, "pi_1").await.unwrap();
    let expected = Payment {
        id: "pi_1".to_owned(),
        status: PaymentStatus::Succeeded,
        captured: 1_000,
        charge: Some("test_chg_1".to_owned()),
        details: PaymentDetails::default(),
    };
    assert_eq!(payment, expected);
    let received = peer.received().remove(0);
    assert_eq!(
        received.line(),
        "GET /v1/payment_intents/pi_1?expand[0]=latest_charge"
    );
    assert_eq!(received.header("idempotency-key"), None);
    assert_eq!(received.body, "");
}

#[tokio::test]
async fn a_capture_takes_all_or_a_part_under_its_key() {
    for (amount, form) in [
        (None, &[("expand[0]", "latest_charge")][..]),
        (
            Some(1_000),
            &[
                ("amount_to_capture", "1000"),
                ("expand[0]", "latest_charge"),
            ][..],
        ),
    ] {
        let peer = Peer::start(vec![ok(CAPTURED)]).await;
        let order = capture_order("pi_1", amount);
        let payment = processor(&peer).capture(&order).await.unwrap();
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!(payment.captured, 1_000);

        let received = peer.received().remove(0);
        assert_eq!(received.line(), "POST /v1/payment_intents/pi_1/capture");
        let key = received.header("idempotency-key");
        assert_eq!(key, Some("test_chg_1-capture-1"));
        assert_form(&received, form);
    }
}

#[tokio::test]
async fn a_payment_is_given_up_under_its_key() {
    let peer = Peer::start(vec![ok(CANCELED)]).await;
    let payment = ask(&peer, Verb::Cancel, "pi_1").await.unwrap();
    assert_eq!(payment.status, PaymentStatus::Canceled);
    assert_eq!(payment.captured, 0);

    let received = peer.received().remove(0);
    assert_eq!(received.line(), "POST /v1/payment_intents/pi_1/cancel");
    let key = received.header("idempotency-key");
    assert_eq!(key, Some("test_chg_1-cancel-1"));
    assert_form(&received, &[("expand[0]", "latest_charge")]);
}

#[tokio::test]
async fn however_it_is_asked_a_payment_stands_as_its_state_says() {
    for verb in VERBS {
        for (status, expected) in [
            ("succeeded", Some((PaymentStatus::Succeeded, 1_000))),
            (
                "requires_capture",
                Some((PaymentStatus::RequiresCapture, 0)),
            ),
            ("processing", Some((PaymentStatus::Processing, 0))),
            (
                "requires_confirmation",
                Some((PaymentStatus::Processing, 0)),
            ),
            ("canceled", Some((PaymentStatus::Canceled, 0))),
            // Without a page to send the shopper to, nobody can authenticate.
            (
                "requires_action",
                Some((PaymentStatus::ActionUnsupported, 0)),
            ),
            ("brand_new", None),
            ("", None),
        ] {
            let body = CAPTURED.replace("succeeded", status);
            let (result, _) = answered(verb, vec![ok(&body)]).await;
            match expected {
                Some((status, captured)) => {
                    let payment = result.unwrap();
                    assert_eq!((payment.status, payment.captured), (status, captured));
                }
                None => assert_eq!(result, Err(Failure::OutcomeUnknown), "{verb:?} {status}"),
            }
        }
    }
}

#[tokio::test]
async fn a_payment_that_was_declined_says_why_and_one_that_waits_says_where() {
    let declined = r#"{"id":"pi_1","status":"requires_payment_method","amount_received":0,"last_payment_error":{"code":"card_declined","decline_code":"lost_card","advice_code":"do_not_try_again"}}"#;
    let waiting = r#"{"id":"pi_1","status":"requires_action","next_action":{"redirect_to_url":{"url":"https://issuer.example/3ds"}}}"#;
    for verb in VERBS {
        let (result, _) = answered(verb, vec![ok(declined)]).await;
        let PaymentStatus::Declined(decline) = result.unwrap().status else {
            panic!("{verb:?} was not declined");
        };
        assert_eq!(decline.code.as_str(), "lost_card");
        assert!(!decline.retryable);

        let (result, _) = answered(verb, vec![ok(waiting)]).await;
        let redirect_url = "https://issuer.example/3ds".to_owned();
        let status = PaymentStatus::RequiresAction { redirect_url };
        assert_eq!(result.unwrap().status, status);
    }
}

#[tokio::test]
async fn what_a_payment_does_not_allow_is_refused_and_asked_once() {
    for verb in [Verb::Capture, Verb::Cancel] {
        for code in [
            "payment_intent_unexpected_state",
            "charge_expired_for_capture",
            "intent_invalid_state",
        ] {
            let (result, sent) = answered(verb, vec![refused(code)]).await;
            assert_eq!(
                (result, sent),
                (Err(Failure::Rejected), 1),
                "{verb:?} {code}"
            );
        }
        let (result, sent) = answered(verb, vec![refused("amount_too_large")]).await;
        let Err(Failure::Invalid(fault)) = result else {
            panic!("{verb:?}: {result:?}");
        };
        assert_eq!(
            (fault.pointer, fault.reason, sent),
            ("/amount", "above_maximum", 1)
        );
    }
    for verb in VERBS {
        let (result, _) = answered(verb, vec![refused("resource_missing")]).await;
        assert_eq!(result, Err(Failure::Missing));
        // The issuer may go back on what it authorized.
        let (result, _) = answered(verb, vec![Reply::json(402, DECLINED)]).await;
        assert!(matches!(result, Err(Failure::Declined(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_fault_that_is_kept_under_its_key_is_told_and_not_asked_for_again() {
    for verb in [Verb::Capture, Verb::Cancel] {
        for status in [500, 502, 503, 424] {
            let script = vec![kept(status, ""), ok(CAPTURED)];
            let (result, sent) = answered(verb, script).await;
            assert_eq!((result, sent), (Err(Failure::FaultKept), 1), "{status}");
        }
        // The first attempt met the fault, the second finds it kept.
        let again = Reply::with(500, &[("stripe-should-retry", "true")], "");
        let (result, sent) = answered(verb, vec![again, kept(500, ""), ok(CAPTURED)]).await;
        assert_eq!((result, sent), (Err(Failure::FaultKept), 2));
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_counts_like_the_first() {
    let (result, _) = answered(Verb::Capture, vec![kept(200, CAPTURED)]).await;
    assert_eq!(result.unwrap().captured, 1_000);
    let refusal =
        r#"{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state"}}"#;
    let kept = Reply::with(400, &[("idempotent-replayed", "true")], refusal);
    let (result, _) = answered(Verb::Capture, vec![kept]).await;
    assert_eq!(result, Err(Failure::Rejected));
}

#[tokio::test]
async fn a_step_whose_answer_is_lost_is_not_repeated_here_and_one_that_waited_is() {
    for verb in [Verb::Capture, Verb::Cancel] {
        for reply in [Reply::Cut, Reply::CutInAnswer, Reply::json(500, "")] {
            let (result, sent) = answered(verb, vec![reply, ok(CAPTURED)]).await;
            assert_eq!((result, sent), (Err(Failure::OutcomeUnknown), 1));
        }
        let script = vec![Reply::json(409, LOCKED), ok(CANCELED)];
        let peer = Peer::start(script).await;
        assert!(ask(&peer, verb, "pi_1").await.is_ok());
        let received = peer.received();
        assert_eq!(received.len(), 2);
        let keys = received.iter().map(|one| one.header("idempotency-key"));
        assert_eq!(keys.collect::<std::collections::BTreeSet<_>>().len(), 1);
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_put_into_a_request() {
    let peer = Peer::start(Vec::new()).await;
    for id in NO_IDS {
        for verb in VERBS {
            let refused = ask(&peer, verb, id).await;
            assert_eq!(refused, Err(Failure::Rejected), "{verb:?} {id:?}");
        }
        let found = processor(&peer)
            .find_payment(id, Sought::Own("test_chg_1"), SINCE, CLIENT)
            .await;
        assert_eq!(found, Err(Failure::Rejected), "{id:?}");
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn an_answer_about_another_payment_or_none_tells_nothing() {
    for body in [
        CAPTURED.replace("pi_1", "pi_2"),
        CAPTURED.replace("pi_1", "ch_1"),
        CAPTURED.replace("pi_1", "pi_1/../pi_1"),
        CAPTURED.replace("1000", "-1"),
        CAPTURED.replace("1000", r#""1000""#),
        CAPTURED.replace("1000", "1e30"),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        for verb in VERBS {
            let (result, _) = answered(verb, vec![ok(&body)]).await;
            assert_eq!(result, Err(Failure::OutcomeUnknown), "{verb:?} {body}");
        }
    }
}

#[tokio::test]
async fn a_payment_is_found_by_the_charge_that_it_carries() {
    let script = vec![page(
        &[
            of("pi_3", "test_chg_3"),
            r#"{"id":"pi_2","status":"succeeded","metadata":{"order":"test_chg_1"}}"#.to_owned(),
            r#"{"id":"pi_4","status":"brand_new","metadata":null}"#.to_owned(),
            of("pi_1", "test_chg_1"),
        ],
        false,
    )];
    let peer = Peer::start(script).await;
    let payment = find(&peer).await.unwrap().unwrap();
    assert_eq!((payment.id.as_str(), payment.captured), ("pi_1", 1_000));

    let received = peer.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].line().starts_with("GET /v1/payment_intents?"));
    assert_eq!(received[0].header("idempotency-key"), None);
    let expected = [
        pair("created[gte]", SINCE_S),
        pair("customer", "cus_1"),
        pair("limit", "100"),
    ];
    assert_eq!(query(&received[0]), expected);
}

#[tokio::test]
async fn a_payment_is_looked_for_page_by_page() {
    let script = vec![
        page(&[of("pi_9", "a"), of("pi_8", "b")], true),
        page(&[of("pi_7", "c")], true),
        page(&[of("pi_1", "test_chg_1")], true),
    ];
    let peer = Peer::start(script).await;
    assert_eq!(find(&peer).await.unwrap().unwrap().id, "pi_1");
    let received = peer.received();
    let after: Vec<_> = received
        .iter()
        .map(|one| {
            let pairs = query(one);
            assert!(pairs.contains(&pair("created[gte]", SINCE_S)));
            let after = pairs.into_iter().find(|(key, _)| key == "starting_after");
            after.map(|(_, id)| id)
        })
        .collect();
    let expected = [None, Some("pi_8".to_owned()), Some("pi_7".to_owned())];
    assert_eq!(after, expected);
}

#[tokio::test]
async fn a_payment_is_known_not_to_be_there_only_when_all_were_read() {
    for script in [
        vec![page(&[], false)],
        vec![page(&[of("pi_9", "test_chg_11"), of("pi_8", "")], false)],
        vec![page(&[of("pi_9", "a")], true), page(&[], false)],
    ] {
        assert_eq!(find(&Peer::start(script).await).await, Ok(None));
    }
    let endless = (0..25)
        .map(|at| page(&[of(&format!("pi_x{at}"), "a")], true))
        .collect();
    let peer = Peer::start(endless).await;
    assert_eq!(find(&peer).await, Err(Failure::OutcomeUnknown));
    assert_eq!(peer.received().len(), 20);
}

#[tokio::test]
async fn a_list_that_cannot_be_believed_is_not_one_without_the_payment() {
    for body in [
        r#"{"data":[],"has_more":true}"#,
        r#"{"data":[]}"#,
        r#"{"data":[],"has_more":"false"}"#,
        r#"{"data":null,"has_more":false}"#,
        r#"{"data":{},"has_more":false}"#,
        r#"{"data":[7],"has_more":false}"#,
        r#"{"data":[{"id":"pi_1/..","status":"succeeded"}],"has_more":true}"#,
        r#"{"data":[{"id":"ch_1","status":"succeeded"}],"has_more":false}"#,
        r#"{"data":[{"id":"pi_1","status":"brand_new","metadata":{"cloakroom_charge":"test_chg_1"}}],"has_more":false}"#,
        "[]",
        "",
    ] {
        let peer = Peer::start(vec![ok(body)]).await;
        assert_eq!(find(&peer).await, Err(Failure::OutcomeUnknown), "{body}");
        assert_eq!(peer.received().len(), 1);
    }
    for (reply, failure) in [
        (Reply::json(500, ""), Failure::OutcomeUnknown),
        (Reply::Cut, Failure::OutcomeUnknown),
        (Reply::json(403, "{}"), Failure::NotAuthorized),
        (refused("resource_missing"), Failure::Missing),
    ] {
        let peer = Peer::start(vec![page(&[of("pi_9", "a")], true), reply]).await;
        assert_eq!(find(&peer).await, Err(failure));
    }
}
