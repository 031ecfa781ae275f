//! Rows that say of somebody's card that it is somebody else's.

use super::orders::{Attacker, quarantined};
use super::*;

/// The token of a card with that fingerprint, for a customer.
async fn token_for(store: &Store, customer: &str, fingerprint: u8, mark_of: u8) -> TokenKept {
    let session = NewSession {
        customer_ref: Some(customer.to_owned()),
        ..session()
    };
    store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let claimed = store
        .claim_attempt(attempt(session.id), event(Action::CardAttempted))
        .await;
    assert_eq!(claimed, Ok(Attempt::Claimed { number: 1 }));
    let token = NewToken {
        fingerprint: Some(mark(fingerprint)),
        reference: mark(mark_of),
        ..token_of(session.id).token
    };
    store
        .attempt_succeeded(
            (session.id, Some("attempt-1".to_owned())),
            token,
            event(Action::TokenCreated),
            |_| news(),
        )
        .await
        .unwrap()
}

/// Whoever turns `token_cards` to a victim's token is answered with a token of its own.
pub(super) async fn no_customer_is_answered_with_anothers_token(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let victim = new(token_for(store, "victim", 21, 31).await);
    let thief = new(token_for(store, "thief", 22, 32).await);
    let same = token_for(store, "thief", 22, 33).await;
    assert!(matches!(same, TokenKept::Same(row) if row.id == thief));
    attacker
        .write(&format!(
            "UPDATE token_cards SET token_id = '{victim}' WHERE customer_ref = 'thief'"
        ))
        .await;
    let answered = new(token_for(store, "thief", 22, 34).await);
    assert!(answered != victim && answered != thief);
    let paged =
        "SELECT COUNT(*) FROM alerts WHERE name = 'row_quarantined' AND subject = 'token_cards'";
    assert_eq!(attacker.count(paged).await, 1);
    // From then on the card is known by its own token again.
    let same = token_for(store, "thief", 22, 35).await;
    assert!(matches!(same, TokenKept::Same(row) if row.id == answered));
}

#[tokio::test]
async fn no_customer_is_answered_with_anothers_token_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    no_customer_is_answered_with_anothers_token(&bench.store, &mut attacker).await;
}

/// A victim's card put in the place of a thief's, which the thief's token would be charged by.
pub(super) async fn no_card_takes_a_place_that_nobody_gave_it(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    // What others left behind is taken already.
    store
        .take_due_orphans(due_at(7_200), |_| event(Action::CardDetachStarted))
        .await
        .unwrap();
    let victim = new(token_for(store, "victim-2", 41, 51).await);
    let thief = new(token_for(store, "thief-2", 42, 52).await);
    let id = TokenId::new(ENVIRONMENT, START);
    let now = START.unix_ms();
    attacker
        .write(&format!(
            "INSERT INTO orphans (id, account, sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, created_at_ms, sealed_for, customer_ref, usage, ordered_for)
             SELECT '{id}', account, sealed, data_key_id, '{thief}', 12, 2030, 0, {now} + 3600000, {now}, id, customer_ref, usage, '{thief}' FROM tokens WHERE id = '{victim}'"
        ))
        .await;
    // One that means nothing is in nobody's way either.
    let nonsense = TokenId::new(ENVIRONMENT, START.plus_s(1));
    attacker
        .write(&format!(
            "INSERT INTO orphans (id, account, sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, created_at_ms)
             SELECT '{nonsense}', account, sealed, data_key_id, '{thief}', 12, 2030, 0, {now} + 3600000, {now} FROM tokens WHERE id = '{victim}'"
        ))
        .await;
    let begun = store
        .begin_charge(claim("stolen"), charge_of(thief), opening())
        .await
        .unwrap();
    match begun {
        Begun::New(work) => assert_eq!(work.sealed.sealed_for, thief, "its own card is charged"),
        other @ (Begun::Resumed(_)
        | Begun::Replayed(_)
        | Begun::InFlight
        | Begun::Mismatch
        | Begun::Refused(_)) => panic!("{other:?}"),
    }
    quarantined(attacker, "orphans", 2).await;
    // Neither is it detached, nor adopted.
    let due = store
        .take_due_orphans(due_at(7_200), |_| event(Action::CardDetachStarted))
        .await;
    assert_eq!(due, Ok(Vec::new()));
    // One that was ordered for a place of its own takes no other's.
    let kept = token_for(store, "thief-2", 42, 53).await;
    assert!(matches!(kept, TokenKept::Same(row) if row.id == thief));
    attacker
        .write(&format!(
            "UPDATE orphans SET token_id = '{victim}' WHERE token_id = '{thief}'"
        ))
        .await;
    let due = store
        .take_due_orphans(due_at(7_200), |_| event(Action::CardDetachStarted))
        .await;
    assert_eq!(due, Ok(Vec::new()));
    quarantined(attacker, "orphans", 3).await;
}

#[tokio::test]
async fn no_card_takes_a_place_that_nobody_gave_it_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    no_card_takes_a_place_that_nobody_gave_it(&bench.store, &mut attacker).await;
}
