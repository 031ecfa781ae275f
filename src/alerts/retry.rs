//! When an operator is told again who did not take an alert: a page within seconds to half a minute,
//! because somebody is to be woken; a ticket by the schedule of webhooks.

use super::Severity;
use crate::webhooks;

/// Pauses of a page before the attempts that follow the first, in milliseconds.
const FIRST_PAUSES_MS: [u64; 3] = [5_000, 10_000, 20_000];
/// The pause after these, for ten minutes.
const PAUSE_MS: u64 = 30_000;
/// Attempts of these ten minutes.
const SOON_ATTEMPTS_MAX: u32 = 23;
/// The pause after them.
const LATE_PAUSE_MS: u64 = 300_000;
/// Attempts of a page in all: three days of them.
const ATTEMPTS_MAX: u32 = 887;
/// A receiver that asks for more patience is woken up all the same.
const RETRY_AFTER_MS_MAX: u64 = 60_000;

/// Milliseconds to wait after the `attempt`-th attempt (the first is 1) has failed; `None` when it
/// was the last.
#[must_use]
pub fn pause_ms_after(severity: &str, attempt: u32, retry_after_s: Option<u32>) -> Option<u64> {
    if severity != Severity::Page.name() {
        return webhooks::pause_ms_after(attempt, retry_after_s);
    }
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let first = attempt.checked_sub(1).and_then(|place| {
        let place = usize::try_from(place).ok()?;
        FIRST_PAUSES_MS.get(place).copied()
    });
    let scheduled_ms = match first {
        Some(pause_ms) => pause_ms,
        None if attempt <= SOON_ATTEMPTS_MAX => PAUSE_MS,
        None => LATE_PAUSE_MS,
    };
    let asked_ms = u64::from(retry_after_s.unwrap_or(0)).saturating_mul(1_000);
    Some(scheduled_ms.max(asked_ms.min(RETRY_AFTER_MS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_again_within_half_a_minute_for_ten_minutes_and_for_three_days() {
        let mut since_ms = 0;
        for attempt in 1..ATTEMPTS_MAX {
            let pause_ms = pause_ms_after("page", attempt, None).unwrap();
            let soon = since_ms < 600_000;
            assert!(!soon || pause_ms <= 30_000, "{attempt}: {pause_ms}");
            assert!(pause_ms <= 300_000, "{attempt}: {pause_ms}");
            since_ms += pause_ms;
        }
        let three_days_ms = 3 * 24 * 3_600_000;
        assert!((three_days_ms - 600_000..three_days_ms + 600_000).contains(&since_ms));
        assert_eq!(pause_ms_after("page", ATTEMPTS_MAX, None), None);
        assert_eq!(pause_ms_after("page", u32::MAX, None), None);
        assert_eq!(pause_ms_after("page", 0, None), Some(30_000));
        // An outage of six minutes is over, and the page arrives within half a minute.
        assert_eq!(pause_ms_after("page", 12, None), Some(30_000));
    }

    #[test]
    fn a_receiver_of_pages_may_ask_for_a_minute_and_no_more() {
        assert_eq!(pause_ms_after("page", 1, Some(40)), Some(40_000));
        assert_eq!(pause_ms_after("page", 1, Some(3_600)), Some(60_000));
        assert_eq!(pause_ms_after("page", 100, Some(1)), Some(300_000));
    }

    #[test]
    fn a_ticket_waits_as_webhooks_do() {
        let pause_ms = pause_ms_after("ticket", 2, None).unwrap();
        assert!((240_000..=360_000).contains(&pause_ms), "{pause_ms}");
        assert_eq!(pause_ms_after("ticket", webhooks::ATTEMPTS_MAX, None), None);
    }
}
