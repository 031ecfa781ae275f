use super::*;

const OUTCOMES: [ChargeStatus; 5] = [
    ChargeStatus::Succeeded,
    ChargeStatus::RequiresCapture,
    ChargeStatus::RequiresAction,
    ChargeStatus::Declined,
    ChargeStatus::Canceled,
];

#[tokio::test]
async fn a_charge_is_written_down_before_its_token_is_opened() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let charge = charge_of(token.id);
    let begun = bench
        .store
        .begin_charge(claim("c"), charge.clone(), opening())
        .await
        .unwrap();
    let Begun::New(work) = begun else {
        panic!("the first of its key is new");
    };
    assert!(!work.lease.is_resumed());
    assert_eq!(work.sealed.sealed, token.value.sealed);
    assert_eq!(work.sealed.data_key, *token.value.data_key);
    assert_eq!(work.sealed.sealed_for, token.id);
    let row = bench.row(charge.id).await;
    assert_eq!(row, *work.charge, "what was begun is what is written");
    assert_eq!(row.status, ChargeStatus::Processing);
    assert_eq!(row.lease_until, Some(charge.lease_until));
    assert!(row.is_held(START) && !row.is_held(charge.lease_until));
    assert_eq!((row.amount, row.currency.as_str()), (1_250, "eur"));
    assert_eq!((row.capture, row.off_session), (true, true));
    assert_eq!(row.processor_key, charge.processor_key);
    assert_eq!((row.version, row.contradiction), (1, None));
    assert_eq!(
        (row.payment, row.decline, row.redirect_url),
        (None, None, None)
    );
    assert_eq!(bench.outcomes(Action::ChargeRequested).await, ["success"]);
    assert_eq!(bench.outcomes(Action::TokenOpened).await, ["success"]);
    let other = Account::try_from("brand".to_owned()).unwrap();
    assert_eq!(bench.store.charge(&other, charge.id).await, Ok(None));
}

#[tokio::test]
async fn a_repetition_goes_on_only_where_nobody_is_at_work() {
    let bench = Bench::new().await;
    let first = bench.charge().await;
    let again = |seconds| {
        let now = START.plus_s(seconds);
        let charge = NewCharge {
            lease_until: now.plus_s(60),
            processor_key: "another-key".into(),
            ..charge_of(first.token)
        };
        bench.store.begin_charge(
            Claim {
                now,
                ..claim("charge-1")
            },
            charge,
            opening(),
        )
    };
    assert_eq!(
        again(59).await,
        Ok(Begun::InFlight),
        "the first caller is still at work"
    );
    let Ok(Begun::Resumed(work)) = again(60).await else {
        panic!("the lease has run out");
    };
    assert!(work.lease.is_resumed());
    assert_eq!(
        (work.charge.id, work.sealed.token),
        (first.id, first.charge.token)
    );
    assert_eq!(work.charge.lease_until, Some(START.plus_s(120)));
    assert_eq!(
        work.charge.processor_key, first.processor_key,
        "the processor is asked under the key of the first time"
    );
    assert_eq!(again(61).await, Ok(Begun::InFlight));

    settle(
        &bench.store,
        Authority::Holder(&work.lease),
        first.id,
        outcome(ChargeStatus::Succeeded),
    )
    .await
    .unwrap();
    let Ok(Begun::Replayed(row)) = again(900).await else {
        panic!("a settled charge is only read");
    };
    assert_eq!(row.status, ChargeStatus::Succeeded);
    assert_eq!(bench.number("SELECT COUNT(*) FROM charges").await, 1);
    assert_eq!(
        bench.number("SELECT replays FROM idempotency_keys").await,
        4
    );
    assert_eq!(bench.outcomes(Action::ChargeRequested).await, ["success"]);
    assert_eq!(
        bench.outcomes(Action::TokenOpened).await,
        ["success", "success"],
        "one for each time the value was given out"
    );
}

