//! The month through which a card is good.

use super::{Fault, Field, Reason};
use crate::clock::Timestamp;

/// The last month in which a card is good. Not a secret: the world may know it of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    month: u8,
    year: u16,
}

impl Expiry {
    /// No issuer dates a card further ahead; a year beyond it is a slip of the hand.
    pub const YEARS_AHEAD_MAX: u16 = 50;

    /// A card is good to the end of its month where it is used, and the day ends last twelve hours
    /// after UTC (UTC-12). Refusing it before that would be our error; after it, the issuer knows.
    const ZONE_ALLOWANCE_MS: i64 = 12 * 60 * 60 * 1_000;

    /// Reads a month (1 to 12) and a year (four digits) against the clock.
    ///
    /// # Errors
    /// A [`Fault`] for each of the two that cannot be, or one of [`Reason::Expired`] for the one
    /// that lies in the past: the year, or else the month.
    pub fn parse(month: u8, year: u16, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let earliest_now =
            Timestamp::from_unix_ms(now.unix_ms().saturating_sub(Self::ZONE_ALLOWANCE_MS));
        let (this_year, this_month) = earliest_now.year_month();
        let this_year = u16::try_from(this_year).unwrap_or(u16::MAX);

        let month_is_one = (1..=12).contains(&month);
        // A year of two digits, or one that no living card can bear, is not an old card.
        let year_is_one = (1950..=this_year.saturating_add(Self::YEARS_AHEAD_MAX)).contains(&year);
        let mut faults = Vec::new();
        if !month_is_one {
            faults.push(Fault::new(Field::ExpMonth, Reason::OutOfRange));
        }
        if !year_is_one {
            faults.push(Fault::new(Field::ExpYear, Reason::OutOfRange));
        } else if year < this_year {
            faults.push(Fault::new(Field::ExpYear, Reason::Expired));
        } else if month_is_one && year == this_year && month < this_month {
            faults.push(Fault::new(Field::ExpMonth, Reason::Expired));
        }
        if faults.is_empty() {
            Ok(Self { month, year })
        } else {
            Err(faults)
        }
    }

    /// 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Four digits.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Field::{ExpMonth, ExpYear};
    use Reason::{Expired, OutOfRange};

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    // 2026-12-01T00:00:00Z.
    const DECEMBER: i64 = 1_796_083_200_000;

    fn at(unix_ms: i64, month: u8, year: u16) -> Vec<(Field, Reason)> {
        Expiry::parse(month, year, Timestamp::from_unix_ms(unix_ms))
            .err()
            .into_iter()
            .flatten()
            .map(|fault| (fault.field, fault.reason))
            .collect()
    }

    #[test]
    fn a_card_is_good_through_its_month_in_every_time_zone() {
        assert_eq!(at(DECEMBER - 1, 11, 2026), []);
        assert_eq!(at(DECEMBER, 11, 2026), []);
        assert_eq!(at(DECEMBER + DAY_MS / 2 - 1, 11, 2026), []);
        assert_eq!(at(DECEMBER + DAY_MS / 2, 11, 2026), [(ExpMonth, Expired)]);
    }

    #[test]
    fn the_turn_of_the_year_expires_december() {
        let january = DECEMBER + 31 * DAY_MS;
        assert_eq!(at(january, 12, 2026), []);
        assert_eq!(at(january + DAY_MS, 12, 2026), [(ExpYear, Expired)]);
        assert_eq!(at(january + DAY_MS, 1, 2027), []);
    }

    #[test]
    fn months_and_years_that_cannot_be_are_refused_each() {
        for (month, year, faults) in [
            (0, 2030, vec![(ExpMonth, OutOfRange)]),
            (13, 2030, vec![(ExpMonth, OutOfRange)]),
            (u8::MAX, 2030, vec![(ExpMonth, OutOfRange)]),
            (12, 30, vec![(ExpYear, OutOfRange)]),
            (12, 0, vec![(ExpYear, OutOfRange)]),
            (12, 2077, vec![(ExpYear, OutOfRange)]),
            (12, u16::MAX, vec![(ExpYear, OutOfRange)]),
            (0, 0, vec![(ExpMonth, OutOfRange), (ExpYear, OutOfRange)]),
            (13, 2020, vec![(ExpMonth, OutOfRange), (ExpYear, Expired)]),
            (12, 2076, vec![]),
            (12, 2026, vec![]),
            (1, 2027, vec![]),
        ] {
            assert_eq!(at(DECEMBER + DAY_MS, month, year), faults, "{month}/{year}");
        }
    }
}
