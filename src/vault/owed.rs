//! Owed work: what a crash, a timeout, the shopper or the processor left open is worked off, by any
//! node, until it is over. One loop for every kind of it.
//!
//! Each kind of each account is worked off beside the others, so that one account's dead processor
//! and one endpoint that is silent hold up nobody else. How much of it runs at once is bounded here;
//! how fast the processor is asked, by its governor.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{Internal, Refusal, process};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{ChargeRow, ChargeWork, DueCharge, Failure, RefundWork, Take};
use crate::token::{Account, TokenId};

/// How often work is looked for, and how much is done at once.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) interval_ms: u64,
    pub(super) at_once_max: usize,
}

/// Of what the processor is asked about, for each account and kind of work.
const PROCESSOR_PACE: Pace = Pace {
    interval_ms: 1_000,
    at_once_max: 16,
};
/// Of the processor's events: applying one takes no call.
const EVENTS_PACE: Pace = Pace {
    interval_ms: 250,
    at_once_max: 16,
};
/// Milliseconds of a first pause, and of the longest.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 2_000..=3_600_000;

/// Takes work and does it until `one` says that there is no more to be had.
pub(super) async fn work_off<T>(
    pace: Pace,
    take: impl AsyncFn(u32) -> Result<Vec<T>, Refusal>,
    one: impl AsyncFn(T) -> ControlFlow<()>,
) {
    let interval = Duration::from_millis(pace.interval_ms);
    let mut running = FuturesUnordered::new();
    let mut next_look = Instant::now();
    let mut over = false;
    while !(over && running.is_empty()) {
        let room = pace.at_once_max.saturating_sub(running.len());
        let enough = room.saturating_mul(2) >= pace.at_once_max;
        if !over && enough && Instant::now() >= next_look {
            let taken = match take(u32::try_from(room).unwrap_or(u32::MAX)).await {
                Ok(taken) => taken,
                Err(refusal) => {
                    tracing::warn!(%refusal, "owed work cannot be taken");
                    Vec::new()
                }
            };
            // While there is more than fits, the next look is made as soon as there is room.
            if taken.len() < room {
                next_look = later(interval);
            }
            for work in taken {
                running.push(one(work));
            }
        }
        tokio::select! {
            Some(flow) = running.next() => over |= flow.is_break(),
            () = tokio::time::sleep_until(next_look.max(later(MIN_PAUSE))), if !over => {}
        }
    }
}

/// Between two looks while nothing runs: a look never spins.
const MIN_PAUSE: Duration = Duration::from_millis(5);

fn later(pause: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(pause).unwrap_or(now)
}

/// When to ask again about what is that old: often in the beginning, then less and less, and never
/// sooner than the processor asks for.
pub(super) fn retry_at(now: Timestamp, since: Timestamp, asked_s: Option<u32>) -> Timestamp {
    let pause_ms = (now.ms_since(since) / 4).clamp(*PAUSE_MS.start(), *PAUSE_MS.end());
    let wanted_ms = u64::from(asked_s.unwrap_or(0)).saturating_mul(1_000);
    now.plus_ms(pause_ms.max(wanted_ms))
}

impl Internal {
    /// Works off what is owed until the process stops.
    pub async fn work_forever(self: Arc<Self>) {
        join_all(self.processors.keys().map(|account| self.work_for(account))).await;
    }

    async fn work_for(&self, account: &Account) {
        tokio::join!(
            self.work_off_charges(account),
            self.work_off_refunds(account),
            self.work_off_reviews(account),
            self.work_off_deletions(account),
            self.work_off_orphans(account),
            self.work_off_events(account),
        );
    }

    async fn work_off_charges(&self, account: &Account) {
        let take = async |limit| {
            // What needs a token opened waits until the custodians have been here.
            if self.is_sealed() {
                return Ok(Vec::new());
            }
            let common = self.common.clone();
            let opened = move |charge: &ChargeRow| {
                let subject = Some(charge.token.to_string());
                common.event(&process(), Action::TokenOpened, Outcome::Success, subject)
            };
            let store = &self.common.store;
            let due = store
                .take_due_charges(self.take(account, limit), opened)
                .await?;
            self.alarm(&due.unreadable);
            Ok(due.charges)
        };
        let one = async |due: DueCharge| {
            let id = due.charge.id;
            if let Err(refusal) = self.go_on(due).await {
                tracing::warn!(charge = %id, %refusal, "a charge stays open");
            }
            ControlFlow::Continue(())
        };
        work_off(PROCESSOR_PACE, take, one).await;
    }

    /// What is open about a charge is its operation, its payment, or whether there is one.
    async fn go_on(&self, due: DueCharge) -> Result<ChargeRow, Refusal> {
        let DueCharge {
            lease,
            charge,
            sealed,
            asked_before,
        } = due;
        match sealed {
            _ if charge.operation.is_some() => self.operate(&process(), (lease, charge)).await,
            Some(sealed) => {
                let work = ChargeWork {
                    lease,
                    charge,
                    sealed,
                    asked_before,
                };
                self.settle(&process(), work).await
            }
            None => self.look(&process(), (lease, charge)).await,
        }
    }

