//! The order of a charge's life, tried on every pair of states and on many histories.

use proptest::prelude::*;

use super::row::ChargeProofs;
use super::settle::{Compared, compare};
use super::{ChargeOutcome, ChargeRow, DeclineRow, DetailsRow};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, TokenId};

const AT: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const AMOUNT: i64 = 1_250;

const ALL: [ChargeStatus; 6] = [
    ChargeStatus::Processing,
    ChargeStatus::Succeeded,
    ChargeStatus::RequiresCapture,
    ChargeStatus::RequiresAction,
    ChargeStatus::Declined,
    ChargeStatus::Canceled,
];

const fn is_final(status: ChargeStatus) -> bool {
    matches!(
        status,
        ChargeStatus::Succeeded | ChargeStatus::Declined | ChargeStatus::Canceled
    )
}

/// A charge of which nothing is known yet.
fn begun() -> ChargeRow {
    ChargeRow {
        id: ChargeId::new(Environment::Test, AT),
        account: Account::try_from("default".to_owned()).unwrap(),
        client: "billing".into(),
        token: TokenId::new(Environment::Test, AT),
        amount: AMOUNT,
        captured: 0,
        refunded: 0,
        currency: "eur".into(),
        capture: true,
        off_session: true,
        description: None,
        statement_descriptor_suffix: None,
        metadata: "{}".into(),
        return_url: None,
        page_until: None,
        security_code_token: None,
        security_code_hash: None,
        setup_pending: Some(false),
        status: ChargeStatus::Processing,
        payment: None,
        decline: None,
        redirect_url: None,
        operation: None,
        operation_id: None,
        processor_key: "key".into(),
        contradiction: None,
        details: DetailsRow::default(),
        disputed: false,
        lease_until: Some(AT),
        lease_token: None,
        version: 1,
        created_at: AT,
        updated_at: AT,
        proofs: ChargeProofs::default(),
    }
}

/// What is kept of what the processor said, as `settle` writes it.
fn written(before: &ChargeRow, said: &ChargeOutcome) -> ChargeRow {
    ChargeRow {
        status: said.status,
        payment: before.payment.clone().or_else(|| said.payment.clone()),
        captured: said.captured,
        decline: said.decline.clone(),
        redirect_url: said.redirect_url.clone(),
        ..before.clone()
    }
}

/// Believes one report after the other; the charge in the end, and what was said against it.
fn believe(reports: &[ChargeOutcome]) -> (ChargeRow, Vec<&'static str>) {
    let (mut charge, mut against) = (begun(), Vec::new());
    for said in reports {
        match compare(&charge, said) {
            Compared::More => charge = written(&charge, said),
            Compared::Nothing | Compared::Details => {}
            Compared::Contradiction(code) => against.push(code),
        }
    }
    (charge, against)
}

fn said(status: ChargeStatus) -> ChargeOutcome {
    ChargeOutcome {
        status,
        payment: Some("pi_1".into()),
        captured: if status == ChargeStatus::Succeeded {
            AMOUNT
        } else {
            0
        },
        decline: (status == ChargeStatus::Declined).then(|| DeclineRow {
            code: "lost_card".into(),
            advice: None,
            retryable: false,
        }),
        redirect_url: (status == ChargeStatus::RequiresAction)
            .then(|| "https://issuer.example/3ds".into()),
        details: DetailsRow::default(),
        retry_at: None,
        at: AT,
    }
}

fn status() -> impl Strategy<Value = ChargeStatus> {
    proptest::sample::select(ALL.as_slice())
}

/// Anything that a processor may say of a charge.
fn outcome() -> impl Strategy<Value = ChargeOutcome> {
    let payment = proptest::option::of(prop_oneof![9 => Just("pi_1"), 1 => Just("pi_2")]);
    let page = prop_oneof![Just("https://a.example"), Just("https://b.example")];
    (status(), payment, 1..=AMOUNT, page).prop_map(|(status, payment, captured, page)| {
        let plain = said(status);
        ChargeOutcome {
            payment: payment.map(str::to_owned),
            captured: plain.captured.min(captured),
            redirect_url: plain.redirect_url.map(|_| page.to_owned()),
            ..said(status)
        }
    })
}

/// A charge after anything that may have been said of it.
fn charge() -> impl Strategy<Value = ChargeRow> {
    proptest::collection::vec(outcome(), 0..4).prop_map(|reports| believe(&reports).0)
}

