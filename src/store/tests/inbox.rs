//! What the processor reports: written down once, applied when it can be.

use super::*;

/// The dispute `dp_1` of the payment `pi_1`.
fn dispute(status: &str, open: bool) -> Report {
    Report::Dispute {
        payment: "pi_1".into(),
        dispute: "dp_1".into(),
        amount: 1_250,
        currency: "eur".into(),
        reason: "fraudulent".into(),
        status: status.into(),
        open,
    }
}

fn payment(name: &str, charge: Option<ChargeId>, says: Option<(ChargeStatus, i64)>) -> Report {
    Report::Payment {
        payment: name.into(),
        charge: charge.map(|id| id.to_string()),
        status: says.map(|(status, _)| status.name().to_owned()),
        captured: says.map(|(_, captured)| captured),
    }
}

/// An event that happened, and came, so many seconds after the start.
async fn receive(store: &Store, id: &str, report: Option<Report>, seconds: u32) -> Received {
    let at = START.plus_s(seconds);
    let received = ProcessorEvent {
        account: account(),
        id: id.to_owned(),
        created_at: at,
        now: at,
        report,
    };
    store
        .receive_processor_event(received, event(Action::NoticeTaken))
        .await
        .unwrap()
}

async fn take_at(store: &Store, seconds: u32) -> Vec<DueEvent> {
    store.take_due_events(due_at(seconds)).await.unwrap()
}

async fn apply(store: &Store, due: &DueEvent) -> Result<Applied, Failure> {
    let publish = Publish {
        dispute: |row: &DisputeRow, change: DisputeChange| News {
            kind: format!("dispute.{}", change.name()),
            data: format!("{{\"status\":\"{}\"}}", row.status),
            ..news()
        },
        token: |_: &TokenRow| News {
            kind: "token.updated".into(),
            ..news()
        },
    };
    let now = START.plus_s(1_000);
    store.apply_processor_event(due, now, publish).await
}

/// Applies the one event that is due.
async fn apply_next(store: &Store, seconds: u32) -> Applied {
    let mut due = take_at(store, seconds).await;
    assert_eq!(due.len(), 1);
    apply(store, &due.remove(0)).await.unwrap()
}

async fn published(store: &Store) -> Vec<String> {
    store.number_news(Vec::new(), 100, START).await.unwrap();
    let feed = store.news(&account(), None, 100).await.unwrap().unwrap();
    let kinds = feed.into_iter().map(|news| news.kind);
    kinds.filter(|kind| kind != "test.happened").collect()
}

async fn charge(store: &Store, id: ChargeId) -> ChargeRow {
    store.charge(&account(), id).await.unwrap().unwrap()
}

pub(super) async fn what_comes_before_its_payment_is_known_waits_for_it(store: &Store) {
    let token = new(token_on(store, |_| {}).await);
    let charging = charging_on(store, token, "c").await;
    let opened = || Some(dispute("needs_response", true));
    assert_eq!(receive(store, "evt_1", opened(), 0).await, Received::New);
    assert_eq!(receive(store, "evt_1", opened(), 1).await, Received::Again);
    assert_eq!(receive(store, "evt_2", None, 1).await, Received::Ignored);
    let due = take_at(store, 1).await.remove(0);
    assert_eq!(due.report, opened());
    assert_eq!(apply(store, &due).await, Ok(Applied::NotYet));
    let until = START.plus_s(5);
    let whose = (&account(), due.id.clone());
    store
        .defer_processor_event(due.lease, whose, until)
        .await
        .unwrap();
    assert!(take_at(store, 4).await.is_empty());

    let said = outcome(ChargeStatus::Succeeded);
    settle(store, Authority::Observer, charging.id, said)
        .await
        .unwrap();
    assert!(!charge(store, charging.id).await.disputed);
    let due = take_at(store, 5).await.remove(0);
    assert_eq!(due.tries, 1);
    assert_eq!(apply(store, &due).await, Ok(Applied::Applied));
    assert!(charge(store, charging.id).await.disputed);
    assert!(
        take_at(store, 90_000).await.is_empty(),
        "it is applied once"
    );
    assert_eq!(receive(store, "evt_1", opened(), 90).await, Received::Again);
    assert!(take_at(store, 90_000).await.is_empty());
    assert_eq!(published(store).await, ["dispute.opened"]);
}

pub(super) async fn a_dispute_that_was_won_is_over_whatever_comes_late(store: &Store) {
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    for (event, report, seconds, disputed) in [
        ("evt_1", dispute("needs_response", true), 10, true),
        ("evt_2", dispute("under_review", true), 20, true),
        ("evt_4", dispute("won", false), 40, false),
        // `charge.dispute.funds_reinstated` of the dispute that was won.
        ("evt_5", dispute("won", false), 41, false),
        // Late: this is where the dispute was before.
        ("evt_3", dispute("under_review", true), 30, false),
        ("evt_0", dispute("needs_response", true), 9, false),
    ] {
        assert_eq!(
            receive(store, event, Some(report), seconds).await,
            Received::New
        );
        assert_eq!(apply_next(store, 100).await, Applied::Applied);
        assert_eq!(charge(store, id).await.disputed, disputed, "{event}");
    }
    let kinds = ["dispute.opened", "dispute.updated", "dispute.closed"];
    assert_eq!(published(store).await, kinds);
}

