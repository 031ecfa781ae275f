//! Brands: which network a number belongs to, by its first digits, and what that demands of it.
//!
//! ISO/IEC 7812-1 puts an issuer identification number (IIN) at the front of each card number; the
//! networks publish the ranges that are theirs. The table is drawn from those publications: Visa;
//! Mastercard (with the 2-series of 2017 and Maestro); American Express; the Discover Global
//! Network, which also lists Diners Club, JCB and `UnionPay`. It decides lengths and what a form
//! shows. Which network is charged is the processor's decision. Networks of single countries have a
//! table of their own, without names: their numbers are taken, and found where they must not be.

use std::ops::RangeInclusive;

use super::pan::Pan;

/// A card network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Brand {
    /// Visa.
    Visa,
    /// Mastercard.
    Mastercard,
    /// American Express.
    Amex,
    /// Discover.
    Discover,
    /// Diners Club.
    Diners,
    /// JCB.
    Jcb,
    /// `UnionPay`.
    UnionPay,
    /// Maestro, Mastercard's debit brand.
    Maestro,
    /// None of the above; the processor decides.
    Unknown,
}

/// The first six digits, and whose they are. No two rows overlap (a test asserts it).
const IIN_RANGES: [(RangeInclusive<u32>, Brand); 18] = [
    (222_100..=272_099, Brand::Mastercard),
    (300_000..=305_999, Brand::Diners),
    (309_500..=309_599, Brand::Diners),
    (340_000..=349_999, Brand::Amex),
    (352_800..=358_999, Brand::Jcb),
    (360_000..=369_999, Brand::Diners),
    (370_000..=379_999, Brand::Amex),
    (380_000..=399_999, Brand::Diners),
    (400_000..=499_999, Brand::Visa),
    (500_000..=509_999, Brand::Maestro),
    (510_000..=559_999, Brand::Mastercard),
    (560_000..=589_999, Brand::Maestro),
    (601_100..=601_199, Brand::Discover),
    // With 622126-622925, which Discover routes in its own region: the card says UnionPay.
    (620_000..=629_999, Brand::UnionPay),
    (630_000..=639_999, Brand::Maestro),
    (644_000..=659_999, Brand::Discover),
    (670_000..=679_999, Brand::Maestro),
    (810_000..=817_199, Brand::UnionPay),
];

/// Numbers of networks that have no name here: the first six digits, and how many there are.
const UNNAMED: [(RangeInclusive<u32>, RangeInclusive<usize>); 14] = [
    // Mir (2200 to 2204), BORICA and PayPak (2205).
    (220_000..=220_599, 16..=19),
    // Carnet.
    (286_900..=286_999, 16..=16),
    // Hipercard (606282), RuPay (606985 to 608500), Cabal, UkrCard and stores' own cards.
    (600_000..=601_099, 16..=16),
    (601_200..=609_999, 16..=16),
    // RuPay.
    (817_200..=829_999, 16..=16),
    // UzCard.
    (860_000..=860_099, 16..=16),
    // ArCa.
    (905_100..=905_199, 16..=16),
    // Belkart.
    (911_200..=911_299, 16..=16),
    // Elcart.
    (941_700..=941_799, 16..=16),
    // mada.
    (968_200..=968_299, 16..=16),
    // NAPAS.
    (970_400..=970_499, 16..=19),
    // Troy.
    (979_200..=979_299, 16..=16),
    // Humo.
    (986_000..=986_099, 16..=16),
    // DinaCard.
    (989_100..=989_199, 16..=16),
];

impl Brand {
    /// Whether a network issues numbers with these ASCII digits' beginning and length. Whatever a
    /// form takes passes this, and so does whatever a search finds.
    pub(super) fn is_issued(digits: impl Iterator<Item = u8> + Clone) -> bool {
        let length = digits.clone().count();
        match Self::of(digits.clone()) {
            Self::Unknown => iin(digits).is_some_and(|iin| {
                UNNAMED
                    .iter()
                    .any(|(range, lengths)| range.contains(&iin) && lengths.contains(&length))
            }),
            named @ (Self::Visa
            | Self::Mastercard
            | Self::Amex
            | Self::Discover
            | Self::Diners
            | Self::Jcb
            | Self::UnionPay
            | Self::Maestro) => named.has_length(length),
        }
    }

