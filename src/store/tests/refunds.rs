//! Money given back: what the processor lists, and what it says against us.

use super::*;

async fn begin(store: &Store, key: &str, charge: ChargeId, amount: i64) -> RefundBegun {
    let requested = event(Action::RefundRequested);
    store
        .begin_refund(claim(key), refund_of(charge, amount), requested)
        .await
        .unwrap()
}

/// Begins what must begin.
async fn begun(store: &Store, key: &str, charge: ChargeId, amount: i64) -> Box<RefundWork> {
    match begin(store, key, charge, amount).await {
        Begun::New(work) => work,
        other @ (Begun::Resumed(_)
        | Begun::Replayed(_)
        | Begun::InFlight
        | Begun::Mismatch
        | Begun::Refused(_)) => panic!("{other:?}"),
    }
}

async fn settle_as(store: &Store, work: &RefundWork, said: RefundOutcome) -> RefundRow {
    let whose = account();
    let settled = event(Action::RefundSettled);
    store
        .settle_refund(&work.lease, (&whose, work.refund.id), said, settled, |_| {
            news()
        })
        .await
        .unwrap()
}

fn listed(name: &str, amount: i64, status: RefundStatus) -> ListedRefund {
    ListedRefund {
        ours: None,
        id: RefundId::new(ENVIRONMENT, START),
        amount,
        outcome: RefundOutcome {
            processor_refund: Some(name.into()),
            ..refunded(status)
        },
    }
}

async fn take(store: &Store, charge: ChargeId, listed: ListedRefund) -> RefundTaken {
    let announce = (|_: &RefundRow| news(), alert);
    store
        .take_listed_refund((&account(), charge), listed, announce)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_reserved_is_given_back_once_and_released_where_it_failed() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let work = begun(store, "r", id, 1_000).await;
    let too_much = begin(store, "s", id, 251).await;
    assert!(matches!(
        too_much,
        Begun::Refused(NoRefund::NotRefundable(_))
    ));
    let unknown = ChargeId::new(ENVIRONMENT, START);
    let unknown = begin(store, "s", unknown, 1).await;
    assert_eq!(unknown, Begun::Refused(NoRefund::Unknown));
    let again = begin(store, "r", id, 1_000).await;
    assert_eq!(again, Begun::InFlight);
    let failed = RefundOutcome {
        failure_code: Some("lost_or_stolen_card".into()),
        ..refunded(RefundStatus::Failed)
    };
    let row = settle_as(store, &work, failed.clone()).await;
    assert_eq!((row.status, row.version), (RefundStatus::Failed, 2));
    assert_eq!(bench.row(id).await.refunded, 0);
    assert_eq!(settle_as(store, &work, failed).await, row, "the same again");
    assert_eq!(bench.row(id).await.refunded, 0, "released once");
    begun(store, "s", id, 1_250).await;
}

#[tokio::test]
async fn a_refund_that_is_said_to_be_another_has_its_charge_looked_at() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let work = begun(store, "r", id, 250).await;
    settle_as(store, &work, refunded(RefundStatus::Canceled)).await;
    let row = settle_as(store, &work, refunded(RefundStatus::Succeeded)).await;
    assert_eq!(row.status, RefundStatus::Canceled);
    let review = store.take_due_reviews(due_at(90)).await.unwrap().remove(0);
    assert_eq!(review.charge.id, id);
    // The look lists the refund, and what contradicts is kept and paged.
    let again = listed("re_1", 250, RefundStatus::Succeeded);
    assert_eq!(take(store, id, again).await, RefundTaken::Contradiction);
    let contradiction = bench.row(id).await.contradiction.unwrap();
    assert_eq!(contradiction.code, "refund_differs");
    let paged = "SELECT COUNT(*) FROM alerts WHERE name = 'charge_contradicted'";
    assert_eq!(bench.number(paged).await, 1);
}

