//! HMAC keys: of capture-session secrets, and of the marks by which rows are known again.
//!
//! A session's client secret is stored only as its tag, so that the database alone gives nobody a
//! session. The label keeps one use of a key apart from another. [`MacKeys`] is a key with the one
//! it replaces, or is to be replaced by.

use std::fmt;
use std::path::Path;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::data_key::{KEY_BYTES, KeyBytes};
use super::envelope::length_prefixed;
use super::file::{self, KeyFileRefused, Why};

const TAG_BYTES: usize = 32;

/// An HMAC-SHA-256 key of 32 bytes.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Reads the key from a file that holds 32 bytes as base64, and nothing else.
    ///
    /// # Errors
    /// [`KeyFileRefused`] names the file, what is wrong, and the mend.
    pub fn read(path: &Path) -> Result<Self, KeyFileRefused> {
        let text = file::read_private(path)?;
        Self::parse(&text).ok_or_else(|| KeyFileRefused::new(path, Why::Malformed))
    }

    /// A new key, as the text of its file.
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES.saturating_mul(2)));
        STANDARD.encode_string(KeyBytes::random().expose(), &mut text);
        text.push('\n');
        text
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).ok()?);
        let key = KeyBytes::from_slice(&bytes)?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose())))
    }

    /// The tag of `parts` for the use that `label` names. Each part, and the label, is preceded by
    /// its length, so that no two lists of parts give the same bytes.
    #[must_use]
    pub fn tag(&self, label: &'static str, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut message = Zeroizing::new(length_prefixed(&[label.as_bytes()]));
        let parts = Zeroizing::new(length_prefixed(parts));
        message.extend_from_slice(&parts);
        self.hmac(&message)
    }

    /// Whether `tag` is the tag of `parts`, in a time that does not tell where they differ.
    #[must_use]
    pub fn verify(&self, label: &'static str, parts: &[&[u8]], tag: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.tag(label, parts), tag).is_ok()
    }

    fn hmac(&self, message: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        tag
    }
}

/// A key, and beside it one that is believed as well while the one takes the other's place.
pub struct MacKeys {
    now: MacKey,
    also: Option<MacKey>,
}

/// By what a row is known again: its tag under the key that marks now, and under the one beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What is written.
    pub now: [u8; TAG_BYTES],
    /// What may have been written; the same where there is one key only.
    pub also: [u8; TAG_BYTES],
}

impl MacKeys {
    /// Marks with `now`; believes `also`, too.
    #[must_use]
    pub const fn new(now: MacKey, also: Option<MacKey>) -> Self {
        Self { now, also }
    }

    /// The tag under the key that marks now.
    #[must_use]
    pub fn tag(&self, label: &'static str, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        self.now.tag(label, parts)
    }

    /// Whether `tag` is that of either key.
    #[must_use]
    pub fn verify(&self, label: &'static str, parts: &[&[u8]], tag: &[u8]) -> bool {
        let mut keys = std::iter::once(&self.now).chain(&self.also);
        keys.any(|key| key.verify(label, parts, tag))
    }

    /// By what a row is known again.
    #[must_use]
    pub fn mark(&self, label: &'static str, parts: &[&[u8]]) -> Mark {
        let now = self.now.tag(label, parts);
        let also = self.also.as_ref().map(|key| key.tag(label, parts));
        Mark {
            now,
            also: also.unwrap_or(now),
        }
    }
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKeys(..)")
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::unhex;

    #[test]
    fn the_first_vector_of_rfc_4231_holds() {
        // RFC 4231, 4.2, has a key of 20 bytes. HMAC pads a key with zeros to the hash's block, so
        // the same key with 12 zeros behind is the same key. The tag is of the bare message.
        let mut key = vec![0x0b; 20];
        key.resize(KEY_BYTES, 0);
        let key = MacKey::parse(STANDARD.encode(key).as_bytes()).unwrap();
        assert_eq!(
            key.hmac(b"Hi There").to_vec(),
            unhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        );
    }

    #[test]
    fn a_tag_holds_for_its_label_and_parts_and_no_others() {
        let key = MacKey::parse(MacKey::generate().as_bytes()).unwrap();
        let tag = key.tag("session", &[b"ab", b"c"]);
        assert!(key.verify("session", &[b"ab", b"c"], &tag));
        assert!(!key.verify("session", &[b"a", b"bc"], &tag));
        assert!(!key.verify("session", &[b"abc"], &tag));
        assert!(!key.verify("session", &[b"ab", b"c", b""], &tag));
        assert!(!key.verify("receipt", &[b"ab", b"c"], &tag));
        assert!(!key.verify("session", &[b"ab", b"c"], &tag[..31]));
        assert!(!key.verify("session", &[b"ab", b"c"], b""));
        let another = MacKey::parse(MacKey::generate().as_bytes()).unwrap();
        assert!(!another.verify("session", &[b"ab", b"c"], &tag));
    }

    #[test]
    fn while_a_key_takes_anothers_place_both_are_believed() {
        let file = MacKey::generate();
        let (old, new) = (MacKey::generate(), MacKey::generate());
        let key = |text: &[u8]| MacKey::parse(text).unwrap();
        let before = MacKeys::new(key(old.as_bytes()), Some(key(new.as_bytes())));
        let after = MacKeys::new(key(new.as_bytes()), Some(key(old.as_bytes())));
        let alone = MacKeys::new(key(new.as_bytes()), None);
        let parts: [&[u8]; 1] = [b"row"];
        let (written, later) = (before.tag("use", &parts), after.tag("use", &parts));
        assert_ne!(written, later);
        for keys in [&before, &after] {
            assert!(keys.verify("use", &parts, &written) && keys.verify("use", &parts, &later));
            assert!(!keys.verify("another", &parts, &written));
        }
        assert!(!alone.verify("use", &parts, &written) && alone.verify("use", &parts, &later));
        let mark = after.mark("use", &parts);
        assert_eq!((mark.now, mark.also), (later, written));
        let mark = alone.mark("use", &parts);
        assert_eq!((mark.now, mark.also), (later, later));
        let third = MacKeys::new(key(file.as_bytes()), None);
        assert!(!third.verify("use", &parts, &written) && !third.verify("use", &parts, &later));
    }

    #[test]
    fn a_key_of_another_length_or_form_is_refused() {
        for bytes in [0, 16, 31, 33, 64] {
            let text = STANDARD.encode(vec![7; bytes]);
            assert!(MacKey::parse(text.as_bytes()).is_none(), "{bytes}");
        }
        assert!(MacKey::parse(b"not base64 at all!").is_none());
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let text = MacKey::generate();
        let key = MacKey::parse(text.as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), "MacKey(..)");
    }
}
