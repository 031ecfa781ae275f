//! The adapter against a scripted peer: what it sends, to the byte, and what it makes of answers.

mod attach;
mod attempts;
mod cards;
mod charges;
mod details;
mod fixtures;
mod governed;
mod lifecycle;
mod refunds;
mod security_codes;
mod walk;

use std::collections::BTreeMap;

use crate::card::{Card, RawCard};
use crate::clock::Timestamp;
use crate::processor::peer::{Peer, Received, Reply};
use crate::processor::{BillingDetails, CardOrder, ChargeOrder, Processor, Reference, Sought};
use crate::token::Usage;

const CLIENT: &str = "spiffe://shop.example/billing";
const NUMBER: &str = "4242424242424242";
const RETURN_URL: &str = "https://shop.example/back?a=1&b=2";

const PAYMENT_METHOD: &str = r#"{"id":"pm_1","object":"payment_method","type":"card","customer":null,"card":{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2030,"funding":"credit","country":"US","fingerprint":"f","checks":{"cvc_check":"unchecked"}}}"#;
const SETUP: &str = r#"{"id":"seti_1","object":"setup_intent","status":"succeeded","client_secret":"s","next_action":null,"last_setup_error":null}"#;
const PAYMENT: &str = r#"{"id":"pi_1","object":"payment_intent","status":"succeeded","latest_charge":"ch_1","next_action":null,"last_payment_error":null}"#;
const DECLINED: &str = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds","advice_code":"try_again_later","message":"Your card has insufficient funds.","payment_intent":{"id":"pi_1","status":"requires_payment_method"}}}"#;
const LOCKED: &str = r#"{"error":{"type":"invalid_request_error","code":"lock_timeout","message":"This object cannot be accessed right now."}}"#;

fn ok(body: &str) -> Reply {
    Reply::json(200, body)
}

fn processor(peer: &Peer) -> Processor {
    Processor::stripe(&peer.settings()).unwrap()
}

fn card() -> Card {
    let raw = RawCard {
        number: NUMBER,
        exp_month: 12,
        exp_year: 2030,
        cvc: "987",
    };
    Card::parse(&raw, Timestamp::from_unix_ms(1_795_400_000_000)).unwrap()
}

fn card_order(billing: &BillingDetails) -> CardOrder<'_> {
    CardOrder {
        billing,
        customer: "cus_1",
        usage: Usage::OffSession,
        return_url: RETURN_URL,
        idempotency_key: "key",
        client: CLIENT,
        session: "test_cs_1",
    }
}

fn charge_order(metadata: &BTreeMap<String, String>) -> ChargeOrder<'_> {
    ChargeOrder {
        charge: "test_chg_1",
        request: "mark",
        amount: 1_250,
        currency: "eur",
        capture: true,
        off_session: true,
        setup_pending: false,
        usage: Usage::OffSession,
        description: None,
        statement_descriptor_suffix: None,
        metadata,
        return_url: RETURN_URL,
        security_code: None,
        idempotency_key: "key",
        client: CLIENT,
    }
}

fn reference() -> Reference {
    Reference::new("cus_1", "pm_1", Some("seti_1")).unwrap()
}

/// Ids that would name something else, or nothing, in a path.
const NO_IDS: [&str; 6] = [
    "",
    "pi_1/../customers",
    "pi_1?expand=x",
    "pi 1",
    "pi_é",
    "pi_1\r\nx: y",
];

/// An answer that Stripe kept of an earlier request with the key, and even advises to ask for again.
fn kept(status: u16, body: &str) -> Reply {
    let headers = [
        ("idempotent-replayed", "true"),
        ("stripe-should-retry", "true"),
    ];
    Reply::with(status, &headers, body)
}

/// A request that Stripe understood and refused, with this code.
fn refused(code: &str) -> Reply {
    let body = format!(
        r#"{{"error":{{"type":"invalid_request_error","code":"{code}","message":"Free text."}}}}"#
    );
    Reply::json(400, &body)
}

/// The decoded pairs of a query, in order.
fn query(received: &Received) -> Vec<(String, String)> {
    let (_, query) = received.path.split_once('?').unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<_> = pairs.into_owned().collect();
    pairs.sort();
    pairs
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn assert_form(received: &Received, expected: &[(&str, &str)]) {
    let pairs = received.pairs();
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(pairs, expected, "{}", received.line());
}
