//! Sliding windows of fixed buckets: what this process counted, and what the others say they did.

use std::collections::BTreeMap;

use crate::clock::Timestamp;

/// Buckets of a window. What is older than the window by less than one bucket may still count.
const BUCKETS: i64 = 12;

/// So many things happened, so many of them speak against the subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// What happened.
    pub events: u32,
    /// What of it speaks against the subject.
    pub hits: u32,
}

impl Count {
    const fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            hits: self.hits.saturating_add(other.hits),
        }
    }
}

/// Milliseconds of a bucket of a window.
pub(super) fn bucket_ms(window_s: u32) -> i64 {
    i64::from(window_s)
        .saturating_mul(1_000)
        .checked_div(BUCKETS)
        .unwrap_or(1)
        .max(1)
}

/// The beginning of the bucket that a moment falls into.
pub(super) fn bucket_of(at: Timestamp, bucket_ms: i64) -> i64 {
    let at = at.unix_ms();
    at.saturating_sub(at.checked_rem_euclid(bucket_ms).unwrap_or(0))
}

/// One subject's window of one rule.
#[derive(Debug, Default)]
pub(super) struct Window {
    own: BTreeMap<i64, Own>,
    others: BTreeMap<(String, i64), Count>,
    /// Nothing before this counts: somebody decided, or was let go, then.
    counted_from_ms: i64,
    /// Whether it stands among those to be shared.
    pub(super) is_touched: bool,
    /// Nothing is decided before this.
    pub(super) quiet_until_ms: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Own {
    count: Count,
    /// Whether the others do not know it yet.
    new: bool,
}

impl Window {
    pub(super) fn add(&mut self, bucket: i64, hit: bool) {
        let own = self.own.entry(bucket).or_default();
        own.count = own.count.plus(Count {
            events: 1,
            hits: u32::from(hit),
        });
        own.new = true;
    }

    /// What another process says that it counted in a bucket; it says it again when it has changed.
    pub(super) fn hear(&mut self, process: &str, bucket: i64, count: Count) {
        self.others.insert((process.to_owned(), bucket), count);
    }

    /// Everything in the window that ends with `bucket`.
    pub(super) fn sum(&self, bucket: i64, bucket_ms: i64) -> Count {
        let first = first(bucket, bucket_ms).max(self.counted_from_ms);
        let own = self.own.range(first..).map(|(_, own)| own.count);
        let others = self.others.iter();
        let others = others.filter_map(|((_, at), count)| (*at >= first).then_some(*count));
        own.chain(others).fold(Count::default(), Count::plus)
    }

    /// From here on everything counts anew.
    pub(super) fn forget_before(&mut self, at: Timestamp) {
        self.counted_from_ms = self.counted_from_ms.max(at.unix_ms());
    }

    /// Drops what is out of the window; whether anything is left.
    pub(super) fn sweep(&mut self, bucket: i64, bucket_ms: i64) -> bool {
        let first = first(bucket, bucket_ms);
        self.own = self.own.split_off(&first);
        self.others.retain(|(_, at), _| *at >= first);
        !(self.own.is_empty() && self.others.is_empty() && self.quiet_until_ms <= bucket)
    }

    /// The buckets that the others do not know yet, once anything speaks against the subject.
    pub(super) fn take_new(&mut self) -> Vec<(i64, Count)> {
        if self.own.values().all(|own| own.count.hits == 0) {
            return Vec::new();
        }
        let new = self.own.iter_mut().filter(|(_, own)| own.new);
        new.map(|(bucket, own)| {
            own.new = false;
            (*bucket, own.count)
        })
        .collect()
    }

    /// The last bucket in which this process counted anything.
    pub(super) fn last(&self) -> i64 {
        self.own.keys().next_back().copied().unwrap_or(0)
    }
}

fn first(bucket: i64, bucket_ms: i64) -> i64 {
    bucket.saturating_sub(bucket_ms.saturating_mul(BUCKETS.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides_adds_what_others_say_and_counts_nothing_twice() {
        let ms = bucket_ms(600);
        assert_eq!(ms, 50_000);
        let mut window = Window::default();
        window.add(0, true);
        window.add(0, false);
        window.add(ms, true);
        let count = |events, hits| Count { events, hits };
        assert_eq!(window.sum(ms, ms), count(3, 2));
        for _ in 0..3 {
            window.hear("other", ms, count(5, 4));
        }
        assert_eq!(window.sum(ms, ms), count(8, 6));
        assert_eq!(
            window.sum(12 * ms, ms),
            count(6, 5),
            "the first bucket is out"
        );
        assert_eq!(window.sum(13 * ms, ms), count(0, 0));
        assert_eq!(window.take_new(), [(0, count(2, 1)), (ms, count(1, 1))]);
        assert!(window.take_new().is_empty());
        window.forget_before(Timestamp::from_unix_ms(1));
        assert_eq!(window.sum(ms, ms), count(6, 5));
        assert!(window.sweep(12 * ms, ms) && !window.sweep(13 * ms, ms));
    }

    #[test]
    fn what_speaks_against_nobody_is_not_shared() {
        let mut window = Window::default();
        window.add(0, false);
        assert!(window.take_new().is_empty());
        window.add(0, true);
        assert_eq!(window.take_new().len(), 1);
    }
}
