//! Notices signed by the test itself: whose are believed, and what they mean.

mod events;
mod hostile;
mod signatures;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";
/// 2026-11-23T05:20:00Z.
const NOW_S: i64 = 1_795_411_200;
const NOW: Timestamp = Timestamp::from_unix_ms(NOW_S * 1_000);

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::parse(text).unwrap()
}

/// What Stripe writes behind `v1=`, made by hand.
fn signature(secret: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    let tag = hmac::sign(&key, &signed);
    let hex = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect::<Vec<_>>().concat()
}

/// A header as Stripe sends it, its test signature included.
fn header(secret: &str, time: &str, body: &[u8]) -> String {
    let v1 = signature(secret, time, body);
    format!("t={time},v1={v1},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39")
}

/// A body that is signed as it should be.
fn signed(body: &[u8]) -> Result<Notice, NoticeRefused> {
    let header = header(SECRET, &NOW_S.to_string(), body);
    read(&[secret(SECRET)], &header, body, NOW)
}

/// An event as Stripe sends it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller has just made the object"
)]
fn event(kind: &str, object: Value) -> Value {
    json!({
        "id": "evt_1Pgc76B7WZ01zgkWwyRHS12y",
        "object": "event",
        "api_version": "2026-09-30.endive",
        "created": 1_795_411_100,
        "data": { "object": object, "previous_attributes": { "status": "pending" } },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": "req_1", "idempotency_key": "test_chg_1" },
        "type": kind,
    })
}

fn told(kind: &str, object: Value) -> Result<What, NoticeRefused> {
    let body = serde_json::to_vec(&event(kind, object)).unwrap();
    signed(&body).map(|notice| notice.what)
}