pub(super) async fn a_refund_made_at_the_processor_is_taken_over(store: &Store) {
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let refunded = async || {
        let row = store.charge(&account(), id).await.unwrap().unwrap();
        row.refunded
    };
    let ours = begun(store, "r", id, 1_000).await;
    let made = || listed("re_2", 500, RefundStatus::Succeeded);
    assert_eq!(
        take(store, id, made()).await,
        RefundTaken::NotYet,
        "ours may fail"
    );
    let nothing = NothingDone::refused(ours.lease);
    let done = (event(Action::RefundSettled), START);
    let abandoned = store
        .abandon_refund(nothing, ours.refund.into_claim(), done, |_| news())
        .await;
    assert_eq!(abandoned, Ok(true));
    assert_eq!(take(store, id, made()).await, RefundTaken::Changed);
    assert_eq!(take(store, id, made()).await, RefundTaken::Known);
    assert_eq!(refunded().await, 500);
    let rows = store.refunds_of(&account(), id, 10, None).await.unwrap();
    let made_there = rows.iter().find(|row| row.client.is_none()).unwrap();
    assert_eq!(made_there.processor_refund.as_deref(), Some("re_2"));

    // It fails after all, and one that failed before we heard of it never counted.
    let failed = listed("re_2", 500, RefundStatus::Failed);
    assert_eq!(take(store, id, failed).await, RefundTaken::Changed);
    let failed = listed("re_3", 500, RefundStatus::Failed);
    assert_eq!(take(store, id, failed).await, RefundTaken::Known);
    assert_eq!(refunded().await, 0);
}

#[tokio::test]
async fn refunds_of_the_dashboard_are_ours_as_soon_as_they_fit() {
    a_refund_made_at_the_processor_is_taken_over(&Bench::new().await.store).await;
}

#[tokio::test]
async fn a_listed_refund_of_another_amount_or_charge_is_a_contradiction() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let ours = begun(store, "r", id, 250).await;
    let other = ListedRefund {
        ours: Some(ours.refund.id),
        ..listed("re_1", 251, RefundStatus::Succeeded)
    };
    assert_eq!(take(store, id, other).await, RefundTaken::Contradiction);
    let row = store.refund(&account(), ours.refund.id).await.unwrap();
    assert_eq!(row.unwrap().status, RefundStatus::Processing);
    let right = ListedRefund {
        ours: Some(ours.refund.id),
        ..listed("re_1", 250, RefundStatus::Succeeded)
    };
    assert_eq!(take(store, id, right).await, RefundTaken::Changed);
}

#[tokio::test]
async fn a_refund_whose_lease_is_lost_is_neither_deferred_nor_abandoned() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let first = begun(store, "r", id, 250).await;
    let take_at = async |seconds| store.take_due_refunds(due_at(seconds)).await.unwrap();
    let second = take_at(60).await.refunds.remove(0);
    assert!(second.lease.is_resumed());
    let whose = account();
    let nothing = NothingDone::refused(first.lease);
    let done = (event(Action::RefundSettled), START);
    let abandoned = store
        .abandon_refund(nothing, first.refund.into_claim(), done, |_| news())
        .await;
    assert_eq!(abandoned, Ok(false));
    assert_eq!(bench.row(id).await.refunded, 250);
    let until = START.plus_s(100);
    let row = store
        .defer_refund(second.lease, (&whose, second.refund.id), until)
        .await
        .unwrap();
    assert_eq!((row.lease_until, row.lease_token), (Some(until), None));
    assert!(take_at(99).await.refunds.is_empty());
    assert_eq!(take_at(100).await.refunds.len(), 1);
}

/// Refused for good, asked again and not sent, asked once more: the processor remembers the refusal
/// under its first key, whatever came after it.
#[tokio::test]
async fn a_refusal_is_remembered_although_the_next_request_was_never_sent() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let give_up = async |nothing, refund: RefundRow| {
        let done = (event(Action::RefundSettled), START);
        let abandoned = store.abandon_refund(nothing, refund, done, |_| news());
        assert_eq!(abandoned.await, Ok(true));
    };
    let begin = async || {
        let order = NewRefund {
            processor_key: "cloakroom-abcdef".into(),
            ..refund_of(id, 250)
        };
        let asked = event(Action::RefundRequested);
        match store.begin_refund(claim("r"), order, asked).await.unwrap() {
            Begun::New(work) => *work,
            other @ (Begun::Resumed(_)
            | Begun::Replayed(_)
            | Begun::InFlight
            | Begun::Mismatch
            | Begun::Refused(_)) => panic!("{other:?}"),
        }
    };
    let first = begin().await;
    let key = first.refund.processor_key.clone();
    assert_eq!(key, "cloakroom-abcdef");
    give_up(NothingDone::refused(first.lease), first.refund.into_claim()).await;
    for _ in 0..2 {
        let next = begin().await;
        assert_eq!(next.refund.processor_key, format!("{key}-1"));
        let nothing = NothingDone::never_sent(next.lease).unwrap();
        give_up(nothing, next.refund.into_claim()).await;
    }
    let refused = begin().await;
    give_up(
        NothingDone::refused(refused.lease),
        refused.refund.into_claim(),
    )
    .await;
    let last = begin().await;
    assert_eq!(last.refund.processor_key, format!("{key}-2"));
}
