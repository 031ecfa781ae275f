//! What a session with a token still answers: the repetition of the post that made it, for a while
//! and so often.

use super::*;

/// When the samples' session ends.
const ENDS_AT: Timestamp = START.plus_s(900);

async fn posted(store: &Store, session: SessionId, key: Option<&str>, now: Timestamp) -> Attempt {
    let claim = AttemptClaim {
        key: key.map(str::to_owned),
        now,
        ..attempt(session)
    };
    let posted = store.claim_attempt(claim, event(Action::CardAttempted));
    posted.await.unwrap()
}

/// A session and its token, made under the key `attempt-1`.
async fn used(store: &Store, change: impl FnOnce(&mut NewSession)) -> (SessionId, TokenId) {
    let mut session = session();
    change(&mut session);
    let id = session.id;
    let made = event(Action::SessionCreated);
    store.begin_session(None, session, made).await.unwrap();
    let claimed = posted(store, id, Some("attempt-1"), START).await;
    assert_eq!(claimed, Attempt::Claimed { number: 1 });
    let of_session = (id, Some("attempt-1".to_owned()));
    let made = event(Action::TokenCreated);
    let kept = store.attempt_succeeded(of_session, token_of(id).token, made, |_| news());
    (id, new(kept.await.unwrap()))
}

pub(super) async fn repetitions_have_a_budget_and_end_with_their_session(store: &Store) {
    let (id, token) = used(store, |_| {}).await;
    let repeated = Attempt::Repeated {
        token,
        key: "attempt-1".into(),
    };
    for number in 1..=REPEATED_POSTS_MAX {
        let again = posted(store, id, Some("attempt-1"), START.plus_s(number)).await;
        assert_eq!(again, repeated, "{number}");
        // What is posted under another key, or none, says nothing of a card and costs nothing.
        for key in [Some("other"), None] {
            let other = posted(store, id, key, START.plus_s(number)).await;
            assert_eq!(other, Attempt::Used);
        }
        let ended = store.repetition_ended(id, RepetitionCost::Answer, event(Action::TokenRefused));
        assert_eq!(ended.await, Ok(true));
    }
    let later = START.plus_s(100);
    let again = posted(store, id, Some("attempt-1"), later).await;
    assert_eq!(again, Attempt::Exhausted);

    // What was under way with the last of them is not answered any more.
    let ended = store.repetition_ended(id, RepetitionCost::Answer, event(Action::TokenRefused));
    assert_eq!(ended.await, Ok(false));

    // What says nothing of the card, or is never answered, costs nothing.
    let (id, token) = used(store, |_| {}).await;
    let repeated = Attempt::Repeated {
        token,
        key: "attempt-1".into(),
    };
    for _ in 0..REPEATED_POSTS_MAX + 3 {
        let again = posted(store, id, Some("attempt-1"), later).await;
        assert_eq!(again, repeated);
        let ended =
            store.repetition_ended(id, RepetitionCost::Nothing, event(Action::TokenRefused));
        assert_eq!(ended.await, Ok(true));
    }
    let row = store.session(id).await.unwrap().unwrap();
    assert_eq!(row.attempts_left, REPEATED_POSTS_MAX);

    // Of eight guesses the last finds less than it costs, because somebody had the right card.
    for guess in 0..9 {
        let cost = if guess == 7 {
            RepetitionCost::Answer
        } else {
            RepetitionCost::Guess
        };
        let ended = store.repetition_ended(id, cost, event(Action::TokenRefused));
        assert_eq!(ended.await, Ok(true), "{guess}");
    }
    let again = posted(store, id, Some("attempt-1"), later).await;
    assert_eq!(again, Attempt::Exhausted);
    let (id, token) = used(store, |_| {}).await;
    let repeated = Attempt::Repeated {
        token,
        key: "attempt-1".into(),
    };

    // Whatever the key, from its end on the session is over.
    for key in [Some("attempt-1"), Some("other"), None] {
        let over = posted(store, id, key, ENDS_AT).await;
        assert_eq!(over, Attempt::Expired);
    }
    let last = ENDS_AT.unix_ms().saturating_sub(1);
    let last = posted(store, id, Some("attempt-1"), Timestamp::from_unix_ms(last)).await;
    assert_eq!(last, repeated);
}

pub(super) async fn repetitions_end_before_the_processor_forgets_their_key(store: &Store) {
    let day_s = 24 * 60 * 60;
    let (id, token) = used(store, |session| {
        session.expires_at = START.plus_s(2 * day_s);
    })
    .await;
    let repeated = Attempt::Repeated {
        token,
        key: "attempt-1".into(),
    };
    let end = START.plus_ms(REPETITION_AGE_MS_MAX);
    assert_eq!(end, START.plus_s(23 * 60 * 60));
    let before = Timestamp::from_unix_ms(end.unix_ms().saturating_sub(1));
    assert_eq!(posted(store, id, Some("attempt-1"), before).await, repeated);
    assert_eq!(
        posted(store, id, Some("attempt-1"), end).await,
        Attempt::Expired,
        "that it was posted again a moment ago does not prolong it"
    );
}

#[tokio::test]
async fn repetitions_have_a_budget_and_end_with_their_session_on_sqlite() {
    let bench = Bench::new().await;
    repetitions_have_a_budget_and_end_with_their_session(&bench.store).await;
    let outcomes = bench.outcomes(Action::CardAttempted).await;
    let of = |name| outcomes.iter().filter(|outcome| *outcome == name).count();
    // Three first ones, 64 repetitions, 67 that cost nothing and a last; each post is an event.
    assert_eq!((of("success"), of("refused")), (135, 133));
}

#[tokio::test]
async fn repetitions_end_before_the_processor_forgets_their_key_on_sqlite() {
    let bench = Bench::new().await;
    repetitions_end_before_the_processor_forgets_their_key(&bench.store).await;
}

#[tokio::test]
async fn a_session_has_few_repetitions_left_however_many_cards_it_took() {
    let bench = Bench::new().await;
    let (last_card, _) = used(&bench.store, |session| session.attempts_max = 1).await;
    let row = bench.store.session(last_card).await.unwrap().unwrap();
    assert_eq!(row.attempts_left, REPEATED_POSTS_MAX);
    let (first_card, _) = used(&bench.store, |session| session.attempts_max = 400).await;
    let row = bench.store.session(first_card).await.unwrap().unwrap();
    assert_eq!(row.attempts_left, REPEATED_POSTS_MAX);
}