/// What a payment goes through at the processor, up to where it is decided or authorized.
fn history() -> impl Strategy<Value = Vec<ChargeStatus>> {
    use ChargeStatus::{
        Canceled, Declined, Processing, RequiresAction, RequiresCapture, Succeeded,
    };
    let begun = proptest::sample::subsequence(vec![Processing, RequiresAction], 0..=2);
    let ended = proptest::sample::select(vec![
        vec![Succeeded],
        vec![Declined],
        vec![Canceled],
        vec![RequiresCapture],
        vec![RequiresCapture, Succeeded],
        vec![RequiresCapture, Canceled],
    ]);
    (begun, ended).prop_map(|(begun, ended)| [begun, ended].concat())
}

/// A history as it is reported: in any order, and some of it twice.
fn reported() -> impl Strategy<Value = (ChargeStatus, Vec<ChargeStatus>)> {
    history().prop_flat_map(|history| {
        let again = proptest::sample::subsequence(history.clone(), 0..=history.len());
        let last = *history.last().unwrap();
        again
            .prop_map(move |again| [history.clone(), again].concat())
            .prop_shuffle()
            .prop_map(move |reports| (last, reports))
    })
}

#[test]
fn every_pair_of_states_has_its_answer() {
    for before in ALL {
        for now in ALL {
            let (charge, _) = believe(&[said(before)]);
            let answer = compare(&charge, &said(now));
            if before == now {
                assert_eq!(answer, Compared::Nothing, "{before:?}");
            }
            if is_final(before) {
                assert_ne!(answer, Compared::More, "{before:?} {now:?}");
            }
            if charge.captured > 0 && is_final(now) && now != ChargeStatus::Succeeded {
                let contradicted = matches!(answer, Compared::Contradiction(_));
                assert!(contradicted, "{now:?}: money that was taken is not gone");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_final_state_never_moves(charge in charge(), said in outcome()) {
        if is_final(charge.status) {
            prop_assert_ne!(compare(&charge, &said), Compared::More);
        }
    }

    #[test]
    fn money_is_never_taken_back_and_taken_only_once(charge in charge(), said in outcome()) {
        if charge.captured > 0 {
            prop_assert_ne!(compare(&charge, &said), Compared::More);
        }
        if compare(&charge, &said) == Compared::More {
            let after = written(&charge, &said);
            prop_assert!(after.captured >= charge.captured);
            prop_assert!((after.status == ChargeStatus::Succeeded) == (after.captured > 0));
        }
    }

    #[test]
    fn what_was_just_written_says_nothing_new(charge in charge(), said in outcome()) {
        if compare(&charge, &said) == Compared::More {
            prop_assert_eq!(compare(&written(&charge, &said), &said), Compared::Nothing);
        }
    }

    #[test]
    fn the_payment_behind_a_charge_is_never_another(charge in charge(), said in outcome()) {
        if let (Some(known), Some(named)) = (&charge.payment, &said.payment)
            && known != named
        {
            // It is told of only while it has, or may take, money.
            let over = matches!(said.status, ChargeStatus::Canceled | ChargeStatus::Declined);
            let expected = if over {
                Compared::Nothing
            } else {
                Compared::Contradiction("another_payment")
            };
            prop_assert_eq!(compare(&charge, &said), expected);
        }
    }

    #[test]
    fn details_that_come_late_are_written_once(charge in charge(), said in outcome()) {
        let late = ChargeOutcome {
            details: DetailsRow {
                network_transaction_id: Some("MDHEWAJ05".into()),
                ..DetailsRow::default()
            },
            status: charge.status,
            payment: charge.payment.clone(),
            captured: charge.captured,
            redirect_url: charge.redirect_url.clone(),
            ..said
        };
        prop_assert_eq!(compare(&charge, &late), Compared::Details);
        let known = ChargeRow { details: late.details.clone(), ..charge };
        prop_assert_eq!(compare(&known, &late), Compared::Nothing);
    }

    #[test]
    fn reports_in_any_order_come_to_the_same_end((last, reports) in reported()) {
        let reports: Vec<_> = reports.into_iter().map(said).collect();
        let (charge, against) = believe(&reports);
        prop_assert_eq!(charge.status, last);
        prop_assert_eq!(charge.captured, said(last).captured);
        prop_assert_eq!(against, Vec::<&str>::new());
    }
}
