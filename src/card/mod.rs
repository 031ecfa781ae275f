//! Cards: parsed once, never printed, wiped on drop.
//!
//! A [`Card`] exists between the request's body and the processor's answer. Its number and its CVC
//! sit in buffers of fixed capacity on the heap, which are wiped when they are dropped and never
//! grow, so that no copy is left behind. Neither can be cloned, compared, displayed or serialized;
//! the doctests of [`Pan`] and [`Cvc`] prove it. What must never happen here: a digit in an error,
//! in a log or in anything that outlives the call. Read [`pan`] next, and [`scan`] for how card
//! numbers are found where they must not be.

pub mod brand;
pub mod cvc;
pub mod expiry;
pub mod pan;
pub mod scan;

use std::fmt;

pub use brand::Brand;
pub use cvc::Cvc;
pub use expiry::Expiry;
pub use pan::Pan;

use crate::clock::Timestamp;

/// A card as it came over the wire: borrowed from the request's wiped buffer, nothing checked yet.
pub struct RawCard<'a> {
    /// The number as typed.
    pub number: &'a str,
    /// Month of expiry.
    pub exp_month: u8,
    /// Year of expiry.
    pub exp_year: u16,
    /// The verification code as typed.
    pub cvc: &'a str,
}

impl fmt::Debug for RawCard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawCard(..)")
    }
}

/// A card that could be one: every part is well formed and they fit together.
pub struct Card {
    /// The primary account number.
    pub number: Pan,
    /// The last month in which the card is good.
    pub expiry: Expiry,
    /// The verification code. PCI DSS 3.3.1: it is gone once the processor has answered.
    pub cvc: Cvc,
}

impl Card {
    /// Reads a card, and says everything that is wrong with it at once.
    ///
    /// # Errors
    /// One [`Fault`] for each field that cannot be right: where and why, never what.
    pub fn parse(raw: &RawCard<'_>, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let number = Pan::parse(raw.number);
        // The length of a CVC depends on the brand; of a number that is none, nothing is known.
        let brand = number.as_ref().map_or(Brand::Unknown, Pan::brand);
        let expiry = Expiry::parse(raw.exp_month, raw.exp_year, now);
        let cvc = Cvc::parse(raw.cvc, brand);
        match (number, expiry, cvc) {
            (Ok(number), Ok(expiry), Ok(cvc)) => Ok(Self {
                number,
                expiry,
                cvc,
            }),
            (number, expiry, cvc) => Err([
                number.err().map(|reason| Fault::new(Field::Number, reason)),
                cvc.err().map(|reason| Fault::new(Field::Cvc, reason)),
            ]
            .into_iter()
            .flatten()
            .chain(expiry.err().into_iter().flatten())
            .collect()),
        }
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card(..)")
    }
}

/// What is wrong with one field of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub field: Field,
    /// Why. Never the value.
    pub reason: Reason,
}

impl Fault {
    /// That field, for that reason.
    #[must_use]
    pub const fn new(field: Field, reason: Reason) -> Self {
        Self { field, reason }
    }
}

/// A field of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The primary account number.
    Number,
    /// Month of expiry.
    ExpMonth,
    /// Year of expiry.
    ExpYear,
    /// The verification code.
    Cvc,
}

impl Field {
    /// Where the field stands in the body of `POST /v1/tokens` (JSON Pointer, RFC 6901).
    #[must_use]
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Number => "/card/number",
            Self::ExpMonth => "/card/exp_month",
            Self::ExpYear => "/card/exp_year",
            Self::Cvc => "/card/cvc",
        }
    }
}

/// Why a field is refused: a closed set, so that no answer can carry a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Something other than digits (and, in a number, single separators between them).
    #[error("not only digits")]
    NotDigits,
    /// A number of digits that this brand, or no brand, has.
    #[error("not a possible number of digits")]
    Length,
    /// The last digit does not fit the others (ISO/IEC 7812-1, annex B).
    #[error("the check digit does not fit")]
    Checksum,
    /// A month or a year that cannot be.
    #[error("out of range")]
    OutOfRange,
    /// The card was good, once.
    #[error("expired")]
    Expired,
}

impl Reason {
    /// The reason's stable name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDigits => "not_digits",
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::OutOfRange => "out_of_range",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-11-23.
    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_400_000_000);

    fn raw<'a>(number: &'a str, exp_month: u8, exp_year: u16, cvc: &'a str) -> RawCard<'a> {
        RawCard {
            number,
            exp_month,
            exp_year,
            cvc,
        }
    }

    #[test]
    fn a_good_card_parses_and_says_nothing_when_printed() {
        let raw = raw("4242 4242 4242 4242", 12, 2030, "123");
        let card = Card::parse(&raw, NOW).unwrap();
        assert_eq!(card.number.expose(), "4242424242424242");
        assert_eq!((card.expiry.month(), card.expiry.year()), (12, 2030));
        assert_eq!(card.cvc.expose(), "123");
        assert_eq!(format!("{card:?}{raw:?}"), "Card(..)RawCard(..)");
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place() {
        let faults = Card::parse(&raw("4242424242424241", 13, 9999, "12x"), NOW).unwrap_err();
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.field.pointer(), fault.reason.name()))
            .collect();
        assert_eq!(
            told,
            [
                ("/card/number", "checksum"),
                ("/card/cvc", "not_digits"),
                ("/card/exp_month", "out_of_range"),
                ("/card/exp_year", "out_of_range"),
            ]
        );
    }

    #[test]
    fn the_code_has_four_digits_on_american_express_and_three_elsewhere() {
        let amex = "378282246310005";
        assert!(Card::parse(&raw(amex, 1, 2027, "1234"), NOW).is_ok());
        let visa = "4242424242424242";
        for (number, cvc) in [(amex, "123"), (visa, "1234")] {
            assert_eq!(
                Card::parse(&raw(number, 1, 2027, cvc), NOW).unwrap_err(),
                [Fault::new(Field::Cvc, Reason::Length)]
            );
        }
    }

    #[test]
    fn a_code_is_not_blamed_for_a_number_that_is_none() {
        assert_eq!(
            Card::parse(&raw("no", 1, 2027, "1234"), NOW).unwrap_err(),
            [Fault::new(Field::Number, Reason::NotDigits)]
        );
    }
}
