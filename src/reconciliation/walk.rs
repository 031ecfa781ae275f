//! The walk: both sides page by page, and what looks different read once more on both.
//!
//! Money moves while this runs. What is new, or whose row was just written, is left to the next
//! walk; and what differs is a suspect until the object itself, read alone a while later, still
//! differs from the row as it stands then.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::compare::Compared;
use super::difference::{Difference, Object};
use super::listed::{Listed, Rows};
use super::report::Tally;
use super::requests::{Requests, Twice};
use crate::clock::Timestamp;
use crate::processor::{
    Effect, Failure, ListedDispute, ListedPayment, ListedRefund, Page, Processor,
};
use crate::store;
use crate::token::Account;

/// Rows of ours that are read together.
const PAGE_ROWS: u32 = 500;
/// Milliseconds by which the processor's clock may differ from ours.
const CLOCKS_DIFFER_MS: u64 = 3_600_000;
/// Milliseconds before each further try of a page that was not answered.
const PAUSES_MS: [u64; 4] = [1_000, 4_000, 15_000, 60_000];
/// Suspects of a kind that are read once more. With more, something larger is wrong than this
/// could name one by one.
const SUSPECTS_MAX: usize = 10_000;

/// How far back, and what is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// What was made before is not compared.
    pub(super) since: Timestamp,
    /// Milliseconds for which what is new, or just written, is left alone.
    pub(super) settling_ms: u64,
    /// Milliseconds after which a suspect is read once more.
    pub(super) confirm_after_ms: u64,
    /// Objects of each kind that are listed at most.
    pub(super) objects_max: u64,
}

/// Why a comparison came to no end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The processor did not answer.
    #[error("the processor: {0}")]
    Processor(#[from] Failure),
    /// The store did not.
    #[error("the store: {0}")]
    Store(#[from] store::Failure),
    /// There is more than is compared.
    #[error(
        "more than {objects_max} objects since then; name a later --since, or raise reconciliation.objects_max"
    )]
    TooMany {
        /// The limit.
        objects_max: u64,
    },
    /// Too much differs to be named one by one.
    #[error(
        "more than {SUSPECTS_MAX} objects differ: is this the right store for this processor account?"
    )]
    TooManyDiffer,
    /// The configuration knows no processor of this account.
    #[error("account {0} has no processor")]
    NoProcessor(Account),
    /// Another run compares this account.
    #[error("another run compares this account; try again when it has ended")]
    Elsewhere,
}

/// What is told while it goes on: whether the walk may.
pub(super) trait Watch {
    async fn page(&mut self, tally: &Tally) -> Result<(), Stopped>;
}

/// Both sides of one account.
pub(super) struct Walk<'a, W> {
    pub(super) processor: &'a Processor,
    pub(super) rows: Rows<'a>,
    /// Milliseconds that a caller's key stands for one request: what is made for the same one within
    /// them is made twice.
    pub(super) key_lives_ms: u64,
    pub(super) bounds: Bounds,
    pub(super) started_at: Timestamp,
    pub(super) watch: W,
    pub(super) tally: Tally,
}

/// Which counts of the tally a kind goes into.
trait Counted: Listed {
    fn listed(tally: &mut Tally) -> &mut u64;
    fn rows_of(tally: &mut Tally) -> &mut u64;
}

impl Counted for ListedPayment {
    fn listed(tally: &mut Tally) -> &mut u64 {
        &mut tally.payments
    }

    fn rows_of(tally: &mut Tally) -> &mut u64 {
        &mut tally.charges
    }
}

impl Counted for ListedRefund {
    fn listed(tally: &mut Tally) -> &mut u64 {
        &mut tally.refunds
    }

    fn rows_of(tally: &mut Tally) -> &mut u64 {
        &mut tally.refund_rows
    }
}

impl Counted for ListedDispute {
    fn listed(tally: &mut Tally) -> &mut u64 {
        &mut tally.disputes
    }

    fn rows_of(tally: &mut Tally) -> &mut u64 {
        &mut tally.dispute_rows
    }
}

