//! The egress governor: how fast, how many at a time, and whether at all the processor is asked.
//!
//! Every attempt at every call passes [`Governor::admit`] and holds the [`Permit`] it gets until it
//! has ended. A call that may not go at once waits in a queue that is fair between clients, and one
//! that would wait too long is refused at once, with the time after which it would not: nothing
//! was sent then, so a refusal never leaves an outcome open.
//!
//! There is one governor for each account and plane. What the two planes may ask of an account is
//! divided beforehand, so that neither can starve the other, whether they share a process or not.
//!
//! No task belongs to it. Of the calls that wait, one (the timekeeper) sleeps until the next can be
//! served and hands that duty on when it leaves; the others sleep until they are called. Read
//! `state` for what happens under the lock, then `queue`, `bucket`, `concurrency` and `breaker`.

mod breaker;
mod bucket;
mod concurrency;
mod endpoint;
mod limits;
mod queue;
mod sessions;
mod state;
#[cfg(test)]
pub(super) mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::Egress;

pub(super) use endpoint::Endpoint;
pub use limits::{
    Limits, STRIPE_ENDPOINT_REQUESTS_PER_S_MAX, STRIPE_LIVE_REQUESTS_PER_S_MAX,
    STRIPE_TEST_REQUESTS_PER_S_MAX,
};
use queue::Place;
use sessions::{SessionCall, Sessions};
use state::{Arrival, State, Ticket};

/// What a session that has as many calls as it may is told to wait: a call ends within seconds.
const SESSION_RETRY_AFTER_S: u32 = 1;
/// Longer waits than this are not told, and not asked for.
const RETRY_AFTER_S_MAX: u32 = 300;

/// Lets calls to one processor account go, on behalf of one plane.
pub(super) struct Governor {
    state: Mutex<State>,
    sessions: Sessions,
    egress: Option<Egress>,
}

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// The client, with whose other calls it takes turns.
    pub(super) client: &'a str,
    /// The capture session, where it is made for one.
    pub(super) session: Option<&'a str>,
}

impl<'a> From<&'a str> for Caller<'a> {
    fn from(client: &'a str) -> Self {
        Self {
            client,
            session: None,
        }
    }
}

/// Why a call was not let go. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It would have waited too long for its turn.
    Limited { retry_after_s: u32 },
    /// The processor fails, and is left alone for a while.
    Open { retry_after_s: u32 },
}

/// What the end of a call tells of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It answers; a refusal is an answer.
    Well,
    /// It says that this is too much, and perhaps for how long.
    Busy { pause: Option<Duration> },
    /// It was not reached, did not answer in time or failed itself.
    Failed,
}

/// The right to make one attempt. Dropped without a word, the attempt counts as given up.
#[must_use]
pub(super) struct Permit<'a> {
    governor: &'a Governor,
    ticket: Ticket,
    told: Option<Told>,
    _session: Option<SessionCall<'a>>,
}

impl Governor {
    pub(super) fn new(limits: &Limits) -> Self {
        let egress = limits.metrics.as_ref();
        Self {
            egress: egress.map(|metrics| metrics.egress(limits.plane)),
            state: Mutex::new(State::new(limits.clone())),
            sessions: Sessions::default(),
        }
    }

    /// Waits until a call may go; each client's calls are served in turns with the others', and no
    /// session has more than a few at one time.
    ///
    /// Dropping the future gives the place in the queue back.
    ///
    /// # Errors
    /// [`Refused`], at once where it can be known at once.
    pub(super) async fn admit<'c>(
        &self,
        caller: impl Into<Caller<'c>>,
        endpoint: Endpoint,
        deadline: Instant,
    ) -> Result<Permit<'_>, Refused> {
        let admitted = self.turn(caller.into(), endpoint, deadline).await;
        if let (Err(refused), Some(egress)) = (&admitted, &self.egress) {
            egress.refused(refused.name());
        }
        admitted
    }

    async fn turn(
        &self,
        caller: Caller<'_>,
        endpoint: Endpoint,
        deadline: Instant,
    ) -> Result<Permit<'_>, Refused> {
        let session = match caller.session {
            None => None,
            Some(session) => Some(self.sessions.enter(session).ok_or(Refused::Limited {
                retry_after_s: SESSION_RETRY_AFTER_S,
            })?),
        };
        let arrival = self
            .state()
            .arrive(caller.client, endpoint, Instant::now(), deadline);
        let ticket = match arrival {
            Arrival::Goes(ticket) => ticket,
            Arrival::Refused(refused) => return Err(refused),
            Arrival::Waits(place) => Waiting::new(self, place).turn().await?,
        };
        Ok(Permit {
            governor: self,
            ticket,
            told: None,
            _session: session,
        })
    }

    /// A panic while it was held could only have come from the allocator; the state is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Governor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Governor(..)")
    }
}

impl Refused {
    const fn name(self) -> &'static str {
        match self {
            Self::Limited { .. } => "rate_limited",
            Self::Open { .. } => "breaker_open",
        }
    }

    fn limited(wait: Duration) -> Self {
        Self::Limited {
            retry_after_s: seconds(wait),
        }
    }

    fn open(wait: Duration) -> Self {
        Self::Open {
            retry_after_s: seconds(wait),
        }
    }
}

impl Permit<'_> {
    /// The attempt has ended like this.
    pub(super) fn ended(mut self, told: Told) {
        self.told = Some(told);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.governor.state();
        let turned = state.ended(self.ticket, self.told, Instant::now());
        drop(state);
        let Some(turned) = turned else { return };
        let opened = turned == breaker::Turn::Opened;
        if opened {
            tracing::error!("the processor fails again and again; it is left alone for a while");
        } else {
            tracing::info!("the processor answers again");
        }
        if let Some(egress) = &self.governor.egress {
            egress.breaker(opened);
        }
    }
}

/// A call that waits for its turn, for as long as this lives.
struct Waiting<'a> {
    governor: &'a Governor,
    place: Arc<Place>,
    /// Whether what the place was told has become this call's.
    heard: bool,
}

impl<'a> Waiting<'a> {
    fn new(governor: &'a Governor, place: Arc<Place>) -> Self {
        if let Some(egress) = &governor.egress {
            egress.waits();
        }
        Self {
            governor,
            place,
            heard: false,
        }
    }

    async fn turn(mut self) -> Result<Ticket, Refused> {
        loop {
            let wake = self
                .governor
                .state()
                .look_after(&self.place, Instant::now());
            if let Some(verdict) = self.place.verdict.get() {
                self.heard = true;
                return verdict.map(|()| Ticket::new(Instant::now()));
            }
            tokio::select! {
                () = self.place.called.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.governor.state();
        state.leave(&self.place, self.heard, Instant::now());
        drop(state);
        if let Some(egress) = &self.governor.egress {
            egress.waits_no_more();
        }
    }
}

/// A moment later than `now`, unless time ends before it.
fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

/// A wait in whole seconds for `Retry-After`: never 0, and never less than the wait is, but for
/// parts of a millisecond, which the answer takes to arrive.
fn seconds(wait: Duration) -> u32 {
    let seconds = wait.as_millis().div_ceil(1_000);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    seconds.clamp(1, RETRY_AFTER_S_MAX)
}
