//! Endpoints against receivers over real TLS, and what receivers verify.

mod addresses;
mod delivery;
mod document;
mod refusals;
mod signatures;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::{Endpoint, Message, Settings};
use super::lookup::Ask;
use super::{Delivered, Headers, Reason, Secret, VerifyingKey, verify};
use crate::clock::Timestamp;
use crate::net::{Peer, Received, Reply};

/// The secret, and message, of the reference libraries' own tests.
const HMAC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ED25519: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: Timestamp = Timestamp::from_unix_ms(1_614_265_330_999);
const BODY: &[u8] = br#"{"test": 2432232314}"#;

const MESSAGE: Message<'_> = Message {
    id: ID,
    at: AT,
    body: BODY,
};

fn secrets(texts: &[&str]) -> Vec<Secret> {
    let parsed = texts.iter().map(|text| Secret::parse(text));
    parsed.map(Result::unwrap).collect()
}

/// Settings that reach `peer`, which is on loopback.
fn settings(peer: &Peer) -> Settings {
    let mut url = peer.url();
    url.set_path("/hooks/abc");
    url.set_query(Some("key=1"));
    Settings {
        name: "shop".to_owned(),
        url,
        secrets: secrets(&[HMAC]),
        allow_private_addresses: true,
        ca_file: Some(peer.ca_file()),
        request_timeout_ms: 5_000,
        connect_timeout_ms: 1_000,
    }
}

fn endpoint(peer: &Peer) -> Endpoint {
    Endpoint::new(settings(peer)).unwrap()
}

/// A name server that gives the next of `answers` to each question, and the last for ever.
fn names(answers: &[&[&str]]) -> (Ask, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect())
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&asked);
    let ask: Ask = Arc::new(move |_name| {
        let question = questions.fetch_add(1, Ordering::SeqCst);
        let answer = answers.get(question).or(answers.last()).cloned().unwrap();
        Box::pin(async move { Ok(answer) })
    });
    (ask, asked)
}

/// One attempt at a peer that answers `reply`.
async fn attempt(reply: Reply) -> Delivered {
    let peer = Peer::start(vec![reply]).await;
    let delivered = endpoint(&peer).deliver(&MESSAGE).await;
    assert_eq!(peer.received().len(), 1);
    delivered
}

/// Whether a receiver that knows `keys` believes what it received at [`AT`].
fn believed(received: &Received, keys: &[&str]) -> bool {
    let keys: Vec<VerifyingKey> = keys
        .iter()
        .map(|key| VerifyingKey::parse(key).unwrap())
        .collect();
    let headers = Headers {
        id: received.header("webhook-id").unwrap(),
        timestamp: received.header("webhook-timestamp").unwrap(),
        signature: received.header("webhook-signature").unwrap(),
    };
    verify(&keys, &headers, received.body.as_bytes(), AT).is_ok()
}
