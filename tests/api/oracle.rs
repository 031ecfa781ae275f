//! The oracle: whoever has the checkout's client certificate, and asks 5,000 times, cannot learn
//! whether a card is stored with somebody else, nor get one back.
//!
//! What "the same card is the same token" does tell, and to whom, is asserted as well: within one
//! `customer_ref`, to who posts the whole card with its code under a session for that customer.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, Who, card, request};

/// Stored before the attack, with its owner; and never stored.
const STORED: &str = "4242424242424242";
const UNKNOWN: &str = "4000056655665556";
/// The card of nobody: fails Luhn's check.
const IMPOSSIBLE: &str = "4242424242424241";
const OWNER: &str = "the-owner";
/// Two calls for each of these rounds on the way of a card, and one attach.
const ROUNDS: usize = 900;
const CALLS_MIN: usize = 5_000;
const AT_ONCE: usize = 12;

/// An answer without what is different in every answer: ids, moments, secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    status: u16,
    bytes: usize,
    headers: BTreeSet<String>,
    body: String,
}

fn shape(answer: &Answer) -> Shape {
    let mut body = answer.json();
    let own = [
        "id",
        "created_at",
        "updated_at",
        "request_id",
        "customer_ref",
    ];
    if let Some(members) = body.as_object_mut() {
        for (name, value) in members.iter_mut() {
            if own.contains(&name.as_str()) && !value.is_null() {
                *value = json!("…");
            }
        }
        // What a card shows of itself is what was typed.
        members.remove("card");
    }
    // What is as long as what was sent, and a moment, which has as many digits as its milliseconds
    // need.
    let whole = answer.json();
    let texts = ["created_at", "customer_ref"];
    let texts = texts.map(|name| whole[name].as_str().map_or(0, str::len));
    let own_bytes = texts[0] + texts[1] + whole["card"].to_string().len();
    Shape {
        status: answer.status,
        bytes: answer.body.len() - own_bytes,
        headers: answer
            .headers
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect(),
        body: body.to_string(),
    }
}

/// One card for one customer, under a key or none; the answers of the session and of the card.
async fn round(app: &App, customer: Option<&str>, number: &str, key: Option<&str>) -> [Answer; 2] {
    let order = match customer {
        Some(customer) => json!({ "customer_ref": customer }),
        None => json!({}),
    };
    let session = app.order_session(&order).await;
    assert_eq!(session.status, 201, "{}", session.json());
    let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
    let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", *key)).collect();
    let answer = app.post_card(&secret, &card(number), &headers).await;
    [session, answer]
}

async fn attach(app: &App, customer: &str, payment_method: &str) -> Answer {
    let url = format!("{}/v1/tokens/attach", app.at.internal);
    let order = json!({ "customer_ref": customer, "payment_method": payment_method });
    app.send(
        Who::Checkout,
        request(Method::POST, &url, &[], order.to_string()),
    )
    .await
}

/// Checkout's certificate without the right to read, as a shop's checkout needs it.
fn checkout_only() -> String {
    let client = |name: &str, scopes: &str| {
        format!("{{san=\"spiffe://cloakroom.dev/{name}\",account=\"default\",scopes=[{scopes}]}}")
    };
    format!(
        "[{},{}]",
        client("checkout", "\"sessions:create\",\"tokens:attach\""),
        client("billing", "\"tokens:read\",\"charges:create\"")
    )
}

/// What each kind of question was answered, for the stored card and for the unknown one.
#[derive(Default)]
struct Seen {
    shapes: BTreeMap<(&'static str, &'static str), BTreeSet<Shape>>,
    ids: Vec<String>,
    calls: usize,
}

impl Seen {
    fn note(&mut self, question: &'static str, card: &'static str, answers: &[Answer]) {
        self.calls += answers.len();
        let Some(last) = answers.last() else { return };
        self.shapes
            .entry((question, card))
            .or_default()
            .insert(shape(last));
        if let Some(id) = last.json()["id"].as_str() {
            self.ids.push(id.to_owned());
        }
        for answer in answers {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for number in [STORED, UNKNOWN] {
                assert!(!text.contains(&number[..12]), "no card comes back");
            }
        }
    }
}

