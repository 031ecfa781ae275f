//! Card ranges: whether cards with the same first digits fail one after the other.
//!
//! The only place that looks at digits of a card after the card is gone, and so the strictest: at
//! most eight of them (six of a card with fewer than sixteen), in memory, for the minutes of its
//! window, in slots of fixed places that are overwritten when their time is over. They have no text
//! form, are in no alert and are shared with nobody (PCI DSS 3.5.1: nothing of a number is stored).

use std::fmt;

use zeroize::Zeroize as _;

use super::judgement::Weighed;
use super::rules::Rule;
use super::windows::{Count, bucket_ms, bucket_of};
use crate::card::Pan;
use crate::clock::Timestamp;

/// Ranges that are looked at at one time; the one that was quiet for longest makes room.
const SLOTS: usize = 512;
/// Parts of the window; few, because exactness is not needed.
const PARTS: usize = 12;

/// The first digits of a card.
pub struct CardRange(u32);

impl CardRange {
    /// Those of that number.
    #[must_use]
    pub fn of(number: &Pan) -> Self {
        let digits = number.expose();
        let shown = if digits.len() >= 16 { 8 } else { 6 };
        let first = digits.bytes().take(shown).fold(0_u32, |sum, digit| {
            let value = u32::from(digit.saturating_sub(b'0'));
            sum.saturating_mul(10).saturating_add(value)
        });
        Self(first)
    }
}

impl Drop for CardRange {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for CardRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardRange(..)")
    }
}

/// One range's window; free where its digits are 0.
#[derive(Clone, Default)]
struct Slot {
    first: u32,
    counts: [(i64, Count); PARTS],
    last_ms: i64,
    stopped_until_ms: i64,
}

/// What is known of all ranges.
pub(super) struct Ranges {
    slots: Vec<Slot>,
}

impl Ranges {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS],
        }
    }

    /// Whether cards of this range are stopped now.
    pub(super) fn is_stopped(&self, range: &CardRange, now: Timestamp) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.first == range.0 && slot.stopped_until_ms > now.unix_ms())
    }

    /// Counts; what was counted where the rule trips now.
    pub(super) fn count(
        &mut self,
        range: &CardRange,
        hit: bool,
        rule: &Rule,
        now: Timestamp,
    ) -> Option<Count> {
        let bucket_ms = bucket_ms(rule.window_s);
        let bucket = bucket_of(now, bucket_ms);
        let first = bucket.saturating_sub(i64::from(rule.window_s).saturating_mul(1_000));
        let slot = self.slot(range.0)?;
        slot.last_ms = now.unix_ms();
        let part = bucket.checked_div(bucket_ms).unwrap_or(0);
        let part = part.checked_rem_euclid(i64::try_from(PARTS).unwrap_or(1));
        let part = part.and_then(|part| usize::try_from(part).ok())?;
        let place = slot.counts.get_mut(part)?;
        if place.0 != bucket {
            *place = (bucket, Count::default());
        }
        place.1.events = place.1.events.saturating_add(1);
        place.1.hits = place.1.hits.saturating_add(u32::from(hit));
        let mut sum = Count::default();
        for (at, count) in &slot.counts {
            if *at > first {
                sum.events = sum.events.saturating_add(count.events);
                sum.hits = sum.hits.saturating_add(count.hits);
            }
        }
        let trips =
            hit && rule.is_past(&Weighed::of(sum)) && slot.stopped_until_ms <= now.unix_ms();
        trips.then(|| {
            slot.stopped_until_ms = now.plus_s(rule.lasts_s).unix_ms();
            slot.counts = Default::default();
            sum
        })
    }

    fn slot(&mut self, first: u32) -> Option<&mut Slot> {
        let known = self.slots.iter().position(|slot| slot.first == first);
        let place = if let Some(place) = known {
            place
        } else {
            let quiet = self.slots.iter().enumerate();
            let (place, _) = quiet.min_by_key(|(_, slot)| slot.last_ms)?;
            self.slots.get_mut(place)?.wipe();
            place
        };
        let slot = self.slots.get_mut(place)?;
        slot.first = first;
        Some(slot)
    }

    /// Overwrites the ranges whose time is over.
    pub(super) fn sweep(&mut self, rule: &Rule, now: Timestamp) {
        let kept_ms = i64::from(rule.window_s).saturating_mul(1_000);
        for slot in &mut self.slots {
            let quiet = now.unix_ms().saturating_sub(slot.last_ms) > kept_ms;
            if quiet && slot.stopped_until_ms <= now.unix_ms() {
                slot.wipe();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.slots.iter().filter(|slot| slot.first != 0).count()
    }
}

impl Slot {
    fn wipe(&mut self) {
        self.first.zeroize();
        *self = Self::default();
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            slot.wipe();
        }
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ranges(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::rules::{RULES, RuleName};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn rule() -> &'static Rule {
        let mut rules = RULES.iter();
        rules
            .find(|rule| rule.name == RuleName::CardRangeFailures)
            .unwrap()
    }

    #[test]
    fn a_range_is_eight_digits_at_most_and_says_nothing_when_printed() {
        let range = |text: &str| CardRange::of(&Pan::parse(text).unwrap());
        assert_eq!(range("4242424242424242").0, 42_424_242);
        assert_eq!(range("378282246310005").0, 378_282);
        assert_eq!(format!("{:?}", range("4242424242424242")), "CardRange(..)");
    }

    #[test]
    fn a_range_that_fails_is_stopped_for_minutes_and_then_wiped() {
        let (rule, range) = (rule(), CardRange(42_424_242));
        let mut ranges = Ranges::new();
        let mut tripped = None;
        for card in 0..=rule.hits_max {
            assert!(tripped.is_none(), "after {card} cards");
            tripped = ranges.count(&range, true, rule, NOW);
        }
        assert_eq!(tripped.unwrap().hits, rule.hits_max + 1);
        assert!(ranges.is_stopped(&range, NOW));
        assert!(!ranges.is_stopped(&CardRange(42_424_243), NOW));
        let later = NOW.plus_s(rule.lasts_s);
        assert!(!ranges.is_stopped(&range, later));
        ranges.sweep(rule, NOW.plus_s(60));
        assert_eq!(ranges.known(), 1);
        ranges.sweep(rule, later.plus_s(rule.window_s));
        assert_eq!(ranges.known(), 0);
    }

    #[test]
    fn more_ranges_than_there_is_room_for_push_out_the_quietest() {
        let mut ranges = Ranges::new();
        let slots = u32::try_from(SLOTS).unwrap();
        for first in 1..=slots + 10 {
            let now = NOW.plus_ms(u64::from(first));
            ranges.count(&CardRange(first), false, rule(), now);
        }
        assert_eq!(ranges.known(), SLOTS);
        assert!(ranges.slots.iter().all(|slot| slot.first > 10));
    }
}