pub(super) async fn the_newest_report_of_a_dispute_is_known_by_its_time(store: &Store) {
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    for (event, status, seconds) in [
        ("evt_1", "under_review", 10),
        // The same again, later: what lies between is older than what is known.
        ("evt_3", "under_review", 30),
        ("evt_2", "needs_response", 20),
    ] {
        receive(store, event, Some(dispute(status, true)), seconds).await;
        apply_next(store, 100).await;
    }
    assert!(charge(store, id).await.disputed);
    assert_eq!(published(store).await, ["dispute.opened"]);
}

pub(super) async fn a_payment_of_ours_is_looked_at_in_any_state(store: &Store) {
    let row = settled_on(store, ChargeStatus::Canceled).await;
    let reviews = async || store.take_due_reviews(due_at(5_000)).await.unwrap();
    let known = (ChargeStatus::Canceled, 0);
    receive(store, "evt_1", Some(payment("pi_1", None, Some(known))), 0).await;
    assert_eq!(apply_next(store, 0).await, Applied::Applied);
    assert!(reviews().await.is_empty(), "it says no more than the row");

    let taken = (ChargeStatus::Succeeded, 1_250);
    receive(store, "evt_2", Some(payment("pi_1", None, Some(taken))), 1).await;
    assert_eq!(apply_next(store, 1).await, Applied::Applied);
    let review = reviews().await.remove(0);
    assert_eq!(review.charge.id, row.id);
    store
        .finish_review(review.lease, (row.id, review.requests))
        .await
        .unwrap();
    assert_eq!(
        charge(store, row.id).await,
        row,
        "the event alone is no proof"
    );

    // One that we do not know the payment of is known by its own name in the event.
    let charged = new(token_on(store, |_| {}).await);
    let open = charging_on(store, charged, "c2").await;
    receive(
        store,
        "evt_3",
        Some(payment("pi_2", Some(open.id), None)),
        2,
    )
    .await;
    assert_eq!(apply_next(store, 2).await, Applied::Applied);
    let review = reviews().await.remove(0);
    assert_eq!(
        (review.charge.id, review.payment.as_deref()),
        (open.id, Some("pi_2"))
    );

    receive(store, "evt_4", Some(payment("pi_3", None, None)), 3).await;
    assert_eq!(apply_next(store, 3).await, Applied::Ignored);
}

pub(super) async fn a_refund_that_is_not_known_has_its_payment_looked_at(store: &Store) {
    let report = || {
        Some(Report::Refund {
            payment: "pi_1".into(),
            refund: "re_1".into(),
            status: "succeeded".into(),
        })
    };
    receive(store, "evt_1", report(), 0).await;
    let due = take_at(store, 0).await.remove(0);
    assert_eq!(apply(store, &due).await, Ok(Applied::NotYet));
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    assert_eq!(apply(store, &due).await, Ok(Applied::Applied));
    let review = store.take_due_reviews(due_at(5_000)).await.unwrap();
    assert_eq!(review[0].charge.id, id);
}

pub(super) async fn an_event_has_its_effect_once(store: &Store) {
    settled_on(store, ChargeStatus::Succeeded).await;
    receive(store, "evt_1", Some(dispute("lost", false)), 0).await;
    let slow = take_at(store, 0).await.remove(0);
    let second = take_at(store, 60).await.remove(0);
    let late = apply(store, &slow).await;
    assert!(
        matches!(
            late,
            Err(Failure::Inconsistent {
                table: "processor_events",
                ..
            })
        ),
        "its lease is another's: {late:?}"
    );
    assert_eq!(apply(store, &second).await, Ok(Applied::Applied));
    assert!(apply(store, &second).await.is_err(), "it is over");
    assert_eq!(published(store).await, ["dispute.closed"]);

    receive(store, "evt_2", Some(payment("pi_9", None, None)), 0).await;
    let due = take_at(store, 100).await.remove(0);
    let whose = (&account(), due.id.clone());
    store
        .give_up_processor_event(due.lease, whose)
        .await
        .unwrap();
    assert!(take_at(store, 90_000).await.is_empty());
}

#[tokio::test]
async fn what_comes_too_early_waits() {
    what_comes_before_its_payment_is_known_waits_for_it(&Bench::new().await.store).await;
    a_refund_that_is_not_known_has_its_payment_looked_at(&Bench::new().await.store).await;
}

#[tokio::test]
async fn a_dispute_stands_as_its_newest_report_says() {
    a_dispute_that_was_won_is_over_whatever_comes_late(&Bench::new().await.store).await;
    the_newest_report_of_a_dispute_is_known_by_its_time(&Bench::new().await.store).await;
}

#[tokio::test]
async fn an_event_is_the_reason_for_one_look() {
    a_payment_of_ours_is_looked_at_in_any_state(&Bench::new().await.store).await;
    an_event_has_its_effect_once(&Bench::new().await.store).await;
}

#[tokio::test]
async fn an_event_whose_body_was_changed_is_taken_out_and_stands_in_no_others_way() {
    let bench = Bench::new().await;
    let store = &bench.store;
    receive(store, "evt_1", Some(payment("pi_1", None, None)), 0).await;
    bench
        .run("UPDATE processor_events SET body = '{\"of\":\"nothing\"}'")
        .await
        .unwrap();
    receive(store, "evt_2", Some(payment("pi_1", None, None)), 0).await;
    assert_eq!(apply_next(store, 0).await, Applied::Ignored);
    assert!(take_at(store, 90_000).await.is_empty());
    let kept = "SELECT COUNT(*) FROM processor_events WHERE id = 'evt_1' OR body IS NOT NULL";
    assert_eq!(
        bench.number(kept).await,
        0,
        "what it said is in the quarantine alone"
    );
}
