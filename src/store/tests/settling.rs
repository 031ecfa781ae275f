//! What is said of a charge, against what is known of it.

use super::*;

/// What became of a charge in state `known` of which `said` was said, and whether an operator was
/// paged.
async fn said_after(known: ChargeStatus, said: ChargeStatus) -> ChargeRow {
    let bench = Bench::new().await;
    let charge = bench.settled(outcome(known)).await;
    let before = bench.number("SELECT COUNT(*) FROM events").await;
    let settle = || settle(&bench.store, Authority::Observer, charge.id, outcome(said));
    let after = settle().await.unwrap();
    let changed = i64::from(after.status != known);
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM events").await,
        before.saturating_add(changed),
        "{known:?} {said:?}: what changes is published, and nothing else"
    );
    assert_eq!(
        settle().await,
        Ok(after.clone()),
        "{known:?} {said:?} again"
    );
    let paged = "SELECT COALESCE(SUM(times), 0) FROM alerts WHERE name = 'charge_contradicted'";
    assert_eq!(
        bench.number(paged).await,
        i64::from(after.contradiction.is_some()),
        "{known:?} {said:?}: a contradiction pages once"
    );
    after
}

#[tokio::test]
async fn the_processor_may_say_late_twice_and_more_but_not_the_contrary() {
    use ChargeStatus::{Canceled, Declined, RequiresAction, RequiresCapture, Succeeded};
    for (known, said, becomes) in [
        (RequiresAction, Succeeded, Ok(Succeeded)),
        (RequiresAction, RequiresCapture, Ok(RequiresCapture)),
        (RequiresAction, Declined, Ok(Declined)),
        (RequiresAction, Canceled, Ok(Canceled)),
        (RequiresCapture, Succeeded, Ok(Succeeded)),
        (RequiresCapture, Canceled, Ok(Canceled)),
        // Late: the charge has left this behind.
        (RequiresCapture, RequiresAction, Ok(RequiresCapture)),
        (Succeeded, RequiresAction, Ok(Succeeded)),
        (Succeeded, RequiresCapture, Ok(Succeeded)),
        (Declined, RequiresAction, Ok(Declined)),
        (Declined, RequiresCapture, Ok(Declined)),
        (Canceled, RequiresAction, Ok(Canceled)),
        (Canceled, RequiresCapture, Ok(Canceled)),
        // No money is in either.
        (Declined, Canceled, Ok(Declined)),
        (Canceled, Declined, Ok(Canceled)),
        // Both cannot be true, and a person must look.
        (Succeeded, Declined, Err("declined_after_succeeded")),
        (Succeeded, Canceled, Err("canceled_after_succeeded")),
        (Declined, Succeeded, Err("captured_after_declined")),
        (Canceled, Succeeded, Err("captured_after_canceled")),
        (RequiresCapture, Declined, Err("declined_after_authorized")),
    ] {
        let after = said_after(known, said).await;
        let code = after.contradiction.as_ref().map(|one| one.code.as_str());
        assert_eq!(
            (after.status, code),
            (becomes.unwrap_or(known), becomes.err()),
            "{known:?} {said:?}"
        );
    }
}

#[tokio::test]
async fn another_amount_is_a_contradiction_that_a_repair_applies() {
    let bench = Bench::new().await;
    let charge = bench.settled(outcome(ChargeStatus::Succeeded)).await;
    let less = ChargeOutcome {
        captured: 1_000,
        ..outcome(ChargeStatus::Succeeded)
    };
    let say = |authority| settle(&bench.store, authority, charge.id, less.clone());
    let kept = say(Authority::Observer).await.unwrap();
    assert_eq!(kept.captured, 1_250);
    assert_eq!(kept.contradiction.unwrap().code, "captured_amount_differs");
    let repaired = say(Authority::Repair).await.unwrap();
    assert_eq!(
        (repaired.status, repaired.captured, repaired.contradiction),
        (ChargeStatus::Succeeded, 1_000, None),
        "both sides say the same now"
    );
    assert_eq!(
        say(Authority::Observer).await.unwrap(),
        bench.row(charge.id).await
    );
}

