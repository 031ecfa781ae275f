//! A session that has its token, and who posts to it all the same: the shopper whose answer was
//! lost, and somebody who guesses.

use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, stream};
use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, card, eventually};

on_both_engines! {
    a_used_session_answers_eight_guesses_of_four_hundred_and_each_is_an_event,
    an_answer_that_is_lost_64_times_is_given_64_times,
    other_cards_under_a_used_sessions_key_are_counted_as_declines,
    a_repetition_after_23_hours_is_answered_as_after_the_sessions_end,
    a_card_that_a_repetition_vaults_anew_is_detached,
    who_posts_to_one_used_session_starves_no_shopper,
}

const MASTERCARD: &str = "5555555555554444";
const KEY: [(&str, &str); 1] = [("idempotency-key", "pay-1")];
const ENFORCE: (&str, &str) = ("CLOAKROOM__WATCH__MODE", "enforce");

impl App {
    /// A guest's session that has its token, made of [`VISA`] under [`KEY`]; its secret and the
    /// answer.
    async fn used_session(&self, order: &Value) -> (String, Answer) {
        let session = self.order_session(order).await;
        assert_eq!(session.status, 201, "{}", session.json());
        let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
        let made = self.post_card(&secret, &card(VISA), &KEY).await;
        assert_eq!(made.status, 201, "{}", made.json());
        (secret, made)
    }

    async fn events_of(&self, action: &str, outcome: &str) -> i64 {
        let query = format!(
            "SELECT count(*) FROM audit_events WHERE action = '{action}' AND outcome = '{outcome}'"
        );
        self.count(&query).await
    }

    /// Cards at the processor: how many were made, and how many are attached to somebody.
    async fn cards_at_the_processor(&self) -> (usize, usize) {
        let ledger = self.ledger().await;
        let cards = ledger["payment_methods"].as_array().unwrap();
        let attached = cards.iter().filter(|card| !card["customer"].is_null());
        (cards.len(), attached.count())
    }
}

fn is_exhausted(answer: &Answer) -> bool {
    let detail = "The capture session has no attempt left; make a new one.";
    answer.problem(429, "rate_limited")["detail"] == detail
}

async fn a_used_session_answers_eight_guesses_of_four_hundred_and_each_is_an_event(engine: Engine) {
    let app = App::on(engine);
    let (secret, _) = app.used_session(&json!({})).await;
    for _ in 0..8 {
        app.post_card(&secret, &card(MASTERCARD), &KEY)
            .await
            .problem(422, "idempotency_mismatch");
    }
    // Neither wrong cards nor the right one are answered from here on.
    let posts = stream::iter(0..393).map(|number| {
        let (app, secret) = (&app, &secret);
        async move {
            let number = if number % 10 == 0 { VISA } else { MASTERCARD };
            app.post_card(secret, &card(number), &KEY).await
        }
    });
    let answers: Vec<Answer> = posts.buffer_unordered(20).collect().await;
    assert_eq!(answers.iter().filter(|one| is_exhausted(one)).count(), 393);

    // 402 posts: the one that made the token, 401 after it.
    for (action, outcome, count) in [
        ("card.attempted", "success", 9),
        ("card.attempted", "refused", 393),
        ("card.mismatched", "failed", 8),
        ("token.repeated", "success", 0),
    ] {
        let written = app.events_of(action, outcome).await;
        assert_eq!(written, count, "{action} {outcome}");
    }
    assert_eq!(app.cards_at_the_processor().await, (1, 1));
}

