//! The signature of a notice: the `v1` scheme of
//! <https://docs.stripe.com/webhooks#verify-manually>.
//!
//! HMAC-SHA-256 over the time, a full stop and the body as it came. While a secret is rotated the
//! header carries a signature of each, and any of ours with any of them is enough.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

use super::NoticeRefused;

/// Bytes of a signature header; each secret in use adds some ninety.
const SIGNATURE_BYTES_MAX: usize = 4_096;
/// Bytes of a secret.
const SECRET_BYTES_MAX: usize = 256;

/// The secret of one endpoint at which Stripe tells: `whsec_…`, wiped on drop.
pub struct WebhookSecret(Zeroizing<String>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Not a webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret begins with whsec_ and has 16 to 256 printable characters")]
pub struct WebhookSecretRefused;

impl WebhookSecret {
    /// Reads a secret as Stripe shows it.
    ///
    /// # Errors
    /// [`WebhookSecretRefused`].
    pub fn parse(text: &str) -> Result<Self, WebhookSecretRefused> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let long = (16..=SECRET_BYTES_MAX).contains(&text.len());
        if text.starts_with("whsec_") && plain && long {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(WebhookSecretRefused)
        }
    }
}

/// When it was signed, in seconds, if a secret of ours did.
pub(super) fn verify(
    secrets: &[WebhookSecret],
    header: &str,
    body: &[u8],
) -> Result<i64, NoticeRefused> {
    const REFUSED: NoticeRefused = NoticeRefused::Signature;
    if header.len() > SIGNATURE_BYTES_MAX {
        return Err(REFUSED);
    }
    let pairs = || {
        header
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
    };
    let mut times = pairs().filter(|(name, _)| *name == "t");
    let (_, time) = times.next().ok_or(REFUSED)?;
    let signed_at_s: i64 = time.parse().map_err(|_| REFUSED)?;
    // Two times would leave open which one was signed.
    if times.next().is_some() {
        return Err(REFUSED);
    }
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(time.as_bytes());
        context.update(b".");
        context.update(body);
        let expected = context.sign();
        for (_, given) in pairs().filter(|(name, _)| *name == "v1") {
            let given = unhex(given);
            let equal = given.is_some_and(|given| {
                constant_time::verify_slices_are_equal(&given, expected.as_ref()).is_ok()
            });
            if equal {
                return Ok(signed_at_s);
            }
        }
    }
    Err(REFUSED)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 || !text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
