//! The work of rotation: data keys move to another key-encryption key, values to other data keys;
//! some rows at a time, by one node at a time, from where the last one stopped.

mod row;

pub use self::row::ToReseal;
use self::row::{JobRow, SealedColumns};
use super::connection::Connection;
use super::events::record;
use super::keys::{DataKeyRow, put_data_key};
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::{KekId, SealedValue, WrappedDataKey};

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
    /// When nothing was left.
    pub finished_at: Option<Timestamp>,
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
        self.write(move |tx| {
            Box::pin(async move {
                let count = match work {
                    KeyWork::Rewrap => query("SELECT COUNT(*) FROM data_keys"),
                    KeyWork::Reseal => query("SELECT COUNT(*) FROM tokens"),
                };
                let total: i64 = count.scalar(&mut *tx).await?;
                let written = query(
                    "INSERT INTO key_jobs (id, kind, state, after_id, done, total, rows_per_s_max, lease_until_ms, created_at_ms)
                     VALUES ($1, $2, 'running', '', 0, $3, $4, 0, $5)
                         ON CONFLICT DO NOTHING",
                )
                .bind(format!("{}-{}", work.name(), now.unix_ms()))
                .bind(work.name())
                .bind(total)
                .bind(rows_per_s_max)
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                let is_new = written == 1;
                record(tx, if is_new { event } else { event.refused() });
                Ok(is_new)
            })
        })
        .await
    }

    /// The newest work of each kind.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn key_jobs(&self) -> Result<Vec<KeyJob>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<JobRow> = query(
                    "SELECT id, kind, after_id, done, total, rows_per_s_max, created_at_ms, finished_at_ms, lease_until_ms
                       FROM key_jobs
                      WHERE created_at_ms = (
                            SELECT MAX(newest.created_at_ms)
                              FROM key_jobs AS newest
                             WHERE newest.kind = key_jobs.kind)
                      ORDER BY created_at_ms",
                )
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
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
                  RETURNING id, kind, after_id, done, total, rows_per_s_max, created_at_ms, finished_at_ms, lease_until_ms",
                )
                .bind(lease_until.unix_ms())
                .bind(node)
                .bind(now.unix_ms())
                .optional(tx)
                .await?;
                row.map(|row| row.read(environment)).transpose()
            })
        })
        .await
    }

    /// Data keys that are wrapped to another key than `active`, in the order of ids.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn to_rewrap(
        &self,
        active: KekId,
        after: String,
        limit: u32,
    ) -> Result<Vec<WrappedDataKey>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<DataKeyRow> = query(
                    "SELECT id AS key_id, kek AS key_kek, wrapped AS key_wrapped, created_at_ms AS key_created_at_ms
                       FROM data_keys
                      WHERE kek <> $1 AND id > $2
                      ORDER BY id
                      LIMIT $3",
                )
                .bind(active.as_str())
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Puts data keys, wrapped anew, in the place of what they were; one that has changed meanwhile
    /// stays as it is.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rewrapped(
        &self,
        pairs: Vec<(WrappedDataKey, WrappedDataKey)>,
        progress: Progress,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut moved: i64 = 0;
                for (old, new) in pairs {
                    let written = query(
                        "UPDATE data_keys
                            SET kek = $1, wrapped = $2
                          WHERE id = $3 AND kek = $4 AND wrapped = $5",
                    )
                    .bind(new.kek.as_str())
                    .bind(new.wrapped)
                    .bind(old.id.to_string())
                    .bind(old.kek.as_str())
                    .bind(old.wrapped)
                    .execute(&mut *tx)
                    .await?;
                    moved = moved.saturating_add(i64::from(written == 1));
                }
                advance(tx, &progress, moved).await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }

    /// Tokens in the order of ids, whose values were sealed under data keys of before `before`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn to_reseal(
        &self,
        before: Timestamp,
        after: String,
        limit: u32,
    ) -> Result<Vec<ToReseal>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<SealedColumns> = query(
                    "SELECT tokens.id, tokens.account, tokens.sealed, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
                       FROM tokens
                       JOIN data_keys ON data_keys.id = tokens.data_key_id
                      WHERE tokens.id > $1 AND data_keys.created_at_ms < $2
                      ORDER BY tokens.id
                      LIMIT $3",
                )
                .bind(after)
                .bind(before.unix_ms())
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Puts values, sealed anew, in the place of what they were; one that has changed meanwhile,
    /// or was erased, stays as it is. Each is an event of its own: the value was opened.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn resealed(
        &self,
        values: Vec<(ToReseal, SealedValue)>,
        progress: Progress,
        events: Vec<Event>,
    ) -> Result<(), Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut moved: i64 = 0;
                for (old, new) in values {
                    put_data_key(tx, environment, &new.data_key).await?;
                    moved = moved.saturating_add(i64::from(reseal(tx, &old, &new).await?));
                }
                advance(tx, &progress, moved).await?;
                for event in events {
                    record(tx, event);
                }
                Ok(())
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

/// The value of a token in use, and the name of the data key of one that was deleted.
async fn reseal(tx: &mut Connection, old: &ToReseal, new: &SealedValue) -> Result<bool, Failure> {
    let written = match &old.sealed {
        Some(sealed) => {
            query(
                "UPDATE tokens
                    SET sealed = $1, data_key_id = $2
                  WHERE id = $3 AND sealed = $4",
            )
            .bind(new.sealed.as_bytes())
            .bind(new.data_key.id.to_string())
            .bind(old.token.to_string())
            .bind(sealed.as_bytes())
            .execute(tx)
            .await?
        }
        None => {
            query(
                "UPDATE tokens
                    SET data_key_id = $1
                  WHERE id = $2 AND sealed IS NULL",
            )
            .bind(new.data_key.id.to_string())
            .bind(old.token.to_string())
            .execute(tx)
            .await?
        }
    };
    Ok(written == 1)
}

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
