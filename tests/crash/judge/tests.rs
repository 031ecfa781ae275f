//! The judge's negative control: evidence that is doctored in one place is found out.

use crate::book::{ChargeAsked, ChargeTold, RefundAsked};
use crate::evidence::{Charge, Evidence, GivenBack, Paid, Refund};
use crate::judge::{Finding, judge};

fn charge(id: &str, status: &str, (captured, refunded): (i64, i64)) -> Charge {
    Charge {
        id: id.to_owned(),
        token: "tok".to_owned(),
        status: status.to_owned(),
        amount: 1_000,
        amount_captured: captured,
        amount_refunded: refunded,
        metadata: [("order".to_owned(), format!("order-of-{id}"))].into(),
    }
}

fn told(id: &str, status: &str, captured: i64) -> ChargeTold {
    ChargeTold {
        id: id.to_owned(),
        status: status.to_owned(),
        captured,
    }
}

fn event(id: &str, kind: &str, subject: &str) -> (String, String, String) {
    (id.to_owned(), kind.to_owned(), subject.to_owned())
}

/// A taken charge of which a part was given back, one that waits, one that was never made.
fn clean() -> Evidence {
    let mut evidence = Evidence::default();
    for made in [
        charge("taken", "succeeded", (1_000, 300)),
        charge("waiting", "requires_capture", (0, 0)),
        charge("never", "canceled", (0, 0)),
    ] {
        let asked = ChargeAsked {
            token: "tok".to_owned(),
            amount: 1_000,
            body: serde_json::Value::Null,
            told: vec![told(&made.id, &made.status, made.amount_captured)],
        };
        let order = made.metadata["order"].clone();
        evidence.book.charges.insert(order, asked);
        evidence.charges.insert(made.id.clone(), made);
    }
    let paid = Paid {
        payments: 1,
        moved: 1,
        amount_authorized: 1_000,
        ..Paid::default()
    };
    evidence.paid.insert("waiting".to_owned(), paid.clone());
    let taken = Paid {
        captured: 1,
        amount_captured: 1_000,
        amount_refunded: 300,
        ..paid
    };
    evidence.paid.insert("taken".to_owned(), taken);
    let refund = Refund {
        id: "back".to_owned(),
        status: "succeeded".to_owned(),
        charge: "taken".to_owned(),
        amount: 300,
    };
    evidence.refunds.insert("back".to_owned(), refund);
    let given = GivenBack {
        refunds: 1,
        succeeded: 1,
        amount: 300,
    };
    evidence.given_back.insert("back".to_owned(), given);
    let asked = RefundAsked {
        charge: "taken".to_owned(),
        amount: Some(300),
        told: vec![("back".to_owned(), "succeeded".to_owned(), 300)],
    };
    evidence.book.refunds.insert("refund-1".to_owned(), asked);
    let made = ["tok".to_owned()].into();
    evidence.book.tokens.insert("card-1".to_owned(), made);
    evidence.tokens = vec!["tok".to_owned()];
    evidence.cards_attached = 1;
    evidence.feed = vec![
        event("evt_1", "charge.succeeded", "taken"),
        event("evt_2", "refund.succeeded", "back"),
    ];
    evidence.places = vec![1, 2];
    evidence
}

/// What the judge says of the clean evidence with one thing changed.
fn doctored(change: impl FnOnce(&mut Evidence)) -> Vec<Finding> {
    let mut evidence = clean();
    change(&mut evidence);
    judge(&evidence)
}

