//! The card verification code: sensitive authentication data.
//!
//! PCI DSS 3.3.1.2: it is not kept after authorization. It goes into the one request that makes
//! the processor's token and nowhere else.

use std::fmt;

use zeroize::Zeroizing;

use super::Reason;
use super::brand::Brand;

/// A verification code (CVC2, CVV2, CID).
///
/// It can be read where its reader says so:
/// ```
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// let text = cvc.expose();
/// # assert_eq!(text, "123");
/// # assert_eq!(format!("{cvc:?}"), "Cvc(..)");
/// ```
/// It cannot be copied:
/// ```compile_fail,E0599
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// let text = cvc.clone();
/// ```
/// turned into text:
/// ```compile_fail,E0599
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// let text = cvc.to_string();
/// ```
/// Serializing works for what is not a secret,
/// ```
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// serde_json::to_string(&cvc.expose().len()).unwrap();
/// let _ = cvc.expose().len() == cvc.expose().len();
/// ```
/// not for the code, which cannot be
/// ```compile_fail,E0277
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// serde_json::to_string(&cvc).unwrap();
/// ```
/// compared either:
/// ```compile_fail,E0369
/// use cloakroom::card::{Brand, Cvc};
/// let cvc = Cvc::parse("123", Brand::Visa).unwrap();
/// let _ = cvc == cvc;
/// ```
pub struct Cvc(Zeroizing<String>);

impl Cvc {
    /// American Express prints four digits, everybody else three.
    pub const DIGITS_MAX: usize = 4;

    /// Reads the code of a card of that brand: ASCII digits and nothing else.
    ///
    /// # Errors
    /// [`Reason::NotDigits`] or [`Reason::Length`].
    pub fn parse(text: &str, brand: Brand) -> Result<Self, Reason> {
        // Bounded before it is looked at: what is longer is no code, whatever it is made of.
        if text.len() > Self::DIGITS_MAX && text.bytes().take(32).all(|b| b.is_ascii_digit()) {
            return Err(Reason::Length);
        }
        if text.len() > Self::DIGITS_MAX || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Reason::NotDigits);
        }
        if !brand.has_cvc_length(text.len()) {
            return Err(Reason::Length);
        }
        let mut digits = Zeroizing::new(String::with_capacity(Self::DIGITS_MAX));
        digits.push_str(text);
        Ok(Self(digits))
    }

    /// The digits. For the processor's request and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cvc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cvc(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_the_length_of_its_brand() {
        let brands = [
            Brand::Visa,
            Brand::Mastercard,
            Brand::Amex,
            Brand::Discover,
            Brand::Diners,
            Brand::Jcb,
            Brand::UnionPay,
            Brand::Maestro,
            Brand::Unknown,
        ];
        for brand in brands {
            let four_digits = matches!(brand, Brand::Amex | Brand::Unknown);
            let three_digits = brand != Brand::Amex;
            let three = Cvc::parse("012", brand).is_ok();
            let four = Cvc::parse("0123", brand).is_ok();
            assert_eq!((three, four), (three_digits, four_digits), "{brand:?}");
        }
    }

    #[test]
    fn hostile_codes_are_refused_with_the_right_reason() {
        let huge = "1".repeat(1 << 20);
        for (text, reason) in [
            ("", Reason::Length),
            ("1", Reason::Length),
            ("12", Reason::Length),
            ("12345", Reason::Length),
            (huge.as_str(), Reason::Length),
            ("12x", Reason::NotDigits),
            (" 12", Reason::NotDigits),
            ("123 ", Reason::NotDigits),
            ("1-2", Reason::NotDigits),
            ("-12", Reason::NotDigits),
            ("+12", Reason::NotDigits),
            ("12\0", Reason::NotDigits),
            ("12\n", Reason::NotDigits),
            ("1.2", Reason::NotDigits),
            ("0x1", Reason::NotDigits),
            ("١٢٣", Reason::NotDigits),
            ("１２３", Reason::NotDigits),
            ("not a code at all", Reason::NotDigits),
        ] {
            let shown: String = text.chars().take(8).collect();
            assert_eq!(
                Cvc::parse(text, Brand::Visa).unwrap_err(),
                reason,
                "{shown:?}"
            );
        }
    }

    #[test]
    fn a_buffer_is_never_outgrown() {
        let cvc = Cvc::parse("1234", Brand::Amex).unwrap();
        assert_eq!(cvc.0.capacity(), Cvc::DIGITS_MAX);
    }
}
