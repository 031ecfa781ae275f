use super::*;
use crate::token::ChargeStatus;

pub(super) fn outcome(status: ChargeStatus) -> ChargeOutcome {
    ChargeOutcome {
        status,
        payment: Some("pi_1".into()),
        captured: if status == ChargeStatus::Succeeded {
            1_250
        } else {
            0
        },
        rest_until: None,
        decline: (status == ChargeStatus::Declined).then(|| DeclineRow {
            code: "insufficient_funds".into(),
            advice: Some("try_again_later".into()),
            retryable: true,
        }),
        redirect_url: (status == ChargeStatus::RequiresAction)
            .then(|| "https://issuer.example/3ds".into()),
        at: START.plus_s(2),
    }
}

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
    let ChargeBegun::New(_, sealed) = begun else {
        panic!("the first of its key is new");
    };
    assert_eq!(sealed.sealed, token.value.sealed);
    assert_eq!(sealed.data_key, *token.value.data_key);
    let row = bench
        .store
        .charge(&account(), charge.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.status, ChargeStatus::Processing);
    assert_eq!(row.lease_until, Some(charge.lease_until));
    assert_eq!((row.amount, row.currency.as_str()), (1_250, "eur"));
    assert_eq!((row.capture, row.off_session), (true, true));
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
    let Ok(ChargeBegun::Replayed(row, None)) = again(59).await else {
        panic!("the first caller is still at work");
    };
    assert_eq!(row.id, first.id);
    let Ok(ChargeBegun::Replayed(row, Some(sealed))) = again(60).await else {
        panic!("the lease has run out");
    };
    assert_eq!((row.id, sealed.token), (first.id, first.token));
    assert_eq!(row.lease_until, Some(START.plus_s(120)));
    assert!(matches!(
        again(61).await,
        Ok(ChargeBegun::Replayed(_, None))
    ));

    bench
        .store
        .settle_charge(
            (&account(), first.id),
            outcome(ChargeStatus::Succeeded),
            event(Action::ChargeSettled),
            |_| news(),
        )
        .await
        .unwrap();
    let Ok(ChargeBegun::Replayed(row, None)) = again(900).await else {
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
    let begun = bench
        .store
        .begin_charge(claim("c"), unknown, opening())
        .await;
    assert_eq!(begun, Ok(ChargeBegun::TokenUnknown));
    let others = NewCharge {
        account: Account::try_from("brand".to_owned()).unwrap(),
        ..charge_of(token.id)
    };
    let begun = bench
        .store
        .begin_charge(claim("c"), others, opening())
        .await;
    assert_eq!(begun, Ok(ChargeBegun::TokenUnknown));

    bench
        .store
        .begin_forget(&account(), token.id, event(Action::TokenDeletionStarted))
        .await
        .unwrap();
    let begun = bench
        .store
        .begin_charge(claim("c"), charge_of(token.id), opening())
        .await;
    assert_eq!(
        begun,
        Ok(ChargeBegun::TokenDeleted),
        "while it is being forgotten"
    );
    bench
        .store
        .finish_forget(
            (&account(), token.id),
            START,
            event(Action::TokenDeleted),
            |_| news(),
        )
        .await
        .unwrap();
    let begun = bench
        .store
        .begin_charge(claim("c"), charge_of(token.id), opening())
        .await;
    assert_eq!(begun, Ok(ChargeBegun::TokenDeleted), "once it is forgotten");

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
    let (mut new, mut replayed) = (0, 0);
    for answer in asked {
        match answer.await.unwrap().unwrap() {
            ChargeBegun::New(_, _) => new += 1,
            ChargeBegun::Replayed(_, None) => replayed += 1,
            other @ (ChargeBegun::Replayed(..)
            | ChargeBegun::Mismatch
            | ChargeBegun::TokenUnknown
            | ChargeBegun::TokenDeleted) => panic!("{other:?}"),
        }
    }
    assert_eq!((new, replayed), (1, 99));
    assert_eq!(bench.number("SELECT COUNT(*) FROM charges").await, 1);
    let other = Claim {
        request_hash: [1; 32],
        ..claim("c")
    };
    let begun = bench
        .store
        .begin_charge(other, charge_of(token.id), opening())
        .await;
    assert_eq!(begun, Ok(ChargeBegun::Mismatch));
}

