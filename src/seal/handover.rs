//! A short value that one plane hands the other through somebody who carries it and cannot read it.
//!
//! ```text
//! version 1 ‖ session's UUID 16 ‖ end, ms since 1970, 8 ‖ nonce 12 ‖ ciphertext 256 ‖ tag 16
//! ```
//!
//! in base64url. The plaintext is the payload's length (one byte), the payload, and zeros up to 256
//! bytes. AES-256-GCM authenticates environment, account and token beside all that stands before the
//! ciphertext, each preceded by its length. The key is made for one session of the key that both
//! planes hold, so that no key seals more values than a session has attempts. Nothing of it is stored:
//! whoever lets it fall leaves nothing behind.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::envelope::length_prefixed;
use super::mac::MacKey;
use super::{Refused, SealFailed};
use crate::clock::Timestamp;
use crate::token::{Environment, SessionId, TokenId};

const VERSION: u8 = 1;
const VERSION_BYTES: usize = 1;
const UUID_BYTES: usize = 16;
const END_BYTES: usize = 8;
const LENGTH_BYTES: usize = 1;
const PADDED_BYTES: usize = 256;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = VERSION_BYTES + UUID_BYTES + END_BYTES + NONCE_LEN;
const WHOLE_BYTES: usize = HEADER_BYTES + PADDED_BYTES + TAG_BYTES;

/// Longer payloads are not handed over.
pub const HANDOVER_PAYLOAD_BYTES_MAX: usize = PADDED_BYTES - LENGTH_BYTES;
/// Characters of every value that is handed over.
pub const HANDOVER_CHARS: usize = (WHOLE_BYTES * 4).div_ceil(3);

const _: () = assert!(HANDOVER_PAYLOAD_BYTES_MAX == 255);
const _: () = assert!(HANDOVER_CHARS == 412);

/// What a session's key is made for.
const KEY: &str = "handover key 1";

/// What a value is handed over for: it opens for nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The world of both planes.
    pub environment: Environment,
    /// The account that owns the token.
    pub account: &'a str,
    /// The token that it is about.
    pub token: TokenId,
}

/// What was handed over, wiped on drop.
pub struct HandedOver {
    payload: Zeroizing<Vec<u8>>,
    /// The session that it comes from.
    pub session: SessionId,
    /// From when on it counts no more. Whether that matters is the caller's to say.
    pub expires_at: Timestamp,
}

impl HandedOver {
    /// The payload. Each call is a place where the secret is in use.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.payload
    }
}

impl fmt::Debug for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedOver")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Seals `payload` for that purpose, under the key that both planes hold.
///
/// # Errors
/// [`SealFailed`] for a payload that is too long.
pub fn hand_over(
    key: &MacKey,
    purpose: &Purpose<'_>,
    (session, expires_at): (SessionId, Timestamp),
    payload: &[u8],
) -> Result<String, SealFailed> {
    let length = u8::try_from(payload.len()).map_err(|_| SealFailed::PayloadTooLong)?;
    let mut nonce = [0_u8; NONCE_LEN];
    crate::random::fill(&mut nonce);
    let mut whole = Zeroizing::new(Vec::with_capacity(WHOLE_BYTES));
    whole.push(VERSION);
    whole.extend_from_slice(session.uuid().as_bytes());
    whole.extend_from_slice(&expires_at.unix_ms().to_be_bytes());
    whole.extend_from_slice(&nonce);
    whole.push(length);
    whole.extend_from_slice(payload);
    whole.resize(HEADER_BYTES.saturating_add(PADDED_BYTES), 0);
    let (header, padded) = whole
        .split_at_mut_checked(HEADER_BYTES)
        .ok_or(SealFailed::PayloadTooLong)?;
    let tag = cipher(key, session.uuid())
        .ok_or(SealFailed::KeyUnavailable)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(authenticated(purpose, header)),
            padded,
        )
        .map_err(|_| SealFailed::KeyUnavailable)?;
    whole.extend_from_slice(tag.as_ref());
    Ok(BASE64_URL_SAFE_NO_PAD.encode(whole.as_slice()))
}

