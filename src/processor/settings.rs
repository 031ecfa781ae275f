//! How a processor is reached, and the key that it knows us by.

use std::fmt;
use std::path::PathBuf;

use url::Url;
use zeroize::Zeroizing;

use super::Limits;
use crate::net::trust::SpkiPin;
use crate::telemetry::Plane;
use crate::token::Environment;

/// How a processor is reached.
#[derive(Debug)]
pub struct Settings {
    /// `https` only: `https://api.stripe.com`.
    pub base_url: Url,
    /// What the processor knows us by.
    pub secret_key: SecretKey,
    /// The only certificate authorities trusted, PEM; without it, the machine's.
    pub ca_file: Option<PathBuf>,
    /// Public keys of which one must be in the processor's chain; with none, any key will do.
    pub spki_pins: Vec<SpkiPin>,
    /// For one call with all its attempts, from start to the answer's last byte.
    pub request_timeout_ms: u32,
    /// For reaching one of the processor's addresses.
    pub connect_timeout_ms: u32,
    /// Connections kept open without a request on them.
    pub pool_idle_connections_max: usize,
    /// A longer answer is not read.
    pub answer_bytes_max: u32,
    /// The connected account on whose behalf calls are made.
    pub account: Option<String>,
    /// How much is asked of it at most.
    pub limits: Limits,
}

/// Settings that cannot make a safe connection.
#[derive(Debug, thiserror::Error)]
pub enum SetupRefused {
    /// Card numbers go over TLS only.
    #[error("the processor's base URL must be https, without user, query and fragment")]
    BaseUrl,
    /// The connected account's id has another form.
    #[error("the processor's account is not an account id")]
    Account,
    /// Nobody can be trusted.
    #[error("the processor: {0}")]
    Trust(#[from] crate::net::trust::Refused),
}

/// The key by which the processor knows us. Wiped on drop, never printed, never copied:
///
/// ```compile_fail,E0599
/// let key = cloakroom::processor::SecretKey::parse("sk_test_1").unwrap();
/// let _copy = key.clone();
/// ```
/// ```compile_fail,E0277
/// let key = cloakroom::processor::SecretKey::parse("sk_test_1").unwrap();
/// let _text = format!("{key}");
/// ```
pub struct SecretKey(Zeroizing<String>);

/// Not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the processor's secret key is 1 to 255 visible ASCII characters on one line")]
pub struct SecretKeyRefused;

impl SecretKey {
    /// No key is longer.
    pub const LENGTH_MAX: usize = 255;

    /// Takes a key as text.
    ///
    /// # Errors
    /// [`SecretKeyRefused`], which tells nothing of the text.
    pub fn parse(text: &str) -> Result<Self, SecretKeyRefused> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(SecretKeyRefused)
        }
    }

    /// Why this key does not belong to that plane in that environment, if it does not. Stripe's keys
    /// say in their first letters what they are; what says nothing is taken.
    #[must_use]
    pub fn misplaced(&self, plane: Plane, environment: Environment) -> Option<&'static str> {
        let of = |mode: &str| ["sk_", "rk_"].iter().any(|kind| self.begins(kind, mode));
        match environment {
            Environment::Live if of("test_") => Some("a key of the test mode does not serve live"),
            Environment::Test if of("live_") => {
                Some("a key of the live mode moves real money, and this is the test environment")
            }
            Environment::Live if plane == Plane::Capture && self.is_unrestricted() => Some(
                "the capture plane takes a restricted key (rk_), never one that may do everything \
                 (sk_)",
            ),
            Environment::Live | Environment::Test => None,
        }
    }

    /// Whether it may do everything, as far as it says.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.0.starts_with("sk_")
    }

    fn begins(&self, kind: &str, mode: &str) -> bool {
        let rest = self.0.strip_prefix(kind);
        rest.is_some_and(|rest| rest.starts_with(mode))
    }

    /// The key itself, for the one header that carries it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        for text in ["", "\n", "sk test", "sk_1\nsk_2", "sk_\u{e9}", &long] {
            assert_eq!(SecretKey::parse(text).unwrap_err(), SecretKeyRefused);
        }
        assert_eq!(
            SecretKey::parse(&"k".repeat(255)).unwrap().expose().len(),
            255
        );
    }

    #[test]
    fn a_key_of_the_wrong_kind_or_mode_is_misplaced() {
        use Environment::{Live, Test};
        use Plane::{Capture, Internal};
        for (text, plane, environment, fits) in [
            ("rk_live_1", Capture, Live, true),
            ("sk_live_1", Capture, Live, false),
            ("sk_org_live_1", Capture, Live, false),
            ("rk_test_1", Capture, Live, false),
            ("sk_live_1", Internal, Live, true),
            ("rk_live_1", Internal, Live, true),
            ("sk_test_1", Internal, Live, false),
            ("sk_test_1", Internal, Test, true),
            ("sk_test_1", Capture, Test, true),
            ("rk_live_1", Capture, Test, false),
            ("sk_live_1", Internal, Test, false),
            ("of another processor", Capture, Live, true),
        ] {
            let key = SecretKey(Zeroizing::new(text.to_owned()));
            let misplaced = key.misplaced(plane, environment);
            assert_eq!(misplaced.is_none(), fits, "{text} {plane:?}");
        }
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        let key = SecretKey::parse("sk_test_1").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }
}
