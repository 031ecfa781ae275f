//! Cards: which call carries the number, and what is believed of the answers.

use zeroize::Zeroizing;

use super::*;
use crate::processor::{Advice, CardFault, Failure, SetupState};
use crate::token::CardSummary;

async fn vault(peer: &Peer) -> Result<crate::processor::VaultedCard, Failure> {
    let billing = BillingDetails::default();
    processor(peer)
        .vault_card(card(), &card_order(&billing))
        .await
}

#[tokio::test]
async fn a_card_becomes_a_reference_in_two_calls_of_which_one_carries_it() {
    let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(SETUP)]).await;
    let vaulted = vault(&peer).await.unwrap();

    assert_eq!(vaulted.reference.customer(), "cus_1");
    assert_eq!(vaulted.reference.payment_method(), "pm_1");
    assert_eq!(vaulted.reference.setup(), Some("seti_1"));
    assert!(vaulted.next_action.is_none() && !vaulted.replayed);
    let summary = CardSummary {
        brand: "visa".to_owned(),
        last4: "4242".to_owned(),
        exp_month: 12,
        exp_year: 2030,
        funding: "credit".to_owned(),
        country: Some("US".to_owned()),
    };
    assert_eq!(vaulted.summary, summary);

    let received = peer.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].line(), "POST /v1/payment_methods");
    assert_eq!(
        received[0].body,
        "type=card&card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2030&card[cvc]=987"
    );
    assert_eq!(received[1].line(), "POST /v1/setup_intents");
    assert_form(
        &received[1],
        &[
            ("allowed_payment_method_types[0]", "card"),
            ("confirm", "true"),
            ("customer", "cus_1"),
            ("payment_method", "pm_1"),
            ("return_url", RETURN_URL),
            ("usage", "off_session"),
        ],
    );
    assert_eq!(received[0].header("idempotency-key"), Some("key-pm"));
    assert_eq!(received[1].header("idempotency-key"), Some("key-si"));
    for request in &received {
        let version = request.header("stripe-version");
        assert_eq!(version, Some("2026-09-30.endive"));
    }
    for (_, value) in &received[0].headers {
        assert!(!value.contains(NUMBER) && !value.contains("987"), "{value}");
    }
}

#[tokio::test]
async fn the_calls_can_be_moved_to_a_task_of_their_own() {
    fn assert_send(_: &impl Send) {}
    let peer = Peer::start(Vec::new()).await;
    let (processor, billing) = (processor(&peer), BillingDetails::default());
    let (metadata, reference) = (BTreeMap::new(), reference());
    assert_send(&processor.vault_card(card(), &card_order(&billing)));
    assert_send(&processor.charge(&reference, &charge_order(&metadata)));
    assert_send(&processor.detach(&reference, CLIENT));
}

#[tokio::test]
async fn the_holders_details_go_with_the_card() {
    let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
    let mut billing = BillingDetails {
        name: text("Zoë & Søn=100%"),
        email: text("z+s@shop.example"),
        phone: text("+49 30 1"),
        ..BillingDetails::default()
    };
    billing.address.line1 = text("Straße 1");
    billing.address.line2 = text("2");
    billing.address.city = text("Köln");
    billing.address.state = text("NW");
    billing.address.postal_code = text("50667");
    billing.address.country = text("DE");
    let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(SETUP)]).await;
    let order = CardOrder {
        usage: Usage::OnSession,
        ..card_order(&billing)
    };
    processor(&peer).vault_card(card(), &order).await.unwrap();

    let received = peer.received();
    assert_form(
        &received[0],
        &[
            ("type", "card"),
            ("card[number]", NUMBER),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2030"),
            ("card[cvc]", "987"),
            ("billing_details[name]", "Zoë & Søn=100%"),
            ("billing_details[email]", "z+s@shop.example"),
            ("billing_details[phone]", "+49 30 1"),
            ("billing_details[address][line1]", "Straße 1"),
            ("billing_details[address][line2]", "2"),
            ("billing_details[address][city]", "Köln"),
            ("billing_details[address][state]", "NW"),
            ("billing_details[address][postal_code]", "50667"),
            ("billing_details[address][country]", "DE"),
        ],
    );
    let usage = ("usage".to_owned(), "on_session".to_owned());
    assert!(received[1].pairs().contains(&usage));
    assert_eq!(format!("{billing:?} {order:?}").matches("Zo").count(), 0);
}

