//! Sliding windows of fixed buckets: what this process counted, and what the others say they did.
//!
//! A rule that asks how widely failures are spread counts by network as well (`networks`). What was
//! decided upon, or forgiven by an operator, is subtracted and not dropped, so that what comes later
//! in the same bucket counts.

use std::collections::{BTreeMap, BTreeSet};

use super::networks::Networks;
use crate::clock::Timestamp;

/// Buckets of a window. What is older than the window by less than one bucket may still count.
const BUCKETS: i64 = 12;
/// What speaks against nobody is shared from so many events in one bucket on: the good traffic of
/// who is busy is to be known everywhere, and that of everybody would be a row for each customer.
const BUSY_EVENTS: u32 = 10;

/// So many things happened, so many of them speak against the subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// What happened.
    pub events: u32,
    /// What of it speaks against the subject.
    pub hits: u32,
}

impl Count {
    /// What of it speaks for the subject.
    #[must_use]
    pub const fn good(self) -> u32 {
        self.events.saturating_sub(self.hits)
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            hits: self.hits.saturating_add(other.hits),
        }
    }

    const fn less(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_sub(other.events),
            hits: self.hits.saturating_sub(other.hits),
        }
    }
}

/// What was counted in one bucket, and what of it counts no more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) count: Count,
    forgiven: Count,
    /// Whether the others do not know it yet.
    pub(super) new: bool,
}

impl Cell {
    pub(super) const fn add(&mut self, hit: bool) {
        self.count = self.count.plus(Count {
            events: 1,
            hits: if hit { 1 } else { 0 },
        });
        self.new = true;
    }

    /// What still counts.
    pub(super) const fn counts(self) -> Count {
        self.count.less(self.forgiven)
    }

    /// Nothing of it counts any more; answers what did.
    pub(super) const fn forgive(&mut self) -> Count {
        let forgiven = self.counts();
        self.forgiven = self.count;
        forgiven
    }

    const fn forgive_some(&mut self, some: Count) {
        self.forgiven = self.forgiven.plus(some);
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

/// Where somebody stands with a rule.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_field_names,
    reason = "three moments, each with its unit in its name"
)]
pub(super) struct Standing {
    /// What was before this is forgiven: somebody decided, or was let go, then.
    counted_from_ms: i64,
    /// Nothing is decided before this.
    pub(super) quiet_until_ms: i64,
    /// The operator is not warned again before this.
    pub(super) warned_until_ms: i64,
}

impl Standing {
    /// Whether it is the first that is heard of that moment.
    pub(super) const fn begins_anew(&mut self, at: Timestamp) -> bool {
        let anew = at.unix_ms() > self.counted_from_ms;
        if anew {
            self.counted_from_ms = at.unix_ms();
        }
        anew
    }
}

/// One subject's window of one rule.
#[derive(Debug, Default)]
pub(super) struct Window {
    own: BTreeMap<i64, Cell>,
    others: BTreeMap<(String, i64), Cell>,
    pub(super) networks: Networks,
    pub(super) standing: Standing,
    /// Whether it stands among those to be shared.
    pub(super) is_touched: bool,
}

impl Window {
    pub(super) fn add(&mut self, bucket: i64, hit: bool, network: Option<&str>) {
        self.own.entry(bucket).or_default().add(hit);
        if let Some(network) = network {
            self.networks.add(network, bucket, hit);
        }
    }

    /// What another process says that it counted in a bucket; it says it again when it has changed.
    pub(super) fn hear(&mut self, process: &str, bucket: i64, network: Option<&str>, count: Count) {
        let past = bucket <= self.standing.counted_from_ms;
        let cell = match network {
            Some(network) => self.networks.heard(process, bucket, network),
            None => self.others.entry((process.to_owned(), bucket)).or_default(),
        };
        let is_first = cell.count == Count::default();
        cell.count = count;
        if is_first && past {
            cell.forgive();
        }
    }

    /// Everything in the window that ends with `bucket`, and still counts.
    pub(super) fn sum(&self, bucket: i64, bucket_ms: i64) -> Count {
        let counts = self.cells(bucket, bucket_ms).map(|(_, cell)| cell.counts());
        counts.fold(Count::default(), Count::plus)
    }

    /// What speaks for the subject in that window, whatever was decided meanwhile.
    pub(super) fn good(&self, bucket: i64, bucket_ms: i64) -> u32 {
        let good = self
            .cells(bucket, bucket_ms)
            .map(|(_, cell)| cell.count.good());
        good.fold(0, u32::saturating_add)
    }

    /// The beginning of the oldest bucket that has a hit in it.
    pub(super) fn oldest_hit(&self, bucket: i64, bucket_ms: i64) -> Option<i64> {
        let cells = self.cells(bucket, bucket_ms);
        let hit = cells.filter(|(_, cell)| cell.counts().hits > 0);
        hit.map(|(at, _)| at).min()
    }

    fn cells(&self, bucket: i64, bucket_ms: i64) -> impl Iterator<Item = (i64, &Cell)> {
        let first = first(bucket, bucket_ms);
        let own = self.own.range(first..).map(|(at, cell)| (*at, cell));
        let others = self.others.iter().filter(move |((_, at), _)| *at >= first);
        own.chain(others.map(|((_, at), cell)| (*at, cell)))
    }

