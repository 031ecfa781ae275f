//! The one writer: takes what is waiting, runs it in one transaction, answers after the commit.
//!
//! A durable commit costs a few milliseconds of disk; the statements in it cost microseconds. So
//! operations that wait while the disk is busy share the next commit. Each runs in a savepoint of
//! its own: one that fails undoes only itself. What puts the transaction itself in doubt (a full
//! disk, a lost connection, a commit that fails) is every member's failure, and never silent.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::to_write;
use crate::store::{Cause, Commit, Failure, Observer, Settings};

/// What gives an operation's answer to its caller, once it is known whether the commit held.
type Answer = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// An operation in the queue, whatever it answers.
trait Member: Send {
    /// Runs it. What is seen from here is whether it failed; its result waits in the answer.
    fn run<'c>(
        self: Box<Self>,
        connection: &'c mut SqliteConnection,
    ) -> BoxFuture<'c, (Result<(), Failure>, Answer)>
    where
        Self: 'c;

    /// Tells its caller that it was not even begun.
    fn turn_away(self: Box<Self>, failure: Failure);
}

struct Operation<T, W> {
    work: W,
    caller: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W> Member for Operation<T, W>
where
    T: Send + 'static,
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>
        + Send
        + 'static,
{
    fn run<'c>(
        self: Box<Self>,
        connection: &'c mut SqliteConnection,
    ) -> BoxFuture<'c, (Result<(), Failure>, Answer)>
    where
        Self: 'c,
    {
        Box::pin(async move {
            let Self { work, caller } = *self;
            let result = work(connection).await;
            let standing = result.as_ref().map(|_| ()).map_err(Clone::clone);
            // A caller that no longer waits needs no answer: hence the drop.
            let answer: Answer = Box::new(move |commit| drop(caller.send(commit.and(result))));
            (standing, answer)
        })
    }

    fn turn_away(self: Box<Self>, failure: Failure) {
        drop(self.caller.send(Err(failure)));
    }
}

enum Job {
    Write(Box<dyn Member>),
    Checkpoint(oneshot::Sender<Result<bool, Failure>>),
}

/// The writer at work; its result is how the closing went.
type Task = JoinHandle<Result<(), Failure>>;

/// The handle to the writer's queue.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    stop: CancellationToken,
    task: Arc<Mutex<Option<Task>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("free", &self.queue.capacity())
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the writer's task on the present runtime.
    pub(super) fn start(connection: SqliteConnection, settings: &Settings) -> Self {
        let (queue, jobs) = mpsc::channel(size(settings.queue_ops_max));
        let stop = CancellationToken::new();
        let desk = Desk {
            connection: Some(connection),
            options: to_write(settings),
            batch_ops_max: size(settings.batch_ops_max),
            observer: settings.observer.clone(),
        };
        let task = tokio::spawn(desk.serve(jobs, stop.clone()));
        Self {
            queue,
            stop,
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// Puts `work` in the queue and waits for the commit it is part of. A caller that goes away
    /// does not take its work back.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Failure>>
            + Send
            + 'static,
    {
        let (caller, receiver) = oneshot::channel();
        self.send(Job::Write(Box::new(Operation { work, caller })))?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn checkpoint(&self) -> Result<bool, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Checkpoint(sender))?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the queue run dry, and closes the database. The second call finds nothing to do.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        self.stop.cancel();
        match self.task.lock().await.take() {
            Some(task) => task.await.unwrap_or_else(|_| Err(closed())),
            None => Ok(()),
        }
    }

    fn send(&self, job: Job) -> Result<(), Failure> {
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Failure::Unavailable(Cause::QueueFull),
            TrySendError::Closed(_) => closed(),
        })
    }
}

/// Where the writer sits: the one connection that may write.
struct Desk {
    /// None after a failure: the next batch opens a new one.
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    batch_ops_max: usize,
    observer: Option<Observer>,
}

