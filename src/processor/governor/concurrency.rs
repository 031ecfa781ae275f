//! How many calls may be on their way at one time.
//!
//! Stripe limits that number too and does not publish it: it answers 429. So the limit adapts:
//! halved when the processor says that it is too much, one more for each full round of answers
//! (additive increase, multiplicative decrease), and never outside its bounds.

use std::time::Duration;

use tokio::time::Instant;

use super::Told;

/// It is not made smaller than this part of its most, as a divisor: a lock on one object, which
/// Stripe answers with 429 as well, must not stop everybody.
const LEAST_SHARE: u32 = 8;
/// The weight of the newest call in the average, as a divisor.
const AVERAGE_SHARE: u32 = 8;

/// The calls on their way, and how many there may be.
#[derive(Debug)]
pub(super) struct Concurrency {
    most: u32,
    limit: u32,
    running: u32,
    answered: u32,
    shrunk_at: Option<Instant>,
    average: Duration,
}

impl Concurrency {
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            most,
            limit: most,
            running: 0,
            answered: 0,
            shrunk_at: None,
            average: Duration::ZERO,
        }
    }

    pub(super) const fn has_room(&self) -> bool {
        self.running < self.limit
    }

    #[cfg(test)]
    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// A call goes.
    pub(super) const fn begin(&mut self) {
        self.running = self.running.saturating_add(1);
    }

    /// A call that was to go has not gone.
    pub(super) const fn give_back(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// A call that began then has ended.
    pub(super) fn ended(&mut self, began: Instant, told: Option<Told>, now: Instant) {
        let running = self.running;
        self.give_back();
        let took = now.duration_since(began);
        let rest = AVERAGE_SHARE.saturating_sub(1);
        let sum = self.average.saturating_mul(rest).saturating_add(took);
        self.average = sum.checked_div(AVERAGE_SHARE).unwrap_or(took);
        match told {
            Some(Told::Well) => {
                self.answered = self.answered.saturating_add(1);
                if self.answered >= self.limit {
                    self.answered = 0;
                    self.limit = self.limit.saturating_add(1).min(self.most);
                }
            }
            // Of calls that went together, the first refusal counts for all.
            Some(Told::Busy { .. }) if self.shrunk_at.is_none_or(|shrunk| began > shrunk) => {
                let least = (self.most / LEAST_SHARE).max(1);
                self.limit = (running.min(self.limit) / 2).max(least);
                self.answered = 0;
                self.shrunk_at = Some(now);
            }
            Some(Told::Busy { .. } | Told::Failed) | None => {}
        }
    }

    /// How long a call with so many before it waits for a place, going by how long calls took.
    pub(super) fn wait(&self, ahead: usize) -> Duration {
        let free = self.limit.saturating_sub(self.running);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        if ahead < free {
            return Duration::ZERO;
        }
        let places = ahead.saturating_sub(free).saturating_add(1);
        let all = self.average.saturating_mul(places);
        all.checked_div(self.limit.max(1)).unwrap_or(all)
    }
}
