//! How Stripe counts money: the one table between its amounts and ours.
//!
//! Ours are in the minor unit of ISO 4217, whose exponents are 0 for the yen, 2 for the euro and 3
//! for the dinar. Stripe differs for a few currencies, by a factor of 100 for some of them
//! (<https://docs.stripe.com/currencies#special-cases>). A currency that is not in the table is not
//! charged: its unit would be a guess.

use crate::processor::{Failure, RequestFault};

/// Currencies whose amounts are the same there and here
/// (<https://docs.stripe.com/currencies#presentment-currencies>).
const SAME: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bif bmd bnd bob brl bsd \
    bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip \
    gmd gnf gtq gyd hkd hnl htg huf idr ils inr jmd jpy kes kgs khr kmf krw kyd kzt lak lbp lkr lrd \
    lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr \
    pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd \
    tzs uah usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw";
/// Without decimals in ISO 4217, and with two at Stripe, which must be `00`.
const TIMES_100: [&str; 2] = ["isk", "ugx"];
/// With two decimals in ISO 4217 (the ariary is five iraimbilanja), and without at Stripe.
const DIVIDED_BY_100: [&str; 1] = ["mga"];
/// With three decimals, of which Stripe takes two: the last digit must be 0.
const LAST_DIGIT_ZERO: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// The smallest charges, as Stripe counts
/// (<https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>). For a currency that is
/// not listed the smallest charge is one of the account's own currency, which only Stripe knows.
const MINIMUMS: [(&str, i64); 31] = [
    ("aed", 200),
    ("ars", 50),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("cop", 50),
    ("czk", 1_500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17_500),
    ("idr", 50),
    ("ils", 50),
    ("inr", 50),
    ("jpy", 50),
    ("krw", 50),
    ("mxn", 1_000),
    ("myr", 200),
    ("nok", 300),
    ("nzd", 50),
    ("php", 50),
    ("pln", 200),
    ("ron", 200),
    ("rub", 50),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1_000),
    ("usd", 50),
    ("zar", 50),
];

/// The largest charges, as Stripe counts (same page): the digits that every kind of card and account
/// takes. Some card networks take more.
const MAXIMUMS: [(&str, i64); 3] = [
    ("cop", 9_999_999_999),
    ("idr", 999_999_999_999),
    ("inr", 999_999_999),
];
const MAXIMUM: i64 = 99_999_999;

/// How amounts of a currency are written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Same,
    Times100,
    DividedBy100,
    LastDigitZero,
}

impl Unit {
    fn of(currency: &str) -> Option<Self> {
        if SAME.split_ascii_whitespace().any(|known| known == currency) {
            Some(Self::Same)
        } else if TIMES_100.contains(&currency) {
            Some(Self::Times100)
        } else if DIVIDED_BY_100.contains(&currency) {
            Some(Self::DividedBy100)
        } else if LAST_DIGIT_ZERO.contains(&currency) {
            Some(Self::LastDigitZero)
        } else {
            None
        }
    }
}

const fn amount_fault(reason: &'static str) -> RequestFault {
    RequestFault {
        pointer: "/amount",
        reason,
    }
}

/// Whether so much can be charged in that currency.
///
/// # Errors
/// Which field Stripe would refuse, and why.
pub(super) fn check(amount: i64, currency: &str) -> Result<(), RequestFault> {
    let theirs = to_stripe(amount, currency)?;
    let listed = |table: &[(&str, i64)]| {
        let row = table.iter().find(|(name, _)| *name == currency);
        row.map(|(_, bound)| *bound)
    };
    if theirs < listed(&MINIMUMS).unwrap_or(1) {
        return Err(amount_fault("below_minimum"));
    }
    if theirs > listed(&MAXIMUMS).unwrap_or(MAXIMUM) {
        return Err(amount_fault("above_maximum"));
    }
    Ok(())
}

/// An amount in ISO 4217's minor unit, as Stripe counts it.
///
/// # Errors
/// The currency is not one of Stripe's, or the amount is finer than Stripe takes in it.
pub(super) fn to_stripe(amount: i64, currency: &str) -> Result<i64, RequestFault> {
    let unit = Unit::of(currency).ok_or(RequestFault {
        pointer: "/currency",
        reason: "unsupported",
    })?;
    match unit {
        Unit::Same => Ok(amount),
        Unit::Times100 => amount.checked_mul(100).ok_or(amount_fault("above_maximum")),
        Unit::DividedBy100 if amount % 100 == 0 => Ok(amount / 100),
        Unit::LastDigitZero if amount % 10 == 0 => Ok(amount),
        Unit::DividedBy100 | Unit::LastDigitZero => Err(amount_fault("too_precise")),
    }
}

