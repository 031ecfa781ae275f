//! The connections that read: each has made one synchronous write before it reads anything, and all
//! are given up together when one of them fails.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{PgConnection, Postgres};

use super::cluster::{Cluster, INCARNATION};
use super::milliseconds;
use crate::store::batch::Work;
use crate::store::{Cause, Failure};

/// A pool, and the next one after it fails.
#[derive(Clone)]
pub(in crate::store) struct Readers {
    cluster: Arc<Cluster>,
    pool: Arc<Mutex<State>>,
    connections_max: u32,
}

#[derive(Default)]
struct State {
    pool: Option<PgPool>,
    /// The cluster's epoch when the pool was made.
    epoch: u64,
    closed: bool,
    /// How many pools were given up.
    generation: u64,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

/// Which pool a connection came from, to say that it failed, and the primary that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Generation {
    number: u64,
    epoch: u64,
}

impl State {
    const fn generation(&self) -> Generation {
        Generation {
            number: self.generation,
            epoch: self.epoch,
        }
    }

    /// The pool is dropped, and not closed: closing would wait.
    fn give_up(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        drop(self.pool.take());
    }
}

impl Readers {
    pub(super) fn new(cluster: Arc<Cluster>, connections_max: u32) -> Self {
        Self {
            cluster,
            pool: Arc::default(),
            connections_max,
        }
    }

    pub(in crate::store) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Runs `work` on a connection that reads what is replicated. A server that hangs without a word
    /// is left after as long as a batch may take.
    pub(in crate::store) async fn read<T>(&self, work: impl Work<T>) -> Result<T, Failure> {
        let (connection, generation) = self.acquire().await?;
        let mut connection = connection.into();
        let answer = tokio::time::timeout(self.cluster.batch_timeout(), work(&mut connection))
            .await
            .unwrap_or(Err(Failure::Unavailable(Cause::TooSlow)));
        if generation.epoch != self.cluster.epoch() {
            // It may have been read at a primary that was left behind meanwhile.
            return Err(Failure::Unavailable(Cause::PrimaryChanged));
        }
        if let Err(failure @ Failure::Unavailable(_)) = &answer
            && !failure.spares_the_connection()
        {
            self.failed(generation);
        }
        answer
    }

    /// A connection that reads what is replicated.
    async fn acquire(&self) -> Result<(PoolConnection<Postgres>, Generation), Failure> {
        let (pool, generation) = self.present().await?;
        match pool.acquire().await {
            Ok(connection) => Ok((connection, generation)),
            Err(error) => {
                self.failed(generation);
                Err(error.into())
            }
        }
    }

    /// A connection of that pool has failed: none of it is used again. Sockets to a server that was
    /// cut off would be waited for in vain.
    fn failed(&self, generation: Generation) {
        let mut state = self.state();
        if state.generation == generation.number {
            state.give_up();
            self.cluster.lost();
        }
    }

    pub(in crate::store) async fn close(&self) {
        let pool = {
            let mut state = self.state();
            state.closed = true;
            state.pool.take()
        };
        if let Some(pool) = pool {
            pool.close().await;
        }
    }

    async fn present(&self) -> Result<(PgPool, Generation), Failure> {
        {
            let mut state = self.state();
            if state.closed {
                return Err(Failure::Unavailable(Cause::Closed));
            }
            if state.pool.is_some() && state.epoch != self.cluster.epoch() {
                // To a primary that may have been left behind, and answers all the same.
                state.give_up();
            }
            if let Some(pool) = &state.pool {
                return Ok((pool.clone(), state.generation()));
            }
        }
        // Finds the primary, whose address the pool is made of.
        let (_, epoch) = self.cluster.connect().await?;
        let pool = self.pool()?;
        let mut state = self.state();
        // Another may have been as quick.
        if state.pool.is_none() {
            state.epoch = epoch;
        }
        let pool = state.pool.get_or_insert(pool).clone();
        Ok((pool, state.generation()))
    }

    fn pool(&self) -> Result<PgPool, Failure> {
        let settings = self.cluster.settings();
        let options = self.cluster.primary_options()?;
        let highest = self.cluster.highest();
        Ok(PgPoolOptions::new()
            .max_connections(self.connections_max.max(1))
            .acquire_timeout(milliseconds(settings.connect_timeout_ms))
            // A connection that was lost is found out by its use.
            .test_before_acquire(false)
            .after_connect(move |connection, _| Box::pin(prepare(connection, highest)))
            .connect_lazy_with(options))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The barrier: a write that waits for its replicas, behind which everything that can be read is
/// replicated. It fails on a standby, and where replicas are missing it waits until it is given up.
///
/// Behind one name there may be several servers: the connection must be to the history that the
/// pool was made for.
async fn prepare(
    connection: &mut PgConnection,
    highest: Option<(i64, i32)>,
) -> Result<(), sqlx::Error> {
    let found: (i64, i32) = sqlx::query_as(INCARNATION)
        .fetch_one(&mut *connection)
        .await?;
    if highest.is_some_and(|highest| highest != found) {
        return Err(sqlx::Error::Protocol(
            "the server is not the primary that was found".to_owned(),
        ));
    }
    sqlx::raw_sql(
        "SELECT set_config('synchronous_commit', 'on', false)
          WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
         UPDATE write_probe SET written_at_ms = written_at_ms WHERE id = 1;
         SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    )
    .execute(connection)
    .await?;
    Ok(())
}
