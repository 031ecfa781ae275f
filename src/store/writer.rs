//! The writers: each takes what is waiting, commits it as one transaction, answers after that.
//!
//! A durable commit costs milliseconds of disk or of a replica's distance; the statements in it
//! cost microseconds. So operations that wait while the writers are busy share the next commit.
//! SQLite has one writer. PostgreSQL has a few, so that one may compute while another waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::batch::{self, Member, Operation, Work};
use super::connection::Connection;
use super::orders::Orders;
use super::source::Source;
use super::witness::Witness;
use super::{Cause, Commit, Failure, Observer, Settings};

enum Job {
    Write(Box<dyn Member>),
    Checkpoint(oneshot::Sender<Result<bool, Failure>>),
}

/// How long a connection is idle before it is asked for a sign of life.
const ASKED_AFTER_IDLE: Duration = Duration::from_millis(100);

/// A writer at work; what comes is how the closing went.
type Task = oneshot::Receiver<Result<(), Failure>>;

/// The handle to the writers' queue.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicU64>,
    stop: CancellationToken,
    witness: Witness,
    tasks: Arc<Mutex<Vec<Task>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("free", &self.queue.capacity())
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts a writer for each of `connections`, made now or when it is needed: a thread of its
    /// own where the engine works where it is called, and else a task on the present runtime.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] where there is no thread to be had.
    pub(super) fn start(
        connections: Vec<Option<Connection>>,
        source: &Arc<Source>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let (queue, jobs) = mpsc::channel(size(settings.queue_ops_max));
        let jobs = Arc::new(Mutex::new(jobs));
        let waiting = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let witness = Witness::default();
        let desk = |connection| Desk {
            connection,
            epoch: source.epoch(),
            used_at: None,
            source: Arc::clone(source),
            batch_ops_max: size(settings.batch_ops_max),
            waiting: Arc::clone(&waiting),
            failed: Arc::clone(&failed),
            witness: witness.clone(),
            observer: settings.observer.clone(),
            orders: settings.orders.clone(),
        };
        let mut tasks = Vec::with_capacity(connections.len());
        for connection in connections {
            let serving = desk(connection).serve(Arc::clone(&jobs), stop.clone());
            let (closed, task) = oneshot::channel();
            match **source {
                Source::Sqlite(_) => on_a_thread(serving, closed)?,
                Source::Postgres(_) => {
                    // Whoever no longer waits needs no answer.
                    tokio::spawn(async move { drop(closed.send(serving.await)) });
                }
            }
            tasks.push(task);
        }
        Ok(Self {
            queue,
            waiting,
            failed,
            stop,
            witness,
            tasks: Arc::new(Mutex::new(tasks)),
        })
    }

    /// Puts `work` in the queue and waits for the commit it is part of. A caller that goes away
    /// does not take its work back.
    pub(super) async fn write<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T, Failure> {
        let (caller, receiver) = oneshot::channel();
        self.send(Job::Write(Box::new(Operation::new(work, caller))))?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn checkpoint(&self) -> Result<bool, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Checkpoint(sender))?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the queue run dry, and closes the connections. The second call finds nothing to do.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        self.stop.cancel();
        let mut closed_well = Ok(());
        for task in self.tasks.lock().await.drain(..) {
            closed_well = closed_well.and(task.await.unwrap_or_else(|_| Err(closed())));
        }
        closed_well
    }

    /// Batches that came to no durable end since the process began.
    pub(super) fn failed_commits(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether somebody vouches for the audit log; while not, nobody's act is written.
    pub(super) fn set_witnessed(&self, is_there: bool) {
        self.witness.set(is_there);
    }

    fn send(&self, job: Job) -> Result<(), Failure> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|refused| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Failure::Unavailable(Cause::QueueFull),
                TrySendError::Closed(_) => closed(),
            }
        })
    }
}

/// Runs a writer on a thread of its own: a disk that is slow then keeps nobody else from working.
fn on_a_thread(
    serving: impl Future<Output = Result<(), Failure>> + Send + 'static,
    closed: oneshot::Sender<Result<(), Failure>>,
) -> Result<(), Failure> {
    // Without sockets to look at, it sleeps and wakes as a plain thread does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::engine(&error))?;
    thread::Builder::new()
        .name("store-writer".to_owned())
        // Whoever no longer waits needs no answer.
        .spawn(move || drop(closed.send(runtime.block_on(serving))))
        .map_err(|error| Failure::engine(&error))?;
    Ok(())
}

/// Where a writer sits.
struct Desk {
    /// None after a failure: the next batch opens a new one.
    connection: Option<Connection>,
    /// The source's epoch when the connection was made.
    epoch: u64,
    /// When its last batch was committed, if none has failed since.
    used_at: Option<Instant>,
    source: Arc<Source>,
    batch_ops_max: usize,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicU64>,
    witness: Witness,
    observer: Option<Observer>,
    orders: Orders,
}

