//! What is signed, and how it stands in the headers of Standard Webhooks 1.0.

use hyper::header::HeaderName;

use super::secret::Secret;
use crate::clock::Timestamp;

pub(super) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const ID_LENGTH_MAX: usize = 255;

/// Whether an id can be signed and sent: no full stop, which would let it and the timestamp change
/// places with the body, and nothing that could end a header.
pub(super) fn is_id(id: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'-';
    (1..=ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// A moment as the header says it: whole seconds since the epoch.
pub(super) fn unix_s(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(1_000)
}

/// `{id}.{timestamp}.{body}`.
pub(super) fn content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), timestamp.as_bytes(), body].join(&b'.')
}

/// The signatures of all secrets, with spaces between: a receiver that knows one of them is
/// served, so that secrets can be replaced without losing a message.
pub(super) fn sign(secrets: &[Secret], content: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(content)).collect();
    signatures.join(" ")
}
