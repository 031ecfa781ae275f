//! A token bucket: a small burst at once, then one call at a time at an even pace.
//!
//! It is kept as one moment, the one at which it will be full again (the generic cell rate
//! algorithm), so that nothing has to be refilled by anybody. It waits for nobody either: it says
//! when a call may go, and notes that one has gone. Two buckets can so be asked before either is
//! spent, which the crates for this cannot do.

use std::time::Duration;

use tokio::time::Instant;

/// So far behind the even pace calls may be and catch up at once: a small burst, and what a timer
/// comes late.
const SLACK: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Between two calls at the even pace.
    pace: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket, from which no second, wherever it begins, takes more than `per_s_max`.
    pub(super) fn new(per_s_max: u32) -> Self {
        // A second that begins as late as may be has the slack's calls in it as well. Rounded up,
        // so that rounding makes no room for another.
        let whole = SECOND.saturating_add(SLACK).as_nanos();
        let pace = whole.div_ceil(u128::from(per_s_max.max(1)));
        Self {
            pace: Duration::from_nanos(u64::try_from(pace).unwrap_or(u64::MAX)),
            full_at: None,
        }
    }

    /// Between two calls at the even pace.
    pub(super) const fn pace(&self) -> Duration {
        self.pace
    }

    /// When the next call may go: now, or later.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        let due = self.full_at.and_then(|full| full.checked_sub(SLACK));
        due.map_or(now, |due| due.max(now))
    }

    /// A call goes.
    pub(super) fn take(&mut self, now: Instant) {
        let from = self.full_at.map_or(now, |full| full.max(now));
        self.full_at = Some(super::after(from, self.pace));
    }

    /// A call that was to go has not gone.
    pub(super) fn give_back(&mut self) {
        self.full_at = self.full_at.and_then(|full| full.checked_sub(self.pace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever there is to take for ten seconds, and answers the moments.
    fn taken(per_s_max: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut bucket = Bucket::new(per_s_max);
        let mut moments = Vec::new();
        let mut now = start;
        while now.duration_since(start) < Duration::from_secs(10) {
            now = bucket.ready_at(now);
            bucket.take(now);
            moments.push(now.duration_since(start));
        }
        moments
    }

    #[test]
    fn no_second_takes_more_than_the_rate_and_the_long_run_comes_near_it() {
        for per_s_max in [1_u16, 2, 12, 13, 25, 50, 100, 1_000] {
            let moments = taken(u32::from(per_s_max));
            let mut most = 0;
            for (index, first) in moments.iter().enumerate() {
                let until = first.saturating_add(SECOND);
                let inside = moments[index..].iter().take_while(|at| **at < until);
                most = most.max(inside.count());
            }
            assert_eq!(most, usize::from(per_s_max), "{per_s_max}/s");
            // 1 / 1.05 is 95.2 %.
            assert!(moments.len() * 100 >= usize::from(per_s_max) * 950);
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_comes_back_after_a_rest() {
        let mut bucket = Bucket::new(100);
        let mut now = Instant::now();
        for _round in 0..2 {
            for _ in 0..5 {
                assert_eq!(bucket.ready_at(now), now);
                bucket.take(now);
            }
            assert!(bucket.ready_at(now) > now);
            now = bucket.full_at.unwrap();
        }
    }

    #[test]
    fn a_timer_that_comes_late_costs_no_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(25);
        let mut now = start;
        for _ in 0..250 {
            now = super::super::after(bucket.ready_at(now), Duration::from_millis(3));
            bucket.take(now);
        }
        let took = now.duration_since(start);
        assert!(took < Duration::from_millis(10_510), "{took:?}");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10);
        bucket.take(now);
        assert!(bucket.ready_at(now) > now);
        bucket.give_back();
        assert_eq!(bucket.ready_at(now), now);
    }
}