#[tokio::test]
async fn details_beyond_every_bound_are_not_sent() {
    let peer = Peer::start(Vec::new()).await;
    let billing = BillingDetails {
        name: Some(Zeroizing::new("&".repeat(16_384))),
        ..BillingDetails::default()
    };
    let order = card_order(&billing);
    let refused = processor(&peer).vault_card(card(), &order).await;
    assert_eq!(refused.unwrap_err(), Failure::Rejected);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_card_posted_again_under_its_key_is_known() {
    let replayed = Reply::with(200, &[("idempotent-replayed", "true")], PAYMENT_METHOD);
    let peer = Peer::start(vec![replayed, ok(SETUP)]).await;
    assert!(vault(&peer).await.unwrap().replayed);

    let other_card = r#"{"error":{"type":"idempotency_error","message":"Keys for idempotent requests can only be used with the same parameters they were first used with."}}"#;
    let peer = Peer::start(vec![Reply::json(400, other_card)]).await;
    let refused = vault(&peer).await.unwrap_err();
    assert_eq!(refused, Failure::IdempotencyMismatch);
}

#[tokio::test]
async fn an_issuer_that_wants_to_see_the_shopper_says_where() {
    let action = r#"{"id":"seti_1","status":"requires_action","next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://issuer.example/3ds","return_url":"https://shop.example"}}}"#;
    let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(action)]).await;
    let vaulted = vault(&peer).await.unwrap();
    assert!(!format!("{vaulted:?}").contains("issuer.example"));
    let url = vaulted.next_action.unwrap().redirect_url;
    assert_eq!(url, "https://issuer.example/3ds");

    for next_action in [
        "null",
        r#"{"type":"use_stripe_sdk"}"#,
        r#"{"redirect_to_url":{"url":null}}"#,
        r#"{"redirect_to_url":{"url":"http://issuer.example"}}"#,
        r#"{"redirect_to_url":{"url":"javascript:alert(1)"}}"#,
    ] {
        let action =
            format!(r#"{{"id":"seti_1","status":"requires_action","next_action":{next_action}}}"#);
        let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(&action)]).await;
        let Failure::Declined(decline) = vault(&peer).await.unwrap_err() else {
            panic!("{next_action}: nobody can authenticate");
        };
        assert_eq!(decline.code.as_str(), "authentication_required");
        assert!(!decline.retryable);
    }
}

#[tokio::test]
async fn a_card_that_the_issuer_refuses_is_declined_in_either_form() {
    let without_payment = DECLINED.replace("payment_intent", "setup_intent");
    let at_200 = r#"{"id":"seti_1","status":"requires_payment_method","last_setup_error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds","advice_code":"try_again_later","message":"Free text."}}"#;
    for answer in [Reply::json(402, &without_payment), ok(at_200)] {
        let peer = Peer::start(vec![ok(PAYMENT_METHOD), answer]).await;
        let Failure::Declined(decline) = vault(&peer).await.unwrap_err() else {
            panic!("not a decline");
        };
        assert_eq!(decline.code.as_str(), "insufficient_funds");
        assert_eq!(decline.advice, Some(Advice::TryAgainLater));
        assert!(decline.retryable);
    }
}

