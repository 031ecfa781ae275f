//! The work of rotation: data keys move to another key-encryption key, values to other data keys;
//! some rows at a time, by one node at a time, from where the last one stopped.

mod moves;
mod orders;
mod row;

pub use self::moves::Resealed;
use self::orders::{end_forged, order};
use self::row::JobRow;
pub use self::row::ToReseal;
use super::alerts::{NewAlert, raise};
use super::connection::Connection;
use super::events::record;
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::Environment;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWork {
    /// Data keys, to the key-encryption key in service.
    Rewrap,
    /// Values, to fresh data keys.
    Reseal,
}

impl KeyWork {
    /// Its name in the store and for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewrap => "rewrap",
            Self::Reseal => "reseal",
        }
    }
}

/// A piece of work, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyJob {
    /// The kind and when it was asked for.
    pub id: String,
    /// What is moved.
    pub work: KeyWork,
    /// The last row that was looked at.
    pub after: String,
    /// Rows moved.
    pub done: i64,
    /// Rows there were when it was asked for.
    pub total: i64,
    /// How fast it may go.
    pub rows_per_s_max: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When nothing was left, or it failed.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, where it did.
    pub failure: Option<String>,
    /// Till when a node is at work on it.
    pub lease_until: Timestamp,
}

/// How far a job came with some rows.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The job.
    pub id: String,
    /// The last row that was looked at.
    pub after: String,
    /// Till when the same node goes on.
    pub lease_until: Timestamp,
}

impl Store {
    /// Asks for work; false where work of its kind is under way already.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn ask_for(
        &self,
        work: KeyWork,
        rows_per_s_max: u32,
        now: Timestamp,
        event: Event,
    ) -> Result<bool, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let count = match work {
                    KeyWork::Rewrap => query("SELECT COUNT(*) FROM data_keys"),
                    KeyWork::Reseal => query("SELECT COUNT(*) FROM tokens"),
                };
                let total: i64 = count.scalar(&mut *tx).await?;
                make_way(tx, environment, (work, now)).await?;
                let job = KeyJob {
                    id: format!("{}-{}", work.name(), now.unix_ms()),
                    work,
                    after: String::new(),
                    done: 0,
                    total,
                    rows_per_s_max,
                    created_at: now,
                    finished_at: None,
                    failure: None,
                    lease_until: now,
                };
                let proof = tx.orders().sign(&order(tx.orders(), &job))?;
                let written = query(
                    "INSERT INTO key_jobs (id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, created_at_ms, order_proof)
                     VALUES ($1, $2, 'running', '', 0, $3, $4, 0, $5, $6)
                         ON CONFLICT DO NOTHING",
                )
                .bind(job.id)
                .bind(work.name())
                .bind(total)
                .bind(rows_per_s_max)
                .bind(now.unix_ms())
                .bind(proof)
                .execute(&mut *tx)
                .await?;
                let is_new = written == 1;
                record(tx, if is_new { event } else { event.refused() });
                Ok(is_new)
            })
        })
        .await
    }

    /// The newest work of each kind that one of ours asked for.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn key_jobs(&self) -> Result<Vec<KeyJob>, Failure> {
        let read = self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<JobRow> = query(
                    "SELECT id, kind, after_id, done, total, rows_per_s_max, created_at_ms, finished_at_ms, failure, lease_until_ms, order_proof
                       FROM key_jobs
                      ORDER BY created_at_ms DESC",
                )
                .all(connection)
                .await?;
                Ok(rows)
            })
        });
        let mut newest: Vec<KeyJob> = Vec::new();
        for row in read.await? {
            if let Some(job) = row.believed(&self.orders, self.environment)
                && newest.iter().all(|known| known.work != job.work)
            {
                newest.push(job);
            }
        }
        newest.reverse();
        Ok(newest)
    }

    /// Takes work that nobody is at, for a while.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_key_job(
        &self,
        node: String,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<KeyJob>, Failure> {
        let environment = self.environment;
        let any: bool = self
            .read(move |connection| {
                Box::pin(async move {
                    query(
                        "SELECT EXISTS (
                           SELECT 1
                             FROM key_jobs
                            WHERE state = 'running' AND lease_until_ms <= $1)",
                    )
                    .bind(now.unix_ms())
                    .scalar(connection)
                    .await
                })
            })
            .await?;
        if !any {
            return Ok(None);
        }
        self.write(move |tx| {
            Box::pin(async move {
                loop {
                    let row: Option<JobRow> = query(
                        "UPDATE key_jobs
                            SET lease_until_ms = $1, node = $2
                          WHERE id = (
                                SELECT id
                                  FROM key_jobs
                                 WHERE state = 'running' AND lease_until_ms <= $3
                                 ORDER BY created_at_ms
                                 LIMIT 1)
                            AND lease_until_ms <= $3
                      RETURNING id, kind, after_id, done, total, rows_per_s_max, created_at_ms, finished_at_ms, failure, lease_until_ms, order_proof",
                    )
                    .bind(lease_until.unix_ms())
                    .bind(&node)
                    .bind(now.unix_ms())
                    .optional(&mut *tx)
                    .await?;
                    let Some(row) = row else {
                        return Ok(None);
                    };
                    if let Some(job) = row.believed(tx.orders(), environment) {
                        return Ok(Some(job));
                    }
                    // One of a kind runs at a time: it would keep ours from running.
                    end_forged(tx, row.id(), now).await?;
                }
            })
        })
        .await
    }

    /// Ends a job that cannot be done, and tells the operator.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn fail_key_job(
        &self,
        (id, failure): (String, String),
        now: Timestamp,
        event: Event,
        alert: NewAlert,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                end_as_failed(tx, (&id, &failure), now).await?;
                record(tx, event);
                raise(tx, &alert).await.map(drop)
            })
        })
        .await
    }

    /// Nothing of a job is left: it is done. Data keys of before `before` that nothing is sealed
    /// under are erased, so that no copy of an old value is of use to anybody; answers how many.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn finish_key_job(
        &self,
        id: String,
        before: Timestamp,
        now: Timestamp,
        event: Event,
    ) -> Result<u64, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE key_jobs
                        SET state = 'done', finished_at_ms = $1, lease_until_ms = 0
                      WHERE id = $2 AND state = 'running'",
                )
                .bind(now.unix_ms())
                .bind(&id)
                .execute(&mut *tx)
                .await?;
                one_row(written, "key_jobs", &id)?;
                let erased = query(
                    "DELETE FROM data_keys
                      WHERE created_at_ms < $1
                        AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.data_key_id = data_keys.id)
                        AND NOT EXISTS (SELECT 1 FROM orphans WHERE orphans.data_key_id = data_keys.id)
                        AND NOT EXISTS (SELECT 1 FROM key_canaries WHERE key_canaries.data_key_id = data_keys.id)",
                )
                .bind(before.unix_ms())
                .execute(&mut *tx)
                .await?;
                record(tx, event);
                Ok(erased)
            })
        })
        .await
    }
}

