//! Every pair of states, and whose object is whose.

use super::*;
use crate::clock::Timestamp;
use crate::token::{ChargeId, Environment, RefundId};

const AT: Timestamp = Timestamp::from_unix_ms(1_795_400_000_000);
const STATUSES: [ChargeStatus; 6] = [
    ChargeStatus::Processing,
    ChargeStatus::Succeeded,
    ChargeStatus::RequiresCapture,
    ChargeStatus::RequiresAction,
    ChargeStatus::Declined,
    ChargeStatus::Canceled,
];
const REFUND_STATUSES: [RefundStatus; 4] = [
    RefundStatus::Processing,
    RefundStatus::Succeeded,
    RefundStatus::Failed,
    RefundStatus::Canceled,
];
const REFUND_STATES: [RefundState; 4] = [
    RefundState::Pending,
    RefundState::Succeeded,
    RefundState::Failed,
    RefundState::Canceled,
];

fn row(status: ChargeStatus) -> ChargeView {
    ChargeView {
        id: ChargeId::new(Environment::Test, AT),
        status,
        amount: 1_000,
        captured: if status == ChargeStatus::Succeeded {
            700
        } else {
            0
        },
        currency: "eur".to_owned(),
        payment: Some("pi_1".to_owned()),
        processor_key: None,
        has_page: false,
        created_at: AT,
        updated_at: AT,
    }
}

#[test]
fn a_charge_whose_shopper_may_try_again_agrees_with_a_declined_payment() {
    let there = listed(Some(ListedStatus::Declined));
    let mut here = row(ChargeStatus::RequiresAction);
    assert_ne!(payment(&there, &held(&here)), Compared::Agrees);
    here.has_page = true;
    assert_eq!(payment(&there, &held(&here)), Compared::Agrees);
}

fn listed(status: Option<ListedStatus>) -> ListedPayment {
    ListedPayment {
        id: "pi_1".to_owned(),
        charge: None,
        request: None,
        amount: 1_000,
        captured: if status == Some(ListedStatus::Succeeded) {
            700
        } else {
            0
        },
        currency: "eur".to_owned(),
        status,
        created_at: AT,
    }
}

fn held(row: &ChargeView) -> PaymentRows {
    PaymentRows {
        named: Named::Row(row.clone()),
        holder: Some(row.clone()),
        found_again: false,
    }
}

fn kinds(compared: Compared) -> Vec<Kind> {
    let differences = compared.into_differences();
    differences.into_iter().map(|one| one.kind).collect()
}

fn name_of(status: Option<ListedStatus>) -> &'static str {
    status.map_or("-", ListedStatus::name)
}

#[test]
fn both_sides_of_every_pair_of_states_agree_only_where_money_is_the_same() {
    for here in STATUSES {
        for there in ListedStatus::ALL {
            let found = kinds(payment(&listed(Some(there)), &held(&row(here))));
            let same = here.name() == there.name();
            let given_up = (here, there) == (ChargeStatus::Declined, ListedStatus::Canceled);
            let pair = format!("{} {}", here.name(), there.name());
            assert_eq!(found.is_empty(), same || given_up, "{pair}: {found:?}");
            assert!(found.len() <= 1, "{pair}: {found:?}");
            // Money that one side has and the other denies for good is a contradiction.
            let holds = |name| ["succeeded", "requires_capture"].contains(&name);
            let final_unpaid = ["declined", "canceled"].contains(&here.name());
            let kind = found.first().copied();
            let denied = final_unpaid && holds(there.name());
            assert_eq!(kind == Some(Kind::PaidAfterEnd), denied, "{pair}");
            let unpaid = here == ChargeStatus::Succeeded && !same;
            assert_eq!(kind == Some(Kind::NotPaid), unpaid, "{pair}");
        }
    }
}

#[test]
fn a_charge_is_never_repaired_away_from_success() {
    for here in STATUSES {
        for there in ListedStatus::ALL {
            let found = kinds(payment(&listed(Some(there)), &held(&row(here))));
            if here == ChargeStatus::Succeeded {
                assert!(
                    found
                        .iter()
                        .all(|kind| kind.repair() == crate::reconciliation::Repair::Person)
                );
            }
        }
    }
}

#[test]
fn each_amount_and_the_currency_is_compared_by_itself() {
    let here = row(ChargeStatus::Succeeded);
    let base = listed(Some(ListedStatus::Succeeded));
    let of = |change: &dyn Fn(&mut ListedPayment)| {
        let mut there = base.clone();
        change(&mut there);
        kinds(payment(&there, &held(&here)))
    };
    assert_eq!(of(&|_| ()), []);
    assert_eq!(of(&|there| there.amount = 999), [Kind::PaymentAmount]);
    assert_eq!(of(&|there| there.captured = 701), [Kind::CapturedAmount]);
    let usd = of(&|there| there.currency = "usd".to_owned());
    assert_eq!(usd, [Kind::PaymentCurrency]);
    let all = of(&|there| {
        there.amount = 1;
        there.currency = "usd".to_owned();
        there.status = Some(ListedStatus::Canceled);
    });
    assert_eq!(
        all,
        [Kind::PaymentAmount, Kind::PaymentCurrency, Kind::NotPaid]
    );
    // What a state means that is not known yet is not guessed.
    assert_eq!(of(&|there| there.status = None), []);
    assert_eq!(name_of(None), "-");
}

