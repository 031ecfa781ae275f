//! Money goes back: what is asked, and what each answer means.

use super::*;
use crate::processor::{DeclineCode, Failure, Refund, RefundOrder, RefundReason, RefundState};

const REFUND: &str = r#"{"id":"re_1","object":"refund","amount":500,"currency":"eur","charge":"ch_1","payment_intent":"pi_1","status":"succeeded","reason":null,"metadata":{"cloakroom_refund":"test_ref_1"}}"#;

fn order(reason: Option<RefundReason>) -> RefundOrder<'static> {
    RefundOrder {
        refund: "test_ref_1",
        request: "mark",
        payment: "pi_1",
        amount: 500,
        currency: "eur",
        reason,
        idempotency_key: "test_ref_1",
        client: CLIENT,
    }
}

async fn refund(peer: &Peer) -> Result<Refund, Failure> {
    processor(peer).refund(&order(None)).await
}

async fn state(peer: &Peer) -> Result<Refund, Failure> {
    processor(peer).refund_state("re_1", CLIENT).await
}

async fn find(peer: &Peer) -> Result<Option<Refund>, Failure> {
    processor(peer)
        .find_refund("pi_1", Sought::Own("test_ref_1"), CLIENT)
        .await
}

/// A refund that carries this id of ours.
fn of(id: &str, ours: &str) -> String {
    REFUND.replace("re_1", id).replace("test_ref_1", ours)
}

fn page(refunds: &[String], has_more: bool) -> Reply {
    let data = refunds.join(",");
    ok(&format!(
        r#"{{"object":"list","has_more":{has_more},"data":[{data}]}}"#
    ))
}

#[tokio::test]
async fn a_refund_is_one_call_under_its_key_with_our_name_in_it() {
    let all = [
        (None, None),
        (Some(RefundReason::Duplicate), Some("duplicate")),
        (Some(RefundReason::Fraudulent), Some("fraudulent")),
        (
            Some(RefundReason::RequestedByCustomer),
            Some("requested_by_customer"),
        ),
    ];
    for (reason, name) in all {
        let peer = Peer::start(vec![ok(REFUND)]).await;
        let refund = processor(&peer).refund(&order(reason)).await.unwrap();
        let expected = Refund {
            id: "re_1".to_owned(),
            amount: 500,
            status: RefundState::Succeeded,
            failure: None,
            refund: Some("test_ref_1".to_owned()),
            request: None,
        };
        assert_eq!(refund, expected);

        let received = peer.received().remove(0);
        assert_eq!(received.line(), "POST /v1/refunds");
        assert_eq!(received.header("idempotency-key"), Some("test_ref_1"));
        let mut form = vec![
            ("amount", "500"),
            ("metadata[cloakroom_key]", "mark"),
            ("metadata[cloakroom_refund]", "test_ref_1"),
            ("payment_intent", "pi_1"),
        ];
        form.extend(name.map(|name| ("reason", name)));
        assert_form(&received, &form);
        assert_eq!(reason.map(RefundReason::name), name);
    }
}

