//! The audit log's order: events get their places, checkpoints are kept, and copies counted.
//!
//! An event hands in its leaf in its own transaction, so that none is skipped however late it
//! commits. Whoever has the lease of the head gives places, in one transaction with the head's move:
//! two who try at once wait for each other at its row.

mod read;

use super::connection::Connection;
use super::orders::{self, Forged};
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::tree::{Edge, HASH_BYTES, Hash};
use crate::clock::Timestamp;

pub use self::read::LogLength;

/// What the log's head is after some events have got their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// The tree's edge.
    pub edge: Edge,
    /// How many got their places now.
    pub events: usize,
}

/// A checkpoint that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Events under it.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub at: Timestamp,
}

impl Store {
    /// Gives at most `events_max` events their places; nothing where another node has the lease.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn sequence(
        &self,
        node: String,
        (now, lease_until): (Timestamp, Timestamp),
        events_max: u32,
    ) -> Result<Option<Sequenced>, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let head: Option<(i64, Vec<u8>)> = query(
                    "UPDATE audit_head
                        SET node = $1, lease_until_ms = $2
                      WHERE id = 1 AND (node = $1 OR lease_until_ms < $3)
                  RETURNING size, peaks",
                )
                .bind(node)
                .bind(lease_until.unix_ms())
                .bind(now.unix_ms())
                .optional(&mut *tx)
                .await?;
                let Some((size, peaks)) = head else {
                    return Ok(None);
                };
                let edge = Edge::read(u64::try_from(size).unwrap_or(0), &peaks);
                let mut edge = edge.ok_or_else(|| inconsistent("audit_head", "peaks", "1"))?;
                let waiting: Vec<(i64, String, Vec<u8>, bool)> = query(
                    "SELECT place, event_id, leaf,
                            EXISTS (SELECT 1 FROM audit_log WHERE audit_log.event_id = audit_pending.event_id)
                       FROM audit_pending
                      WHERE seq IS NULL
                      ORDER BY place
                      LIMIT $1",
                )
                .bind(events_max)
                .all(&mut *tx)
                .await?;
                let before = edge.size();
                for (place, event_id, leaf, is_in_the_log) in waiting {
                    let Some(leaf) = hash(&leaf).filter(|_| !is_in_the_log) else {
                        set_aside(tx, place, event_id).await?;
                        continue;
                    };
                    put(tx, place, edge.size(), (event_id, leaf)).await?;
                    edge.append(leaf);
                }
                let events = usize::try_from(edge.size().saturating_sub(before)).unwrap_or(0);
                if events > 0 {
                    let moved = query("UPDATE audit_head SET size = $1, peaks = $2 WHERE id = 1")
                        .bind(signed(edge.size()))
                        .bind(edge.bytes())
                        .execute(&mut *tx)
                        .await?;
                    one_row(moved, "audit_head", &"1")?;
                }
                Ok(Some(Sequenced { edge, events }))
            })
        })
        .await
    }

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
                    "INSERT INTO audit_checkpoints (size, note, at_ms)
                     VALUES ($1, $2, $3)
                         ON CONFLICT (size) DO NOTHING",
                )
                .bind(signed(checkpoint.size))
                .bind(checkpoint.note)
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
                let rows: Vec<(i64, String, i64)> = query(
                    "SELECT size, note, at_ms
                       FROM audit_checkpoints
                      WHERE size > $1
                      ORDER BY size
                      LIMIT $2",
                )
                .bind(signed(after))
                .bind(limit)
                .all(connection)
                .await?;
                let read = |(size, note, at_ms)| KeptCheckpoint {
                    size: unsigned(size),
                    note,
                    at: Timestamp::from_unix_ms(at_ms),
                };
                Ok(rows.into_iter().map(read).collect())
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

/// Gives an event its place.
async fn put(
    tx: &mut Connection,
    place: i64,
    seq: u64,
    (event_id, leaf): (String, Hash),
) -> Result<(), Failure> {
    let written = query("INSERT INTO audit_log (seq, event_id, leaf) VALUES ($1, $2, $3)")
        .bind(signed(seq))
        .bind(event_id)
        .bind(leaf.as_slice())
        .execute(&mut *tx)
        .await?;
    one_row(written, "audit_log", &seq)?;
    let marked = query("UPDATE audit_pending SET seq = $1 WHERE place = $2")
        .bind(signed(seq))
        .bind(place)
        .execute(tx)
        .await?;
    one_row(marked, "audit_pending", &seq)
}

/// A row that hands in what the log has already, or no leaf, gets no place: who may write here must
/// not be able to stop the log.
async fn set_aside(tx: &mut Connection, place: i64, event_id: String) -> Result<(), Failure> {
    let deleted = query("DELETE FROM audit_pending WHERE place = $1")
        .bind(place)
        .execute(&mut *tx)
        .await?;
    one_row(deleted, "audit_pending", &place)?;
    let forged = Forged {
        table: "audit_pending",
        row: event_id,
    };
    orders::quarantine(tx, &forged, None).await
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