#[tokio::test]
async fn what_is_not_charged_is_recorded_as_refused_and_keeps_no_key() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let unknown = charge_of(TokenId::new(ENVIRONMENT, START));
    let others = NewCharge {
        account: Account::try_from("brand".to_owned()).unwrap(),
        ..charge_of(token.id)
    };
    let begin = |charge| bench.store.begin_charge(claim("c"), charge, opening());
    for charge in [unknown, others] {
        let refused = begin(charge).await;
        assert_eq!(refused, Ok(Begun::Refused(NotChargeable::Unknown)));
    }

    let whose = account();
    bench
        .store
        .begin_deletion(
            (&whose, token.id),
            (START, START.plus_s(60)),
            event(Action::TokenDeletionStarted),
        )
        .await
        .unwrap();
    assert_eq!(
        begin(charge_of(token.id)).await,
        Ok(Begun::Refused(NotChargeable::Deleted)),
        "while it is being deleted"
    );
    bench
        .store
        .finish_deletion(
            (&whose, token.id),
            START,
            event(Action::TokenDeleted),
            |_| news(),
        )
        .await
        .unwrap();
    assert_eq!(
        begin(charge_of(token.id)).await,
        Ok(Begun::Refused(NotChargeable::Deleted)),
        "once it is deleted"
    );

    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        0
    );
    assert_eq!(bench.number("SELECT COUNT(*) FROM charges").await, 0);
    assert_eq!(
        bench.outcomes(Action::ChargeRequested).await,
        ["refused"; 4]
    );
    assert_eq!(bench.outcomes(Action::TokenOpened).await, ["refused"; 4]);
}