#[tokio::test]
async fn a_number_that_is_no_cards_is_the_shoppers_fault_and_goes_no_further() {
    let body = r#"{"error":{"type":"card_error","code":"incorrect_number","message":"Your card number is incorrect.","param":"number"}}"#;
    let peer = Peer::start(vec![Reply::json(402, body)]).await;
    let failure = vault(&peer).await.unwrap_err();
    assert_eq!(failure, Failure::CardInvalid(CardFault::IncorrectNumber));
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_leaves_the_outcome_unknown() {
    let full_number =
        PAYMENT_METHOD.replace(r#""last4":"4242""#, &format!(r#""last4":"{NUMBER}""#));
    let not_digits = PAYMENT_METHOD.replace(r#""last4":"4242""#, r#""last4":"42x2""#);
    let path = PAYMENT_METHOD.replace("pm_1", "pm_1/../customers");
    let other_kind = PAYMENT_METHOD.replace("pm_1", "cus_1");
    let month = PAYMENT_METHOD.replace(r#""exp_month":12"#, r#""exp_month":13"#);
    let brand = PAYMENT_METHOD.replace("visa", "<b>visa</b>");
    for body in [
        "",
        "{}",
        "<html>",
        r#"{"id":"pm_1"}"#,
        r#"{"id":"pm_1","card":null}"#,
        &full_number,
        &not_digits,
        &path,
        &other_kind,
        &month,
        &brand,
    ] {
        let peer = Peer::start(vec![ok(body)]).await;
        assert_eq!(
            vault(&peer).await.unwrap_err(),
            Failure::OutcomeUnknown,
            "{body}"
        );
    }
    for body in [
        "{}",
        r#"{"id":"pi_1","status":"succeeded"}"#,
        r#"{"id":"seti_1","status":"brand_new"}"#,
    ] {
        let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(body)]).await;
        assert_eq!(
            vault(&peer).await.unwrap_err(),
            Failure::OutcomeUnknown,
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_is_odd_about_a_card_but_harmless_is_left_out() {
    let odd = PAYMENT_METHOD
        .replace(r#""country":"US""#, r#""country":"Somewhere""#)
        .replace(r#""funding":"credit""#, r#""funding":"lottery""#);
    let peer = Peer::start(vec![ok(&odd), ok(SETUP)]).await;
    let summary = vault(&peer).await.unwrap().summary;
    assert_eq!(
        (summary.funding.as_str(), summary.country),
        ("unknown", None)
    );
}

#[tokio::test]
async fn a_customer_is_made_without_personal_data() {
    let peer = Peer::start(vec![ok(
        r#"{"id":"cus_9","object":"customer","email":null}"#,
    )])
    .await;
    let customer = processor(&peer).create_customer("key-1", CLIENT).await;
    assert_eq!(customer.unwrap(), "cus_9");
    let received = peer.received().remove(0);
    assert_eq!(received.line(), "POST /v1/customers");
    assert_eq!(received.header("idempotency-key"), Some("key-1"));
    assert_form(&received, &[("metadata[created_by]", "cloakroom")]);
}

#[tokio::test]
async fn where_a_setup_stands_is_asked_for() {
    for (status, state) in [
        ("succeeded", Ok(SetupState::Succeeded)),
        ("requires_action", Ok(SetupState::Pending)),
        ("processing", Ok(SetupState::Pending)),
        ("requires_payment_method", Ok(SetupState::Failed)),
        ("canceled", Ok(SetupState::Failed)),
        ("brand_new", Err(Failure::OutcomeUnknown)),
    ] {
        let answer = format!(r#"{{"id":"seti_1","status":"{status}"}}"#);
        let peer = Peer::start(vec![ok(&answer)]).await;
        assert_eq!(
            processor(&peer).setup_state(&reference(), CLIENT).await,
            state
        );
        let received = peer.received().remove(0);
        assert_eq!(received.line(), "GET /v1/setup_intents/seti_1");
        assert_eq!(received.header("idempotency-key"), None);
    }
    let peer = Peer::start(Vec::new()).await;
    let reference = Reference::new("cus_1", "pm_1", None).unwrap();
    let state = processor(&peer).setup_state(&reference, CLIENT).await;
    assert_eq!(state, Ok(SetupState::Succeeded));
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn a_reference_is_forgotten_however_often() {
    let missing = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such PaymentMethod"}}"#;
    let not_attached = r#"{"error":{"type":"invalid_request_error","message":"The payment method you provided is not attached to a customer so detachment is impossible."}}"#;
    let attached = PAYMENT_METHOD.replace(r#""customer":null"#, r#""customer":"cus_1""#);
    for (script, expected) in [
        (vec![ok(PAYMENT_METHOD)], Ok(())),
        (vec![Reply::json(404, missing)], Ok(())),
        (
            vec![Reply::json(400, not_attached), ok(PAYMENT_METHOD)],
            Ok(()),
        ),
        (
            vec![Reply::json(400, not_attached), Reply::json(404, missing)],
            Ok(()),
        ),
        (
            vec![Reply::json(400, not_attached), ok(&attached)],
            Err(Failure::Rejected),
        ),
        (
            vec![Reply::json(400, not_attached), Reply::Cut],
            Err(Failure::OutcomeUnknown),
        ),
        (vec![Reply::json(401, "{}")], Err(Failure::NotAuthorized)),
    ] {
        let peer = Peer::start(script).await;
        assert_eq!(
            processor(&peer).detach(&reference(), CLIENT).await,
            expected
        );
        let received = peer.received();
        assert_eq!(received[0].line(), "POST /v1/payment_methods/pm_1/detach");
        assert_eq!(received[0].header("idempotency-key"), None);
        if let Some(look) = received.get(1) {
            assert_eq!(look.line(), "GET /v1/payment_methods/pm_1");
        }
    }
}

#[tokio::test]
async fn a_check_proves_the_key_without_touching_anything() {
    let missing = r#"{"error":{"type":"invalid_request_error","code":"resource_missing"}}"#;
    for (reply, expected) in [
        (Reply::json(404, missing), Ok(())),
        (Reply::json(401, "{}"), Err(Failure::NotAuthorized)),
        (Reply::json(403, "{}"), Err(Failure::NotAuthorized)),
        // Some other server, which has no such page either.
        (
            Reply::json(404, "<html>Not Found</html>"),
            Err(Failure::OutcomeUnknown),
        ),
    ] {
        let peer = Peer::start(vec![reply]).await;
        assert_eq!(processor(&peer).check().await, expected);
        assert_eq!(peer.received()[0].method, "GET");
    }
}

#[tokio::test]
async fn an_old_refusal_of_the_request_is_not_the_answer_for_a_day() {
    let refused = r#"{"error":{"type":"invalid_request_error","message":"Free text."}}"#;
    let raw_cards = r#"{"error":{"type":"invalid_request_error","message":"Sending credit card numbers directly to the Stripe API is generally unsafe."}}"#;
    let old = |status, body: &str| Reply::with(status, &[("idempotent-replayed", "true")], body);
    // Both calls had been refused before, under their first keys.
    let peer = Peer::start(vec![
        old(400, refused),
        old(402, raw_cards),
        ok(PAYMENT_METHOD),
        old(400, refused),
        ok(SETUP),
    ])
    .await;
    assert!(vault(&peer).await.is_ok());
    let received = peer.received();
    let keys: Vec<_> = received
        .iter()
        .map(|one| one.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(
        keys,
        ["key-pm", "key-pm-2", "key-pm-3", "key-si", "key-si-2"]
    );
    assert_eq!(received[0].body, received[2].body);

    // What is refused anew, and what is said of the card, is the answer.
    for answer in [Reply::json(400, refused), old(402, DECLINED)] {
        let peer = Peer::start(vec![answer]).await;
        assert!(vault(&peer).await.is_err());
        assert_eq!(peer.received().len(), 1);
    }
}
