//! What the governor knows, and what happens to a call that comes, waits, goes and ends.
//!
//! All of it runs under one short lock. Nothing here sleeps: a call is told what to do, and until
//! when it may sleep.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, Pass, Turn};
use super::bucket::Bucket;
use super::concurrency::Concurrency;
use super::queue::{Place, Queue};
use super::{Endpoint, Limits, Refused, Told, after};

/// A processor that asks for a longer pause is asked again after this one.
const PAUSE_MAX: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    account: Bucket,
    /// Only so many as there are endpoints.
    endpoints: BTreeMap<Endpoint, Bucket>,
    paused_until: Option<Instant>,
    concurrency: Concurrency,
    breaker: Breaker,
    queue: Queue,
    /// The waiting call that sleeps until the next can be served.
    timekeeper: Option<Arc<Place>>,
    calls: u64,
}

/// What becomes of a call that comes.
#[derive(Debug)]
pub(super) enum Arrival {
    Goes(Ticket),
    Waits(Arc<Place>),
    Refused(Refused),
}

/// A call on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    began: Instant,
    probe: bool,
}

impl Ticket {
    pub(super) const fn new(began: Instant) -> Self {
        Self {
            began,
            probe: false,
        }
    }
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        let open = Duration::from_millis(u64::from(limits.open_ms));
        Self {
            account: Bucket::new(limits.requests_per_s_max),
            endpoints: BTreeMap::new(),
            paused_until: None,
            concurrency: Concurrency::new(limits.requests_in_flight_max),
            breaker: Breaker::new(limits.failures_in_a_row_max, open),
            queue: Queue::default(),
            timekeeper: None,
            calls: 0,
            limits,
        }
    }

    /// A call comes.
    pub(super) fn arrive(
        &mut self,
        client: &str,
        endpoint: Endpoint,
        now: Instant,
        deadline: Instant,
    ) -> Arrival {
        // (1) Those who were here before go before.
        self.serve(now);

        // (2) A processor that fails is left alone, but for the one call that tries.
        let probe = match self.breaker.pass(now) {
            Pass::Refused(rest) => return Arrival::Refused(Refused::open(rest)),
            Pass::Probe => true,
            Pass::Free => false,
        };
        if self.concurrency.has_room() && self.ready_at(endpoint, now) <= now {
            // Nobody waits for this endpoint now, or it would have been served.
            self.take(endpoint, now);
            if probe {
                self.breaker.probe();
            }
            return Arrival::Goes(Ticket { began: now, probe });
        }
        let wait = self.wait(client, endpoint, now);
        if probe {
            return Arrival::Refused(Refused::open(wait));
        }

        // (3) A call whose turn would come too late is told so now.
        let patience = Duration::from_millis(u64::from(self.limits.wait_ms_max));
        let give_up = after(now, patience).min(deadline);
        if after(now, wait) > give_up {
            return Arrival::Refused(Refused::limited(wait));
        }

        // (4) In a full queue, who has the most there gives way to who has less.
        if self.queue.len() >= self.limits.waiting_requests_max {
            let Some(place) = self.queue.gives_way(client) else {
                return Arrival::Refused(Refused::limited(wait));
            };
            self.refuse(&place, now);
        }
        self.calls = self.calls.saturating_add(1);
        let place = Arc::new(Place {
            number: self.calls,
            client: Arc::from(client),
            endpoint,
            give_up,
            called: Notify::new(),
            verdict: OnceLock::new(),
        });
        self.queue.push(Arc::clone(&place));
        // The newest knows best when the next is due.
        self.timekeeper = Some(Arc::clone(&place));
        Arrival::Waits(place)
    }

    /// A waiting call is awake: serves whom it can, and answers until when the call may sleep.
    pub(super) fn look_after(&mut self, place: &Arc<Place>, now: Instant) -> Instant {
        self.serve(now);
        if place.verdict.get().is_none() && place.give_up <= now {
            self.refuse(place, now);
        }
        let due = self.keeps_time(place).then(|| self.due_at(now)).flatten();
        due.map_or(place.give_up, |due| due.min(place.give_up))
    }

    /// A waiting call leaves, with what it was told (`heard`) or because nobody waits for it.
    pub(super) fn leave(&mut self, place: &Arc<Place>, heard: bool, now: Instant) {
        match place.verdict.get() {
            None => self.queue.remove(place),
            Some(Ok(())) if !heard => self.give_back(place.endpoint),
            Some(_) => {}
        }
        if self.keeps_time(place) {
            self.timekeeper = self.queue.places().next().cloned();
        }
        self.serve(now);
        self.wake_timekeeper();
    }

    /// A call has ended; `None` when nobody knows how.
    pub(super) fn ended(
        &mut self,
        ticket: Ticket,
        told: Option<Told>,
        now: Instant,
    ) -> Option<Turn> {
        self.concurrency.ended(ticket.began, told, now);
        if let Some(Told::Busy { pause: Some(pause) }) = told {
            self.pause(after(now, pause.min(PAUSE_MAX)), now);
        }
        let turned = self.breaker.ended(ticket.probe, told, now);
        if turned == Some(Turn::Opened) {
            let refused = match self.breaker.pass(now) {
                Pass::Refused(rest) => Refused::open(rest),
                Pass::Free | Pass::Probe => Refused::open(Duration::ZERO),
            };
            for place in self.queue.places() {
                place.tell(Err(refused));
            }
            self.queue = Queue::default();
        }
        self.serve(now);
        self.wake_timekeeper();
        turned
    }

    /// Calls whoever may go now.
    fn serve(&mut self, now: Instant) {
        while self.queue.len() > 0
            && self.concurrency.has_room()
            && self.account_ready_at(now) <= now
        {
            let endpoints = &self.endpoints;
            let ready = |endpoint| ready_at(endpoints, endpoint, now) <= now;
            let Some(place) = self.queue.next(ready) else {
                return;
            };
            if place.give_up < now {
                let wait = self.wait(&place.client, place.endpoint, now);
                place.tell(Err(Refused::limited(wait)));
            } else {
                self.take(place.endpoint, now);
                place.tell(Ok(()));
            }
        }
    }

    /// Nothing goes until then; who cannot wait so long is told now.
    fn pause(&mut self, until: Instant, now: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
        let places = self.queue.places();
        let late: Vec<Arc<Place>> = places
            .filter(|place| place.give_up < until)
            .cloned()
            .collect();
        for place in late {
            self.refuse(&place, now);
        }
    }

    fn refuse(&mut self, place: &Place, now: Instant) {
        self.queue.remove(place);
        let wait = self.wait(&place.client, place.endpoint, now);
        place.tell(Err(Refused::limited(wait)));
    }

    fn take(&mut self, endpoint: Endpoint, now: Instant) {
        self.account.take(now);
        let per_s_max = self.limits.per_s_max(endpoint);
        self.endpoints
            .entry(endpoint)
            .or_insert_with(|| Bucket::new(per_s_max))
            .take(now);
        self.concurrency.begin();
    }

    fn give_back(&mut self, endpoint: Endpoint) {
        self.account.give_back();
        if let Some(bucket) = self.endpoints.get_mut(&endpoint) {
            bucket.give_back();
        }
        self.concurrency.give_back();
    }

    fn account_ready_at(&self, now: Instant) -> Instant {
        let ready = self.account.ready_at(now);
        self.paused_until.map_or(ready, |until| until.max(ready))
    }

    fn ready_at(&self, endpoint: Endpoint, now: Instant) -> Instant {
        self.account_ready_at(now)
            .max(ready_at(&self.endpoints, endpoint, now))
    }

    /// How long a call that comes now waits for its turn, if nobody else comes.
    fn wait(&self, client: &str, endpoint: Endpoint, now: Instant) -> Duration {
        let ready = |other| ready_at(&self.endpoints, other, now) <= now;
        let ahead = self.queue.ahead(client, endpoint, ready);
        let paced = |pace: Duration, calls: usize| {
            pace.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX))
        };
        let account = self
            .account_ready_at(now)
            .duration_since(now)
            .saturating_add(paced(self.account.pace(), ahead.all));
        let here = self.endpoints.get(&endpoint).map(|bucket| {
            let ready = bucket.ready_at(now).duration_since(now);
            ready.saturating_add(paced(bucket.pace(), ahead.endpoint))
        });
        account
            .max(here.unwrap_or_default())
            .max(self.concurrency.wait(ahead.all))
    }

    /// When the next call can be served; nothing while only the end of another makes room.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        if !self.concurrency.has_room() {
            return None;
        }
        let endpoints = self.queue.endpoints();
        let first = endpoints.map(|endpoint| ready_at(&self.endpoints, endpoint, now));
        Some(first.min()?.max(self.account_ready_at(now)))
    }

    fn keeps_time(&self, place: &Arc<Place>) -> bool {
        let keeper = self.timekeeper.as_ref();
        keeper.is_some_and(|keeper| Arc::ptr_eq(keeper, place))
    }

    /// What is due when may have changed.
    fn wake_timekeeper(&self) {
        if let Some(keeper) = &self.timekeeper {
            keeper.called.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> (usize, (usize, usize), bool, u32) {
        let clients = self.queue.clients();
        let timekeeper = self.timekeeper.is_some();
        (
            self.queue.len(),
            clients,
            timekeeper,
            self.concurrency.limit(),
        )
    }
}

fn ready_at(endpoints: &BTreeMap<Endpoint, Bucket>, endpoint: Endpoint, now: Instant) -> Instant {
    endpoints
        .get(&endpoint)
        .map_or(now, |bucket| bucket.ready_at(now))
}