#[tokio::test]
async fn five_thousand_calls_of_the_checkout_do_not_tell_whether_a_card_is_stored() {
    let app = App::start_with(&[], &[("CLOAKROOM__CLIENTS", &checkout_only())]);
    let [_, owners] = round(&app, Some(OWNER), STORED, None).await;
    let owners = owners.json();
    let owners_id = owners["id"].as_str().unwrap().to_owned();

    // The attacker's questions: guests, customers of its own making, repetitions under one key,
    // other cards under that key, and attaching; for the stored card and the unknown one in turn.
    let questions = (0..ROUNDS).flat_map(|number| {
        [("stored", STORED), ("unknown", UNKNOWN)].map(|(name, pan)| (number, name, pan))
    });
    let asked = stream::iter(questions).map(|(number, name, pan)| {
        let app = &app;
        async move {
            let mine = format!("customer-{name}-{number}");
            let key = format!("key-{name}-{number}");
            match number % 4 {
                0 => ("guest", name, Vec::from(round(app, None, pan, None).await)),
                1 => (
                    "customer",
                    name,
                    Vec::from(round(app, Some(&mine), pan, None).await),
                ),
                2 => (
                    "key",
                    name,
                    Vec::from(round(app, Some(&mine), pan, Some(&key)).await),
                ),
                _ => ("replay", name, replayed(app, &mine, pan, &key).await),
            }
        }
    });
    let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    let mut seen = Seen::default();
    for (question, card, answers) in &answers {
        seen.note(question, card, answers);
    }
    while seen.calls < CALLS_MIN {
        let number = seen.calls;
        for (name, method) in [
            ("stored", "pm_card_visa"),
            ("unknown", "pm_card_mastercard"),
        ] {
            let answer = attach(&app, &format!("attached-{name}-{number}"), method).await;
            seen.note("attach", name, &[answer]);
        }
    }
    assert!(seen.calls >= CALLS_MIN, "{}", seen.calls);

    // One shape for each question, and the same for both cards.
    for question in ["guest", "customer", "key", "replay", "attach"] {
        let of = |card| &seen.shapes[&(question, card)];
        assert_eq!(of("stored"), of("unknown"), "{question}");
    }
    for question in ["guest", "customer", "key"] {
        assert_eq!(seen.shapes[&(question, "stored")].len(), 1, "{question}");
    }
    // Nobody's id came back, and every token is a new one.
    assert!(!seen.ids.contains(&owners_id));
    let tokens: Vec<_> = seen
        .ids
        .iter()
        .filter(|id| id.starts_with("test_tok_"))
        .collect();
    let distinct: BTreeSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
    nothing_is_read(&app, &owners_id, &seen.ids).await;
    what_the_same_card_tells(&app, &owners).await;
}

/// The same request again, then another card under its key: three calls.
async fn replayed(app: &App, customer: &str, number: &str, key: &str) -> Vec<Answer> {
    let order = json!({ "customer_ref": customer });
    let session = app.order_session(&order).await;
    let secret = session.json()["client_secret"].as_str().unwrap().to_owned();
    let headers = [("idempotency-key", key)];
    let first = app.post_card(&secret, &card(number), &headers).await;
    let again = app.post_card(&secret, &card(number), &headers).await;
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = if number == STORED { UNKNOWN } else { STORED };
    let mismatch = app.post_card(&secret, &card(other), &headers).await;
    assert_eq!(mismatch.status, 422, "{}", mismatch.json());
    vec![session, first, again, mismatch]
}

/// The checkout reads no token: not by id, not by customer, neither the owner's nor its own.
async fn nothing_is_read(app: &App, owners_id: &str, own: &[String]) {
    let own = own.iter().find(|id| id.starts_with("test_tok_")).unwrap();
    let mut shapes = BTreeSet::new();
    let nobody = "test_tok_01h455vb4pex5vsknk084sn02q";
    for path in [
        format!("tokens/{owners_id}"),
        format!("tokens/{own}"),
        format!("tokens/{nobody}"),
        format!("tokens?customer_ref={OWNER}"),
        "tokens?customer_ref=nobody".to_owned(),
    ] {
        let url = format!("{}/v1/{path}", app.at.internal);
        let answer = app.get(Who::Checkout, &url).await;
        answer.problem(403, "not_granted");
        shapes.insert(shape(&answer));
    }
    assert_eq!(shapes.len(), 1);
}

/// Within one customer the same card is the same token: that much is told to who posts the whole
/// card, with its code, under a session for that customer. Short of the whole card, nothing is.
async fn what_the_same_card_tells(app: &App, owners: &Value) {
    let [_, same] = round(app, Some(OWNER), STORED, None).await;
    assert_eq!((&same.json()["id"], same.status), (&owners["id"], 201));
    let [_, impossible] = round(app, Some(OWNER), IMPOSSIBLE, None).await;
    let [_, elsewhere] = round(app, Some("somebody"), IMPOSSIBLE, None).await;
    assert_eq!(shape(&impossible), shape(&elsewhere));
    let [_, other] = round(app, Some(OWNER), UNKNOWN, None).await;
    assert_ne!(other.json()["id"], owners["id"]);
}