    /// The brand of a number with these ASCII digits. Fewer than six say nothing.
    pub(super) fn of(digits: impl Iterator<Item = u8>) -> Self {
        let Some(iin) = iin(digits) else {
            return Self::Unknown;
        };
        IIN_RANGES
            .iter()
            .find(|(range, _)| range.contains(&iin))
            .map_or(Self::Unknown, |&(_, brand)| brand)
    }

    /// Whether a number of this brand can have so many digits.
    #[must_use]
    pub fn has_length(self, digits: usize) -> bool {
        match self {
            // Visas of thirteen digits have not been issued for twenty years; shops' ids have.
            Self::Visa => matches!(digits, 16 | 19),
            Self::Mastercard => digits == 16,
            Self::Amex => digits == 15,
            Self::Discover | Self::Jcb => (16..=Pan::DIGITS_MAX).contains(&digits),
            Self::Diners => (Pan::DIGITS_MIN..=Pan::DIGITS_MAX).contains(&digits),
            // The networks allow 13 and 12 and up; no issuer has used fewer than sixteen for years.
            Self::UnionPay | Self::Maestro | Self::Unknown => {
                (16..=Pan::DIGITS_MAX).contains(&digits)
            }
        }
    }

    /// Whether a verification code of this brand can have so many digits.
    #[must_use]
    pub fn has_cvc_length(self, digits: usize) -> bool {
        match self.cvc_digits() {
            Some(known) => digits == known,
            None => matches!(digits, 3 | 4),
        }
    }

    /// The digits of a verification code of this brand, where all have the same number.
    #[must_use]
    pub const fn cvc_digits(self) -> Option<usize> {
        match self {
            Self::Amex => Some(4),
            Self::Unknown => None,
            Self::Visa
            | Self::Mastercard
            | Self::Discover
            | Self::Diners
            | Self::Jcb
            | Self::UnionPay
            | Self::Maestro => Some(3),
        }
    }

    /// The brand of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        [
            Self::Visa,
            Self::Mastercard,
            Self::Amex,
            Self::Discover,
            Self::Diners,
            Self::Jcb,
            Self::UnionPay,
        ]
        .into_iter()
        .find(|brand| brand.name() == name)
        .unwrap_or(Self::Unknown)
    }

    /// The brand's name as Stripe's `card.brand` says it, so that what a form guesses and what the
    /// processor tells read alike. Stripe's closed list has no name for Maestro.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
            Self::Discover => "discover",
            Self::Diners => "diners",
            Self::Jcb => "jcb",
            Self::UnionPay => "unionpay",
            Self::Maestro | Self::Unknown => "unknown",
        }
    }
}