#[test]
fn a_payment_belongs_to_the_charge_that_has_it_or_that_it_names() {
    let own = row(ChargeStatus::Succeeded);
    let other = row(ChargeStatus::Succeeded);
    let fresh = ChargeView {
        payment: None,
        ..row(ChargeStatus::Canceled)
    };
    let there = listed(Some(ListedStatus::Succeeded));
    let of = |named: Named<ChargeView>, holder: Option<&ChargeView>| {
        let holder = holder.cloned();
        let found_again = false;
        payment(
            &there,
            &PaymentRows {
                named,
                holder,
                found_again,
            },
        )
    };
    assert_eq!(of(Named::Nothing, None), Compared::Foreign);
    assert_eq!(of(Named::Nothing, Some(&own)), Compared::Agrees);
    assert_eq!(of(Named::Row(own.clone()), Some(&own)), Compared::Agrees);
    let no_id = kinds(of(Named::NoId, None));
    assert_eq!(no_id, [Kind::PaymentOfNoCharge]);
    let no_row = kinds(of(Named::NoRow, None));
    assert_eq!(no_row, [Kind::PaymentWithoutCharge]);
    let second = kinds(of(Named::Row(other.clone()), None));
    assert_eq!(second, [Kind::SecondPayment]);
    let late = kinds(of(Named::Row(fresh), None));
    assert_eq!(late, [Kind::PaidAfterEnd]);
    for named in [Named::NoId, Named::NoRow, Named::Row(other)] {
        let found = kinds(of(named, Some(&own)));
        assert_eq!(found, [Kind::PaymentOfAnotherCharge]);
    }
    assert_eq!(payment_missing(&own).unwrap().kind, Kind::PaymentMissing);
}

fn refund_row(status: RefundStatus) -> RefundView {
    RefundView {
        id: RefundId::new(Environment::Test, AT),
        charge: ChargeId::new(Environment::Test, AT),
        amount: 500,
        status,
        processor_refund: Some("re_1".to_owned()),
        created_at: AT,
        updated_at: AT,
    }
}

fn listed_refund(status: Option<RefundState>) -> ListedRefund {
    ListedRefund {
        id: "re_1".to_owned(),
        payment: Some("pi_1".to_owned()),
        refund: None,
        request: None,
        amount: 500,
        currency: "eur".to_owned(),
        status,
        created_at: AT,
    }
}

#[test]
fn every_pair_of_states_of_a_refund_agrees_where_the_money_is_in_the_same_place() {
    for here in REFUND_STATUSES {
        for there in REFUND_STATES {
            let rows = RefundRows {
                named: Named::Nothing,
                holder: Some(refund_row(here)),
                charge: None,
            };
            let found = kinds(refund(&listed_refund(Some(there)), &rows));
            let ended = |name| ["failed", "canceled"].contains(&name);
            let (ours, theirs) = (here.name(), state_name(there));
            let same = ours == theirs || (ended(ours) && ended(theirs));
            assert_eq!(found.is_empty(), same, "{ours} {theirs}: {found:?}");
            let denied = ended(ours) && !ended(theirs);
            let kind = found.first().copied();
            assert_eq!(
                kind == Some(Kind::RefundAfterEnd),
                denied,
                "{ours} {theirs}"
            );
        }
    }
}

#[test]
fn a_refund_belongs_to_its_row_or_to_its_payments_charge() {
    let own = refund_row(RefundStatus::Succeeded);
    let nameless = RefundView {
        processor_refund: None,
        ..refund_row(RefundStatus::Processing)
    };
    let charge = row(ChargeStatus::Succeeded);
    let of = |named: Named<RefundView>, holder, charge: Option<&ChargeView>, state| {
        let rows = RefundRows {
            named,
            holder,
            charge: charge.cloned(),
        };
        refund(&listed_refund(Some(state)), &rows)
    };
    let done = RefundState::Succeeded;
    assert_eq!(of(Named::Nothing, None, None, done), Compared::Foreign);
    let holder = Some(own.clone());
    let own_name = Named::Row(own.clone());
    assert_eq!(of(own_name, holder, Some(&charge), done), Compared::Agrees);
    let unknown = [Kind::RefundUnknown];
    assert_eq!(
        kinds(of(Named::Nothing, None, Some(&charge), done)),
        unknown
    );
    assert_eq!(kinds(of(Named::NoRow, None, None, done)), unknown);
    let failed = of(Named::Nothing, None, Some(&charge), RefundState::Failed);
    assert_eq!(failed, Compared::Agrees);
    let late = kinds(of(Named::Row(nameless), None, Some(&charge), done));
    assert_eq!(late, [Kind::RefundStatus]);
    let second = kinds(of(Named::Row(own.clone()), None, Some(&charge), done));
    assert_eq!(second, [Kind::SecondRefund]);
    let mut there = listed_refund(Some(done));
    there.amount = 1;
    let rows = RefundRows {
        named: Named::Nothing,
        holder: Some(own.clone()),
        charge: None,
    };
    assert_eq!(kinds(refund(&there, &rows)), [Kind::RefundAmount]);
    assert_eq!(refund_missing(&own).unwrap().kind, Kind::RefundMissing);
}

