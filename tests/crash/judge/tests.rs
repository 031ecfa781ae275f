//! The judge's negative controls: evidence that is doctored in one place is found out.

use std::collections::BTreeSet;

use super::{Amounts, Finding, judge};
use crate::evidence::{AtProcessor, Charge, Dispute, Evidence, FeedEvent, GivenBack, Paid, Refund};
use crate::journal::{
    ChargeAnswer, ChargeAsked, Operation, OperationAsked, RefundAnswer, RefundAsked,
};

fn charge(id: &str, status: &str, (captured, refunded): (i64, i64)) -> Charge {
    Charge {
        id: id.to_owned(),
        token: "tok".to_owned(),
        status: status.to_owned(),
        amount: 1_000,
        amount_captured: captured,
        amount_refunded: refunded,
        disputed: false,
        processor: AtProcessor::default(),
        contradiction: None,
        metadata: [("order".to_owned(), format!("order-of-{id}"))].into(),
    }
}

fn answer(id: &str, status: &str, captured: i64) -> ChargeAnswer {
    ChargeAnswer {
        id: id.to_owned(),
        status: status.to_owned(),
        captured,
    }
}

fn event(id: &str, kind: &str, subject: &str) -> FeedEvent {
    FeedEvent {
        id: id.to_owned(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        ..FeedEvent::default()
    }
}

fn operation(charge: &str, operation: Operation, answer: ChargeAnswer) -> OperationAsked {
    OperationAsked {
        charge: charge.to_owned(),
        operation,
        amount: 1_000,
        answers: vec![answer],
        ..OperationAsked::default()
    }
}

fn refund(id: &str, amount: i64, made: &str) -> Refund {
    Refund {
        id: id.to_owned(),
        status: "succeeded".to_owned(),
        charge: "taken".to_owned(),
        amount,
        made: Some(made.to_owned()),
    }
}

fn given(ours: Option<&str>, amount: i64) -> GivenBack {
    GivenBack {
        ours: ours.map(ToOwned::to_owned),
        charge: "taken".to_owned(),
        status: "succeeded".to_owned(),
        amount,
    }
}

/// A taken charge of which parts were given back, by a client and in the dashboard; one that waits
/// for its capture, one that was canceled at the processor, one that was never made; a dispute that
/// was won.
fn clean() -> Evidence {
    let mut evidence = Evidence::default();
    for made in [
        charge("taken", "succeeded", (1_000, 400)),
        charge("waiting", "requires_capture", (0, 0)),
        charge("released", "canceled", (0, 0)),
        charge("never", "canceled", (0, 0)),
    ] {
        let asked = ChargeAsked {
            token: "tok".to_owned(),
            amount: 1_000,
            answers: vec![answer(&made.id, &made.status, made.amount_captured)],
            ..ChargeAsked::default()
        };
        let order = made.metadata["order"].clone();
        evidence.journal.charges.insert(order, asked);
        evidence.charges.insert(made.id.clone(), made);
    }
    let waiting = Paid {
        payments: 1,
        moved: 1,
        amount_authorized: 1_000,
        ..Paid::default()
    };
    let released = Paid {
        canceled: 1,
        ..waiting.clone()
    };
    let taken = Paid {
        captured: 1,
        amount_captured: 1_000,
        amount_refunded: 400,
        ..waiting.clone()
    };
    for (id, paid) in [
        ("waiting", waiting),
        ("released", released),
        ("taken", taken),
    ] {
        evidence.paid.insert(id.to_owned(), paid);
    }
    money_back(&mut evidence);
    let capture = operation(
        "taken",
        Operation::Capture,
        answer("taken", "succeeded", 1_000),
    );
    let cancellation = operation(
        "released",
        Operation::Cancellation,
        answer("released", "canceled", 0),
    );
    let operations = &mut evidence.journal.operations;
    operations.insert("capture-1".to_owned(), capture);
    operations.insert("cancel-1".to_owned(), cancellation);
    cards(&mut evidence);
    let mut closed = event("evt_4", "dispute.closed", "dispute");
    closed.status = "won".to_owned();
    evidence.feed = vec![
        event("evt_1", "charge.succeeded", "taken"),
        event("evt_2", "refund.succeeded", "back"),
        event("evt_3", "refund.succeeded", "dashboard"),
        closed,
    ];
    evidence.places = vec![1, 2, 3, 4];
    evidence
}

fn cards(evidence: &mut Evidence) {
    let made = ["tok".to_owned()].into();
    evidence.journal.tokens.insert("card-1".to_owned(), made);
    let session = ["session".to_owned()].into();
    evidence
        .journal
        .sessions
        .insert("session-1".to_owned(), session);
    evidence.journal.deletions.insert("gone".to_owned(), true);
    evidence.tokens = [
        ("tok".to_owned(), "active".to_owned()),
        ("gone".to_owned(), "deleted".to_owned()),
    ]
    .into();
    evidence.cards_attached = 1;
}

fn money_back(evidence: &mut Evidence) {
    let refunds = [
        refund("back", 300, "re_1"),
        refund("dashboard", 100, "re_2"),
    ];
    evidence.refunds = refunds
        .map(|refund| (refund.id.clone(), refund))
        .into_iter()
        .collect();
    evidence.given_back = [
        ("re_1".to_owned(), given(Some("back"), 300)),
        ("re_2".to_owned(), given(None, 100)),
    ]
    .into();
    let asked = RefundAsked {
        charge: "taken".to_owned(),
        amount: Some(300),
        answers: vec![RefundAnswer {
            id: "back".to_owned(),
            status: "succeeded".to_owned(),
            amount: 300,
        }],
        refused: Vec::new(),
    };
    evidence
        .journal
        .refunds
        .insert("refund-1".to_owned(), asked);
    let won = Dispute {
        charge: "taken".to_owned(),
        status: "won".to_owned(),
    };
    let row = won.status.clone();
    evidence.disputes.insert("dispute".to_owned(), won);
    evidence.dispute_rows.insert("dispute".to_owned(), row);
}

/// What the judge says of the clean evidence with one thing changed.
fn doctored(change: impl FnOnce(&mut Evidence)) -> Vec<Finding> {
    let mut evidence = clean();
    change(&mut evidence);
    judge(&evidence)
}

/// That the change is found out as one of that kind.
fn finds(kind: &str, change: impl FnOnce(&mut Evidence)) {
    assert!(Finding::KINDS.contains(&kind), "{kind}");
    let found = doctored(change);
    let kinds: BTreeSet<&str> = found.iter().map(Finding::kind).collect();
    assert!(kinds.contains(kind), "{kind} is not among {found:?}");
}

fn capture_refused(evidence: &mut Evidence, charge: &str) {
    let asked = OperationAsked {
        charge: charge.to_owned(),
        amount: 1_000,
        refused: vec!["422 invalid_request".to_owned()],
        ..OperationAsked::default()
    };
    let operations = &mut evidence.journal.operations;
    operations.insert("capture-2".to_owned(), asked);
}

fn refund_refused(evidence: &mut Evidence, amount: Option<i64>) {
    evidence.disputes.clear();
    evidence.dispute_rows.clear();
    let asked = RefundAsked {
        charge: "taken".to_owned(),
        amount,
        answers: Vec::new(),
        refused: vec!["422 invalid_request".to_owned()],
    };
    evidence
        .journal
        .refunds
        .insert("refund-2".to_owned(), asked);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(judge(&clean()), []);
}

#[test]
fn a_payment_that_was_made_twice_is_found() {
    finds("twice", |evidence| {
        let paid = evidence.paid.get_mut("waiting").unwrap();
        (paid.payments, paid.moved, paid.amount_authorized) = (2, 2, 2_000);
    });
    // Under two charges, because a key was taken for new.
    finds("twice", |evidence| {
        let mut twin = charge("twin", "requires_capture", (0, 0));
        twin.metadata = evidence.charges["waiting"].metadata.clone();
        evidence.charges.insert("twin".to_owned(), twin);
        let paid = evidence.paid["waiting"].clone();
        evidence.paid.insert("twin".to_owned(), paid);
    });
    finds("twice", |evidence| {
        evidence.paid.get_mut("taken").unwrap().captured = 2;
    });
}

#[test]
fn a_refund_that_was_made_twice_is_found() {
    // One row, which the processor was asked for twice.
    finds("twice", |evidence| {
        let twin = given(Some("back"), 300);
        evidence.given_back.insert("re_3".to_owned(), twin);
    });
    // Two rows of one key, of which the client was answered with one or both.
    let twins = |evidence: &mut Evidence| {
        let twin = given(Some("twin"), 300);
        evidence.given_back.insert("re_3".to_owned(), twin);
        let twin = refund("twin", 300, "re_3");
        evidence.refunds.insert("twin".to_owned(), twin);
    };
    finds("twice", twins);
    finds("twice", |evidence| {
        twins(evidence);
        let asked = evidence.journal.refunds.get_mut("refund-1").unwrap();
        let mut twin = asked.answers[0].clone();
        twin.id = "twin".to_owned();
        asked.answers.push(twin);
    });
}

#[test]
fn a_key_that_stood_for_two_things_is_found() {
    finds("twice", |evidence| {
        let asked = evidence.journal.charges.get_mut("order-of-taken").unwrap();
        asked.answers.push(answer("never", "canceled", 0));
    });
    finds("twice", |evidence| {
        let made = evidence.journal.tokens.get_mut("card-1").unwrap();
        made.insert("another".to_owned());
    });
    finds("twice", |evidence| {
        let made = evidence.journal.sessions.get_mut("session-1").unwrap();
        made.insert("another".to_owned());
    });
}

#[test]
fn an_acknowledged_charge_that_is_gone_or_says_less_is_found() {
    finds("lost", |evidence| {
        evidence.charges.remove("never");
    });
    finds("lost", |evidence| {
        let said = answer("waiting", "succeeded", 400);
        evidence.journal.reads.push(said);
    });
    finds("lost", |evidence| {
        let asked = evidence.journal.operations.get_mut("cancel-1").unwrap();
        asked.answers.push(answer("released", "succeeded", 1_000));
    });
    let gone = |evidence: &mut Evidence| {
        evidence.refunds.remove("back");
    };
    finds("lost", gone);
    finds("unrecorded", gone);
}

#[test]
fn a_capture_a_cancellation_and_a_refund_that_are_denied_are_found() {
    // Captured there, still waiting here.
    finds("denied", |evidence| {
        let paid = evidence.paid.get_mut("waiting").unwrap();
        (paid.captured, paid.amount_captured) = (1, 1_000);
    });
    finds("denied", |evidence| {
        evidence.paid.get_mut("waiting").unwrap().canceled = 1;
    });
    // Held or taken there, given up or declined here.
    for status in ["canceled", "declined"] {
        finds("denied", |evidence| {
            let charge = evidence.charges.get_mut("waiting").unwrap();
            status.clone_into(&mut charge.status);
        });
    }
    finds("denied", |evidence| {
        let refund = evidence.refunds.get_mut("back").unwrap();
        "failed".clone_into(&mut refund.status);
    });
    finds("denied", |evidence| {
        evidence.refunds.get_mut("back").unwrap().made = None;
    });
}

#[test]
fn a_key_that_was_refused_though_it_had_its_effect_is_found() {
    finds("denied", |evidence| capture_refused(evidence, "taken"));
    finds("denied", |evidence| {
        let asked = evidence.journal.charges.get_mut("order-of-taken").unwrap();
        asked.answers.clear();
        asked.refused.push("402 processor_refused".to_owned());
    });
    finds("denied", |evidence| {
        let asked = evidence.journal.refunds.get_mut("refund-1").unwrap();
        asked.answers.clear();
        asked.refused.push("422 invalid_request".to_owned());
    });
}

#[test]
fn a_refusal_of_what_was_possible_is_found() {
    finds("false refusal", |evidence| {
        capture_refused(evidence, "waiting");
    });
    finds("false refusal", |evidence| {
        refund_refused(evidence, Some(600));
    });
    finds("false refusal", |evidence| {
        let asked = evidence.journal.charges.get_mut("order-of-never").unwrap();
        asked.refused.push("422 idempotency_mismatch".to_owned());
    });
    finds("false refusal", |evidence| {
        let refusals = &mut evidence.journal.refusals;
        refusals.push("attach: 422 idempotency_mismatch".to_owned());
    });
}

#[test]
fn a_refusal_of_what_was_not_possible_is_not() {
    assert_eq!(doctored(|evidence| refund_refused(evidence, Some(601))), []);
    // What was left was less than the service knew.
    assert_eq!(doctored(|evidence| refund_refused(evidence, None)), []);
    // A refund whose client never came back may have reserved the money for a while.
    let found = doctored(|evidence| {
        refund_refused(evidence, Some(600));
        let unanswered = RefundAsked {
            charge: "taken".to_owned(),
            amount: Some(1),
            ..RefundAsked::default()
        };
        let refunds = &mut evidence.journal.refunds;
        refunds.insert("refund-3".to_owned(), unanswered);
    });
    assert_eq!(found, []);
    // Two keys asked for the opposite.
    let found = doctored(|evidence| {
        capture_refused(evidence, "released");
        let asked = evidence.journal.operations.get_mut("capture-2").unwrap();
        asked.contested = true;
    });
    assert_eq!(found, []);
}

#[test]
fn a_row_that_the_processor_knows_nothing_of_is_found() {
    for id in ["taken", "waiting"] {
        finds("unbacked", |evidence| {
            evidence.paid.remove(id);
        });
    }
    finds("unbacked", |evidence| {
        let charge = evidence.charges.get_mut("taken").unwrap();
        charge.processor.payment = Some("pi_2".to_owned());
    });
    finds("unbacked", |evidence| {
        evidence.given_back.remove("re_2");
    });
    finds("unbacked", |evidence| {
        let given = evidence.given_back.get_mut("re_1").unwrap();
        "failed".clone_into(&mut given.status);
    });
}

#[test]
fn money_that_no_row_knows_is_found() {
    finds("unrecorded", |evidence| {
        let paid = evidence.paid["taken"].clone();
        evidence.paid.insert("stranger".to_owned(), paid);
    });
    // A refund that was made in the dashboard.
    finds("unrecorded", |evidence| {
        evidence.refunds.remove("dashboard");
    });
}

#[test]
fn amounts_that_differ_are_found_with_both_sides() {
    let changes: [fn(&mut Paid) -> &mut i64; 3] = [
        |paid| &mut paid.amount_authorized,
        |paid| &mut paid.amount_captured,
        |paid| &mut paid.amount_refunded,
    ];
    for amount in changes {
        finds("differs", |evidence| {
            *amount(evidence.paid.get_mut("taken").unwrap()) -= 1;
        });
    }
    let found = doctored(|evidence| {
        evidence.paid.get_mut("taken").unwrap().amount_refunded = 0;
    });
    let ours = Amounts {
        authorized: 1_000,
        captured: 1_000,
        refunded: 400,
    };
    let theirs = Amounts {
        refunded: 0,
        ..ours
    };
    let of = "taken".to_owned();
    assert!(
        found.contains(&Finding::Differs { of, ours, theirs }),
        "{found:?}"
    );
    finds("differs", |evidence| {
        evidence.given_back.get_mut("re_1").unwrap().amount = 299;
    });
}

#[test]
fn what_is_open_when_all_is_quiet_is_found() {
    for status in ["processing", "requires_action"] {
        finds("open", |evidence| {
            let charge = evidence.charges.get_mut("waiting").unwrap();
            status.clone_into(&mut charge.status);
        });
    }
    finds("open", |evidence| {
        let refund = evidence.refunds.get_mut("back").unwrap();
        "processing".clone_into(&mut refund.status);
    });
    finds("open", |evidence| {
        evidence.open.push("deletion of tok".to_owned());
    });
    finds("open", |evidence| {
        let endless = &mut evidence.journal.endless;
        endless.push("DELETE /v1/tokens/tok".to_owned());
    });
}

#[test]
fn a_dispute_that_is_over_or_unknown_is_found() {
    finds("dispute", |evidence| {
        evidence.charges.get_mut("taken").unwrap().disputed = true;
    });
    finds("dispute", |evidence| {
        let dispute = evidence.disputes.get_mut("dispute").unwrap();
        "needs_response".clone_into(&mut dispute.status);
    });
    finds("dispute", |evidence| evidence.dispute_rows.clear());
    finds("dispute", |evidence| evidence.disputes.clear());
    finds("dispute", |evidence| {
        evidence.feed.pop();
        evidence.places.pop();
    });
}

#[test]
fn lost_tokens_lost_cards_and_cards_without_a_token_are_found() {
    finds("lost", |evidence| evidence.tokens.clear());
    finds("lost", |evidence| evidence.cards_attached = 0);
    finds("lost", |evidence| {
        let token = evidence.tokens.get_mut("gone").unwrap();
        "active".clone_into(token);
    });
    let found = doctored(|evidence| evidence.cards_attached = 2);
    assert_eq!(found, [Finding::OrphanedCards(1)]);
}

#[test]
fn a_feed_with_a_gap_a_repetition_or_another_order_is_found() {
    finds("feed", |evidence| evidence.places[3] = 5);
    finds("feed", |evidence| {
        evidence.feed.push(evidence.feed[0].clone());
        evidence.places.push(5);
    });
    finds("feed", |evidence| {
        "another".clone_into(&mut evidence.feed[1].subject);
    });
    let late = |version: Option<i64>| {
        move |evidence: &mut Evidence| {
            let late = event("evt_5", "charge.requires_capture", "taken");
            evidence.feed.push(late);
            evidence.feed[0].version = version.map(|version| version + 1);
            evidence.feed[4].version = version;
            evidence.places.push(5);
        }
    };
    finds("feed", late(None));
    finds("feed", late(Some(1)));
}

#[test]
fn an_answer_that_must_not_be_and_a_forgetful_processor_are_found() {
    let found = doctored(|evidence| evidence.journal.surprises.push("500".to_owned()));
    assert_eq!(found, [Finding::Surprise("500".to_owned())]);
    finds("surprise", |evidence| {
        let asked = evidence.journal.operations.get_mut("capture-1").unwrap();
        asked.amount = 999;
    });
    finds("surprise", |evidence| {
        let charge = evidence.charges.get_mut("never").unwrap();
        charge.contradiction = Some("succeeded".into());
    });
    finds("blind", |evidence| evidence.forgotten = 1);
}