#[tokio::test]
async fn every_outcome_is_written_once_and_may_be_repeated() {
    for status in OUTCOMES {
        let bench = Bench::new().await;
        let charge = bench.charge().await;
        let (store, whose) = (&bench.store, account());
        let finish = |outcome| {
            store.settle_charge(
                (&whose, charge.id),
                outcome,
                event(Action::ChargeSettled),
                |_| news(),
            )
        };
        let row = finish(outcome(status)).await.unwrap();
        assert_eq!((row.status, row.lease_until), (status, None));
        assert_eq!(row.decline, outcome(status).decline);
        assert_eq!(row.redirect_url, outcome(status).redirect_url);
        assert_eq!(row.updated_at, START.plus_s(2));
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
            Ok(row),
            "who knows less changes nothing"
        );
        let exchanged = ChargeOutcome {
            payment: Some("pi_2".into()),
            ..outcome(status)
        };
        let refused = finish(exchanged).await;
        assert!(matches!(
            refused,
            Err(Failure::Inconsistent {
                column: "payment",
                ..
            })
        ));
        assert_eq!(bench.outcomes(Action::ChargeSettled).await, ["success"; 3]);
    }
}

#[tokio::test]
async fn a_payment_that_is_still_processing_is_remembered_and_stays_due() {
    let bench = Bench::new().await;
    let charge = bench.charge().await;
    let finish = |outcome| {
        bench.store.settle_charge(
            (&charge.account, charge.id),
            outcome,
            event(Action::ChargeSettled),
            |_| news(),
        )
    };
    let row = finish(outcome(ChargeStatus::Processing)).await.unwrap();
    assert_eq!(row.payment.as_deref(), Some("pi_1"));
    assert_eq!(row.lease_until, Some(charge.lease_until));
    let other = ChargeOutcome {
        payment: Some("pi_2".into()),
        ..outcome(ChargeStatus::Succeeded)
    };
    assert!(matches!(
        finish(other).await,
        Err(Failure::Inconsistent {
            column: "payment",
            ..
        })
    ));
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
    let lease_at = |seconds: u32| {
        let lease = Lease {
            now: START.plus_s(seconds),
            lease_until: START.plus_s(seconds).plus_s(60),
            limit: 10,
        };
        bench.store.lease_open_charges(lease, |charge| Event {
            subject: Some(charge.token.to_string()),
            ..event(Action::TokenOpened)
        })
    };
    let count = |leased: Result<Leased, Failure>| {
        let leased = leased.unwrap();
        assert!(leased.unreadable.is_empty());
        leased.charges.len()
    };
    assert_eq!(count(lease_at(59).await), 0, "its first caller is at work");
    let leased = lease_at(60).await.unwrap();
    let (row, sealed) = &leased.charges[0];
    assert_eq!(
        (row.id, sealed.as_ref().unwrap().token),
        (charge.id, charge.token)
    );
    assert_eq!(row.lease_until, Some(START.plus_s(120)));
    assert_eq!(count(lease_at(61).await), 0, "it is leased");
    assert_eq!(count(lease_at(120).await), 1, "its second caller died too");
    assert_eq!(bench.outcomes(Action::TokenOpened).await, ["success"; 3]);
}

#[tokio::test]
async fn an_unreadable_charge_stands_in_no_others_way() {
    let bench = Bench::new().await;
    let poison = bench.charge().await;
    let sound = NewCharge {
        ..charge_of(bench.token().await.id)
    };
    bench
        .store
        .begin_charge(claim("charge-2"), sound.clone(), opening())
        .await
        .unwrap();
    bench
        .run(&format!("UPDATE data_keys SET kek = 'nonsense' WHERE id = (SELECT data_key_id FROM tokens WHERE id = '{}')", poison.token))
        .await
        .unwrap();
    let lease = Lease {
        now: START.plus_s(60),
        lease_until: START.plus_s(120),
        limit: 10,
    };
    let leased = bench
        .store
        .lease_open_charges(lease, |_| event(Action::TokenOpened))
        .await
        .unwrap();
    assert_eq!(leased.charges.len(), 1);
    assert_eq!(leased.charges[0].0.id, sound.id);
    assert!(matches!(
        &leased.unreadable[..],
        [Failure::Inconsistent {
            table: "data_keys",
            column: "kek",
            ..
        }]
    ));
}