#[tokio::test]
async fn of_concurrent_identical_claims_exactly_one_is_new() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let (store, charge) = (bench.store.clone(), charge_of(token.id));
            tokio::spawn(async move { store.begin_charge(claim("c"), charge, opening()).await })
        })
        .collect();
    let (mut new, mut in_flight) = (0, 0);
    for answer in asked {
        match answer.await.unwrap().unwrap() {
            Begun::New(_) => new += 1,
            Begun::InFlight => in_flight += 1,
            other @ (Begun::Resumed(_)
            | Begun::Replayed(_)
            | Begun::Mismatch
            | Begun::Refused(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!((new, in_flight), (1, 99));
    assert_eq!(bench.number("SELECT COUNT(*) FROM charges").await, 1);
    let other = Claim {
        request_hash: [1; 32],
        ..claim("c")
    };
    let begun = bench
        .store
        .begin_charge(other, charge_of(token.id), opening())
        .await;
    assert_eq!(begun, Ok(Begun::Mismatch));
}

#[tokio::test]
async fn every_outcome_is_written_once_and_may_be_repeated() {
    for status in OUTCOMES {
        let bench = Bench::new().await;
        let charge = bench.charge().await;
        let finish = |outcome| {
            settle(
                &bench.store,
                Authority::Holder(&charge.lease),
                charge.id,
                outcome,
            )
        };
        let row = finish(outcome(status)).await.unwrap();
        assert_eq!((row.status, row.lease_until), (status, None));
        assert_eq!(row.decline, outcome(status).decline);
        assert_eq!(row.redirect_url, outcome(status).redirect_url);
        assert_eq!(row.updated_at, START.plus_s(2));
        assert_eq!(row.version, 2);
        let late = ChargeOutcome {
            at: START.plus_s(99),
            ..outcome(status)
        };
        assert_eq!(finish(late).await, Ok(row.clone()), "the same again");
        let unsure = ChargeOutcome {
            payment: None,
            ..outcome(ChargeStatus::Processing)
        };
        assert_eq!(
            finish(unsure).await,
            Ok(row.clone()),
            "who knows less changes nothing"
        );
        let exchanged = ChargeOutcome {
            payment: Some("pi_2".into()),
            ..outcome(ChargeStatus::Succeeded)
        };
        let kept = finish(exchanged).await.unwrap();
        let contradiction = kept.contradiction.clone().unwrap();
        assert_eq!(contradiction.code, "another_payment");
        let unchanged = ChargeRow {
            contradiction: None,
            version: row.version,
            updated_at: row.updated_at,
            ..kept
        };
        assert_eq!(unchanged, row, "and nothing else is changed");
        assert_eq!(bench.outcomes(Action::ChargeSettled).await, ["success"; 4]);
    }
}

#[tokio::test]
async fn a_payment_that_is_still_processing_is_remembered_and_stays_due() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let finish = |outcome| {
        settle(
            &bench.store,
            Authority::Holder(&charge.lease),
            charge.id,
            outcome,
        )
    };
    let retry_at = START.plus_s(7);
    let processing = ChargeOutcome {
        retry_at: Some(retry_at),
        ..outcome(ChargeStatus::Processing)
    };
    let row = finish(processing).await.unwrap();
    assert_eq!(row.payment.as_deref(), Some("pi_1"));
    assert_eq!(row.lease_until, Some(retry_at));
    assert!(!row.is_held(START), "it waits, and nobody holds it");
    let other = ChargeOutcome {
        payment: Some("pi_2".into()),
        ..outcome(ChargeStatus::Succeeded)
    };
    let row = finish(other).await.unwrap();
    assert_eq!(
        (row.status, row.payment.as_deref(), row.captured),
        (ChargeStatus::Processing, Some("pi_1"), 0)
    );
    assert_eq!(row.contradiction.unwrap().code, "another_payment");
    assert_eq!(row.lease_until, Some(retry_at), "it is asked about still");
    let silent = ChargeOutcome {
        payment: None,
        ..outcome(ChargeStatus::Declined)
    };
    let row = finish(silent).await.unwrap();
    assert_eq!(
        (row.status, row.payment.as_deref()),
        (ChargeStatus::Declined, Some("pi_1"))
    );
}

#[tokio::test]
async fn unsettled_charges_are_leased_to_one_at_a_time() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let take_at = |seconds: u32| {
        bench
            .store
            .take_due_charges(due_at(seconds), |charge| Event {
                subject: Some(charge.token.to_string()),
                ..event(Action::TokenOpened)
            })
    };
    let count = |due: Result<DueCharges, Failure>| {
        let due = due.unwrap();
        assert!(due.unreadable.is_empty());
        due.charges.len()
    };
    assert_eq!(count(take_at(59).await), 0, "its first caller is at work");
    let due = take_at(60).await.unwrap();
    let taken = &due.charges[0];
    assert!(taken.lease.is_resumed());
    assert_eq!(
        (taken.charge.id, taken.sealed.as_ref().unwrap().token),
        (charge.id, charge.token)
    );
    assert_eq!(taken.charge.lease_until, Some(START.plus_s(120)));
    assert_eq!(count(take_at(61).await), 0, "it is leased");
    assert_eq!(count(take_at(120).await), 1, "its second caller died too");
    assert_eq!(bench.outcomes(Action::TokenOpened).await, ["success"; 3]);
    let elsewhere = Take {
        scope: "brand".into(),
        ..due_at(900)
    };
    let none = bench
        .store
        .take_due_charges(elsewhere, |_| event(Action::TokenOpened))
        .await;
    assert_eq!(count(none), 0, "each account's work is its own");
}

#[tokio::test]
async fn an_unreadable_charge_stands_in_no_others_way() {
    let bench = Bench::new().await;
    let poison = bench.charge().await;
    let sound = charge_of(bench.token().await.id);
    let sound_id = sound.id;
    bench
        .store
        .begin_charge(claim("charge-2"), sound, opening())
        .await
        .unwrap();
    bench
        .run(&format!("UPDATE data_keys SET kek = 'nonsense' WHERE id = (SELECT data_key_id FROM tokens WHERE id = '{}')", poison.token))
        .await
        .unwrap();
    let due = bench
        .store
        .take_due_charges(due_at(60), |_| event(Action::TokenOpened))
        .await
        .unwrap();
    assert_eq!(due.charges.len(), 1);
    assert_eq!(due.charges[0].charge.id, sound_id);
    assert!(matches!(
        &due.unreadable[..],
        [Failure::Inconsistent {
            table: "data_keys",
            column: "kek",
            ..
        }]
    ));
}