impl<W: Watch> Walk<'_, W> {
    /// Every difference of the account.
    pub(super) async fn differences(&mut self) -> Result<Vec<Difference>, Stopped> {
        let (payments, paid) = self.suspects::<ListedPayment>().await?;
        let (refunds, refunded) = self.suspects::<ListedRefund>().await?;
        let (disputes, _) = self.suspects::<ListedDispute>().await?;
        let none_twice = paid.is_empty() && refunded.is_empty();
        if payments.is_empty() && refunds.is_empty() && disputes.is_empty() && none_twice {
            return Ok(Vec::new());
        }
        let wait = Duration::from_millis(self.bounds.confirm_after_ms);
        tokio::time::sleep(wait).await;
        let payments = self.confirmed::<ListedPayment>(payments).await?;
        let refunds = self.confirmed::<ListedRefund>(refunds).await?;
        let disputes = self.confirmed::<ListedDispute>(disputes).await?;
        let paid = self.confirmed_twice::<ListedPayment>(paid).await?;
        let refunded = self.confirmed_twice::<ListedRefund>(refunded).await?;
        Ok([payments, refunds, disputes, paid, refunded].concat())
    }

    /// The names of objects that look different, or that a row names and no list has.
    /// Beside them, those that were made for a request of which there is one already.
    async fn suspects<T: Counted>(&mut self) -> Result<(BTreeSet<String>, Vec<Twice>), Stopped> {
        let mut suspects = BTreeSet::new();
        let mut requests = Requests::new(self.key_lives_ms);
        let seen = self.list::<T>(&mut suspects, &mut requests).await?;
        self.look_for_missing::<T>(&seen, &mut suspects).await?;
        if suspects.len().saturating_add(requests.twice.len()) > SUSPECTS_MAX {
            return Err(Stopped::TooManyDiffer);
        }
        Ok((suspects, requests.twice))
    }

    /// Those of two that were made for one request, read alone, of which both move money.
    async fn confirmed_twice<T: Listed>(
        &mut self,
        twice: Vec<Twice>,
    ) -> Result<Vec<Difference>, Stopped> {
        let mut differences = Vec::new();
        for Twice { first, again } in twice {
            let first = self.alone::<T>(&first).await?;
            let again = self.alone::<T>(&again).await?;
            if let (Some(first), Some(again)) = (first, again) {
                differences.extend(T::made_twice(&first, &again));
            }
            self.watch.page(&self.tally).await?;
        }
        Ok(differences)
    }

    /// An object, read alone; nothing where the processor has none of that name.
    async fn alone<T: Listed>(&self, id: &str) -> Result<Option<T>, Stopped> {
        let alone = self.patiently(async || T::alone(self.processor, id).await);
        match alone.await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The processor's side: every object since then, against its rows.
    async fn list<T: Counted>(
        &mut self,
        suspects: &mut BTreeSet<String>,
        requests: &mut Requests,
    ) -> Result<HashSet<Arc<str>>, Stopped> {
        let since = before(self.bounds.since, CLOCKS_DIFFER_MS);
        let mut seen = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page: Page<T> = self.page(since, after.as_deref()).await?;
            self.tally.unreadable = self.tally.unreadable.saturating_add(page.unreadable);
            let mut settled = Vec::with_capacity(page.objects.len());
            for object in page.objects {
                let id: Arc<str> = Arc::from(object.id());
                requests.note(&object, &id);
                seen.insert(id);
                if object.created_at() < self.bounds.since {
                    continue;
                }
                count(T::listed(&mut self.tally));
                if self.is_settled(object.created_at()) {
                    settled.push(object);
                } else {
                    count(&mut self.tally.unsettled);
                }
            }
            self.hold_against_rows(&settled, suspects).await?;
            self.watch.page(&self.tally).await?;
            let listed = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            match page.next {
                None => return Ok(seen),
                Some(_) if listed >= self.bounds.objects_max => {
                    let objects_max = self.bounds.objects_max;
                    return Err(Stopped::TooMany { objects_max });
                }
                Some(next) => after = Some(next),
            }
        }
    }

    async fn hold_against_rows<T: Counted>(
        &mut self,
        objects: &[T],
        suspects: &mut BTreeSet<String>,
    ) -> Result<(), Stopped> {
        let rows = T::rows(self.rows, objects).await?;
        for (object, rows) in objects.iter().zip(rows) {
            let written_at = T::written_at(&rows);
            if written_at.is_some_and(|at| !self.is_settled(at)) {
                count(&mut self.tally.unsettled);
                continue;
            }
            match object.compare(&rows) {
                Compared::Agrees => {}
                Compared::Foreign => count(&mut self.tally.foreign),
                Compared::Differs(_) => {
                    suspects.insert(object.id().to_owned());
                }
            }
        }
        Ok(())
    }

    /// Our side: every row since then names an object that a list has.
    async fn look_for_missing<T: Counted>(
        &mut self,
        seen: &HashSet<Arc<str>>,
        suspects: &mut BTreeSet<String>,
    ) -> Result<(), Stopped> {
        let since = self.bounds.since;
        let mut after = None;
        loop {
            let page = T::ours(self.rows, (since, after), PAGE_ROWS).await?;
            let full = usize::try_from(PAGE_ROWS).is_ok_and(|rows| page.len() >= rows);
            after = page.last().map(|ours| ours.cursor.clone());
            for ours in page {
                count(T::rows_of(&mut self.tally));
                let settled = self.is_settled(ours.written_at);
                if let Some(object) = ours.object.filter(|_| settled)
                    && !seen.contains(object.as_str())
                {
                    suspects.insert(object);
                }
            }
            self.watch.page(&self.tally).await?;
            if !full {
                return Ok(());
            }
        }
    }

    async fn confirmed<T: Counted>(
        &mut self,
        suspects: BTreeSet<String>,
    ) -> Result<Vec<Difference>, Stopped> {
        let mut differences = Vec::new();
        for id in suspects {
            differences.extend(self.reread::<T>(&id).await?);
            self.watch.page(&self.tally).await?;
        }
        Ok(differences)
    }

    /// What differs about one object now, read alone on both sides.
    pub(super) async fn reread<T: Listed>(&self, id: &str) -> Result<Vec<Difference>, Stopped> {
        let Some(object) = self.alone::<T>(id).await? else {
            let missing = T::missing(self.rows, id).await?;
            return Ok(missing.into_iter().collect());
        };
        let objects = [object];
        let rows = T::rows(self.rows, &objects).await?;
        let both = objects.iter().zip(rows);
        let differences = both.flat_map(|(object, rows)| object.compare(&rows).into_differences());
        Ok(differences.collect())
    }

    /// What still differs about the object of a difference.
    pub(super) async fn reread_of(&self, of: &Difference) -> Result<Vec<Difference>, Stopped> {
        match of.kind.object() {
            Object::Payment => self.reread::<ListedPayment>(&of.object).await,
            Object::Refund => self.reread::<ListedRefund>(&of.object).await,
            Object::Dispute => self.reread::<ListedDispute>(&of.object).await,
        }
    }

    async fn page<T: Listed>(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<T>, Failure> {
        let page = self.patiently(async || T::page(self.processor, since, after).await);
        page.await
    }

    /// Reading is repeated for as long as that may help; it changes nothing.
    async fn patiently<T>(&self, ask: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut pauses = PAUSES_MS.into_iter();
        loop {
            let failure = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(pause_ms) = pauses.next().filter(|_| may_pass(&failure)) else {
                return Err(failure);
            };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    fn is_settled(&self, at: Timestamp) -> bool {
        at.plus_ms(self.bounds.settling_ms) <= self.started_at
    }
}

/// Whether the same question may be answered a little later. That our key is not let in does not
/// pass by waiting.
fn may_pass(failure: &Failure) -> bool {
    failure.effect() != Effect::Final && *failure != Failure::NotAuthorized
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

fn before(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(at.unix_ms().saturating_sub_unsigned(ms).max(0))
}
