//! What a row answers with, turned to what is somebody else's.

use super::orders::{Attacker, quarantined};
use super::*;

/// A client's key that is pointed at another charge, which would answer its repetition as paid.
pub(super) async fn a_key_that_is_pointed_elsewhere_answers_nothing(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let token = new(token_on(store, |_| {}).await);
    let paid = charging_on(store, token, "paid").await.charge;
    let begun = store
        .begin_charge(claim("pointed"), charge_of(token), opening())
        .await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
    attacker.unprotect("idempotency_keys").await;
    let turned = attacker
        .write(&format!(
            "UPDATE idempotency_keys
                SET resource = '{0}',
                    order_proof = (SELECT other.order_proof FROM idempotency_keys other WHERE other.resource = '{0}')
              WHERE key = 'pointed'",
            paid.id
        ))
        .await;
    assert_eq!(turned, 1);
    let again = store
        .begin_charge(claim("pointed"), charge_of(token), opening())
        .await;
    assert!(matches!(again, Ok(Begun::Mismatch)), "{again:?}");
    quarantined(attacker, "idempotency_keys", 1).await;
}

#[tokio::test]
async fn a_key_that_is_pointed_elsewhere_answers_nothing_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    a_key_that_is_pointed_elsewhere_answers_nothing(&bench.store, &mut attacker).await;
}

/// A session is given the token of somebody else, as the capture plane's login can.
pub(super) async fn a_session_answers_no_token_that_it_has_not_made(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let (honest, thief) = (session(), session());
    for session in [&honest, &thief] {
        let begun = store
            .begin_session(None, session.clone(), event(Action::SessionCreated))
            .await;
        assert_eq!(begun, Ok(Begun::New(())));
    }
    let claimed = store
        .claim_attempt(attempt(honest.id), event(Action::CardAttempted))
        .await;
    assert_eq!(claimed, Ok(Attempt::Claimed { number: 1 }));
    let kept = store
        .attempt_succeeded(
            (honest.id, Some("attempt-1".to_owned())),
            token_of(honest.id).token,
            event(Action::TokenCreated),
            |_| news(),
        )
        .await;
    let victim = new(kept.unwrap());
    let id = thief.id;
    attacker.unprotect("sessions").await;
    let given = "SELECT token_proof FROM sessions WHERE token_proof IS NOT NULL LIMIT 1";
    for proof in ["NULL", &format!("({given})")] {
        let turned = attacker
            .write(&format!(
                "UPDATE sessions SET token_id = '{victim}', token_key = 'k', token_proof = {proof} WHERE id = '{id}'"
            ))
            .await;
        assert_eq!(turned, 1);
        assert_eq!(store.session(id).await, Ok(None));
        let claim = AttemptClaim {
            key: Some("k".to_owned()),
            ..attempt(id)
        };
        let claimed = store
            .claim_attempt(claim, event(Action::CardAttempted))
            .await;
        assert_eq!(claimed, Ok(Attempt::Unknown));
    }
    let reported = format!(
        "SELECT COUNT(*) FROM audit_events WHERE action = 'row.quarantined' AND subject = 'sessions/{id}'"
    );
    assert_eq!(attacker.count(&reported).await, 4);
    // The session that has made it still says so.
    let row = store.session(honest.id).await.unwrap().unwrap();
    assert_eq!(row.token, Some(victim));
}

#[tokio::test]
async fn a_session_answers_no_token_that_it_has_not_made_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    a_session_answers_no_token_that_it_has_not_made(&bench.store, &mut attacker).await;
}
