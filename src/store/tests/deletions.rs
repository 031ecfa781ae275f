//! A token's end: two steps with the processor in between, finished by any node.

use super::*;

async fn begin_at(store: &Store, id: TokenId, seconds: u32) -> Result<DeletionBegun, Failure> {
    let now = START.plus_s(seconds);
    store
        .begin_deletion(
            (&account(), id),
            (now, now.plus_s(60)),
            event(Action::TokenDeletionStarted),
        )
        .await
}

async fn finish(store: &Store, id: TokenId) -> Result<TokenRow, Failure> {
    let done = event(Action::TokenDeleted);
    store
        .finish_deletion((&account(), id), START.plus_s(9), done, |_| news())
        .await
}

async fn take_at(store: &Store, seconds: u32) -> Vec<DeletionWork> {
    let due = store
        .take_due_deletions(due_at(seconds), |_| event(Action::TokenDeletionStarted))
        .await;
    due.unwrap()
}

#[tokio::test]
async fn a_deletion_takes_two_steps_and_leaves_a_tombstone() {
    let bench = Bench::new().await;
    let made = bench.token().await;

    assert!(matches!(
        finish(&bench.store, made.id).await,
        Err(Failure::Inconsistent {
            column: "status",
            ..
        })
    ));
    let Ok(Begun::New(work)) = begin_at(&bench.store, made.id, 0).await else {
        panic!("a token in use may be deleted");
    };
    assert!(!work.lease.is_resumed());
    assert_eq!(work.sealed.sealed, made.value.sealed);
    assert_eq!(work.sealed.data_key, *made.value.data_key);
    assert_eq!(work.sealed.status, TokenStatus::Deleting);
    assert_eq!(
        begin_at(&bench.store, made.id, 59).await,
        Ok(Begun::InFlight),
        "somebody is at it"
    );
    let Ok(Begun::Resumed(work)) = begin_at(&bench.store, made.id, 60).await else {
        panic!("a deletion may be begun again once its lease has run out");
    };
    assert!(work.lease.is_resumed());
    assert_eq!(work.sealed.sealed, made.value.sealed);
    for _ in 0..2 {
        let tombstone = finish(&bench.store, made.id).await.unwrap();
        assert_eq!(tombstone.status, TokenStatus::Deleted);
        assert_eq!(tombstone.deleted_at, Some(START.plus_s(9)));
        assert_eq!(tombstone.card, made.card);
        assert_eq!(tombstone.version, 3, "deleting, then deleted");
    }
    assert_eq!(
        begin_at(&bench.store, made.id, 60).await,
        Ok(Begun::Refused(NoDeletion::Deleted))
    );
    let unknown = TokenId::new(ENVIRONMENT, START);
    assert_eq!(
        begin_at(&bench.store, unknown, 0).await,
        Ok(Begun::Refused(NoDeletion::Unknown))
    );
    assert_eq!(
        bench.outcomes(Action::TokenDeletionStarted).await,
        ["success", "refused", "success", "refused", "refused"]
    );
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM tokens WHERE lease_until_ms IS NOT NULL")
            .await,
        0,
        "nothing is owed to a tombstone"
    );
}

#[tokio::test]
async fn a_token_with_an_unsettled_charge_is_not_deleted() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    assert_eq!(
        begin_at(&bench.store, charge.token, 0).await,
        Ok(Begun::Refused(NoDeletion::InUse))
    );
    settle(
        &bench.store,
        Authority::Holder(&charge.lease),
        charge.id,
        outcome(ChargeStatus::Succeeded),
    )
    .await
    .unwrap();
    let begun = begin_at(&bench.store, charge.token, 0).await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
}

pub(super) async fn one_that_stopped_is_finished_by_another_node(store: &Store) {
    let id = new(token_on(store, |_| {}).await);
    let begun = begin_at(store, id, 0).await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
    assert!(take_at(store, 59).await.is_empty(), "its caller is at it");

    // Its caller died: another node takes it, and has to put it off.
    let mut taken = take_at(store, 60).await;
    let DeletionWork { lease, sealed } = taken.remove(0);
    assert!(taken.is_empty() && lease.is_resumed());
    assert_eq!((sealed.token, sealed.status), (id, TokenStatus::Deleting));
    store
        .defer_deletion(lease, (&account(), id), START.plus_s(100))
        .await
        .unwrap();
    assert_eq!(
        begin_at(store, id, 99).await,
        Ok(Begun::InFlight),
        "a request does not press what waits"
    );
    assert!(take_at(store, 99).await.is_empty());
    assert_eq!(take_at(store, 100).await.len(), 1);

    let tombstone = finish(store, id).await.unwrap();
    assert_eq!(tombstone.status, TokenStatus::Deleted);
    assert!(take_at(store, 900).await.is_empty());
}

#[tokio::test]
async fn a_deletion_that_stopped_on_the_way_is_finished() {
    let bench = Bench::new().await;
    one_that_stopped_is_finished_by_another_node(&bench.store).await;
    assert_eq!(
        bench.outcomes(Action::TokenDeletionStarted).await,
        ["success", "success", "refused", "success"],
        "one for each time the value was given out"
    );
}

#[tokio::test]
async fn a_deletion_whose_lease_is_lost_is_not_put_off() {
    let bench = Bench::new().await;
    let id = bench.token().await.id;
    let Ok(Begun::New(first)) = begin_at(&bench.store, id, 0).await else {
        panic!("it may be deleted");
    };
    assert_eq!(take_at(&bench.store, 60).await.len(), 1);
    bench
        .store
        .defer_deletion(first.lease, (&account(), id), START.plus_s(9_000))
        .await
        .unwrap();
    assert_eq!(
        take_at(&bench.store, 120).await.len(),
        1,
        "it was not put off"
    );
}
