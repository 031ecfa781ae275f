//! Networks: from where the cards of a shop, or of a customer, come, and how they end there.
//!
//! One network that fails says something about that network; many that fail at one time say that the
//! shop is under attack. A network counts with few failures, and only where it has as many failures
//! as accepted cards, so that neither a handful of addresses nor a carrier's can close a shop.

use std::collections::{BTreeMap, BTreeSet};

use super::windows::{Cell, Count, Standing};
use crate::clock::Timestamp;

/// Networks and buckets that one window remembers; those without failures make room.
const CELLS_MAX: usize = 4_096;
/// The failures with which one network counts at most, where rules ask how widely they are spread.
pub const NETWORK_HITS_MAX: u32 = 3;

/// The networks of one window, by the names of their subjects.
#[derive(Debug, Default)]
pub(super) struct Networks {
    own: BTreeMap<(i64, String), Cell>,
    others: BTreeMap<(i64, String, String), Cell>,
    standings: BTreeMap<String, Standing>,
}

/// How failures are spread over networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// Failures, of each network so many at most.
    pub(super) hits: u32,
    /// Failures of which the network is known.
    pub(super) known_hits: u32,
    /// Networks with at least as many failures as accepted cards.
    pub(super) unusual: u32,
    /// Networks with an accepted card.
    pub(super) good: u32,
}

impl Networks {
    pub(super) fn add(&mut self, network: &str, bucket: i64, hit: bool) {
        let key = (bucket, network.to_owned());
        if !self.own.contains_key(&key) && self.own.len() >= CELLS_MAX && !self.has_room(hit) {
            return;
        }
        self.own.entry(key).or_default().add(hit);
    }

    /// Whether there is room for one more; for a failure it is made.
    fn has_room(&mut self, hit: bool) -> bool {
        let mut without = self.own.iter().filter(|(_, cell)| cell.count.hits == 0);
        let Some(key) = without.next().map(|(key, _)| key.clone()).filter(|_| hit) else {
            return false;
        };
        self.own.remove(&key).is_some()
    }

    /// The cell of what another process says.
    pub(super) fn heard(&mut self, process: &str, bucket: i64, network: &str) -> &mut Cell {
        let key = (bucket, process.to_owned(), network.to_owned());
        self.others.entry(key).or_default()
    }

    pub(super) fn standing(&mut self, network: &str) -> &mut Standing {
        self.standings.entry(network.to_owned()).or_default()
    }

    fn cells(&self, first: i64) -> impl Iterator<Item = (&str, Cell)> {
        let own = self.own.range((first, String::new())..);
        let others = self.others.range((first, String::new(), String::new())..);
        own.map(|((_, network), cell)| (network.as_str(), *cell))
            .chain(others.map(|((_, _, network), cell)| (network.as_str(), *cell)))
    }

    /// What one network did from that bucket on.
    pub(super) fn of(&self, network: &str, first: i64) -> Count {
        let cells = self.cells(first).filter(|(name, _)| *name == network);
        cells.fold(Count::default(), |sum, (_, cell)| sum.plus(cell.counts()))
    }

    /// How failures are spread from that bucket on.
    pub(super) fn spread(&self, first: i64) -> Spread {
        let mut by_network: BTreeMap<&str, (Count, u32)> = BTreeMap::new();
        for (network, cell) in self.cells(first) {
            let (count, good) = by_network.entry(network).or_default();
            *count = count.plus(cell.counts());
            *good = good.saturating_add(cell.count.good());
        }
        let mut spread = Spread::default();
        for (count, good) in by_network.into_values() {
            spread.known_hits = spread.known_hits.saturating_add(count.hits);
            spread.hits = spread.hits.saturating_add(count.hits.min(NETWORK_HITS_MAX));
            let is_unusual = count.hits > 0 && count.hits >= good;
            spread.unusual = spread.unusual.saturating_add(u32::from(is_unusual));
            spread.good = spread.good.saturating_add(u32::from(good > 0));
        }
        spread
    }

    pub(super) fn forgive_before(&mut self, at: Timestamp) {
        let at_ms = at.unix_ms();
        let own = self
            .own
            .iter_mut()
            .map(|((bucket, _), cell)| (*bucket, cell));
        let others = self.others.iter_mut();
        let others = others.map(|((bucket, _, _), cell)| (*bucket, cell));
        for (_, cell) in own.chain(others).filter(|(bucket, _)| *bucket <= at_ms) {
            cell.forgive();
        }
    }

    /// Forgives one network; answers by whom and in which bucket that was counted.
    pub(super) fn forgive(
        &mut self,
        network: &str,
        at: Timestamp,
    ) -> Vec<(Option<String>, i64, Count)> {
        let at_ms = at.unix_ms();
        let own = self.own.iter_mut();
        let own = own
            .filter(|((bucket, name), _)| name == network && *bucket <= at_ms)
            .map(|((bucket, _), cell)| (None, *bucket, cell.forgive()));
        let mut forgiven: Vec<_> = own.collect();
        let others = self.others.iter_mut();
        let others = others
            .filter(|((bucket, _, name), _)| name == network && *bucket <= at_ms)
            .map(|((bucket, process, _), cell)| (Some(process.clone()), *bucket, cell.forgive()));
        forgiven.extend(others);
        forgiven
    }

    pub(super) fn sweep(&mut self, first: i64, bucket: i64) {
        self.own = self.own.split_off(&(first, String::new()));
        let begin = (first, String::new(), String::new());
        self.others = self.others.split_off(&begin);
        let known: BTreeSet<String> = self.cells(first).map(|(name, _)| name.to_owned()).collect();
        self.standings.retain(|network, standing| {
            standing.quiet_until_ms > bucket || known.contains(network)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.others.is_empty() && self.standings.is_empty()
    }

    /// What the others do not know yet.
    pub(super) fn take_new(&mut self, all: bool) -> Vec<(i64, Option<String>, Count)> {
        let new = self.own.iter_mut();
        let new = new.filter(|(_, cell)| cell.new && (all || cell.count.hits > 0));
        new.map(|((bucket, network), cell)| {
            cell.new = false;
            (*bucket, Some(network.clone()), cell.count)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_counts_with_few_failures_and_only_where_it_fails_as_often_as_not() {
        let mut networks = Networks::default();
        let add = |networks: &mut Networks, network: &str, good: u32, bad: u32| {
            for card in 0..good.saturating_add(bad) {
                networks.add(network, 0, card >= good);
            }
        };
        add(&mut networks, "a", 0, 9);
        add(&mut networks, "b", 9, 2);
        add(&mut networks, "c", 1, 1);
        let heard = networks.heard("other", 0, "c");
        heard.count = Count { events: 2, hits: 2 };
        let spread = networks.spread(0);
        let expected = Spread {
            hits: NETWORK_HITS_MAX + 2 + NETWORK_HITS_MAX,
            known_hits: 14,
            unusual: 2,
            good: 2,
        };
        assert_eq!(spread, expected);
        assert_eq!(networks.spread(1), Spread::default());
    }

    #[test]
    fn a_failure_finds_room_where_good_networks_have_taken_it() {
        let mut networks = Networks::default();
        for number in 0..=CELLS_MAX {
            networks.add(&number.to_string(), 0, false);
        }
        assert_eq!(networks.own.len(), CELLS_MAX);
        networks.add("bad", 0, true);
        assert_eq!(
            (networks.own.len(), networks.of("bad", 0).hits),
            (CELLS_MAX, 1)
        );
    }
}
