//! What goes out to webhook endpoints: the queue, and the faults of a bad postman.
//!
//! Stripe promises neither order nor that an event comes once
//! (<https://docs.stripe.com/webhooks#best-practices>). A test can ask for the worst of it: copies,
//! another order, delay, loss, nothing at all. Chance comes from a seed, so a run can be repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::agenda::Agenda;

/// Deliveries waiting; more are lost, and counted.
const DELIVERIES_MAX: usize = 20_000;
/// How often one delivery is tried.
pub(super) const ATTEMPTS_MAX: u32 = 6;
/// The first pause between attempts; each further one is twice as long, so the last attempt is made
/// six seconds after the first. Stripe takes hours in live mode, and a few in test mode.
const PAUSE_MS: u64 = 200;
/// How long a window that does not fill is held back.
const WINDOW_MS: u64 = 1_000;
const DUPLICATES_MAX: u32 = 20;
const WINDOW_MAX: usize = 1_000;
const SHARE_MAX: u8 = 100;

/// How the mail is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Manner {
    /// Copies beside the first.
    duplicates: u32,
    /// Every delivery waits this long.
    delay_ms: u64,
    /// So many deliveries are held back and then sent in another order; 0 and 1 mean none.
    reorder_window: usize,
    /// So many of a hundred are lost.
    drop_percent: u8,
    /// What chance starts from.
    seed: u64,
    /// Nothing is sent until this is taken back; the queue keeps what it can.
    stopped: bool,
}

impl Manner {
    pub(super) const fn is_possible(&self) -> bool {
        self.duplicates <= DUPLICATES_MAX
            && self.reorder_window <= WINDOW_MAX
            && self.drop_percent <= SHARE_MAX
    }
}

/// One event on its way to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) event: String,
    pub(super) endpoint: String,
    pub(super) text: Arc<str>,
    /// Attempts made so far.
    pub(super) attempts: u32,
}

/// What became of the deliveries.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    delivered: u64,
    /// Attempts that the endpoint did not answer with a 2xx.
    refused: u64,
    /// Deliveries that were given up after the last attempt.
    given_up: u64,
    dropped: u64,
    duplicated: u64,
    /// Deliveries for which the queue had no room.
    overflowed: u64,
}

#[derive(Debug)]
pub(super) struct Mail {
    queue: Agenda<Delivery>,
    held: Vec<Delivery>,
    held_since: Option<Instant>,
    /// Taken out by [`due`](Mail::due), and not heard of since.
    under_way: usize,
    manner: Manner,
    chance: Chance,
    pub(super) tally: Tally,
}

impl Mail {
    pub(super) fn new() -> Self {
        Self {
            queue: Agenda::new(DELIVERIES_MAX),
            held: Vec::new(),
            held_since: None,
            under_way: 0,
            manner: Manner::default(),
            chance: Chance(0),
            tally: Tally::default(),
        }
    }

    pub(super) const fn manner(&self) -> Manner {
        self.manner
    }

    /// From now on the mail is carried like this. What was held back goes out.
    pub(super) fn carry(&mut self, manner: Manner) {
        self.release(Instant::now());
        self.manner = manner;
        self.chance = Chance(manner.seed);
    }

    /// Deliveries of which it is not known yet what becomes of them.
    pub(super) fn waiting(&self) -> usize {
        let queued = self.queue.len().saturating_add(self.held.len());
        queued.saturating_add(self.under_way)
    }

    /// Takes an event in for one endpoint.
    pub(super) fn post(&mut self, event: &str, endpoint: &str, text: &Arc<str>) {
        let now = Instant::now();
        for copy in 0..=self.manner.duplicates {
            if self.chance.below(100) < u64::from(self.manner.drop_percent) {
                self.tally.dropped = self.tally.dropped.saturating_add(1);
                continue;
            }
            if copy > 0 {
                self.tally.duplicated = self.tally.duplicated.saturating_add(1);
            }
            let delivery = Delivery {
                event: event.to_owned(),
                endpoint: endpoint.to_owned(),
                text: Arc::clone(text),
                attempts: 0,
            };
            if self.manner.reorder_window > 1 {
                self.held_since.get_or_insert(now);
                self.held.push(delivery);
                if self.held.len() >= self.manner.reorder_window {
                    self.release(now);
                }
            } else {
                self.queue(now, delivery);
            }
        }
    }

    /// The next delivery whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Delivery> {
        if self.manner.stopped {
            return None;
        }
        if self.window_ends().is_some_and(|end| end <= now) {
            self.release(now);
        }
        let delivery = self.queue.due(now)?;
        self.under_way = self.under_way.saturating_add(1);
        Some(delivery)
    }

    /// When there is something to do next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.manner.stopped {
            return None;
        }
        let next = [self.queue.next_at(), self.window_ends()];
        next.into_iter().flatten().min()
    }

    /// An attempt succeeded.
    pub(super) const fn delivered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.tally.delivered = self.tally.delivered.saturating_add(1);
    }

    /// Nobody wants it any more.
    pub(super) const fn unwanted(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// An attempt failed: again after a pause, or never.
    pub(super) fn again(&mut self, mut delivery: Delivery) {
        self.under_way = self.under_way.saturating_sub(1);
        self.tally.refused = self.tally.refused.saturating_add(1);
        delivery.attempts = delivery.attempts.saturating_add(1);
        if delivery.attempts >= ATTEMPTS_MAX {
            self.tally.given_up = self.tally.given_up.saturating_add(1);
            return;
        }
        let doublings = delivery.attempts.saturating_sub(1);
        let pause_ms = PAUSE_MS.saturating_mul(2_u64.saturating_pow(doublings));
        self.put(Instant::now(), pause_ms, delivery);
    }

    /// Everything that waits is thrown away.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.held.clear();
        self.held_since = None;
    }

    fn window_ends(&self) -> Option<Instant> {
        self.held_since?
            .checked_add(Duration::from_millis(WINDOW_MS))
    }

    fn release(&mut self, now: Instant) {
        let mut held = std::mem::take(&mut self.held);
        self.held_since = None;
        self.chance.shuffle(&mut held);
        for delivery in held {
            self.queue(now, delivery);
        }
    }

    fn queue(&mut self, now: Instant, delivery: Delivery) {
        self.put(now, self.manner.delay_ms, delivery);
    }

    fn put(&mut self, now: Instant, delay_ms: u64, delivery: Delivery) {
        let at = now.checked_add(Duration::from_millis(delay_ms));
        if !at.is_some_and(|at| self.queue.put(at, delivery)) {
            self.tally.overflowed = self.tally.overflowed.saturating_add(1);
        }
    }
}

/// Chance that can be repeated: `SplitMix64`.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(end).unwrap_or(0)
    }

    /// Fisher and Yates, from the end.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let ends = u64::try_from(last).unwrap_or(0).saturating_add(1);
            let other = usize::try_from(self.below(ends)).unwrap_or(last);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests;
