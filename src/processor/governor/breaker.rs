//! The circuit breaker: a processor that fails again and again is left alone for a while, then
//! asked once, and asked by everybody again when that one call is answered.
//!
//! What counts as an answer is [`Told::Well`] and [`Told::Busy`]: a decline is an answer.

use std::time::Duration;

use tokio::time::Instant;

use super::Told;

/// Whether the processor is asked at all.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_in_a_row_max: u32,
    open: Duration,
    stand: Stand,
}

#[derive(Clone, Copy, Debug)]
enum Stand {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way, and its end decides.
    HalfOpen,
}

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Go on, like all others.
    Free,
    /// Go alone: it is the one that tries.
    Probe,
    /// Not go, for so long at least.
    Refused(Duration),
}

/// What the end of a call did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened,
    Closed,
}

impl Breaker {
    pub(super) const fn new(failures_in_a_row_max: u32, open: Duration) -> Self {
        Self {
            failures_in_a_row_max,
            open,
            stand: Stand::Closed { failures: 0 },
        }
    }

    /// What a call that comes now may do. A probe is begun by [`Breaker::probe`].
    pub(super) fn pass(&self, now: Instant) -> Pass {
        match self.stand {
            Stand::Closed { .. } => Pass::Free,
            Stand::Open { until } if until > now => Pass::Refused(until.duration_since(now)),
            Stand::Open { .. } => Pass::Probe,
            Stand::HalfOpen => Pass::Refused(Duration::ZERO),
        }
    }

    /// The one call that tries goes.
    pub(super) const fn probe(&mut self) {
        self.stand = Stand::HalfOpen;
    }

    /// A call has ended; `None` when nobody knows how, because nobody waited.
    pub(super) fn ended(&mut self, probe: bool, told: Option<Told>, now: Instant) -> Option<Turn> {
        let failed = told == Some(Told::Failed);
        match self.stand {
            Stand::Closed { failures } => {
                told?;
                let failures = if failed {
                    failures.saturating_add(1)
                } else {
                    0
                };
                if failures >= self.failures_in_a_row_max {
                    self.stand = self.opened(now);
                    return Some(Turn::Opened);
                }
                self.stand = Stand::Closed { failures };
                None
            }
            Stand::HalfOpen if probe => {
                let (stand, turn) = match told {
                    Some(Told::Failed) => (self.opened(now), None),
                    Some(_) => (Stand::Closed { failures: 0 }, Some(Turn::Closed)),
                    // The next call tries instead.
                    None => (Stand::Open { until: now }, None),
                };
                self.stand = stand;
                turn
            }
            // Calls from before it opened tell nothing new.
            Stand::HalfOpen | Stand::Open { .. } => None,
        }
    }

    fn opened(&self, now: Instant) -> Stand {
        Stand::Open {
            until: super::after(now, self.open),
        }
    }
}