/// The first six of these ASCII digits, as a number. Fewer say nothing.
fn iin(digits: impl Iterator<Item = u8>) -> Option<u32> {
    let mut count = 0_u8;
    let iin = digits.take(6).fold(0_u32, |iin, digit| {
        count = count.saturating_add(1);
        iin.saturating_mul(10)
            .saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    (count == 6).then_some(iin)
}

#[cfg(test)]
mod tests {
    use super::super::{Pan, Reason};
    use super::*;

    #[test]
    fn the_form_in_the_browser_has_the_same_table() {
        let source = include_str!("../../web/card.js");
        let rows = source.split("const RANGES = [").nth(1).unwrap();
        let rows: Vec<String> = rows
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("  ["))
            .map(|line| line.trim().to_owned())
            .collect();
        let ours: Vec<String> = IIN_RANGES
            .iter()
            .map(|(range, brand)| {
                let name = if *brand == Brand::Maestro {
                    "maestro"
                } else {
                    brand.name()
                };
                format!("[{}, {}, \"{name}\"],", range.start(), range.end())
            })
            .collect();
        assert_eq!(rows, ours);
    }

    /// Stripe's published test numbers (<https://docs.stripe.com/testing>): by brand, by country,
    /// for declines, for 3-D Secure.
    const STRIPE: [(&str, &[&str]); 7] = [
        (
            "visa",
            &[
                "4242424242424242",
                "4000056655665556",
                "4000002500003155",
                "4000002760003184",
                "4000003800000446",
                "4000000000003220",
                "4000000000003055",
                "4000000000003063",
                "4000000000000002",
                "4000000000009995",
                "4000000000009987",
                "4000000000009979",
                "4000000000000069",
                "4000000000000127",
                "4000000000000119",
                "4000000000006975",
                "4000000000000341",
                "4100000000000019",
                "4000000000004954",
                "4000000000009235",
                "4000000000004236",
                "4000000000000101",
                "4000000000000036",
                "4000000000000028",
                "4000000000000010",
                "4000000000000259",
                "4000000000002685",
                "4000000000001976",
                "4000000000000077",
                "4000000000003725",
                "4000000000003089",
                "4000008400001629",
                "4000008260003178",
                "4000000000003238",
                "4000008400001280",
                "4000000000003097",
                "4000000320000021",
                "4000000760000002",
                "4000001240000000",
                "4000001520000001",
                "4000001700000003",
                "4000001880000005",
                "4000002180000000",
                "4000004840008001",
                "4000002760000016",
                "4000008260000000",
                "4000000360000006",
                "4000001560000002",
                "4000003920000003",
                "4000003560000008",
            ],
        ),
        (
            "mastercard",
            &[
                "5555555555554444",
                "2223003122003222",
                "5200828282828210",
                "5105105105105100",
            ],
        ),
        ("amex", &["378282246310005", "371449635398431"]),
        (
            "discover",
            // The last is Stripe's number for BCcard and DinaCard, which Discover routes.
            &[
                "6011111111111117",
                "6011000990139424",
                "6011981111111113",
                "6555900000604105",
            ],
        ),
        ("diners", &["3056930009020004", "36227206271667"]),
        ("jcb", &["3566002020360505"]),
        (
            "unionpay",
            &[
                "6200000000000005",
                "6200000000000047",
                "6205500000000000004",
            ],
        ),
    ];

    #[test]
    fn every_published_stripe_test_number_parses_with_its_brand() {
        for (brand, numbers) in STRIPE {
            for number in numbers {
                let pan = Pan::parse(number).unwrap_or_else(|why| panic!("{number}: {why}"));
                assert_eq!(pan.brand().name(), brand, "{number}");
                assert_eq!(pan.expose(), *number);
            }
        }
    }

    #[test]
    fn other_networks_published_test_numbers_parse_with_their_brand() {
        for (number, brand) in [
            ("30569309025904", Brand::Diners),
            ("38520000023237", Brand::Diners),
            ("3530111333300000", Brand::Jcb),
            ("6304000000000000", Brand::Maestro),
            ("6759649826438453", Brand::Maestro),
            ("6771830000000000006", Brand::Maestro),
            ("5019717010103742", Brand::Maestro),
            // Mir, RuPay, Troy, Hipercard.
            ("2200000000000004", Brand::Unknown),
            ("8200000000000001", Brand::Unknown),
            ("9792030000000000", Brand::Unknown),
            ("6062825624254001", Brand::Unknown),
        ] {
            assert_eq!(
                Pan::parse(number).map(|pan| pan.brand()).ok(),
                Some(brand),
                "{number}"
            );
        }
    }

    #[test]
    fn what_no_network_issues_is_refused_though_its_checksum_holds() {
        for number in [
            "42424242424242",
            "424242424242424",
            "424242424242424242",
            "55555555555553",
            "5555555555554444117",
            "3782822463100052",
            "37828224631003",
            "601111111111116",
            "3622720627163",
            "356600202036056",
            "620000000005",
            // As the oldest Visa and Maestro cards had.
            "4222222222222",
            "676770000005",
            // What no network issues, whatever its length.
            "9999999999999995",
            "1234567812345670",
        ] {
            assert!(super::super::pan::passes_luhn(number.bytes()), "{number}");
            assert_eq!(Pan::parse(number).unwrap_err(), Reason::Length, "{number}");
        }
    }

    #[test]
    fn the_edges_of_each_range_belong_to_it_and_to_no_other() {
        for (range, brand) in &IIN_RANGES {
            for edge in [range.start(), range.end()] {
                assert_eq!(Brand::of(edge.to_string().bytes()), *brand);
                let owners = IIN_RANGES.iter().filter(|(range, _)| range.contains(edge));
                assert_eq!(owners.count(), 1, "{edge}");
            }
        }
        for outside in [
            "222099", "272100", "309600", "352799", "359000", "601200", "660000",
        ] {
            assert_eq!(Brand::of(outside.bytes()), Brand::Unknown, "{outside}");
        }
        assert_eq!(Brand::of("42424".bytes()), Brand::Unknown);
    }
}
