//! Looks at the processor that are owed to a charge.

use super::*;

async fn take_at(store: &Store, seconds: u32) -> Vec<DueReview> {
    store.take_due_reviews(due_at(seconds)).await.unwrap()
}

async fn request_at(store: &Store, id: ChargeId, payment: Option<&str>, seconds: u32) -> bool {
    let payment = payment.map(str::to_owned);
    store
        .request_review(&account(), id, payment, START.plus_s(seconds))
        .await
        .unwrap()
}

pub(super) async fn one_asked_for_again_while_it_is_made_is_made_again(store: &Store) {
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let unknown = ChargeId::new(ENVIRONMENT, START);
    assert!(!request_at(store, unknown, None, 0).await);
    assert!(request_at(store, id, Some("pi_9"), 0).await);
    let first = take_at(store, 0).await.remove(0);
    assert_eq!((first.charge.id, first.requests, first.tries), (id, 1, 0));
    assert_eq!(first.payment.as_deref(), Some("pi_9"));
    assert!(take_at(store, 1).await.is_empty(), "it is being made");

    assert!(request_at(store, id, None, 1).await);
    assert!(take_at(store, 1).await.is_empty(), "it is still being made");
    store
        .finish_review(first.lease, (id, first.requests))
        .await
        .unwrap();
    let second = take_at(store, 1).await.remove(0);
    assert_eq!((second.charge.id, second.requests), (id, 2));
    assert_eq!(second.payment.as_deref(), Some("pi_9"), "it is kept");
    store
        .finish_review(second.lease, (id, second.requests))
        .await
        .unwrap();
    assert!(take_at(store, 90_000).await.is_empty(), "it is over");
}

pub(super) async fn one_that_was_deferred_is_due_when_it_is_asked_for(store: &Store) {
    let id = settled_on(store, ChargeStatus::Succeeded).await.id;
    let whose = account();
    assert!(request_at(store, id, None, 0).await);
    for tries in 0..2_u32 {
        let due = take_at(store, tries.saturating_mul(100)).await.remove(0);
        assert_eq!(due.tries, tries);
        let until = START.plus_s(tries.saturating_mul(100)).plus_s(100);
        store
            .defer_review(due.lease, (&whose, id), until)
            .await
            .unwrap();
    }
    assert!(take_at(store, 199).await.is_empty(), "it waits");
    assert!(request_at(store, id, None, 150).await);
    let due = take_at(store, 150).await.remove(0);
    assert_eq!((due.tries, due.requests), (0, 2), "there is a new reason");

    // Its lease runs out, and another makes it: the first one ends nothing.
    let second = take_at(store, 210).await.remove(0);
    store
        .finish_review(due.lease, (id, due.requests))
        .await
        .unwrap();
    assert!(take_at(store, 220).await.is_empty(), "it is being made");
    store
        .finish_review(second.lease, (id, second.requests))
        .await
        .unwrap();
    assert!(take_at(store, 90_000).await.is_empty());
}

#[tokio::test]
async fn a_review_is_made_once_for_the_newest_reason() {
    one_asked_for_again_while_it_is_made_is_made_again(&Bench::new().await.store).await;
    one_that_was_deferred_is_due_when_it_is_asked_for(&Bench::new().await.store).await;
}
