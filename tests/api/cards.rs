//! Stripe's published test cards, each with the outcome that its page promises.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, CVC, VISA, Who, card, request};

on_both_engines! {
    every_published_card_that_succeeds_is_tokenized_and_charged,
    every_published_decline_card_answers_402_with_its_code_when_charged,
    a_card_declined_at_set_up_makes_no_token,
    a_card_that_wants_authentication_answers_requires_action,
    an_authenticated_shopper_leaves_a_token_that_charges,
    what_cannot_be_a_card_is_refused_by_field_and_reason,
}

/// Cards that are declined when charged: number and decline code
/// (<https://docs.stripe.com/testing#declined-payments>).
const DECLINED: [(&str, &str); 9] = [
    ("4000000000000002", "generic_decline"),
    ("4000000000009995", "insufficient_funds"),
    ("4000000000009987", "lost_card"),
    ("4000000000009979", "stolen_card"),
    ("4000000000000069", "expired_card"),
    ("4000000000000127", "incorrect_cvc"),
    ("4000000000000119", "processing_error"),
    ("4000000000006975", "card_velocity_exceeded"),
    ("4000000000000341", "generic_decline"),
];

/// Cards that succeed: number and brand (<https://docs.stripe.com/testing#cards>).
const SUCCEED: [(&str, &str); 12] = [
    ("4242424242424242", "visa"),
    ("4000056655665556", "visa"),
    ("5555555555554444", "mastercard"),
    ("2223003122003222", "mastercard"),
    ("5200828282828210", "mastercard"),
    ("5105105105105100", "mastercard"),
    ("378282246310005", "amex"),
    ("371449635398431", "amex"),
    ("6011111111111117", "discover"),
    ("3056930009020004", "diners"),
    ("3566002020360505", "jcb"),
    ("6200000000000005", "unionpay"),
];

async fn every_published_card_that_succeeds_is_tokenized_and_charged(engine: Engine) {
    let app = App::on(engine);
    for (number, brand) in SUCCEED {
        let secret = app.session().await;
        let made = app.post_card(&secret, &card(number), &[]).await;
        assert_eq!(made.status, 201, "{brand} {}", made.json());
        let token = made.json();
        assert_eq!(token["card"]["brand"], brand);
        assert_eq!(token["card"]["last4"], number[number.len() - 4..]);
        let charge = app
            .charge(
                token["id"].as_str().unwrap(),
                &format!("k-{}", &number[12..]),
            )
            .await;
        assert_eq!(
            (charge.status, &charge.json()["status"]),
            (201, &json!("succeeded")),
            "{brand}"
        );
    }
}