impl Desk {
    /// Serves until every handle is gone or one of them closes the store.
    async fn serve(
        mut self,
        jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let mut batch = Vec::with_capacity(self.batch_ops_max);
        loop {
            let taken = take(&jobs, &mut batch, self.batch_ops_max, &stop).await;
            if taken == 0 {
                return self.finish().await;
            }
            self.waiting.fetch_sub(taken, Ordering::Relaxed);
            self.run(&mut batch).await;
        }
    }

    /// Runs what was taken: the writes as one transaction, then the checkpoints.
    async fn run(&mut self, batch: &mut Vec<Job>) {
        let mut writes = Vec::with_capacity(batch.len());
        let mut checkpoints = Vec::new();
        for job in batch.drain(..) {
            match job {
                Job::Write(work) => writes.push(work),
                Job::Checkpoint(sender) => checkpoints.push(sender),
            }
        }
        if !writes.is_empty() {
            self.commit(writes).await;
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
    async fn commit(&mut self, mut writes: Vec<Box<dyn Member>>) {
        let begun = Instant::now();
        let operations = writes.len();
        let result = self.transact(&mut writes).await;
        self.used_at = result.is_ok().then(Instant::now);
        let is_lost = result
            .as_ref()
            .is_err_and(|failure| !failure.spares_the_connection());
        if is_lost {
            self.failed.fetch_add(1, Ordering::Relaxed);
            // What the connection still holds is not known. A new one starts from what is durable.
            drop(self.connection.take());
            self.source.lost();
        } else if result.is_ok()
            && let Some(observer) = &self.observer
        {
            observer(Commit {
                duration: begun.elapsed(),
                operations,
                queued: self.waiting.load(Ordering::Relaxed),
            });
        }
        for member in writes {
            member.answer(result.clone());
        }
    }

    async fn transact(&mut self, writes: &mut Vec<Box<dyn Member>>) -> Result<(), Failure> {
        self.source.require_replicas()?;
        let time_limit = self.source.batch_timeout();
        let witness = self.witness.clone();
        let connection = self.connected().await?;
        batch::commit(connection, writes, (&witness, time_limit)).await?;
        if self.epoch != self.source.epoch() {
            // It may have been committed on a server that was left behind meanwhile.
            return Err(Failure::Unavailable(Cause::PrimaryChanged));
        }
        Ok(())
    }

    /// The connection; a new one in the place of one that was lost,
    /// which a server that was started anew would otherwise make the next request's failure.
    async fn connected(&mut self) -> Result<&mut Connection, Failure> {
        let epoch = self.source.epoch();
        let mut kept = self.connection.take().filter(|_| self.epoch == epoch);
        if let Some(connection) = kept.as_mut().filter(|_| self.is_idle()) {
            let limit = self.source.sign_of_life_timeout();
            let alive = tokio::time::timeout(limit, connection.is_alive()).await;
            if !alive.unwrap_or(false) {
                kept = None;
            }
        }
        let mut connection = if let Some(kept) = kept {
            kept
        } else {
            let (connection, epoch) = self.source.connect().await?;
            self.epoch = epoch;
            connection
        };
        connection.set_orders(&self.orders);
        Ok(self.connection.insert(connection))
    }

    /// Whether the connection has not been used for so long that its server may be another. One in
    /// constant use needs no round trip for that: its batch would fail.
    fn is_idle(&self) -> bool {
        self.used_at
            .is_none_or(|at| at.elapsed() >= ASKED_AFTER_IDLE)
    }

    /// Moves SQLite's log into the database and cuts it; whether no reader was in the way.
    async fn checkpoint(&mut self) -> Result<bool, Failure> {
        self.connected().await?.checkpoint()
    }

    /// The end: what a reader kept in the log stays there, as durable as before.
    async fn finish(&mut self) -> Result<(), Failure> {
        let moved = match &mut self.connection {
            Some(connection) => connection.checkpoint(),
            None => Ok(true),
        };
        if let Some(connection) = self.connection.take() {
            connection.close().await?;
        }
        moved.map(|_| ())
    }
}

/// Takes what waits, at most `limit`; nothing when the queue is closed and dry.
async fn take(
    jobs: &Mutex<mpsc::Receiver<Job>>,
    batch: &mut Vec<Job>,
    limit: usize,
    stop: &CancellationToken,
) -> usize {
    let mut jobs = jobs.lock().await;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !jobs.is_closed() => jobs.close(),
            taken = jobs.recv_many(batch, limit) => return taken,
        }
    }
}

fn closed() -> Failure {
    Failure::Unavailable(Cause::Closed)
}

/// A channel of zero places would be a panic, and a batch of zero would end the writer.
pub(super) fn size(limit: u32) -> usize {
    usize::try_from(limit.max(1)).unwrap_or(1)
}
