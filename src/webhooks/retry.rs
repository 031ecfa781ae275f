//! When to try again: the schedule that Standard Webhooks recommends, three days long.

use crate::random;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// The pause before each attempt.
const PAUSES_MS: [u64; 10] = [
    0,
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];

/// Attempts in all; a message that none of them brought through is given up.
pub const ATTEMPTS_MAX: u32 = 10;

/// A receiver that asks for more patience than the schedule's longest pause is tried before.
const RETRY_AFTER_MS_MAX: u64 = 24 * HOUR_MS;

const _: () = assert!(PAUSES_MS.len() == 10 && ATTEMPTS_MAX == 10);

/// Milliseconds to wait after the `attempt`-th attempt (the first is 1; 0 is before any) has
/// failed; `None` when it was the last.
///
/// Each pause is between 80 and 120 % of the schedule's, at random, so that what failed together
/// does not come again together. A receiver's `Retry-After` makes it longer, never shorter.
#[must_use]
pub fn pause_ms_after(attempt: u32, retry_after_s: Option<u32>) -> Option<u64> {
    let pause_ms = *PAUSES_MS.get(usize::try_from(attempt).ok()?)?;
    let asked_ms = u64::from(retry_after_s.unwrap_or(0))
        .saturating_mul(SECOND_MS)
        .min(RETRY_AFTER_MS_MAX);
    let scheduled_ms = per_cent(pause_ms, between(80, 120));
    Some(scheduled_ms.max(per_cent(asked_ms, between(100, 110))))
}

fn per_cent(whole: u64, share: u64) -> u64 {
    whole.saturating_mul(share) / 100
}

/// A random number from `least` to `most`.
fn between(least: u64, most: u64) -> u64 {
    let mut bytes = [0; 4];
    random::fill(&mut bytes);
    let width = most.saturating_sub(least).saturating_add(1);
    let offset = u64::from(u32::from_le_bytes(bytes)).checked_rem(width);
    least.saturating_add(offset.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_that_of_the_specification() {
        // Its column "time since start", in seconds.
        let since_start = [
            0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105,
        ];
        let mut sum_ms = 0;
        for (pause, since) in PAUSES_MS.iter().zip(since_start) {
            sum_ms += pause;
            assert_eq!(sum_ms, since * SECOND_MS);
        }
    }

    #[test]
    fn each_pause_is_the_schedules_with_jitter_and_after_the_last_attempt_there_is_none() {
        for attempt in 0..ATTEMPTS_MAX {
            let pause = PAUSES_MS[usize::try_from(attempt).unwrap()];
            let drawn: Vec<u64> = (0..500)
                .map(|_| pause_ms_after(attempt, None).unwrap())
                .collect();
            for drawn in &drawn {
                let least = pause * 80 / 100;
                let most = pause * 120 / 100;
                assert!((least..=most).contains(drawn), "{attempt}: {drawn}");
            }
            let different = drawn.iter().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(different.len() > 20, attempt > 0, "{attempt}");
        }
        assert_eq!(pause_ms_after(0, None), Some(0));
        assert_eq!(pause_ms_after(ATTEMPTS_MAX, None), None);
        assert_eq!(pause_ms_after(ATTEMPTS_MAX, Some(1)), None);
        assert_eq!(pause_ms_after(u32::MAX, None), None);
    }

    #[test]
    fn a_receivers_retry_after_makes_a_pause_longer_but_neither_shorter_nor_endless() {
        for _ in 0..500 {
            let longer = pause_ms_after(1, Some(600)).unwrap();
            assert!((600_000..=660_000).contains(&longer), "{longer}");
            let shorter = pause_ms_after(2, Some(1)).unwrap();
            assert!(shorter >= 240_000, "{shorter}");
            let endless = pause_ms_after(1, Some(u32::MAX)).unwrap();
            assert!(endless <= 110 * 24 * HOUR_MS / 100, "{endless}");
        }
    }
}