    /// How many processes have counted in the window, this one among them.
    pub(super) fn processes(&self) -> u32 {
        let others: BTreeSet<&str> = self.others.keys().map(|(name, _)| name.as_str()).collect();
        u32::try_from(others.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// From here on everything counts anew.
    pub(super) fn forget_before(&mut self, at: Timestamp) {
        if !self.standing.begins_anew(at) {
            return;
        }
        let own = self.own.range_mut(..=at.unix_ms()).map(|(_, cell)| cell);
        let others = self.others.iter_mut();
        let others =
            others.filter_map(|((_, bucket), cell)| (*bucket <= at.unix_ms()).then_some(cell));
        for cell in own.chain(others) {
            cell.forgive();
        }
        self.networks.forgive_before(at);
    }

    /// The same for one network: its failures count neither for it nor for the whole any more.
    pub(super) fn forget_network_before(&mut self, network: &str, at: Timestamp) {
        if !self.networks.standing(network).begins_anew(at) {
            return;
        }
        for (process, bucket, forgiven) in self.networks.forgive(network, at) {
            let cell = match process {
                None => self.own.get_mut(&bucket),
                Some(process) => self.others.get_mut(&(process, bucket)),
            };
            if let Some(cell) = cell {
                cell.forgive_some(forgiven);
            }
        }
    }

    /// Drops what is out of the window; whether anything is left.
    pub(super) fn sweep(&mut self, bucket: i64, bucket_ms: i64) -> bool {
        let first = first(bucket, bucket_ms);
        self.own = self.own.split_off(&first);
        self.others.retain(|(_, at), _| *at >= first);
        self.networks.sweep(first, bucket);
        !(self.own.is_empty()
            && self.others.is_empty()
            && self.networks.is_empty()
            && self.standing.quiet_until_ms <= bucket)
    }

    /// The buckets that the others do not know yet, once anything speaks against the subject or it
    /// is busy; those of networks where they have failures, or all of them.
    pub(super) fn take_new(&mut self, all_networks: bool) -> Vec<(i64, Option<String>, Count)> {
        let tells = |cell: &Cell| cell.count.hits > 0 || cell.count.events >= BUSY_EVENTS;
        if !self.own.values().any(tells) {
            return Vec::new();
        }
        let new = self.own.iter_mut().filter(|(_, cell)| cell.new);
        let mut taken: Vec<_> = new
            .map(|(bucket, cell)| {
                cell.new = false;
                (*bucket, None, cell.count)
            })
            .collect();
        taken.extend(self.networks.take_new(all_networks));
        taken
    }

    /// The last bucket in which this process counted anything.
    pub(super) fn last(&self) -> i64 {
        self.own.keys().next_back().copied().unwrap_or(0)
    }
}

/// The beginning of the first bucket of the window that ends with `bucket`.
pub(super) fn first(bucket: i64, bucket_ms: i64) -> i64 {
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
        window.add(0, true, None);
        window.add(0, false, None);
        window.add(ms, true, None);
        let count = |events, hits| Count { events, hits };
        assert_eq!(window.sum(ms, ms), count(3, 2));
        for _ in 0..3 {
            window.hear("other", ms, None, count(5, 4));
        }
        assert_eq!(window.sum(ms, ms), count(8, 6));
        assert_eq!(
            window.sum(12 * ms, ms),
            count(6, 5),
            "the first bucket is out"
        );
        assert_eq!(window.sum(13 * ms, ms), count(0, 0));
        assert_eq!(
            window.take_new(false),
            [(0, None, count(2, 1)), (ms, None, count(1, 1))]
        );
        assert!(window.take_new(false).is_empty());
        window.forget_before(Timestamp::from_unix_ms(1));
        assert_eq!(window.sum(ms, ms), count(6, 5));
        assert!(window.sweep(12 * ms, ms) && !window.sweep(13 * ms, ms));
    }

    #[test]
    fn what_speaks_against_nobody_is_not_shared() {
        let mut window = Window::default();
        window.add(0, false, None);
        assert!(window.take_new(false).is_empty());
        window.add(0, true, None);
        assert_eq!(window.take_new(false).len(), 1);
    }
    #[test]
    fn what_comes_after_a_decision_counts_in_the_same_bucket() {
        let ms = bucket_ms(86_400);
        let mut window = Window::default();
        for _ in 0..9 {
            window.add(0, true, Some("192.0.2.0/24"));
        }
        let decided = Timestamp::from_unix_ms(60_000);
        window.forget_before(decided);
        assert_eq!(window.sum(0, ms), Count::default());
        window.add(0, true, Some("192.0.2.0/24"));
        window.add(0, true, Some("198.51.100.0/24"));
        // The store says it again at every look.
        window.forget_before(decided);
        assert_eq!(window.sum(0, ms).hits, 2);
        window.forget_network_before("192.0.2.0/24", Timestamp::from_unix_ms(90_000));
        assert_eq!(window.sum(0, ms).hits, 1, "one network is forgiven");
        assert_eq!(window.networks.of("192.0.2.0/24", 0), Count::default());
        assert_eq!(window.networks.of("198.51.100.0/24", 0).hits, 1);
    }

    #[test]
    fn the_good_traffic_of_who_is_busy_is_shared() {
        let mut window = Window::default();
        for _ in 1..BUSY_EVENTS {
            window.add(0, false, None);
        }
        assert!(window.take_new(false).is_empty());
        window.add(0, false, None);
        assert_eq!(window.take_new(false).len(), 1);
    }
}