/// Ends work of a kind that runs and that nobody ordered, in the way of what is asked for.
async fn make_way(
    tx: &mut Connection,
    environment: Environment,
    (work, now): (KeyWork, Timestamp),
) -> Result<(), Failure> {
    let running: Option<JobRow> = query(
        "SELECT id, kind, after_id, done, total, rows_per_s_max, created_at_ms, finished_at_ms, failure, lease_until_ms, order_proof
           FROM key_jobs
          WHERE kind = $1 AND state = 'running'",
    )
    .bind(work.name())
    .optional(&mut *tx)
    .await?;
    match running {
        Some(row) if row.believed(tx.orders(), environment).is_none() => {
            end_forged(tx, row.id(), now).await
        }
        Some(_) | None => Ok(()),
    }
}

async fn end_as_failed(
    tx: &mut Connection,
    (id, failure): (&str, &str),
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "UPDATE key_jobs
            SET state = 'failed', failure = $1, finished_at_ms = $2, lease_until_ms = 0
          WHERE id = $3 AND state = 'running'",
    )
    .bind(failure)
    .bind(now.unix_ms())
    .bind(id)
    .execute(tx)
    .await?;
    one_row(written, "key_jobs", &id)
}

/// The value of a token in use, and the name of the data key of one that was deleted.
async fn advance(tx: &mut Connection, progress: &Progress, moved: i64) -> Result<(), Failure> {
    let written = query(
        "UPDATE key_jobs
            SET after_id = $1, done = done + $2, lease_until_ms = $3
          WHERE id = $4 AND state = 'running'",
    )
    .bind(&progress.after)
    .bind(moved)
    .bind(progress.lease_until.unix_ms())
    .bind(&progress.id)
    .execute(tx)
    .await?;
    one_row(written, "key_jobs", &progress.id)
}
