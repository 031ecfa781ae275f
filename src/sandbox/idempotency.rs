//! Stripe's idempotency: one key, one execution, one answer.
//!
//! * same key, same method, path and parameters: the first answer again, a decline or a 5xx too;
//! * same key, anything else: 400 `idempotency_error`;
//! * same key while the first is still running: 409 `idempotency_key_in_use`.
//!
//! Kept is what an endpoint answers once it has begun: a success, a decline, a server's fault, and a
//! refusal too (<https://docs.stripe.com/error-low-level>). Parameters that are no parameters, a
//! request that is in the way of another (409) and one too many (429) never began, and leave the key
//! free.
//! Parameters may be a card, so what is compared is an HMAC under a key that this process made for
//! itself and never tells; the parameters are not kept.

use std::sync::Arc;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::errors::Refusal;
use super::form::Form;
use super::state::Bounded;
use crate::clock::Timestamp;

/// Keys remembered; the oldest gives way.
const IDEMPOTENCY_KEYS_MAX: usize = 50_000;
/// Stripe's limit.
pub(super) const KEY_CHARS_MAX: usize = 255;
/// Stripe keeps keys for at least 24 hours.
const KEY_LIFETIME_MS: u64 = 24 * 60 * 60 * 1_000;

/// An answer as it went out, to go out again.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) status: u16,
    pub(super) body: Arc<[u8]>,
    pub(super) request_id: String,
}

#[derive(Debug)]
struct Entry {
    request: [u8; 32],
    at: Timestamp,
    kept: Option<Kept>,
}

/// What a key allows.
#[derive(Debug)]
pub(super) enum Claim {
    /// Go on, and then [`Keys::keep`] or [`Keys::release`].
    Fresh,
    /// Answer this again.
    Replay(Kept),
    /// Answer this instead.
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Keys {
    entries: Bounded<Entry>,
    pub(super) lifetime_ms: u64,
    /// Keys that were answered since they were written down, where they are.
    answered: Option<Vec<String>>,
}

/// A key with its answer, as it is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptKey {
    key: String,
    request: [u8; 32],
    at_ms: i64,
    status: u16,
    body: String,
    request_id: String,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            entries: Bounded::new(IDEMPOTENCY_KEYS_MAX),
            lifetime_ms: KEY_LIFETIME_MS,
            answered: None,
        }
    }

    pub(super) fn watch(&mut self) {
        self.answered = Some(Vec::new());
    }

    /// What was answered since the last time, to be written down.
    pub(super) fn changed(&mut self) -> Vec<KeptKey> {
        let answered = self.answered.as_mut().map(std::mem::take);
        let written = |key: String| {
            let entry = self.entries.get(&key)?;
            let kept = entry.kept.as_ref()?;
            Some(KeptKey {
                request: entry.request,
                at_ms: entry.at.unix_ms(),
                status: kept.status,
                body: String::from_utf8_lossy(&kept.body).into_owned(),
                request_id: kept.request_id.clone(),
                key,
            })
        };
        answered.into_iter().flatten().filter_map(written).collect()
    }

    /// Takes over what an earlier life has written down.
    pub(super) fn remember(&mut self, kept: KeptKey) {
        let entry = Entry {
            request: kept.request,
            at: Timestamp::from_unix_ms(kept.at_ms),
            kept: Some(Kept {
                status: kept.status,
                body: Arc::from(kept.body.into_bytes()),
                request_id: kept.request_id,
            }),
        };
        if let Some(answered) = &mut self.answered {
            answered.push(kept.key.clone());
        }
        self.entries.insert(kept.key, entry);
    }

    pub(super) fn claim(&mut self, key: &str, request: [u8; 32], now: Timestamp) -> Claim {
        let lifetime_ms = self.lifetime_ms;
        let entry = self
            .entries
            .get(key)
            .filter(|entry| entry.kept.is_none() || now.ms_since(entry.at) < lifetime_ms);
        match entry {
            None => {
                self.entries.insert(
                    key.to_owned(),
                    Entry {
                        request,
                        at: now,
                        kept: None,
                    },
                );
                Claim::Fresh
            }
            Some(entry) if entry.request != request => Claim::Refused(Refusal::new(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            )),
            Some(Entry {
                kept: Some(kept), ..
            }) => Claim::Replay(kept.clone()),
            Some(_) => Claim::Refused(
                Refusal::new(
                    409,
                    "invalid_request_error",
                    "There is currently another in-progress request using this idempotent key.",
                )
                .code("idempotency_key_in_use")
                .should_retry(true),
            ),
        }
    }

    /// `lasting` is false of a request with a card in it, of which nothing is written down.
    pub(super) fn keep(&mut self, key: &str, kept: Kept, lasting: bool) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.kept = Some(kept);
            if let Some(answered) = self.answered.as_mut().filter(|_| lasting) {
                answered.push(key.to_owned());
            }
        }
    }

    pub(super) fn release(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

/// Whether an answer of that status, to what had begun, is the key's answer from now on.
pub(super) const fn is_kept(status: u16) -> bool {
    matches!(status, 200 | 400 | 402 | 404 | 500..=599)
}

/// What a request is, for comparison only. The order of parameters does not matter.
pub(super) fn request_mac(key: &hmac::Key, method: &str, path: &str, form: &Form) -> [u8; 32] {
    let mut fields: Vec<(&str, &str)> = form.fields().collect();
    fields.sort_unstable();
    let mut mac = hmac::Context::with_key(key);
    let parts = fields.iter().flat_map(|(name, value)| [*name, *value]);
    for part in [method, path].into_iter().chain(parts) {
        // Length first, so that no two requests are one text.
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        mac.update(&length.to_be_bytes());
        mac.update(part.as_bytes());
    }
    let mut request = [0; 32];
    for (to, from) in request.iter_mut().zip(mac.sign().as_ref()) {
        *to = *from;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_compared_whatever_their_order() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let mac =
            |path: &str, body: &[u8]| request_mac(&key, "POST", path, &Form::parse(body).unwrap());
        assert_eq!(mac("/a", b"x=1&y=2"), mac("/a", b"y=2&x=1"));
        assert_ne!(mac("/a", b"x=1&y=2"), mac("/b", b"x=1&y=2"));
        assert_ne!(mac("/a", b"x=1&y=2"), mac("/a", b"x=1&y=3"));
        assert_ne!(mac("/a", b"x=12"), mac("/a", b"x1=2"));
    }

    #[test]
    fn a_key_past_its_lifetime_is_fresh_again() {
        let mut keys = Keys::new();
        let now = Timestamp::from_unix_ms(0);
        assert!(matches!(keys.claim("k", [0; 32], now), Claim::Fresh));
        let kept = Kept {
            status: 200,
            body: Arc::from(&b"{}"[..]),
            request_id: "req".into(),
        };
        keys.keep("k", kept, true);
        assert!(matches!(keys.claim("k", [0; 32], now), Claim::Replay(_)));
        assert!(matches!(keys.claim("k", [1; 32], now), Claim::Refused(_)));
        let later = now.plus_ms(KEY_LIFETIME_MS);
        assert!(matches!(keys.claim("k", [1; 32], later), Claim::Fresh));
    }
}
