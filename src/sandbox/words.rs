//! The words that the sandbox's objects carry, read back from its file: each is one of its own.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

use super::declines::{ALL, Decline};

/// A word of the sandbox's own.
pub(super) type Word = &'static str;

const WORDS: [&str; 25] = [
    "abandoned",
    "automatic",
    "canceled",
    "duplicate",
    "failed",
    "fraudulent",
    "general",
    "lost",
    "needs_response",
    "off_session",
    "on_session",
    "pending",
    "processing",
    "product_not_received",
    "requested_by_customer",
    "requires_action",
    "requires_capture",
    "requires_confirmation",
    "requires_payment_method",
    "succeeded",
    "under_review",
    "warning_closed",
    "warning_needs_response",
    "warning_under_review",
    "won",
];

/// The word, or the name of a brand, that a text is.
fn known(text: &str) -> Option<Word> {
    let brands = super::cards::Brand::ALL.map(super::cards::Brand::name);
    WORDS.into_iter().chain(brands).find(|word| *word == text)
}

pub(super) fn serialize<S: Serializer>(word: &Word, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(word)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    let text = String::deserialize(from)?;
    known(&text).ok_or_else(|| D::Error::custom("not a word of the sandbox's"))
}

/// The same, of a word that may be absent.
pub(super) mod if_any {
    use super::{Deserializer, Serializer, Word, known};
    use serde::Deserialize as _;
    use serde::Serialize as _;
    use serde::de::Error as _;

    #[expect(clippy::ref_option, reason = "serde gives a reference")]
    pub(in crate::sandbox) fn serialize<S: Serializer>(
        word: &Option<Word>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        word.serialize(to)
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Word>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        let word = known(&text).ok_or_else(|| D::Error::custom("not a word of the sandbox's"))?;
        Ok(Some(word))
    }
}

/// A decline, by its reason.
pub(super) mod decline {
    use super::{ALL, Decline, Deserializer, Serializer};
    use serde::Deserialize as _;
    use serde::de::Error as _;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(in crate::sandbox) fn serialize<S: Serializer>(
        decline: &&'static Decline,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(decline.reason)
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static Decline, D::Error> {
        let reason = String::deserialize(from)?;
        let known = ALL.into_iter().find(|decline| decline.reason == reason);
        known.ok_or_else(|| D::Error::custom("not a decline of the sandbox's"))
    }
}

/// A moment, in milliseconds since the Unix epoch.
pub(super) mod moment {
    use super::{Deserializer, Serializer};
    use crate::clock::Timestamp;
    use serde::Deserialize as _;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(in crate::sandbox) fn serialize<S: Serializer>(
        at: &Timestamp,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.unix_ms())
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_unix_ms)
    }
}
