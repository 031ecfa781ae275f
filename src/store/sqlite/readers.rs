//! The connections that read: each on a thread of its own, so that a disk that is slow keeps only
//! those waiting who read from it.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::Database;
use crate::store::batch::Work;
use crate::store::connection::Connection;
use crate::store::writer::size;
use crate::store::{Cause, Failure, Settings};

/// What a reader's thread is to do.
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The handle to the readers' queue.
#[derive(Clone)]
pub(in crate::store) struct Readers {
    /// None when they are closed.
    queue: Arc<Mutex<Option<SyncSender<Job>>>>,
    wait_max: Duration,
    /// Says that every thread has let go of its connection.
    ended: Arc<tokio::sync::Mutex<mpsc::Receiver<()>>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Readers {
    /// Starts the threads; each connects when it is first needed.
    pub(super) fn start(database: &Database, settings: &Settings) -> Result<Self, Failure> {
        let (queue, jobs) = sync_channel(size(settings.queue_ops_max));
        let jobs = Arc::new(Mutex::new(jobs));
        let (running, ended) = mpsc::channel(1);
        for _ in 0..settings.readers_max.max(1) {
            let desk = Desk {
                database: database.clone(),
                jobs: Arc::clone(&jobs),
                running: running.clone(),
            };
            thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || desk.serve())
                .map_err(|error| Failure::engine(&error))?;
        }
        Ok(Self {
            queue: Arc::new(Mutex::new(Some(queue))),
            wait_max: database.busy_timeout,
            ended: Arc::new(tokio::sync::Mutex::new(ended)),
        })
    }

    /// Runs `work` on a connection that only reads.
    pub(in crate::store) async fn read<T: Send + 'static>(
        &self,
        work: impl Work<T>,
    ) -> Result<T, Failure> {
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(move |connection| {
            // SQLite's statements never wait for anything but the disk.
            let read = work(connection).now_or_never();
            // Whoever no longer waits needs no answer.
            drop(caller.send(read.unwrap_or_else(|| Err(closed()))));
        }))?;
        tokio::time::timeout(self.wait_max, answer)
            .await
            .map_err(|_| Failure::Unavailable(Cause::TooSlow))?
            .unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the queue run dry and waits until no connection is left.
    pub(in crate::store) async fn close(&self) {
        drop(self.queue().take());
        // Nothing is ever sent; the last thread closes it.
        let _ended = self.ended.lock().await.recv().await;
    }

    fn send(&self, job: Job) -> Result<(), Failure> {
        let queue = self.queue();
        let queue = queue.as_ref().ok_or_else(closed)?;
        queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Failure::Unavailable(Cause::QueueFull),
            TrySendError::Disconnected(_) => closed(),
        })
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<SyncSender<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a reader sits.
struct Desk {
    database: Database,
    jobs: Arc<Mutex<Receiver<Job>>>,
    /// Held as long as the thread runs.
    running: mpsc::Sender<()>,
}

impl Desk {
    /// Serves until the queue is closed and dry.
    fn serve(self) {
        let mut connection: Option<Connection> = None;
        while let Some(job) = self.next() {
            if connection.is_none() {
                match self.database.to_read() {
                    Ok(made) => connection = Some(made),
                    // The job is dropped, which is its caller's answer.
                    Err(failure) => tracing::error!(%failure, "a reader has no connection"),
                }
            }
            if let Some(connection) = &mut connection {
                job(connection);
            }
        }
        drop(connection);
        drop(self.running);
    }

    fn next(&self) -> Option<Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.recv().ok()
    }
}

fn closed() -> Failure {
    Failure::Unavailable(Cause::Closed)
}
