//! The calls that wait for their turn: served in turns between clients, in order within one.
//!
//! A client's calls to one endpoint are served in the order in which they came. A call that waits
//! for a busy endpoint holds up no call to another, not even one of the same client. A client is
//! known here only while it has a call that waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Refused;
use super::endpoint::Endpoint;

/// Calls that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Every client that has a lane, once; the next to be served comes first.
    round: VecDeque<Arc<str>>,
    waiting: usize,
}

/// One client's calls.
#[derive(Debug, Default)]
struct Lane {
    lines: BTreeMap<Endpoint, VecDeque<Arc<Place>>>,
    waiting: usize,
}

/// One call's place in the queue. Its call waits for `called`, then looks at `verdict`.
#[derive(Debug)]
pub(super) struct Place {
    /// Rises with each call that comes.
    pub(super) number: u64,
    pub(super) client: Arc<str>,
    pub(super) endpoint: Endpoint,
    /// When the call no longer waits.
    pub(super) give_up: Instant,
    pub(super) called: Notify,
    pub(super) verdict: OnceLock<Result<(), Refused>>,
}

impl Place {
    /// Tells the call what became of it.
    pub(super) fn tell(&self, verdict: Result<(), Refused>) {
        if self.verdict.set(verdict).is_ok() {
            self.called.notify_one();
        }
    }
}

/// How many calls are served before one that comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) all: usize,
    /// Those of them that are for the same endpoint.
    pub(super) endpoint: usize,
}

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, place: Arc<Place>) {
        if !self.lanes.contains_key(&place.client) {
            self.round.push_back(Arc::clone(&place.client));
        }
        let lane = self.lanes.entry(Arc::clone(&place.client)).or_default();
        lane.waiting = lane.waiting.saturating_add(1);
        self.waiting = self.waiting.saturating_add(1);
        lane.lines
            .entry(place.endpoint)
            .or_default()
            .push_back(place);
    }

    /// The next call to be served, of those whose endpoint is ready. Clients that had to be passed
    /// over keep their place before the others.
    pub(super) fn next(&mut self, ready: impl Fn(Endpoint) -> bool) -> Option<Arc<Place>> {
        let (turn, place) = self
            .round
            .iter()
            .enumerate()
            .find_map(|(turn, client)| Some((turn, self.lanes.get(client)?.first(&ready)?)))?;
        if let Some(client) = self.round.remove(turn) {
            self.round.push_back(client);
        }
        self.remove(&place);
        Some(place)
    }

    /// Takes a call out; nothing when it is not there any more.
    pub(super) fn remove(&mut self, place: &Place) {
        let Some(lane) = self.lanes.get_mut(&place.client) else {
            return;
        };
        let Some(calls) = lane.lines.get_mut(&place.endpoint) else {
            return;
        };
        let Ok(at) = calls.binary_search_by_key(&place.number, |waiting| waiting.number) else {
            return;
        };
        calls.remove(at);
        if calls.is_empty() {
            lane.lines.remove(&place.endpoint);
        }
        lane.waiting = lane.waiting.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        if lane.waiting == 0 {
            self.lanes.remove(&place.client);
            self.round.retain(|client| *client != place.client);
        }
    }

    /// The call that gives way when the queue is full: the newest of the client with the most
    /// calls, if that client has more than the one that comes would have.
    pub(super) fn gives_way(&self, client: &str) -> Option<Arc<Place>> {
        let own = self.lanes.get(client).map_or(0, |lane| lane.waiting);
        let most = self.lanes.values().max_by_key(|lane| lane.waiting)?;
        if most.waiting <= own.saturating_add(1) {
            return None;
        }
        let newest = most.lines.values().filter_map(VecDeque::back);
        newest.max_by_key(|place| place.number).cloned()
    }

    /// How many are served before a call of that client which comes now: all of its own, and of
    /// each other client as many as there are turns. Calls that wait for another endpoint to be
    /// ready are not in its way.
    pub(super) fn ahead(
        &self,
        client: &str,
        endpoint: Endpoint,
        ready: impl Fn(Endpoint) -> bool,
    ) -> Ahead {
        let in_the_way = |other| other == endpoint || ready(other);
        let own = self.lanes.get(client);
        let own_all = own.map_or(0, |lane| lane.count(in_the_way));
        let own_here = own.map_or(0, |lane| lane.count(|other| other == endpoint));
        let (turns_all, turns_here) = (own_all.saturating_add(1), own_here.saturating_add(1));
        let mut ahead = Ahead {
            all: own_all,
            endpoint: own_here,
        };
        for (_, lane) in self.lanes.iter().filter(|(name, _)| &***name != client) {
            let all = lane.count(in_the_way).min(turns_all);
            let here = lane.count(|other| other == endpoint).min(turns_here);
            ahead.all = ahead.all.saturating_add(all);
            ahead.endpoint = ahead.endpoint.saturating_add(here);
        }
        ahead
    }

    /// Every call, in no order.
    pub(super) fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        let lines = self.lanes.values().flat_map(|lane| lane.lines.values());
        lines.flatten()
    }

    /// The endpoints for which calls wait.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let lanes = self.lanes.values();
        lanes.flat_map(|lane| lane.lines.keys().copied())
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> (usize, usize) {
        (self.lanes.len(), self.round.len())
    }
}

impl Lane {
    /// The oldest call whose endpoint is ready.
    fn first(&self, ready: impl Fn(Endpoint) -> bool) -> Option<Arc<Place>> {
        let lines = self.lines.iter().filter(|(endpoint, _)| ready(**endpoint));
        let fronts = lines.filter_map(|(_, line)| line.front());
        fronts.min_by_key(|place| place.number).cloned()
    }

    fn count(&self, counted: impl Fn(Endpoint) -> bool) -> usize {
        let lines = self
            .lines
            .iter()
            .filter(|(endpoint, _)| counted(**endpoint));
        lines.map(|(_, line)| line.len()).sum()
    }
}
