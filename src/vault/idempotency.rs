//! Idempotency keys: how a caller may ask again without being served twice
//! (draft-ietf-httpapi-idempotency-key-header).

use std::fmt::Write as _;

use serde::Serialize;

use super::grant::{Granted, Scope};
use super::{Common, Internal};
use crate::clock::Timestamp;
use crate::seal::mac::MacKey;
use crate::store::{Claim, first_processor_key};

/// A caller's `Idempotency-Key`: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Not a key: empty, too long, with characters that are not printable ASCII, or a card number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 255 printable ASCII characters, and no card number")]
pub struct KeyRefused;

impl IdempotencyKey {
    /// The contract's limit, which is also the processor's.
    pub const LENGTH_MAX: usize = 255;

    /// Reads a header's value: bare, or as a structured-field string in double quotes (RFC 8941).
    ///
    /// # Errors
    /// [`KeyRefused`] for everything else.
    pub fn parse(value: &str) -> Result<Self, KeyRefused> {
        let value = value.trim_matches([' ', '\t']);
        let key = match value.strip_prefix('"') {
            Some(rest) => unquote(rest.strip_suffix('"').ok_or(KeyRefused)?)?,
            None => value.to_owned(),
        };
        // A key is kept for days, so it is no place for a card number.
        if crate::card::scan::stored::contains(&key) {
            return Err(KeyRefused);
        }
        let printable = key.bytes().all(|letter| (0x20..0x7f).contains(&letter));
        if (1..=Self::LENGTH_MAX).contains(&key.len()) && printable {
            Ok(Self(key))
        } else {
            Err(KeyRefused)
        }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The inside of a structured-field string: `\"` and `\\` are the only escapes (RFC 8941 3.3.3).
fn unquote(inside: &str) -> Result<String, KeyRefused> {
    let mut key = String::with_capacity(inside.len());
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(KeyRefused),
            },
            '"' => return Err(KeyRefused),
            plain => key.push(plain),
        }
    }
    Ok(key)
}

impl Common {
    /// The claim of a key on one request. The request is compared by the SHA-256 of its parsed
    /// form, so that white space and the order of members do not matter; no request that carries
    /// a card is ever hashed.
    pub(crate) fn claim<S: Scope>(
        &self,
        granted: &Granted<S>,
        key: &IdempotencyKey,
        request: &impl Serialize,
    ) -> Claim {
        let now = self.now();
        let canonical = serde_json::to_vec(request).unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &canonical);
        let mut request_hash = [0_u8; 32];
        request_hash.copy_from_slice(digest.as_ref());
        Claim {
            account: granted.account().clone(),
            client: granted.client().to_owned(),
            key: key.as_str().to_owned(),
            route: S::NAME.name(),
            request_hash,
            now,
            expires_at: now.plus_s(self.limits.idempotency_key_lifetime_s),
        }
    }
}

impl Internal {
    /// The processor's idempotency key of a request, made from the caller's under a key of this
    /// plane: a claim that was lost or deleted leads to the same key again, and the processor, while
    /// it remembers, does not do the same request twice.
    pub(crate) fn processor_key(&self, claim: &Claim) -> String {
        let parts = [
            self.common.environment.name().as_bytes(),
            claim.account.as_str().as_bytes(),
            claim.client.as_bytes(),
            claim.route.as_bytes(),
            claim.key.as_bytes(),
            &claim.request_hash,
        ];
        processor_key(&self.session_issue_key.tag("processor idempotency", &parts))
    }
}

impl Internal {
    /// The mark of a caller's request, which its payment or refund carries: by it that is found again
    /// when our rows are lost and the processor has forgotten the key.
    pub(crate) fn request_mark(&self, processor_key: &str) -> String {
        request_mark(&self.session_issue_key, processor_key)
    }

    /// Since when what carries a request's mark is of the same life of the caller's key.
    pub(crate) fn key_lives_since(&self, now: Timestamp) -> Timestamp {
        let lives_s = i64::from(self.common.limits.idempotency_key_lifetime_s);
        let ms = now.unix_ms().saturating_sub(lives_s.saturating_mul(1_000));
        Timestamp::from_unix_ms(ms.max(0))
    }

    /// Whether an operator has accepted a rollback not long ago: our rows may have forgotten what a
    /// caller's key has made, so the processor is asked before anything is made under one.
    pub(crate) fn is_recovering(&self) -> bool {
        let now = self.common.now();
        self.common.recovery.is_since(self.key_lives_since(now))
    }
}

/// A MAC of the processor's key that was made of the caller's: it tells nothing of either, and is the
/// same for every key that was made of the same request.
pub(crate) fn request_mark(key: &MacKey, processor_key: &str) -> String {
    let first = first_processor_key(processor_key);
    hex(&key.tag("processor request mark", &[first.as_bytes()]))
}

fn hex(tag: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in tag {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// A MAC as the processor's idempotency key: fixed length whatever it was made from, and telling
/// the processor nothing.
pub(crate) fn processor_key(tag: &[u8; 32]) -> String {
    format!("cloakroom-{}", hex(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_bare_or_quoted_and_both_are_the_same_key() {
        for value in ["order-1", "\"order-1\"", "  order-1\t"] {
            assert_eq!(IdempotencyKey::parse(value).unwrap().as_str(), "order-1");
        }
        assert_eq!(
            IdempotencyKey::parse(r#""a\"b\\c""#).unwrap().as_str(),
            r#"a"b\c"#
        );
    }

    #[test]
    fn every_key_that_was_made_of_a_request_has_its_mark_and_the_mark_tells_neither() {
        let key = MacKey::parse(MacKey::generate().as_bytes()).unwrap();
        let first = processor_key(&[7; 32]);
        let mark = request_mark(&key, &first);
        assert_eq!(mark, request_mark(&key, &format!("{first}-1")));
        assert_ne!(mark, request_mark(&key, &processor_key(&[8; 32])));
        assert!(!first.contains(&mark) && mark.len() == 64);
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = "k".repeat(256);
        for value in [
            "",
            "\"\"",
            "\"",
            "\"open",
            "a\u{7f}",
            "ключ",
            "\"a\"b\"",
            r#""a\n""#,
            "order 4242 4242 4242 4242",
            &long,
        ] {
            assert_eq!(IdempotencyKey::parse(value), Err(KeyRefused), "{value}");
        }
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
    }
}
