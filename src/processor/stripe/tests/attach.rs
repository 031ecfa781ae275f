//! What a browser vaulted at Stripe itself, a card's new expiry, and whether raw cards are taken.

use super::*;
use crate::processor::{AttachOrder, CardState, Failure, VaultedCard};

const OLD_CARD: &str = r#"{"id":"card_1","object":"payment_method","type":"card","customer":"cus_1","card":{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2030}}"#;

fn attach_order(payment_method: &str) -> AttachOrder<'_> {
    AttachOrder {
        payment_method,
        customer: "cus_1",
        usage: Usage::OffSession,
        return_url: RETURN_URL,
        idempotency_key: "key",
        client: CLIENT,
        session: None,
    }
}

async fn attach(script: Vec<Reply>) -> (Result<VaultedCard, Failure>, Vec<Received>) {
    let peer = Peer::start(script).await;
    let result = processor(&peer).attach(&attach_order("pm_1")).await;
    (result, peer.received())
}

#[tokio::test]
async fn what_a_browser_vaulted_is_looked_at_and_attached_with_the_issuers_consent() {
    let (vaulted, received) = attach(vec![ok(PAYMENT_METHOD), ok(SETUP)]).await;
    let vaulted = vaulted.unwrap();
    assert_eq!(vaulted.reference.customer(), "cus_1");
    assert_eq!(vaulted.reference.payment_method(), "pm_1");
    assert_eq!(vaulted.reference.setup(), Some("seti_1"));
    assert_eq!(vaulted.summary.last4, "4242");
    assert_eq!(vaulted.fingerprint.as_deref(), Some("f"));
    assert!(vaulted.next_action.is_none() && !vaulted.replayed);

    assert_eq!(received.len(), 2);
    assert_eq!(received[0].line(), "GET /v1/payment_methods/pm_1");
    assert_eq!(received[0].header("idempotency-key"), None);
    assert_eq!(received[1].line(), "POST /v1/setup_intents");
    assert_eq!(received[1].header("idempotency-key"), Some("key-si"));
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
}

#[tokio::test]
async fn a_test_cards_other_name_leads_to_its_id() {
    let peer = Peer::start(vec![ok(PAYMENT_METHOD), ok(SETUP)]).await;
    let order = AttachOrder {
        usage: Usage::OnSession,
        ..attach_order("pm_card_visa")
    };
    let vaulted = processor(&peer).attach(&order).await.unwrap();
    assert_eq!(vaulted.reference.payment_method(), "pm_1");
    let received = peer.received();
    assert_eq!(received[0].line(), "GET /v1/payment_methods/pm_card_visa");
    let pairs = received[1].pairs();
    assert!(pairs.contains(&pair("payment_method", "pm_1")));
    assert!(pairs.contains(&pair("usage", "on_session")));
}