impl Desk {
    /// Serves until every handle is gone or one of them closes the store.
    async fn serve(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let mut batch = Vec::with_capacity(self.batch_ops_max);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled(), if !jobs.is_closed() => {
                    jobs.close();
                    continue;
                }
                taken = jobs.recv_many(&mut batch, self.batch_ops_max) => taken,
            };
            if taken == 0 {
                return self.finish().await;
            }
            self.run(&mut batch, &jobs).await;
        }
    }

    /// Runs what was taken: the writes as one transaction, then the checkpoints.
    async fn run(&mut self, batch: &mut Vec<Job>, jobs: &mpsc::Receiver<Job>) {
        let mut writes = Vec::with_capacity(batch.len());
        let mut checkpoints = Vec::new();
        for job in batch.drain(..) {
            match job {
                Job::Write(work) => writes.push(work),
                Job::Checkpoint(sender) => checkpoints.push(sender),
            }
        }
        if !writes.is_empty() {
            self.commit(writes, jobs).await;
        }
        if !checkpoints.is_empty() {
            let result = self.checkpoint().await;
            for sender in checkpoints {
                // Whoever no longer waits needs no answer.
                drop(sender.send(result.clone()));
            }
        }
    }

    /// One transaction for all of `writes`, and then, and only then, their answers.
    async fn commit(&mut self, writes: Vec<Box<dyn Member>>, jobs: &mpsc::Receiver<Job>) {
        let begun = Instant::now();
        let operations = writes.len();
        let mut answers = Vec::with_capacity(operations);
        let result = self.transact(writes, &mut answers).await;
        match &result {
            Ok(()) => {
                if let Some(observer) = &self.observer {
                    observer(Commit {
                        duration: begun.elapsed(),
                        operations,
                        queued: jobs.len(),
                    });
                }
            }
            // What the connection still holds is not known. A new one starts from the disk.
            Err(_) => drop(self.connection.take()),
        }
        for answer in answers {
            answer(result.clone());
        }
    }

    /// Runs `writes` and commits them; puts the answer of each that was begun into `answers`.
    async fn transact(
        &mut self,
        writes: Vec<Box<dyn Member>>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Failure> {
        let mut rest = writes.into_iter();
        let result = match self.connected().await {
            Ok(connection) => together(connection, &mut rest, answers).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &result {
            for member in rest {
                member.turn_away(failure.clone());
            }
        }
        result
    }

    /// The connection, or a new one in the place of one that was lost.
    async fn connected(&mut self) -> Result<&mut SqliteConnection, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Moves the log into the database and cuts it; whether no reader was in the way.
    async fn checkpoint(&mut self) -> Result<bool, Failure> {
        let connection = self.connected().await?;
        let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(connection)
            .await?;
        Ok(busy == 0)
    }

    /// The end: what a reader kept in the log stays there, as durable as before.
    async fn finish(&mut self) -> Result<(), Failure> {
        let moved = self.checkpoint().await;
        if let Some(connection) = self.connection.take() {
            connection.close().await?;
        }
        moved.map(|_| ())
    }
}

/// The transaction. `IMMEDIATE`, so that it holds the write lock before it reads what it decides on.
async fn together(
    connection: &mut SqliteConnection,
    members: &mut impl Iterator<Item = Box<dyn Member>>,
    answers: &mut Vec<Answer>,
) -> Result<(), Failure> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for member in members {
        alone(&mut transaction, member, answers).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// One member in its savepoint. An error here is the whole transaction's: SQLite may have rolled it
/// back on its own (a full disk does that), and going on would write outside of any.
async fn alone(
    transaction: &mut Transaction<'_, Sqlite>,
    member: Box<dyn Member>,
    answers: &mut Vec<Answer>,
) -> Result<(), Failure> {
    let mut savepoint = match transaction.begin().await {
        Ok(savepoint) => savepoint,
        Err(error) => {
            let failure = Failure::from(error);
            member.turn_away(failure.clone());
            return Err(failure);
        }
    };
    let (standing, answer) = member.run(&mut savepoint).await;
    answers.push(answer);
    match standing {
        Ok(()) => savepoint.commit().await?,
        Err(failure) if failure.spoils_the_batch() => return Err(failure),
        Err(_) => savepoint.rollback().await?,
    }
    Ok(())
}

fn closed() -> Failure {
    Failure::Unavailable(Cause::Closed)
}

/// A channel of zero places would be a panic, and a batch of zero would end the writer.
fn size(limit: u32) -> usize {
    usize::try_from(limit.max(1)).unwrap_or(1)
}