/// Opens what was handed over for that purpose.
///
/// # Errors
/// [`Refused`] for whatever else.
pub fn take_over(key: &MacKey, purpose: &Purpose<'_>, text: &str) -> Result<HandedOver, Refused> {
    if text.len() != HANDOVER_CHARS {
        return Err(Refused::Value);
    }
    let whole = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refused::Value)?;
    let (header, body) = whole.split_at_checked(HEADER_BYTES).ok_or(Refused::Value)?;
    let (session, expires_at, nonce) = read(header).ok_or(Refused::Value)?;
    let mut padded = Zeroizing::new(body.to_vec());
    cipher(key, session)
        .ok_or(Refused::Value)?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(authenticated(purpose, header)),
            &mut padded,
        )
        .map_err(|_| Refused::Value)?;
    padded.truncate(PADDED_BYTES);
    let (length, rest) = padded.split_first().ok_or(Refused::Value)?;
    let payload = rest.get(..usize::from(*length)).ok_or(Refused::Value)?;
    Ok(HandedOver {
        payload: Zeroizing::new(payload.to_vec()),
        session: SessionId::from_uuid(purpose.environment, session),
        expires_at,
    })
}

/// The fields that stand before the ciphertext.
fn read(header: &[u8]) -> Option<(Uuid, Timestamp, [u8; NONCE_LEN])> {
    let (version, rest) = header.split_first_chunk::<VERSION_BYTES>()?;
    let (session, rest) = rest.split_first_chunk::<UUID_BYTES>()?;
    let (end, nonce) = rest.split_first_chunk::<END_BYTES>()?;
    let read = (
        Uuid::from_bytes(*session),
        Timestamp::from_unix_ms(i64::from_be_bytes(*end)),
        nonce.try_into().ok()?,
    );
    (*version == [VERSION]).then_some(read)
}

/// The key of one session.
fn cipher(key: &MacKey, session: Uuid) -> Option<LessSafeKey> {
    let bytes = Zeroizing::new(key.tag(KEY, &[session.as_bytes()]));
    let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}

fn authenticated(purpose: &Purpose<'_>, header: &[u8]) -> Vec<u8> {
    length_prefixed(&[
        purpose.environment.name().as_bytes(),
        purpose.account.as_bytes(),
        purpose.token.to_string().as_bytes(),
        header,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_400_000_000);

    fn key() -> MacKey {
        MacKey::parse(MacKey::generate().as_bytes()).unwrap()
    }

    fn purpose(token: TokenId) -> Purpose<'static> {
        Purpose {
            environment: Environment::Test,
            account: "default",
            token,
        }
    }

    #[test]
    fn what_is_handed_over_opens_for_its_purpose_and_for_nothing_else() {
        let (key, another_key) = (key(), key());
        let token = TokenId::new(Environment::Test, NOW);
        let session = SessionId::new(Environment::Test, NOW);
        let here = purpose(token);
        let end = NOW.plus_s(900);
        let text = hand_over(&key, &here, (session, end), b"a name").unwrap();
        assert_eq!(text.len(), HANDOVER_CHARS);
        let opened = take_over(&key, &here, &text).unwrap();
        assert_eq!(opened.expose(), b"a name");
        assert_eq!((opened.session, opened.expires_at), (session, end));

        let another = TokenId::new(Environment::Test, NOW);
        let elsewhere = [
            purpose(another),
            Purpose {
                account: "other",
                ..here
            },
            Purpose {
                environment: Environment::Live,
                ..here
            },
        ];
        for elsewhere in &elsewhere {
            assert!(take_over(&key, elsewhere, &text).is_err());
        }
        assert!(take_over(&another_key, &here, &text).is_err());
    }

    #[test]
    fn an_altered_value_does_not_open() {
        let key = key();
        let here = purpose(TokenId::new(Environment::Test, NOW));
        let session = SessionId::new(Environment::Test, NOW);
        let text = hand_over(&key, &here, (session, NOW), b"a name").unwrap();
        let whole = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            let altered = BASE64_URL_SAFE_NO_PAD.encode(altered);
            assert!(take_over(&key, &here, &altered).is_err(), "{place}");
        }
        let shorter = text.split_at(1).1;
        for text in ["", "x", shorter, &format!("{text}A")] {
            assert!(take_over(&key, &here, text).is_err());
        }
    }

    #[test]
    fn every_value_has_one_length_and_none_is_longer() {
        let key = key();
        let here = purpose(TokenId::new(Environment::Test, NOW));
        let session = SessionId::new(Environment::Test, NOW);
        let longest = [b'a'; HANDOVER_PAYLOAD_BYTES_MAX];
        for payload in [b"".as_slice(), b"a", &longest] {
            let text = hand_over(&key, &here, (session, NOW), payload).unwrap();
            assert_eq!(text.len(), HANDOVER_CHARS);
            assert_eq!(take_over(&key, &here, &text).unwrap().expose(), payload);
        }
        let longer = [b'a'; HANDOVER_PAYLOAD_BYTES_MAX + 1];
        assert!(hand_over(&key, &here, (session, NOW), &longer).is_err());
    }
}
