//! The primary account number (PAN): 14 to 19 digits that a network issues and that pass Luhn's
//! check.
//!
//! The digits live in one heap buffer of fixed capacity, wiped on drop. They leave it through
//! [`Pan::expose`] alone; each call of that is a place to look at in a review.

use std::fmt;

use zeroize::Zeroizing;

use super::Reason;
use super::brand::Brand;

/// A card number.
///
/// It can be read where its reader says so:
/// ```
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// let text = pan.expose();
/// # assert_eq!(text.len(), 16);
/// ```
/// It cannot be copied:
/// ```compile_fail,E0599
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// let text = pan.clone();
/// ```
/// turned into text:
/// ```compile_fail,E0599
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// let text = pan.to_string();
/// ```
/// Its debug form tells nothing,
/// ```
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// assert_eq!(format!("{:?}", pan), "Pan(..)");
/// ```
/// and there is no other:
/// ```compile_fail,E0277
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// assert_eq!(format!("{}", pan), "Pan(..)");
/// ```
/// Its brand can be serialized by name and compared,
/// ```
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// serde_json::to_string(&pan.brand().name()).unwrap();
/// let _ = pan.brand() == pan.brand();
/// ```
/// the number neither serialized
/// ```compile_fail,E0277
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// serde_json::to_string(&pan).unwrap();
/// ```
/// nor compared (an equality is one step from a lookup table):
/// ```compile_fail,E0369
/// let pan = cloakroom::card::Pan::parse("4242 4242 4242 4242").unwrap();
/// let _ = pan == pan;
/// ```
pub struct Pan {
    // Never grows past its first capacity: a reallocation would leave a copy behind.
    digits: Zeroizing<String>,
    brand: Brand,
}

impl Pan {
    /// The shortest number that any network issues (Diners Club).
    pub const DIGITS_MIN: usize = 14;
    /// The longest that ISO/IEC 7812-1 allows.
    pub const DIGITS_MAX: usize = 19;

    /// Reads a number as people type it: ASCII digits, with single spaces or hyphens between two
    /// digits. Separators at either end, doubled ones and any other character are refused, because
    /// what a form cleans up for its user, an API takes as a sign of something else.
    ///
    /// At most twice as many bytes as there can be digits are looked at, however long the text is.
    ///
    /// # Errors
    /// [`Reason::NotDigits`], [`Reason::Length`] or [`Reason::Checksum`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let mut digits = Zeroizing::new(String::with_capacity(Self::DIGITS_MAX));
        let mut after_digit = false;
        for letter in text.bytes() {
            match letter {
                b'0'..=b'9' if digits.len() == Self::DIGITS_MAX => return Err(Reason::Length),
                b'0'..=b'9' => {
                    digits.push(char::from(letter));
                    after_digit = true;
                }
                b' ' | b'-' if after_digit => after_digit = false,
                _ => return Err(Reason::NotDigits),
            }
        }
        if !after_digit && !digits.is_empty() {
            return Err(Reason::NotDigits);
        }
        let brand = Brand::of(digits.bytes());
        if !Brand::is_issued(digits.bytes()) {
            return Err(Reason::Length);
        }
        if !passes_luhn(digits.bytes()) {
            return Err(Reason::Checksum);
        }
        Ok(Self { digits, brand })
    }

    /// The digits, without separators. For the processor's request and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.digits
    }

    /// The network that the number's first digits belong to.
    #[must_use]
    pub const fn brand(&self) -> Brand {
        self.brand
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pan(..)")
    }
}

/// Luhn's "modulus 10 double-add-double" check (ISO/IEC 7812-1, annex B) over ASCII digits.
pub(super) fn passes_luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let (sum, _) = digits.rev().fold((0_u32, false), |(sum, double), digit| {
        let value = u32::from(digit.saturating_sub(b'0'));
        let value = match (double, value) {
            (false, value) => value,
            (true, 0..=4) => value.saturating_mul(2),
            // The digits of the doubled value, added: 2v - 9.
            (true, _) => value.saturating_mul(2).saturating_sub(9),
        };
        (sum.saturating_add(value), !double)
    });
    sum % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reason::{Checksum, Length, NotDigits};

    #[test]
    fn spaces_and_hyphens_between_digits_are_how_people_type() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "4242-4242 4242-4242",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        ] {
            let pan = Pan::parse(text).unwrap();
            assert_eq!(pan.expose(), "4242424242424242", "{text}");
            assert_eq!(pan.brand(), Brand::Visa);
        }
    }

    #[test]
    fn a_buffer_is_never_outgrown() {
        let pan = Pan::parse("6205500000000000004").unwrap();
        assert_eq!(pan.expose().len(), Pan::DIGITS_MAX);
        assert_eq!(pan.digits.capacity(), Pan::DIGITS_MAX);
    }

    #[test]
    fn hostile_input_is_refused_with_the_right_reason() {
        let digits_20 = "4".repeat(20);
        let huge_digits = "4".repeat(1 << 20);
        let huge_spaces = " ".repeat(1 << 20);
        let table: [(&str, Reason); 36] = [
            ("", Length),
            ("4", Length),
            ("42424242424", Length),
            (&digits_20, Length),
            (&huge_digits, Length),
            (&huge_spaces, NotDigits),
            (" ", NotDigits),
            ("-", NotDigits),
            (" 4242424242424242", NotDigits),
            ("4242424242424242 ", NotDigits),
            ("-4242424242424242", NotDigits),
            ("4242424242424242-", NotDigits),
            ("4242  4242 4242 4242", NotDigits),
            ("4242--4242-4242-4242", NotDigits),
            ("4242 -4242-4242-4242", NotDigits),
            ("4242\t4242\t4242\t4242", NotDigits),
            ("4242\n4242\n4242\n4242", NotDigits),
            ("4242.4242.4242.4242", NotDigits),
            ("4242_4242_4242_4242", NotDigits),
            ("4242\u{a0}4242\u{a0}4242\u{a0}4242", NotDigits),
            ("4242\u{2013}4242\u{2013}4242\u{2013}4242", NotDigits),
            ("4242424242424242\0", NotDigits),
            ("\x004242424242424242", NotDigits),
            ("42424242\u{200b}42424242", NotDigits),
            ("\u{feff}4242424242424242", NotDigits),
            ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", NotDigits),
            ("４２４２４２４２４２４２４２４２", NotDigits),
            ("४२४२४२४२४२४२४२४२", NotDigits),
            ("4242424242424x42", NotDigits),
            ("0x4242424242424242", NotDigits),
            ("+4242424242424242", NotDigits),
            ("4.242424242424242e15", NotDigits),
            ("4242424242424241", Checksum),
            ("4242424242424224", Checksum),
            // A Visa number has 16 or 19 digits, whatever its checksum says.
            ("42424242424242", Length),
            // American Express has fifteen.
            ("3782822463100050", Length),
        ];
        for (text, reason) in table {
            let shown: String = text.chars().take(24).collect();
            assert_eq!(Pan::parse(text).unwrap_err(), reason, "{shown:?}");
        }
    }

    #[test]
    fn any_one_wrong_digit_is_seen() {
        let good = "4242424242424242";
        for place in 1..good.len() {
            for digit in '0'..='9' {
                let mut text = good.to_owned();
                text.replace_range(place..=place, &digit.to_string());
                assert_eq!(Pan::parse(&text).is_ok(), text == good, "{place}");
            }
        }
    }
}
