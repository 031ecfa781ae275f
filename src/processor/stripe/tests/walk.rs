//! Lists of what was made since a moment: what is asked, and what each page means.

use super::*;
use crate::processor::{Failure, ListedStatus, RefundState};

const SINCE: Timestamp = Timestamp::from_unix_ms(1_795_400_000_250);
const LISTED: &str = r#"{"id":"pi_1","object":"payment_intent","amount":1250,"amount_received":700,"currency":"eur","status":"succeeded","created":1795400001,"metadata":{"cloakroom_charge":"test_chg_1","order":"7"},"next_action":{"type":"use_stripe_sdk"}}"#;
const REFUND: &str = r#"{"id":"re_1","object":"refund","amount":500,"currency":"eur","payment_intent":"pi_1","status":"pending","created":1795400002,"metadata":{"cloakroom_refund":"test_ref_1"}}"#;
const DISPUTE: &str = r#"{"id":"du_1","object":"dispute","amount":900,"currency":"eur","payment_intent":"pi_1","reason":"fraudulent","status":"needs_response","created":1795400003,"metadata":{}}"#;

fn page(objects: &[&str], has_more: bool) -> Reply {
    let data = objects.join(",");
    ok(&format!(
        r#"{{"object":"list","has_more":{has_more},"data":[{data}]}}"#
    ))
}

#[tokio::test]
async fn pages_are_asked_for_by_time_and_by_the_last_id() {
    let second = LISTED.replace("pi_1", "pi_2");
    let pages = vec![page(&[LISTED, &second], true), page(&[], false)];
    let peer = Peer::start(pages).await;
    let processor = processor(&peer);
    let first = processor.payments_since(SINCE, None).await.unwrap();
    let ids: Vec<&str> = first.objects.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["pi_1", "pi_2"]);
    assert_eq!(first.next.as_deref(), Some("pi_2"));
    let last = processor.payments_since(SINCE, first.next.as_deref()).await;
    let last = last.unwrap();
    assert_eq!((last.objects.len(), last.next), (0, None));

    let received = peer.received();
    assert!(received[0].line().starts_with("GET /v1/payment_intents?"));
    let common = vec![pair("created[gte]", "1795400000"), pair("limit", "100")];
    assert_eq!(query(&received[0]), common);
    let next = [common, vec![pair("starting_after", "pi_2")]].concat();
    assert_eq!(query(&received[1]), next);
}

#[tokio::test]
async fn each_list_says_what_the_comparison_needs() {
    let peer = Peer::start(vec![page(&[LISTED], false)]).await;
    let payments = processor(&peer).payments_since(SINCE, None).await.unwrap();
    let payment = &payments.objects[0];
    assert_eq!(payment.charge.as_deref(), Some("test_chg_1"));
    assert_eq!((payment.amount, payment.captured), (1_250, 700));
    assert_eq!(payment.currency, "eur");
    assert_eq!(payment.status, Some(ListedStatus::Succeeded));
    assert_eq!(payment.created_at.unix_ms(), 1_795_400_001_000);

    let nameless = REFUND
        .replace(r#""pending""#, "null")
        .replace(r#"{"cloakroom_refund":"test_ref_1"}"#, "{}")
        .replace(r#""pi_1""#, "null");
    let peer = Peer::start(vec![page(&[REFUND, &nameless], false)]).await;
    let refunds = processor(&peer).refunds_since(SINCE, None).await.unwrap();
    let told = |at: usize| {
        let refund = &refunds.objects[at];
        let name = refund.refund.as_deref();
        (name, refund.payment.as_deref(), refund.status)
    };
    let pending = Some(RefundState::Pending);
    assert_eq!(told(0), (Some("test_ref_1"), Some("pi_1"), pending));
    assert_eq!(told(1), (None, None, None));

    let peer = Peer::start(vec![page(&[DISPUTE], false)]).await;
    let disputes = processor(&peer).disputes_since(SINCE, None).await.unwrap();
    let dispute = &disputes.objects[0];
    assert_eq!((dispute.id.as_str(), dispute.amount), ("du_1", 900));
    assert_eq!(dispute.status, "needs_response");
    assert_eq!(dispute.payment.as_deref(), Some("pi_1"));
}

#[tokio::test]
async fn every_status_of_a_payment_has_its_name_and_a_new_one_has_none() {
    for (status, expected) in [
        ("succeeded", Some(ListedStatus::Succeeded)),
        ("requires_capture", Some(ListedStatus::RequiresCapture)),
        ("requires_action", Some(ListedStatus::RequiresAction)),
        ("processing", Some(ListedStatus::Processing)),
        ("requires_confirmation", Some(ListedStatus::Processing)),
        ("requires_payment_method", Some(ListedStatus::Declined)),
        ("canceled", Some(ListedStatus::Canceled)),
        ("brand_new", None),
    ] {
        let listed = LISTED.replace("succeeded", status);
        let peer = Peer::start(vec![page(&[&listed], false)]).await;
        let page = processor(&peer).payments_since(SINCE, None).await.unwrap();
        assert_eq!(page.objects[0].status, expected, "{status}");
    }
}

#[tokio::test]
async fn an_object_that_is_none_is_counted_and_spoils_no_other() {
    let of = |from: &str, to: &str| LISTED.replace(from, to);
    let strange = [
        of("1250", "-1"),
        of(r#""eur""#, r#""euro""#),
        of("pi_1", "ch_1"),
        of("1250", r#""many""#),
    ];
    for strange in &strange {
        let peer = Peer::start(vec![page(&[LISTED, strange], true)]).await;
        let page = processor(&peer).payments_since(SINCE, None).await.unwrap();
        assert_eq!((page.objects.len(), page.unreadable), (1, 1), "{strange}");
        assert!(page.next.is_some());
    }
    // What has no id is no place to go on from, and neither is nothing.
    for pages in [page(&[LISTED, "7"], true), page(&[], true)] {
        let peer = Peer::start(vec![pages]).await;
        let read = processor(&peer).payments_since(SINCE, None).await;
        assert_eq!(read, Err(Failure::OutcomeUnknown));
    }
}

#[tokio::test]
async fn an_object_is_read_alone_and_one_of_another_name_is_not_it() {
    let peer = Peer::start(vec![ok(LISTED), ok(LISTED), ok(REFUND), ok(DISPUTE)]).await;
    let processor = processor(&peer);
    assert_eq!(processor.listed_payment("pi_1").await.unwrap().id, "pi_1");
    let other = processor.listed_payment("pi_2").await;
    assert_eq!(other, Err(Failure::OutcomeUnknown));
    assert_eq!(processor.listed_refund("re_1").await.unwrap().id, "re_1");
    assert_eq!(processor.listed_dispute("du_1").await.unwrap().id, "du_1");
    for id in NO_IDS {
        assert!(processor.listed_payment(id).await.is_err(), "{id}");
        assert!(processor.payments_since(SINCE, Some(id)).await.is_err());
    }
    let lines: Vec<String> = peer.received().iter().map(Received::line).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[2], "GET /v1/refunds/re_1");
    assert_eq!(lines[3], "GET /v1/disputes/du_1");
}
