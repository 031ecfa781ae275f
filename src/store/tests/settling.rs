//! What is told of a charge, against what is known of it.

use super::charges::outcome;
use super::*;
use crate::token::ChargeStatus;

/// What became of being told `told` after `known`.
async fn told_after(known: ChargeStatus, told: ChargeStatus) -> Result<ChargeStatus, Failure> {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let (store, whose) = (&bench.store, account());
    let finish = |outcome| {
        let event = event(Action::ChargeSettled);
        store.settle_charge((&whose, charge.id), outcome, event, |_| news())
    };
    finish(outcome(known)).await.unwrap();
    let before = bench.number("SELECT COUNT(*) FROM events").await;
    let after = finish(outcome(told)).await?;
    let changed = i64::from(after.status != known);
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM events").await,
        before.saturating_add(changed),
        "{known:?} {told:?}: what changes is told, and nothing else"
    );
    Ok(after.status)
}

#[tokio::test]
async fn the_processor_may_tell_late_twice_and_more_but_not_the_contrary() {
    use ChargeStatus::{Canceled, Declined, RequiresAction, RequiresCapture, Succeeded};
    for (known, told, becomes) in [
        (RequiresAction, Succeeded, Some(Succeeded)),
        (RequiresAction, RequiresCapture, Some(RequiresCapture)),
        (RequiresAction, Declined, Some(Declined)),
        (RequiresAction, Canceled, Some(Canceled)),
        (RequiresCapture, Succeeded, Some(Succeeded)),
        (RequiresCapture, Canceled, Some(Canceled)),
        // Late: the charge has left this behind.
        (RequiresCapture, RequiresAction, Some(RequiresCapture)),
        (Succeeded, RequiresAction, Some(Succeeded)),
        (Succeeded, RequiresCapture, Some(Succeeded)),
        (Declined, RequiresAction, Some(Declined)),
        (Declined, RequiresCapture, Some(Declined)),
        (Declined, Canceled, Some(Declined)),
        (Canceled, RequiresAction, Some(Canceled)),
        (Canceled, RequiresCapture, Some(Canceled)),
        // Both cannot be true, and a person must look.
        (Succeeded, Declined, None),
        (Succeeded, Canceled, None),
        (Declined, Succeeded, None),
        (Canceled, Succeeded, None),
        (Canceled, Declined, None),
        (RequiresCapture, Declined, None),
    ] {
        let after = told_after(known, told).await;
        match becomes {
            Some(status) => assert_eq!(after, Ok(status), "{known:?} {told:?}"),
            None => assert!(
                matches!(
                    after,
                    Err(Failure::Inconsistent {
                        column: "status",
                        ..
                    })
                ),
                "{known:?} {told:?}: {after:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_charge_whose_end_a_notice_told_first_is_answered_as_it_stands() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let (store, whose) = (&bench.store, account());
    let told = outcome(ChargeStatus::Succeeded);
    store
        .settle_charge(
            (&whose, charge.id),
            told,
            event(Action::ChargeSettled),
            |_| news(),
        )
        .await
        .unwrap();
    // The answer itself was lost on its way, so that its caller knows nothing of the end.
    let until = START.plus_s(60);
    let deferred = store.defer_charge(&whose, charge.id, until).await.unwrap();
    assert_eq!(deferred.status, ChargeStatus::Succeeded);
    assert_eq!(deferred.lease_until, None);
}

#[tokio::test]
async fn a_charge_that_another_is_at_work_on_is_not_given_up() {
    let bench = Bench::new().await;
    let made = bench.charge().await;
    let (store, whose) = (&bench.store, account());
    let mine = store.charge(&whose, made.id).await.unwrap().unwrap();
    let give_up = || store.abandon_charge(mine.clone(), START, event(Action::ChargeSettled));
    let status = async || store.charge(&whose, made.id).await.unwrap().unwrap().status;

    let until = START.plus_s(600);
    store.defer_charge(&whose, made.id, until).await.unwrap();
    give_up().await.unwrap();
    assert_eq!(status().await, ChargeStatus::Processing);
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        1,
        "its key stands for it still"
    );

    let lease = mine.lease_until.unwrap();
    store.defer_charge(&whose, made.id, lease).await.unwrap();
    give_up().await.unwrap();
    assert_eq!(status().await, ChargeStatus::Canceled);
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        0
    );
    assert_eq!(
        bench.outcomes(Action::ChargeSettled).await,
        ["refused", "success"]
    );
}