#[tokio::test]
async fn every_state_of_a_refund_has_its_name() {
    for (status, expected) in [
        (r#""pending""#, RefundState::Pending),
        (r#""requires_action""#, RefundState::Pending),
        (r#""succeeded""#, RefundState::Succeeded),
        (r#""failed""#, RefundState::Failed),
        (r#""canceled""#, RefundState::Canceled),
        // Not over, as far as we know: it is read again.
        (r#""brand_new""#, RefundState::Pending),
        (r#""""#, RefundState::Pending),
        ("null", RefundState::Pending),
        ("7", RefundState::Pending),
    ] {
        let body = REFUND.replace(r#""succeeded""#, status);
        let made = refund(&Peer::start(vec![ok(&body)]).await).await;
        let read = state(&Peer::start(vec![ok(&body)]).await).await;
        assert_eq!(made, read);
        assert_eq!(made.unwrap().status, expected, "{status}");
    }
}

#[tokio::test]
async fn a_refund_that_the_bank_did_not_take_says_why_where_it_can() {
    for (reason, expected) in [
        (r#""lost_or_stolen_card""#, Some("lost_or_stolen_card")),
        (r#""Free text 4242""#, None),
        ("7", None),
        ("null", None),
        ("{}", None),
    ] {
        let body = REFUND
            .replace("succeeded", "failed")
            .replace(r#""reason":null"#, &format!(r#""failure_reason":{reason}"#));
        let told = state(&Peer::start(vec![ok(&body)]).await).await.unwrap();
        assert_eq!(told.status, RefundState::Failed);
        let failure = told.failure.as_ref().map(DeclineCode::as_str);
        assert_eq!(failure, expected, "{reason}");
    }
}

#[tokio::test]
async fn a_refund_is_read_and_not_touched() {
    for id in ["re_1", "pyr_1"] {
        let peer = Peer::start(vec![ok(&of(id, "test_ref_1"))]).await;
        let told = processor(&peer).refund_state(id, CLIENT).await.unwrap();
        assert_eq!((told.id.as_str(), told.amount), (id, 500));
        let received = peer.received().remove(0);
        assert_eq!(received.line(), format!("GET /v1/refunds/{id}"));
        assert_eq!(received.header("idempotency-key"), None);
    }
}

#[tokio::test]
async fn more_than_was_taken_is_not_given_back_and_not_asked_for_again() {
    for code in [
        "charge_already_refunded",
        "charge_disputed",
        "refund_disputed_payment",
        "payment_intent_unexpected_state",
    ] {
        let peer = Peer::start(vec![refused(code), ok(REFUND)]).await;
        assert_eq!(refund(&peer).await, Err(Failure::Rejected), "{code}");
        assert_eq!(peer.received().len(), 1);
    }
    let peer = Peer::start(vec![refused("amount_too_large"), ok(REFUND)]).await;
    let Err(Failure::Invalid(fault)) = refund(&peer).await else {
        panic!("the amount is named");
    };
    assert_eq!((fault.pointer, fault.reason), ("/amount", "above_maximum"));
    assert_eq!(peer.received().len(), 1);
    // Of what is more than is left Stripe says so without a code.
    let left = r#"{"error":{"type":"invalid_request_error","message":"Refund amount (€5.00) is greater than unrefunded amount on charge (€4.00)","param":"amount"}}"#;
    let peer = Peer::start(vec![Reply::json(400, left)]).await;
    assert_eq!(refund(&peer).await, Err(Failure::Rejected));
    let peer = Peer::start(vec![refused("resource_missing")]).await;
    assert_eq!(refund(&peer).await, Err(Failure::Missing));
    let peer = Peer::start(vec![Reply::json(402, DECLINED)]).await;
    assert!(matches!(refund(&peer).await, Err(Failure::Declined(_))));
}

#[tokio::test]
async fn a_refund_whose_end_is_open_is_not_repeated_here() {
    for (reply, failure) in [
        (Reply::Cut, Failure::OutcomeUnknown),
        (Reply::CutInAnswer, Failure::OutcomeUnknown),
        (Reply::json(500, ""), Failure::OutcomeUnknown),
        (kept(500, ""), Failure::FaultKept),
        (kept(503, "<html>"), Failure::FaultKept),
    ] {
        let peer = Peer::start(vec![reply, ok(REFUND)]).await;
        assert_eq!(refund(&peer).await, Err(failure));
        assert_eq!(peer.received().len(), 1);
    }
    let peer = Peer::start(vec![kept(200, REFUND)]).await;
    assert_eq!(refund(&peer).await.unwrap().id, "re_1");
}

#[tokio::test]
async fn an_answer_about_another_refund_or_none_tells_nothing() {
    for body in [
        of("pi_1", "test_ref_1"),
        of("re_1/../re_1", "test_ref_1"),
        REFUND.replace("500", "-500"),
        REFUND.replace("500", r#""500""#),
        REFUND.replace("500", "null"),
        "{}".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        let made = refund(&Peer::start(vec![ok(&body)]).await).await;
        assert_eq!(made, Err(Failure::OutcomeUnknown), "{body}");
        let read = state(&Peer::start(vec![ok(&body)]).await).await;
        assert_eq!(read, Err(Failure::OutcomeUnknown), "{body}");
    }
    // Sound, but not what was asked.
    let less = REFUND.replace("500", "499");
    let made = refund(&Peer::start(vec![ok(&less)]).await).await;
    assert_eq!(made, Err(Failure::OutcomeUnknown));
    let other = of("re_2", "test_ref_1");
    let read = state(&Peer::start(vec![ok(&other)]).await).await;
    assert_eq!(read, Err(Failure::OutcomeUnknown));
}

#[tokio::test]
async fn what_is_no_id_is_not_put_into_a_request() {
    let peer = Peer::start(Vec::new()).await;
    let processor = processor(&peer);
    for id in NO_IDS {
        let order = RefundOrder {
            payment: id,
            ..order(None)
        };
        assert_eq!(processor.refund(&order).await, Err(Failure::Rejected));
        let told = processor.refund_state(id, CLIENT).await;
        assert_eq!(told, Err(Failure::Rejected));
        let found = processor
            .find_refund(id, Sought::Own("test_ref_1"), CLIENT)
            .await;
        assert_eq!(found, Err(Failure::Rejected), "{id:?}");
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_refund_is_found_by_the_id_of_ours_that_it_carries() {
    let others = [
        of("re_9", "test_ref_9"),
        r#"{"id":"pyr_8","amount":1,"currency":"eur","status":"pending","metadata":{}}"#.to_owned(),
    ];
    let script = vec![
        page(&others, true),
        page(&[of("re_1", "test_ref_1")], false),
    ];
    let peer = Peer::start(script).await;
    assert_eq!(find(&peer).await.unwrap().unwrap().id, "re_1");

    let received = peer.received();
    assert!(received[0].line().starts_with("GET /v1/refunds?"));
    let first = [pair("limit", "100"), pair("payment_intent", "pi_1")];
    assert_eq!(query(&received[0]), first);
    let second = [
        pair("limit", "100"),
        pair("payment_intent", "pi_1"),
        pair("starting_after", "pyr_8"),
    ];
    assert_eq!(query(&received[1]), second);
}

#[tokio::test]
async fn a_refund_is_known_not_to_be_there_only_when_all_were_read() {
    for script in [
        vec![page(&[], false)],
        vec![page(&[of("re_9", "test_ref_11")], false)],
        vec![page(&[of("re_9", "a")], true), page(&[], false)],
    ] {
        assert_eq!(find(&Peer::start(script).await).await, Ok(None));
    }
    for script in [
        vec![page(&[], true)],
        vec![ok(r#"{"data":[]}"#)],
        vec![page(&[of("re_9/", "a")], true)],
        vec![page(&[of("re_9", "a")], true), Reply::Cut],
        (0..25)
            .map(|at| page(&[of(&format!("re_x{at}"), "a")], true))
            .collect(),
    ] {
        let peer = Peer::start(script).await;
        assert_eq!(find(&peer).await, Err(Failure::OutcomeUnknown));
        assert!(peer.received().len() <= 20);
    }
}

#[tokio::test]
async fn what_a_request_has_made_is_found_by_its_mark_within_the_life_of_its_key() {
    let marked = |id: &str, mark: &str, created_s: i64| {
        format!(
            r#"{{"id":"{id}","status":"succeeded","created":{created_s},"metadata":{{"cloakroom_charge":"test_chg_9","cloakroom_key":"{mark}"}}}}"#
        )
    };
    let script = [
        marked("pi_3", "other", 1_001),
        marked("pi_2", "mark", 999),
        marked("pi_1", "mark", 1_000),
    ];
    let peer = Peer::start(vec![page(&script, false)]).await;
    let since = Timestamp::from_unix_ms(1_000_999);
    let found = processor(&peer)
        .find_payment("cus_1", Sought::Request("mark"), since, CLIENT)
        .await;
    assert_eq!(found.unwrap().unwrap().id, "pi_1");

    // A refund that came to nothing answers no request.
    let back = |id: &str, status: &str| {
        REFUND
            .replace("re_1", id)
            .replace("succeeded", status)
            .replace("cloakroom_refund", "cloakroom_key")
            .replace("test_ref_1", "mark")
    };
    let script = [back("re_3", "failed"), back("re_2", "pending")];
    let peer = Peer::start(vec![page(&script, false)]).await;
    let found = processor(&peer)
        .find_refund("pi_1", Sought::Request("mark"), CLIENT)
        .await;
    assert_eq!(found.unwrap().unwrap().id, "re_2");
}
