//! Idempotency keys: how a caller may ask again without being served twice
//! (draft-ietf-httpapi-idempotency-key-header).

use std::fmt::Write as _;

use serde::Serialize;

use super::grant::{Granted, Scope};
use super::{Common, Internal};
use crate::store::Claim;

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

/// A MAC as the processor's idempotency key: fixed length whatever it was made from, and telling
/// the processor nothing.
pub(crate) fn processor_key(tag: &[u8; 32]) -> String {
    let mut key = String::with_capacity(74);
    key.push_str("cloakroom-");
    for byte in tag {
        // Writing to a String cannot fail.
        let _infallible = write!(key, "{byte:02x}");
    }
    key
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