async fn an_answer_that_is_lost_64_times_is_given_64_times(engine: Engine) {
    let app = App::on(engine);
    let (secret, made) = app.used_session(&json!({ "customer_ref": "anna" })).await;
    for _ in 0..64 {
        let again = app.post_card(&secret, &card(VISA), &KEY).await;
        assert_eq!((again.status, again.json()), (201, made.json()));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let again = app.post_card(&secret, &card(VISA), &KEY).await;
    assert!(is_exhausted(&again));
    assert_eq!(app.events_of("token.repeated", "success").await, 64);
    // Another key, or none, is told that the session is over, and the processor is not asked.
    for headers in [&[("idempotency-key", "pay-2")][..], &[]] {
        app.post_card(&secret, &card(VISA), headers)
            .await
            .problem(401, "unauthenticated");
    }
    assert_eq!(app.cards_at_the_processor().await, (1, 1));
}

async fn other_cards_under_a_used_sessions_key_are_counted_as_declines(engine: Engine) {
    let rules = (
        "CLOAKROOM__WATCH__RULES",
        "{address_failures={hits_max=3,per_cent_max=50}}",
    );
    let app = App::on_with(engine, &[], &[ENFORCE, rules]);
    let (secret, _) = app.used_session(&json!({})).await;
    for _ in 0..4 {
        app.post_card(&secret, &card(MASTERCARD), &KEY)
            .await
            .problem(422, "idempotency_mismatch");
    }
    // Four of five failed: the address is out, also with a session of another's.
    let refused = app.post_card(&secret, &card(VISA), &KEY).await;
    refused.problem(429, "rate_limited");
    assert!(!is_exhausted(&refused));
    let session = app.order_session(&json!({})).await.json();
    let other = session["client_secret"].as_str().unwrap();
    app.post_card(other, &card(VISA), &[])
        .await
        .problem(429, "rate_limited");
}

async fn a_repetition_after_23_hours_is_answered_as_after_the_sessions_end(engine: Engine) {
    let app = App::on(engine);
    let (secret, made) = app.used_session(&json!({ "expires_in_s": 86_400 })).await;
    let later = async |hours: u64| {
        let by_ms = hours * 60 * 60 * 1_000;
        app.change_rows(&format!(
            "UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - {by_ms} WHERE token_id IS NOT NULL"
        ))
        .await;
    };
    later(22).await;
    let again = app.post_card(&secret, &card(VISA), &KEY).await;
    assert_eq!((again.status, again.json()), (201, made.json()));
    later(1).await;
    for number in [VISA, MASTERCARD] {
        let over = app.post_card(&secret, &card(number), &KEY).await;
        let problem = over.problem(401, "unauthenticated");
        assert_eq!(problem["detail"], "The capture session has expired.");
    }
    assert_eq!(app.cards_at_the_processor().await, (1, 1));
}

async fn a_card_that_a_repetition_vaults_anew_is_detached(engine: Engine) {
    let app = App::on(engine);
    let (guest, _) = app.used_session(&json!({})).await;
    let (customer, made) = app.used_session(&json!({ "customer_ref": "anna" })).await;
    let forgetful = json!({ "idempotency_key_lifetime_ms": 1 });
    app.sandbox(Method::POST, "settings", &forgetful).await;
    tokio::time::sleep(Duration::from_millis(5)).await;

    // Of a guest's card nothing tells that it is the same.
    for number in [VISA, MASTERCARD] {
        app.post_card(&guest, &card(number), &KEY)
            .await
            .problem(422, "idempotency_mismatch");
    }
    // A customer's is known by the processor's fingerprint, as in any session.
    let again = app.post_card(&customer, &card(VISA), &KEY).await;
    assert_eq!(
        (again.status, &again.json()["id"]),
        (201, &made.json()["id"])
    );
    app.post_card(&customer, &card(MASTERCARD), &KEY)
        .await
        .problem(422, "idempotency_mismatch");

    eventually("what was vaulted anew is detached", async || {
        app.cards_at_the_processor().await == (6, 2)
    })
    .await;
    let token = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(app.charge(&token, "charge-1").await.status, 201);
}

async fn who_posts_to_one_used_session_starves_no_shopper(engine: Engine) {
    let of_stripe = |key: &str| format!("CLOAKROOM__ACCOUNTS__DEFAULT__PROCESSOR__STRIPE__{key}");
    let (rate, wait) = (
        of_stripe("CAPTURE_REQUESTS_PER_S_MAX"),
        of_stripe("WAIT_MS_MAX"),
    );
    let slow = [(rate.as_str(), "4"), (wait.as_str(), "2500")];
    let app = App::on_with(engine, &[], &slow);
    let (used, _) = app.used_session(&json!({})).await;
    let guess = card(MASTERCARD);
    let attack = stream::repeat(())
        .map(|()| app.post_card(&used, &guess, &KEY))
        .buffer_unordered(40)
        .fold(0_u32, async |posts, _| posts + 1);
    let shoppers = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut answers = Vec::new();
        for _ in 0..6 {
            let session = app.order_session(&json!({})).await.json();
            let secret = session["client_secret"].as_str().unwrap().to_owned();
            answers.push(app.post_card(&secret, &card(VISA), &[]).await.status);
        }
        answers
    };
    let answers = match select(Box::pin(attack), Box::pin(shoppers)).await {
        Either::Left((posts, _)) => panic!("the attack ended after {posts} posts"),
        Either::Right((answers, _)) => answers,
    };
    assert_eq!(answers, [201; 6]);
}