    async fn work_off_refunds(&self, account: &Account) {
        let take = async |limit| {
            let store = &self.common.store;
            let due = store.take_due_refunds(self.take(account, limit)).await?;
            self.alarm(&due.unreadable);
            Ok(due.refunds)
        };
        let one = async |work: RefundWork| {
            let id = work.refund.id;
            if let Err(refusal) = self.make_refund(&process(), work).await {
                tracing::warn!(refund = %id, %refusal, "a refund stays open");
            }
            ControlFlow::Continue(())
        };
        work_off(PROCESSOR_PACE, take, one).await;
    }

    async fn work_off_reviews(&self, account: &Account) {
        let take = async |limit| {
            let store = &self.common.store;
            let now = self.common.now();
            // Reviews are made whatever a page's row says.
            if let Err(failure) = store.take_up_page_questions(account, now).await {
                tracing::warn!(%failure, "what charges' pages ask could not be taken up");
            }
            Ok(store.take_due_reviews(self.take(account, limit)).await?)
        };
        let one = async |due| {
            self.review(due).await;
            ControlFlow::Continue(())
        };
        work_off(PROCESSOR_PACE, take, one).await;
    }

    async fn work_off_deletions(&self, account: &Account) {
        let take = async |limit| {
            if self.is_sealed() {
                return Ok(Vec::new());
            }
            let common = self.common.clone();
            let opened = move |token: TokenId| {
                let action = Action::TokenDeletionStarted;
                let subject = Some(token.to_string());
                common.event(&process(), action, Outcome::Success, subject)
            };
            let store = &self.common.store;
            let take = self.take(account, limit);
            Ok(store.take_due_deletions(take, opened).await?)
        };
        let one = async |work| {
            self.go_on_deleting(work).await;
            ControlFlow::Continue(())
        };
        work_off(PROCESSOR_PACE, take, one).await;
    }

    async fn work_off_orphans(&self, account: &Account) {
        let take = async |limit| {
            if self.is_sealed() {
                return Ok(Vec::new());
            }
            self.due_orphans(self.take(account, limit)).await
        };
        let one = async |work| {
            self.go_on_with_orphan(work).await;
            ControlFlow::Continue(())
        };
        work_off(PROCESSOR_PACE, take, one).await;
    }

    async fn work_off_events(&self, account: &Account) {
        let take = async |limit| {
            let store = &self.common.store;
            Ok(store.take_due_events(self.take(account, limit)).await?)
        };
        let one = async |due| {
            self.apply_event(due).await;
            ControlFlow::Continue(())
        };
        work_off(EVENTS_PACE, take, one).await;
    }

    fn take(&self, account: &Account, limit: u32) -> Take {
        let now = self.common.now();
        Take {
            scope: account.as_str().to_owned(),
            now,
            until: now.plus_ms(self.common.limits.work_lease_ms),
            limit,
        }
    }

    fn alarm(&self, unreadable: &[Failure]) {
        for failure in unreadable {
            self.common.metrics.charged("unreadable");
            tracing::error!(%failure, "an open row cannot be read and needs a person");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_with_the_age_and_is_never_shorter_than_asked_for() {
        let now = Timestamp::from_unix_ms(10_000_000);
        let after = |since_ms: i64, asked_s| {
            retry_at(now, Timestamp::from_unix_ms(10_000_000 - since_ms), asked_s).ms_since(now)
        };
        assert_eq!(after(0, None), 2_000);
        assert_eq!(after(40_000, None), 10_000);
        assert_eq!(after(9_999_999, None), 2_499_999);
        assert_eq!(after(0, Some(30)), 30_000);
        assert_eq!(after(400_000, Some(30)), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_done_side_by_side_within_the_bound_and_until_it_is_over() {
        use std::cell::Cell;
        let (left, running, most) = (Cell::new(40_u32), Cell::new(0_u32), Cell::new(0_u32));
        let pace = Pace {
            interval_ms: 1_000,
            at_once_max: 8,
        };
        let take = async |limit: u32| {
            let taken = left.get().min(limit);
            left.set(left.get() - taken);
            Ok(vec![(); usize::try_from(taken).unwrap()])
        };
        let one = async |()| {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            tokio::time::sleep(Duration::from_secs(1)).await;
            running.set(running.get() - 1);
            if left.get() == 0 && running.get() == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let started = Instant::now();
        work_off(pace, take, one).await;
        assert_eq!((left.get(), most.get()), (0, 8));
        // One after the other it would be 40 seconds.
        assert!(
            started.elapsed() < Duration::from_secs(12),
            "{:?}",
            started.elapsed()
        );
    }
}
