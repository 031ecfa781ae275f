//! The audit log's order: events get their places, checkpoints are kept, and copies counted.
//!
//! An event hands in its leaf in its own transaction, so that none is skipped however late it
//! commits. Whoever has the lease of the head gives places, in one transaction with the head's move:
//! two who try at once wait for each other at its row.

mod event_row;
mod read;
mod sequence;

use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::tree::{HASH_BYTES, Hash};
use crate::clock::Timestamp;

pub use self::read::LogLength;
pub use self::sequence::Sequenced;

/// A checkpoint that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Events under it.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// The roots of the complete subtrees under it, one after the other, largest first.
    pub peaks: Option<Vec<u8>>,
    /// When it was signed.
    pub at: Timestamp,
}

row! {
    struct CheckpointRow {
        size: i64,
        note: String,
        peaks: Option<Vec<u8>>,
        at_ms: i64,
    }
}

impl From<CheckpointRow> for KeptCheckpoint {
    fn from(row: CheckpointRow) -> Self {
        Self {
            size: unsigned(row.size),
            note: row.note,
            peaks: row.peaks,
            at: Timestamp::from_unix_ms(row.at_ms),
        }
    }
}

impl Store {
    /// Whether something waits for a place, or has got one since the last checkpoint.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn log_has_work(&self) -> Result<bool, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                query(
                    "SELECT EXISTS (SELECT 1 FROM audit_pending WHERE seq IS NULL)
                         OR (SELECT size FROM audit_head WHERE id = 1) >
                            (SELECT COALESCE(MAX(size), 0) FROM audit_checkpoints)",
                )
                .scalar(connection)
                .await
            })
        })
        .await
    }

    /// Keeps a checkpoint; the first of its size stays.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn put_checkpoint(&self, checkpoint: KeptCheckpoint) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query(
                    "INSERT INTO audit_checkpoints (size, note, peaks, at_ms)
                     VALUES ($1, $2, $3, $4)
                         ON CONFLICT (size) DO NOTHING",
                )
                .bind(signed(checkpoint.size))
                .bind(checkpoint.note)
                .bind(checkpoint.peaks)
                .bind(checkpoint.at.unix_ms())
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The next checkpoints after that size, at most `limit`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn checkpoints(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<KeptCheckpoint>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<CheckpointRow> = query(
                    "SELECT size, note, peaks, at_ms
                       FROM audit_checkpoints
                      WHERE size > $1
                      ORDER BY size
                      LIMIT $2",
                )
                .bind(signed(after))
                .bind(limit)
                .all(connection)
                .await?;
                Ok(rows.into_iter().map(KeptCheckpoint::from).collect())
            })
        })
        .await
    }

    /// The longest checkpoint.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                let row: Option<CheckpointRow> = query(
                    "SELECT size, note, peaks, at_ms
                       FROM audit_checkpoints
                      ORDER BY size DESC
                      LIMIT 1",
                )
                .optional(connection)
                .await?;
                Ok(row.map(KeptCheckpoint::from))
            })
        })
        .await
    }

    /// The size of the newest checkpoint that a sink holds; 0 where it holds none.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn sink_holds(&self, sink: String) -> Result<u64, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let size: Option<i64> = query("SELECT size FROM audit_sinks WHERE name = $1")
                    .bind(sink)
                    .scalar_if_any(connection)
                    .await?;
                Ok(size.map_or(0, unsigned))
            })
        })
        .await
    }

    /// A sink holds the checkpoint of that size: the events under it wait for no other. Without a
    /// name there is no sink to wait for.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn witnessed(
        &self,
        sink: Option<String>,
        size: u64,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                if let Some(sink) = sink {
                    query(
                        "INSERT INTO audit_sinks (name, size, held_ms)
                         VALUES ($1, $2, $3)
                             ON CONFLICT (name) DO UPDATE SET size = $2, held_ms = $3",
                    )
                    .bind(sink)
                    .bind(signed(size))
                    .bind(now.unix_ms())
                    .execute(&mut *tx)
                    .await?;
                }
                query("DELETE FROM audit_pending WHERE seq < $1")
                    .bind(signed(size))
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// The event that waits longest for a sink to hold a checkpoint over it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn oldest_unpublished(&self) -> Result<Option<String>, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                query("SELECT event_id FROM audit_pending ORDER BY place LIMIT 1")
                    .scalar_if_any(connection)
                    .await
            })
        })
        .await
    }

    /// When the oldest event was that no sink holds a checkpoint over.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn oldest_unwitnessed(&self) -> Result<Option<Timestamp>, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                let at_ms: Option<i64> =
                    query("SELECT at_ms FROM audit_pending ORDER BY place LIMIT 1")
                        .scalar_if_any(connection)
                        .await?;
                Ok(at_ms.map(Timestamp::from_unix_ms))
            })
        })
        .await
    }
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    <[u8; HASH_BYTES]>::try_from(bytes).ok()
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn inconsistent(table: &'static str, column: &'static str, row: &str) -> Failure {
    Failure::Inconsistent {
        table,
        column,
        row: row.to_owned(),
    }
}