fn finds(found: &[Finding], is_it: impl Fn(&Finding) -> bool) {
    assert!(found.iter().any(is_it), "{found:?}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(judge(&clean()), []);
}

#[test]
fn a_payment_that_was_made_twice_is_found() {
    let found = doctored(|evidence| {
        let paid = evidence.paid.get_mut("waiting").unwrap();
        (paid.payments, paid.moved, paid.amount_authorized) = (2, 2, 2_000);
    });
    finds(&found, |finding| matches!(finding, Finding::Double(_)));

    // Under two charges, because a key was taken for new.
    let found = doctored(|evidence| {
        let mut twin = charge("twin", "requires_capture", (0, 0));
        twin.metadata = evidence.charges["waiting"].metadata.clone();
        evidence.charges.insert("twin".to_owned(), twin);
        let paid = evidence.paid["waiting"].clone();
        evidence.paid.insert("twin".to_owned(), paid);
    });
    finds(&found, |finding| matches!(finding, Finding::Double(_)));

    let found = doctored(|evidence| {
        evidence.given_back.get_mut("back").unwrap().refunds = 2;
    });
    finds(&found, |finding| matches!(finding, Finding::Double(_)));
}

#[test]
fn a_key_that_stood_for_two_charges_is_found() {
    let found = doctored(|evidence| {
        let asked = evidence.book.charges.get_mut("order-of-taken").unwrap();
        asked.told.push(told("never", "canceled", 0));
    });
    finds(&found, |finding| matches!(finding, Finding::Double(_)));
}

#[test]
fn an_acknowledged_charge_that_is_gone_or_says_less_is_found() {
    let found = doctored(|evidence| {
        evidence.charges.remove("never");
    });
    finds(&found, |finding| matches!(finding, Finding::Lost(_)));
    let found = doctored(|evidence| {
        evidence.book.later.push(told("waiting", "succeeded", 400));
    });
    finds(&found, |finding| matches!(finding, Finding::Lost(_)));
    let found = doctored(|evidence| {
        evidence.refunds.remove("back");
    });
    finds(&found, |finding| matches!(finding, Finding::Lost(_)));
    finds(&found, |finding| matches!(finding, Finding::Unrecorded(_)));
}

#[test]
fn what_is_open_when_all_is_quiet_is_found() {
    let found = doctored(|evidence| {
        evidence.charges.get_mut("waiting").unwrap().status = "processing".to_owned();
    });
    finds(&found, |finding| matches!(finding, Finding::Unsettled(_)));
    let found = doctored(|evidence| evidence.open = 1);
    finds(&found, |finding| matches!(finding, Finding::Unsettled(_)));
}

#[test]
fn money_that_no_row_knows_and_rows_that_say_other_amounts_are_found() {
    let found = doctored(|evidence| {
        let paid = evidence.paid["taken"].clone();
        evidence.paid.insert("stranger".to_owned(), paid);
    });
    finds(&found, |finding| matches!(finding, Finding::Unrecorded(_)));
    for change in [
        |paid: &mut Paid| paid.amount_captured = 999,
        |paid: &mut Paid| paid.amount_refunded = 0,
        |paid: &mut Paid| *paid = Paid::default(),
    ] {
        let found = doctored(|evidence| change(evidence.paid.get_mut("taken").unwrap()));
        finds(&found, |finding| matches!(finding, Finding::Wrong(_)));
    }
    // The service says that it was given up, and the money is held.
    let found = doctored(|evidence| {
        evidence.charges.get_mut("waiting").unwrap().status = "canceled".to_owned();
    });
    finds(&found, |finding| matches!(finding, Finding::Wrong(_)));
}

#[test]
fn lost_tokens_lost_cards_and_cards_without_a_token_are_found() {
    let found = doctored(|evidence| evidence.tokens.clear());
    finds(&found, |finding| matches!(finding, Finding::Lost(_)));
    let found = doctored(|evidence| evidence.cards_attached = 0);
    finds(&found, |finding| matches!(finding, Finding::Lost(_)));
    let found = doctored(|evidence| evidence.cards_attached = 2);
    assert_eq!(found, [Finding::OrphanedCards(1)]);
}

#[test]
fn a_gap_in_the_feed_a_repetition_and_an_untold_end_are_found() {
    let found = doctored(|evidence| evidence.places = vec![1, 3]);
    finds(&found, |finding| matches!(finding, Finding::Feed(_)));
    let found = doctored(|evidence| {
        evidence.feed.push(evidence.feed[0].clone());
        evidence.places.push(3);
    });
    finds(&found, |finding| matches!(finding, Finding::Feed(_)));
    let found = doctored(|evidence| evidence.feed[1].2 = "another".to_owned());
    finds(&found, |finding| matches!(finding, Finding::Feed(_)));
}

#[test]
fn an_answer_that_must_not_be_and_a_forgetful_processor_are_found() {
    let found = doctored(|evidence| evidence.book.surprises.push("500".to_owned()));
    assert_eq!(found, [Finding::Surprise("500".to_owned())]);
    let found = doctored(|evidence| evidence.forgotten = 1);
    finds(&found, |finding| matches!(finding, Finding::Blind(_)));
}
