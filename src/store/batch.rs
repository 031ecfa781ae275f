//! One transaction for many operations: all that can be committed together is.
//!
//! Operations run one after the other in one transaction without savepoints. One that fails undoes
//! the transaction, is taken out, and the rest runs again: failures are rare, and every savepoint
//! would be two more round trips for each operation that succeeds. Nothing is answered before the
//! commit, so that nothing is said twice.
//!
//! Strangers that share a transaction hold each other's rows until its end. Where two transactions
//! wait for each other's, both are taken apart and each operation is committed alone: one operation
//! takes its rows in the order in which every other takes them, and holds them for a moment.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::witness::Witness;
use super::{Cause, Failure, events};

/// How often an operation that got in the way of others is run again.
const CONTENDED_RUNS_MAX: u32 = 8;

/// An operation in the queue, whatever it answers.
pub(super) trait Member: Send {
    /// Runs it, and keeps its answer until the commit. May be called again after a rollback.
    fn run<'c>(&'c mut self, connection: &'c mut Connection) -> BoxFuture<'c, Result<(), Failure>>;

    /// Gives its caller what the run came to, if `commit` held.
    fn answer(self: Box<Self>, commit: Result<(), Failure>);
}

/// An operation with its caller.
pub(super) struct Operation<T, W> {
    work: W,
    result: Option<T>,
    caller: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W> Operation<T, W> {
    pub(super) const fn new(work: W, caller: oneshot::Sender<Result<T, Failure>>) -> Self {
        Self {
            work,
            result: None,
            caller,
        }
    }
}

/// What an operation does in its transaction. It is cloned, because it may have to be done again.
pub(super) trait Work<T>:
    for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, Failure>> + Clone + Send + 'static
{
}

impl<T, W> Work<T> for W where
    W: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, Failure>>
        + Clone
        + Send
        + 'static
{
}

impl<T: Send + 'static, W: Work<T>> Member for Operation<T, W> {
    fn run<'c>(&'c mut self, connection: &'c mut Connection) -> BoxFuture<'c, Result<(), Failure>> {
        Box::pin(async move {
            self.result = None;
            let work = self.work.clone();
            self.result = Some(work(connection).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, commit: Result<(), Failure>) {
        let Self { result, caller, .. } = *self;
        let lost = Failure::Unavailable(Cause::Closed);
        // A caller that no longer waits needs no answer.
        drop(caller.send(commit.and_then(|()| result.ok_or(lost))));
    }
}

/// Why a transaction did not commit, and what it means for its members.
enum Spoiled {
    /// One member failed; the others may commit without it.
    ByMember(usize, Failure),
    /// The members, or those of another transaction, got in each other's way.
    Contended(Failure),
    /// One of the audit events was refused; written together, they do not say whose.
    ByTheLog(Failure),
    /// The connection or the commit failed: nobody knows what holds.
    Whole(Failure),
}

/// How the audit events of a batch are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    /// In the end, all in one.
    Together,
    /// Behind each member, to find the one whose event is refused.
    OneByOne,
}

/// Commits `members` and answers each that fails on its own, or that is committed on its own. The
/// rest is left in `members` for the caller to answer.
///
/// # Errors
/// The failure of all that are left.
pub(super) async fn commit(
    connection: &mut Connection,
    members: &mut Vec<Box<dyn Member>>,
    (witness, time_limit): (&Witness, Option<Duration>),
) -> Result<(), Failure> {
    let within = (witness, time_limit);
    let together = commit_together(connection, members, within).await;
    let Err(failure) = together else {
        return Ok(());
    };
    if members.len() < 2 || !failure.spares_the_connection() {
        return Err(failure);
    }
    while !members.is_empty() {
        let mut alone = vec![members.remove(0)];
        let committed = commit_together(connection, &mut alone, within).await;
        for member in alone {
            member.answer(committed.clone());
        }
        if let Err(failure) = committed
            && !failure.spares_the_connection()
        {
            return Err(failure);
        }
    }
    Ok(())
}

/// One transaction for all of `members`, or for those that do not fail on their own. Where others
/// are in the way it is given up at once, or, for one member alone, tried again.
async fn commit_together(
    connection: &mut Connection,
    members: &mut Vec<Box<dyn Member>>,
    (witness, time_limit): (&Witness, Option<Duration>),
) -> Result<(), Failure> {
    let mut contended_runs = 0_u32;
    let rivals = connection.has_rivals();
    let mut suspect = None;
    let mut log = Log::Together;
    loop {
        let tried = transact(connection, members, (log, witness));
        let tried = match time_limit {
            None => tried.await,
            // What was begun is left to itself, never canceled: a canceled commit would be
            // acknowledged before its replica has it.
            Some(limit) => tokio::time::timeout(limit, tried)
                .await
                .unwrap_or(Err(Spoiled::Whole(Failure::Unavailable(Cause::TooSlow)))),
        };
        let (index, failure) = match tried {
            Err(Spoiled::ByTheLog(failure)) if log == Log::OneByOne => return Err(failure),
            Err(Spoiled::ByTheLog(_)) => {
                connection.roll_back().await?;
                log = Log::OneByOne;
                continue;
            }
            Ok(()) => return Ok(()),
            Err(Spoiled::Whole(failure)) => return Err(failure),
            Err(Spoiled::Contended(failure)) => {
                connection.roll_back().await?;
                let is_last = contended_runs >= CONTENDED_RUNS_MAX;
                let is_slow = failure == Failure::Unavailable(Cause::Canceled);
                if members.len() > 1 || is_slow || is_last {
                    return Err(failure);
                }
                contended_runs = contended_runs.saturating_add(1);
                pause(contended_runs).await;
                continue;
            }
            Err(Spoiled::ByMember(index, failure)) => (index, failure),
        };
        connection.roll_back().await?;
        // What another transaction changed between two statements of a member looks like a fault
        // of its own. Seen afresh it is not, or it stays one; and each member may be so unlucky.
        if rivals && suspect != Some(index) && contended_runs < CONTENDED_RUNS_MAX {
            suspect = Some(index);
            contended_runs = contended_runs.saturating_add(1);
            continue;
        }
        suspect = None;
        if index < members.len() {
            members.remove(index).answer(Err(failure));
        }
    }
}

/// Spreads those who come back.
async fn pause(run: u32) {
    let mut random = [0_u8; 1];
    crate::random::fill(&mut random);
    let [random] = random;
    let pause_ms = u64::from(run).saturating_mul(u64::from(random % 8));
    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
}

/// One try: every member, then their audit events, then the commit.
async fn transact(
    connection: &mut Connection,
    members: &mut [Box<dyn Member>],
    (log, witness): (Log, &Witness),
) -> Result<(), Spoiled> {
    connection.begin().await.map_err(Spoiled::Whole)?;
    for (index, member) in members.iter_mut().enumerate() {
        let before = connection.events().len();
        let mut ran = member.run(connection).await;
        // Settling what was begun goes on: it is nobody's privilege.
        let mut acts = connection.events().iter().skip(before);
        if ran.is_ok() && !witness.is_there() && acts.any(|event| !event.is_ours()) {
            return Err(Spoiled::ByMember(
                index,
                Failure::Unavailable(Cause::Unwitnessed),
            ));
        }
        if ran.is_ok() && log == Log::OneByOne {
            ran = events::write_noted(connection).await;
        }
        ran.map_err(|failure| spoiled(failure, |failure| Spoiled::ByMember(index, failure)))?;
    }
    let written = events::write_noted(connection).await;
    written.map_err(|failure| spoiled(failure, Spoiled::ByTheLog))?;
    let committed = connection.commit().await;
    committed.map_err(|failure| spoiled(failure, Spoiled::Whole))
}

/// What a failure means: the engine's own is everybody's, any other is `otherwise`.
fn spoiled(failure: Failure, otherwise: impl FnOnce(Failure) -> Spoiled) -> Spoiled {
    if failure.spares_the_connection() {
        Spoiled::Contended(failure)
    } else if matches!(failure, Failure::Unavailable(_)) {
        Spoiled::Whole(failure)
    } else {
        otherwise(failure)
    }
}