/// An amount as Stripe counts it, in ISO 4217's minor unit; nothing where it is none of this table.
pub(in crate::processor) fn from_stripe(amount: i64, currency: &str) -> Option<i64> {
    let ours = match Unit::of(currency)? {
        Unit::Same | Unit::LastDigitZero => amount,
        Unit::Times100 if amount % 100 == 0 => amount / 100,
        Unit::Times100 => return None,
        Unit::DividedBy100 => amount.checked_mul(100)?,
    };
    (ours >= 0).then_some(ours)
}

/// An amount of an answer, in our unit. One that cannot be read leaves the outcome unknown.
pub(super) fn answered(amount: i64, currency: Option<&str>) -> Result<i64, Failure> {
    let ours = match (amount, currency) {
        (0, _) => Some(0),
        (_, Some(currency)) => from_stripe(amount, currency),
        (_, None) => None,
    };
    ours.ok_or(Failure::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currencies() -> impl Iterator<Item = &'static str> {
        SAME.split_ascii_whitespace()
            .chain(TIMES_100)
            .chain(DIVIDED_BY_100)
            .chain(LAST_DIGIT_ZERO)
    }

    /// Every small amount, and the neighbourhood of every power of ten with its multiples.
    fn amounts() -> impl Iterator<Item = i64> {
        let around = |n: i64| (n.saturating_sub(12)..=n.saturating_add(12)).filter(|n| *n > 0);
        let powers = (0..13).map(|exponent| 10_i64.pow(exponent));
        let wide =
            powers.flat_map(|power| (1..=9_i64).map(move |digit| power.saturating_mul(digit)));
        (1..=2_500).chain(wide.flat_map(around))
    }

    #[test]
    fn to_stripe_and_back_is_the_same_amount_for_every_one_that_is_taken() {
        let mut taken = 0_u32;
        for currency in currencies() {
            for amount in amounts() {
                if check(amount, currency).is_ok() {
                    let theirs = to_stripe(amount, currency).unwrap();
                    assert!((1..=999_999_999_999).contains(&theirs));
                    assert_eq!(from_stripe(theirs, currency), Some(amount), "{currency}");
                    taken += 1;
                }
            }
        }
        assert!(taken > 100_000, "{taken}");
    }

    #[test]
    fn what_stripe_counts_otherwise_is_converted() {
        for (currency, ours, theirs) in [
            ("eur", 1_250, 1_250),
            ("jpy", 500, 500),
            ("isk", 5, 500),
            ("ugx", 5_000, 500_000),
            ("mga", 500_000, 5_000),
            ("kwd", 5_120, 5_120),
            ("huf", 17_500, 17_500),
            ("twd", 80_045, 80_045),
        ] {
            assert_eq!(to_stripe(ours, currency), Ok(theirs), "{currency}");
            assert_eq!(from_stripe(theirs, currency), Some(ours), "{currency}");
        }
        assert_eq!(from_stripe(501, "isk"), None);
        assert_eq!(from_stripe(-1, "eur"), None);
        assert_eq!(from_stripe(1, "xyz"), None);
    }

    #[test]
    fn what_stripe_would_refuse_is_refused_by_its_field() {
        for (amount, currency, fault) in [
            (49, "eur", Some("/amount below_minimum")),
            (50, "eur", None),
            (29, "gbp", Some("/amount below_minimum")),
            (17_499, "huf", Some("/amount below_minimum")),
            (99_999_999, "eur", None),
            (100_000_000, "eur", Some("/amount above_maximum")),
            (150_000_000, "idr", None),
            (999_999_999_999, "idr", None),
            (1_000_000_000_000, "idr", Some("/amount above_maximum")),
            (999_999, "isk", None),
            (1_000_000, "isk", Some("/amount above_maximum")),
            (i64::MAX, "isk", Some("/amount above_maximum")),
            (5_124, "kwd", Some("/amount too_precise")),
            (5_120, "kwd", None),
            (550, "mga", Some("/amount too_precise")),
            (0, "vnd", Some("/amount below_minimum")),
            (1_000, "btc", Some("/currency unsupported")),
            (1_000, "irr", Some("/currency unsupported")),
            (1_000, "EUR", Some("/currency unsupported")),
        ] {
            let found = check(amount, currency).err().map(|fault| fault.to_string());
            assert_eq!(found.as_deref(), fault, "{amount} {currency}");
        }
    }

    #[test]
    fn no_currency_stands_in_the_table_twice() {
        let mut seen = std::collections::HashSet::new();
        for currency in currencies() {
            assert!(currency.len() == 3 && seen.insert(currency), "{currency}");
        }
        let bounded = MINIMUMS.iter().chain(&MAXIMUMS);
        assert!(bounded.into_iter().all(|(name, _)| seen.contains(name)));
    }
}