async fn every_published_decline_card_answers_402_with_its_code_when_charged(engine: Engine) {
    let app = App::on(engine);
    for (number, code) in DECLINED {
        let token = app.token(number).await;
        let problem = app
            .charge(&token, &format!("k-{}", &number[12..]))
            .await
            .problem(402, "card_declined");
        assert_eq!(problem["decline"]["code"], code);
        assert!(problem["decline"]["retryable"].is_boolean());
        let id = problem["charge"].as_str().unwrap();
        let url = format!("{}/v1/charges/{id}", app.at.internal);
        let charge = app.get(Who::Billing, &url).await.json();
        assert_eq!(
            (&charge["status"], &charge["decline"]["code"]),
            (&json!("declined"), &json!(code))
        );
    }
    let ledger = app.ledger().await;
    let succeeded = |payment: &&Value| payment["status"] == "succeeded";
    assert_eq!(
        ledger["payment_intents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(succeeded)
            .count(),
        0
    );
}

async fn a_card_declined_at_set_up_makes_no_token(engine: Engine) {
    let app = App::on(engine);
    app.sandbox(
        Method::POST,
        "settings",
        &json!({"decline_at_attach": true}),
    )
    .await;
    for (number, code) in DECLINED {
        // This one is declined only when it is charged.
        if number == "4000000000000341" {
            continue;
        }
        let secret = app.session().await;
        let problem = app
            .post_card(&secret, &card(number), &[])
            .await
            .problem(402, "card_declined");
        assert_eq!(problem["decline"]["code"], code);
        // The session is still good for another card.
        assert_eq!(app.post_card(&secret, &card(VISA), &[]).await.status, 201);
    }
}

async fn a_card_that_wants_authentication_answers_requires_action(engine: Engine) {
    let app = App::on(engine);
    for number in ["4000002760003184", "4000002500003155"] {
        let secret = app.session().await;
        let made = app.post_card(&secret, &card(number), &[]).await;
        assert_eq!(made.status, 202, "{}", made.json());
        let token = made.json();
        assert_eq!(token["status"], "requires_action");
        assert!(
            token["next_action"]["redirect_url"]
                .as_str()
                .unwrap()
                .starts_with("https://")
        );
        for off_session in [true, false] {
            let order = json!({"token": token["id"], "amount": 100, "currency": "eur", "off_session": off_session});
            let charge = app
                .order_charge(&order, &format!("k-{}-{off_session}", &number[12..]))
                .await;
            assert_eq!(charge.status, 201, "{}", charge.json());
            let charge = charge.json();
            assert_eq!(charge["status"], "requires_action");
            assert!(
                charge["next_action"]["redirect_url"]
                    .as_str()
                    .unwrap()
                    .starts_with("https://")
            );
        }
    }
}

async fn an_authenticated_shopper_leaves_a_token_that_charges(engine: Engine) {
    let app = App::on(engine);
    let secret = app.session().await;
    let token = app
        .post_card(&secret, &card("4000002500003155"), &[])
        .await
        .json();
    let page = token["next_action"]["redirect_url"].as_str().unwrap();
    let issuer = app.get(Who::Nobody, page).await;
    assert_eq!(issuer.status, 200);
    // The issuer's page is a form; pressing "Complete" posts it.
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let complete = request(Method::POST, page, &headers, "outcome=complete".to_owned());
    let done = app.send(Who::Nobody, complete).await;
    assert!(matches!(done.status, 302 | 303), "{}", done.status);
    let back = done.header("location").unwrap();
    assert!(
        back.starts_with(&format!("{}/return", app.at.capture)),
        "{back}"
    );
    assert_eq!(app.get(Who::Nobody, back).await.status, 200);

    let charge = app
        .charge(token["id"].as_str().unwrap(), "after")
        .await
        .json();
    assert_eq!(charge["status"], "succeeded", "{charge}");
    let url = format!(
        "{}/v1/tokens/{}",
        app.at.internal,
        token["id"].as_str().unwrap()
    );
    assert_eq!(app.get(Who::Billing, &url).await.json()["status"], "active");
}

async fn what_cannot_be_a_card_is_refused_by_field_and_reason(engine: Engine) {
    let app = App::on(engine);
    let table = [
        (
            json!({"number": "4242424242424241", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": "42424242424", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": "42424242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": "4242x4242y4242z4242", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": "", "exp_month": 12, "exp_year": 2034, "cvc": CVC}),
            "/card/number",
        ),
        (
            json!({"number": VISA, "exp_month": 0, "exp_year": 2034, "cvc": CVC}),
            "/card/exp_month",
        ),
        (
            json!({"number": VISA, "exp_month": 13, "exp_year": 2034, "cvc": CVC}),
            "/card/exp_month",
        ),
        (
            json!({"number": VISA, "exp_month": 12, "exp_year": 34, "cvc": CVC}),
            "/card/exp_year",
        ),
        (
            json!({"number": VISA, "exp_month": 12, "exp_year": 4_000_000_000_u32, "cvc": CVC}),
            "/card/exp_year",
        ),
        (
            json!({"number": VISA, "exp_month": 12, "exp_year": 2034, "cvc": "12"}),
            "/card/cvc",
        ),
        (
            json!({"number": VISA, "exp_month": 12, "exp_year": 2034, "cvc": "1234"}),
            "/card/cvc",
        ),
        (
            json!({"number": VISA, "exp_month": 12, "exp_year": 2034, "cvc": "12a"}),
            "/card/cvc",
        ),
        (
            json!({"number": "378282246310005", "exp_month": 12, "exp_year": 2034, "cvc": "123"}),
            "/card/cvc",
        ),
    ];
    for (card, pointer) in table {
        let secret = app.session().await;
        let answer = app.post_card(&secret, &json!({ "card": card }), &[]).await;
        let problem = answer.problem(422, "invalid_card");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    }
    // An expired card: the month before this one can never come back.
    let secret = app.session().await;
    let expired = json!({"card": {"number": VISA, "exp_month": 1, "exp_year": 2024, "cvc": CVC}});
    let problem = app
        .post_card(&secret, &expired, &[])
        .await
        .problem(422, "invalid_card");
    assert_eq!(problem["errors"][0]["reason"], "expired");
    assert_eq!(app.ledger().await["payment_methods"], json!([]));
}