#[tokio::test]
async fn a_repair_applies_what_the_processor_says_against_a_final_state() {
    use ChargeStatus::{Canceled, Declined, RequiresCapture, Succeeded};
    for (known, said) in [
        (Canceled, Succeeded),
        (Declined, Succeeded),
        (Succeeded, Canceled),
        (Succeeded, Declined),
        (RequiresCapture, Declined),
    ] {
        let bench = Bench::new().await;
        let charge = bench.settled(outcome(known)).await;
        let repaired = settle(&bench.store, Authority::Repair, charge.id, outcome(said))
            .await
            .unwrap();
        assert_eq!(
            (repaired.status, repaired.captured),
            (said, outcome(said).captured),
            "{known:?} {said:?}"
        );
        assert_eq!(repaired.contradiction, None, "{known:?} {said:?}");
    }
}

#[tokio::test]
async fn no_repair_exchanges_the_payment_behind_a_charge() {
    let bench = Bench::new().await;
    let charge = bench.settled(outcome(ChargeStatus::Canceled)).await;
    let other = ChargeOutcome {
        payment: Some("pi_2".into()),
        ..outcome(ChargeStatus::Succeeded)
    };
    let after = settle(&bench.store, Authority::Repair, charge.id, other)
        .await
        .unwrap();
    assert_eq!(
        (after.status, after.payment.as_deref()),
        (ChargeStatus::Canceled, Some("pi_1"))
    );
    assert_eq!(after.contradiction.unwrap().code, "another_payment");
}

#[tokio::test]
async fn a_declined_payment_and_one_that_is_learned_of_late_are_looked_at() {
    let reviews = "SELECT COUNT(*) FROM charge_reviews";
    for (status, owed) in [(ChargeStatus::Declined, 1), (ChargeStatus::Succeeded, 0)] {
        let bench = Bench::new().await;
        bench.settled(outcome(status)).await;
        assert_eq!(bench.number(reviews).await, owed, "{status:?}");
    }
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let due = bench
        .store
        .take_due_charges(due_at(60), |_| event(Action::TokenOpened))
        .await
        .unwrap();
    let lease = &due.charges[0].lease;
    settle(
        &bench.store,
        Authority::Holder(lease),
        charge.id,
        outcome(ChargeStatus::Succeeded),
    )
    .await
    .unwrap();
    assert_eq!(
        bench.number(reviews).await,
        1,
        "refunds may have been made of it at the processor"
    );
}

#[tokio::test]
async fn a_charge_whose_end_an_event_reported_first_is_answered_as_it_stands() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    settle(
        &bench.store,
        Authority::Observer,
        charge.id,
        outcome(ChargeStatus::Succeeded),
    )
    .await
    .unwrap();
    // The answer itself was lost on its way, so that its caller knows nothing of the end.
    let until = START.plus_s(60);
    let id = charge.id;
    let deferred = bench
        .store
        .defer_charge(charge.lease, (&account(), id), until)
        .await
        .unwrap();
    assert_eq!(deferred.status, ChargeStatus::Succeeded);
    assert_eq!(deferred.lease_until, None);
}

#[tokio::test]
async fn a_charge_that_another_is_at_work_on_is_not_abandoned() {
    let bench = Bench::new().await;
    let Charging { charge, lease } = bench.charge().await;
    let abandon = |lease| {
        let nothing = NothingDone::refused(lease);
        let done = (event(Action::ChargeSettled), START);
        let store = bench.store.clone();
        async move {
            let row = store.charge(&account(), charge.id).await.unwrap().unwrap();
            store
                .abandon_charge(nothing, row, done, |_| news())
                .await
                .unwrap()
        }
    };
    let take_at = async |seconds| {
        let due = bench
            .store
            .take_due_charges(due_at(seconds), |_| event(Action::TokenOpened))
            .await;
        due.unwrap().charges.remove(0).lease
    };

    let second = take_at(60).await;
    assert!(!abandon(lease).await, "its lease is another's");
    assert_eq!(bench.row(charge.id).await.status, ChargeStatus::Processing);
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        1,
        "its key stands for it still"
    );

    assert!(abandon(second).await);
    assert_eq!(bench.row(charge.id).await.status, ChargeStatus::Canceled);
    let free = "SELECT COUNT(*) FROM idempotency_keys WHERE resource LIKE 'refused/%'";
    assert_eq!(bench.number(free).await, 1, "the next one asks as another");
    assert_eq!(
        bench.outcomes(Action::ChargeSettled).await,
        ["refused", "success"]
    );
}