#[tokio::test]
async fn only_cards_are_attached() {
    let other = |kind: &str| PAYMENT_METHOD.replace(r#""type":"card""#, kind);
    for body in [
        other(r#""type":"sepa_debit""#),
        other(r#""type":"card_present""#),
        other(r#""type":null"#),
        other(r#""kind":"card""#),
        r#"{"id":"pm_1","type":"card","card":null}"#.to_owned(),
        r#"{"id":"pm_1","type":"link","link":{}}"#.to_owned(),
    ] {
        let (result, received) = attach(vec![ok(&body), ok(SETUP)]).await;
        assert_eq!(result.unwrap_err(), Failure::Rejected, "{body}");
        assert_eq!(received.len(), 1, "{body}");
    }
    // A card of Stripe's older kind, or one that is none, is not believed either.
    let path = PAYMENT_METHOD.replace("pm_1", "pm_1/..");
    let number = PAYMENT_METHOD.replace(r#""last4":"4242""#, &format!(r#""last4":"{NUMBER}""#));
    for body in [OLD_CARD, &path, &number, "{}", "[]", ""] {
        let (result, received) = attach(vec![ok(body), ok(SETUP)]).await;
        assert_eq!(result.unwrap_err(), Failure::OutcomeUnknown, "{body}");
        assert_eq!(received.len(), 1, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_somebody_elses_is_not_attached() {
    let (result, _) = attach(vec![refused("resource_missing")]).await;
    assert_eq!(result.unwrap_err(), Failure::Missing);
    let elses = r#"{"error":{"type":"invalid_request_error","message":"The payment method supplied (pm_1) belongs to the Customer cus_2."}}"#;
    let (result, _) = attach(vec![ok(PAYMENT_METHOD), Reply::json(400, elses)]).await;
    assert_eq!(result.unwrap_err(), Failure::Rejected);
    let (result, _) = attach(vec![ok(PAYMENT_METHOD), Reply::json(402, DECLINED)]).await;
    assert!(matches!(result, Err(Failure::Declined(_))));
    let (result, received) = attach(vec![ok(PAYMENT_METHOD), kept(500, ""), ok(SETUP)]).await;
    assert_eq!(result.unwrap_err(), Failure::FaultKept);
    assert_eq!(received.len(), 2);

    let peer = Peer::start(Vec::new()).await;
    for id in NO_IDS {
        let refused = processor(&peer).attach(&attach_order(id)).await;
        assert_eq!(refused.unwrap_err(), Failure::Rejected, "{id:?}");
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn an_issuer_that_wants_to_see_the_shopper_says_where() {
    let action = r#"{"id":"seti_1","status":"requires_action","next_action":{"redirect_to_url":{"url":"https://issuer.example/3ds"}}}"#;
    let (vaulted, _) = attach(vec![ok(PAYMENT_METHOD), ok(action)]).await;
    let url = vaulted.unwrap().next_action.unwrap().redirect_url;
    assert_eq!(url, "https://issuer.example/3ds");
}

#[tokio::test]
async fn a_fingerprint_is_taken_only_where_it_looks_like_one() {
    let longest = "f".repeat(64);
    let too_long = "f".repeat(65);
    for (given, expected) in [
        (r#""Xt5EWLLDS7FJjR1c""#, Some("Xt5EWLLDS7FJjR1c")),
        (&format!(r#""{longest}""#), Some(longest.as_str())),
        (&format!(r#""{too_long}""#), None),
        (r#""4242 4242""#, None),
        (r#""""#, None),
        ("null", None),
    ] {
        let with = format!(r#""fingerprint":{given}"#);
        let body = PAYMENT_METHOD.replace(r#""fingerprint":"f""#, &with);
        let (vaulted, _) = attach(vec![ok(&body), ok(SETUP)]).await;
        let fingerprint = vaulted.unwrap().fingerprint;
        assert_eq!(fingerprint.as_deref(), expected, "{given}");

        // The same from a card that was posted here.
        let peer = Peer::start(vec![ok(&body), ok(SETUP)]).await;
        let billing = BillingDetails::default();
        let order = card_order(&billing);
        let vaulted = processor(&peer).vault_card(card(), &order).await.unwrap();
        assert_eq!(vaulted.fingerprint.as_deref(), expected, "{given}");
    }
}

#[tokio::test]
async fn a_card_that_the_processor_has_let_go_of_is_known_by_its_customer() {
    let attached = PAYMENT_METHOD.replace(r#""customer":null"#, r#""customer":"cus_1""#);
    for (reply, state) in [
        (ok(&attached), Ok(CardState::Attached)),
        (ok(PAYMENT_METHOD), Ok(CardState::Detached)),
        (refused("resource_missing"), Ok(CardState::Detached)),
        (ok("{}"), Err(Failure::OutcomeUnknown)),
        (Reply::Cut, Err(Failure::OutcomeUnknown)),
    ] {
        let peer = Peer::start(vec![reply]).await;
        let found = processor(&peer).card_state(&reference(), CLIENT).await;
        assert_eq!(found, state);
        let received = peer.received().remove(0);
        assert_eq!(received.line(), "GET /v1/payment_methods/pm_1");
        assert_eq!(received.header("idempotency-key"), None);
    }
}

#[tokio::test]
async fn whether_raw_cards_are_taken_is_tried_with_the_published_test_card() {
    let peer = Peer::start(vec![ok(PAYMENT_METHOD)]).await;
    assert_eq!(processor(&peer).accepts_raw_cards().await, Ok(()));
    let received = peer.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line(), "POST /v1/payment_methods");
    // A kept answer would tell what was true yesterday.
    assert_eq!(received[0].header("idempotency-key"), None);
    assert_form(
        &received[0],
        &[
            ("type", "card"),
            ("card[number]", "4242424242424242"),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2049"),
        ],
    );
}

#[tokio::test]
async fn an_account_takes_raw_cards_unless_stripe_says_that_it_does_not() {
    let live = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"live_mode_test_card","message":"Your card was declined. Your request was in live mode, but used a known test card."}}"#;
    let number = r#"{"error":{"type":"card_error","code":"incorrect_number","message":"Your card number is incorrect."}}"#;
    let sentence = r#"{"error":{"type":"invalid_request_error","message":"Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you use test tokens."}}"#;
    for (reply, expected) in [
        (Reply::json(402, live), Ok(())),
        (Reply::json(402, number), Ok(())),
        (Reply::json(402, sentence), Err(Failure::RawCardsRefused)),
        (Reply::json(400, sentence), Err(Failure::RawCardsRefused)),
        (refused("parameter_unknown"), Err(Failure::Rejected)),
        (Reply::json(401, "{}"), Err(Failure::NotAuthorized)),
        (Reply::json(500, ""), Err(Failure::OutcomeUnknown)),
        (Reply::Cut, Err(Failure::OutcomeUnknown)),
    ] {
        let peer = Peer::start(vec![reply]).await;
        assert_eq!(processor(&peer).accepts_raw_cards().await, expected);
    }
}