#[test]
fn a_dispute_is_known_by_its_name_and_compared_by_status_and_amount() {
    let there = ListedDispute {
        id: "du_1".to_owned(),
        payment: Some("pi_1".to_owned()),
        amount: 900,
        currency: "eur".to_owned(),
        reason: "fraudulent".to_owned(),
        status: "needs_response".to_owned(),
        created_at: AT,
    };
    let charge = row(ChargeStatus::Succeeded);
    let known = DisputeView {
        id: there.id.clone(),
        charge: charge.id,
        amount: 900,
        status: there.status.clone(),
        changed_at: AT,
    };
    let of = |row: Option<DisputeView>, charge: Option<&ChargeView>| {
        let charge = charge.cloned();
        dispute(&there, &DisputeRows { row, charge })
    };
    assert_eq!(of(None, None), Compared::Foreign);
    assert_eq!(of(Some(known.clone()), Some(&charge)), Compared::Agrees);
    let unknown = kinds(of(None, Some(&charge)));
    assert_eq!(unknown, [Kind::DisputeUnknown]);
    for changed in [
        DisputeView {
            status: "won".to_owned(),
            ..known.clone()
        },
        DisputeView {
            amount: 899,
            ..known.clone()
        },
    ] {
        let found = kinds(of(Some(changed), Some(&charge)));
        assert_eq!(found, [Kind::DisputeStatus]);
    }
    assert_eq!(dispute_missing(&known).kind, Kind::DisputeMissing);
}

#[test]
fn every_kind_has_a_name_of_its_own_and_a_meaning() {
    let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert!(kind.meaning().ends_with('.'), "{kind:?}");
    }
}

#[test]
fn a_payment_that_its_request_found_again_after_its_charge_was_lost_is_that_charges() {
    let holder = row(ChargeStatus::Succeeded);
    let rows = |found_again| PaymentRows {
        named: Named::NoRow,
        holder: Some(holder.clone()),
        found_again,
    };
    let there = listed(Some(ListedStatus::Succeeded));
    assert_eq!(payment(&there, &rows(true)), Compared::Agrees);
    let others = kinds(payment(&there, &rows(false)));
    assert_eq!(others, [Kind::PaymentOfAnotherCharge]);
}

#[test]
fn only_what_moves_money_twice_for_one_request_is_made_twice() {
    let paid = |id: &str, request: Option<&str>, status| ListedPayment {
        id: id.to_owned(),
        request: request.map(str::to_owned),
        ..listed(Some(status))
    };
    let first = paid("pi_1", Some("mark"), ListedStatus::Succeeded);
    for (again, is_twice) in [
        (paid("pi_2", Some("mark"), ListedStatus::Succeeded), true),
        (
            paid("pi_2", Some("mark"), ListedStatus::RequiresCapture),
            true,
        ),
        (paid("pi_2", Some("mark"), ListedStatus::Processing), true),
        (paid("pi_2", Some("mark"), ListedStatus::Declined), false),
        (paid("pi_2", Some("mark"), ListedStatus::Canceled), false),
        (
            paid("pi_2", Some("mark"), ListedStatus::RequiresAction),
            false,
        ),
        (paid("pi_2", Some("other"), ListedStatus::Succeeded), false),
        (paid("pi_2", None, ListedStatus::Succeeded), false),
        (paid("pi_1", Some("mark"), ListedStatus::Succeeded), false),
    ] {
        let said = paid_twice(&first, &again).map(|one| (one.kind, one.object, one.here));
        let expected = (Kind::PaidTwice, "pi_2".to_owned(), Some("pi_1".to_owned()));
        assert_eq!(said, is_twice.then_some(expected), "{again:?}");
    }
    let nameless = paid("pi_1", None, ListedStatus::Succeeded);
    assert_eq!(paid_twice(&nameless, &nameless), None);

    let back = |id: &str, state| ListedRefund {
        id: id.to_owned(),
        request: Some("mark".to_owned()),
        ..listed_refund(Some(state))
    };
    let first = back("re_1", RefundState::Succeeded);
    for state in REFUND_STATES {
        let said = refunded_twice(&first, &back("re_2", state)).map(|one| one.kind);
        let twice = matches!(state, RefundState::Pending | RefundState::Succeeded);
        assert_eq!(said, twice.then_some(Kind::RefundedTwice), "{state:?}");
    }
}
