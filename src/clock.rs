//! The one source of time.
//!
//! Nothing else asks the system what time it is (`.clippy.toml` bans it), so a test can hold the
//! clock still or move it, and expiry, leases and cryptoperiods follow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// This moment and that many seconds.
    #[must_use]
    pub const fn plus_s(self, seconds: u32) -> Self {
        #[expect(
            clippy::as_conversions,
            reason = "u64::from is not const, and u32 always fits"
        )]
        self.plus_ms((seconds as u64).saturating_mul(1_000))
    }

    /// This moment and that many milliseconds; stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add_unsigned(milliseconds))
    }

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Year and month (1-12) in UTC, which is all that a card's expiry needs.
    #[must_use]
    pub fn year_month(self) -> (i32, u8) {
        let moment = self.date_time();
        (moment.year(), u8::from(moment.month()))
    }

    /// RFC 3339 in UTC, always with three decimals, so that the order of the texts is the order of
    /// the moments and every parser takes each of them: `2026-11-23T08:15:00.250Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let moment = self.date_time();
        let (hour, minute, second, millisecond) = moment.to_hms_milli();
        format!(
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
        )
    }

    /// The moment that an RFC 3339 text names.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let ms = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(ms).ok().map(Self)
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0).saturating_mul(1_000_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where the time comes from: the system, or a test's hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is [`advance`](Self::advance)d.
    #[must_use]
    pub fn set_to(moment: Timestamp) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(moment.unix_ms()))))
    }

    /// Moves a set clock forward; the system's clock is nobody's to move and stays.
    pub fn advance(&self, milliseconds: i64) {
        if let Source::Set(moment) = &self.0 {
            moment.fetch_add(milliseconds, Ordering::SeqCst);
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this is the one door to the system's time"
                )]
                let since_epoch = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Set(moment) => Timestamp(moment.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_400_000_250, "2026-11-23T02:13:20.250Z"),
            (1_795_400_000_007, "2026-11-23T02:13:20.007Z"),
        ] {
            let moment = Timestamp::from_unix_ms(unix_ms);
            assert_eq!(moment.rfc3339(), text);
            assert_eq!(Timestamp::parse_rfc3339(text), Some(moment));
        }
        let whole = Timestamp::parse_rfc3339("1970-01-01T00:00:00Z");
        assert_eq!(whole, Some(Timestamp::from_unix_ms(0)));
    }

    #[test]
    fn a_set_clock_moves_only_by_hand() {
        let clock = Clock::set_to(Timestamp::from_unix_ms(5_000));
        assert_eq!(clock.now(), clock.now());
        clock.advance(250);
        assert_eq!(clock.now().ms_since(Timestamp::from_unix_ms(5_000)), 250);
        assert_eq!(Timestamp::from_unix_ms(1).ms_since(clock.now()), 0);
    }
}
