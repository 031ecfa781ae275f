//! The log as whoever verifies it reads it.

use super::event_row::{EventRow, event_columns};
use super::{hash, inconsistent, signed, unsigned};
use crate::audit::Action;
use crate::audit::tree::{Edge, Hash};
use crate::audit::verify::Entry;
use crate::clock::Timestamp;
use crate::store::row::row;
use crate::store::sql::query;
use crate::store::{Failure, Store};

row! {
    /// A row of the log with its event.
    struct LogRow {
        seq: i64,
        event_id: String,
        leaf: Vec<u8>,
        event: EventRow,
    }
}

/// How long the log is, and what waits for a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLength {
    /// Events that have a place.
    pub size: u64,
    /// Events that wait for one.
    pub waiting: u64,
}

impl Store {
    /// How long the log is.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn log_length(&self) -> Result<LogLength, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                let (size, waiting): (i64, i64) = query(
                    "SELECT (SELECT COUNT(*) FROM audit_log),
                            (SELECT COUNT(*) FROM audit_pending WHERE seq IS NULL)",
                )
                .one(connection)
                .await?;
                Ok(LogLength {
                    size: unsigned(size),
                    waiting: unsigned(waiting),
                })
            })
        })
        .await
    }

    /// When an operator accepted the rollback that begins at that place of the log.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rollback_accepted_at(&self, place: u64) -> Result<Option<Timestamp>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let at_ms: Option<i64> = query(
                    "SELECT e.at_ms
                       FROM audit_log
                       JOIN audit_events e ON e.id = audit_log.event_id
                      WHERE audit_log.seq >= $1 AND e.action = $2
                      ORDER BY audit_log.seq
                      LIMIT 1",
                )
                .bind(signed(place))
                .bind(Action::AuditRollbackAccepted.name())
                .scalar_if_any(connection)
                .await?;
                Ok(at_ms.map(Timestamp::from_unix_ms))
            })
        })
        .await
    }

    /// The edge of the log's tree, as the log's head has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn log_head(&self) -> Result<Edge, Failure> {
        self.read(|connection| {
            Box::pin(async move {
                let (size, peaks): (i64, Vec<u8>) =
                    query("SELECT size, peaks FROM audit_head WHERE id = 1")
                        .one(connection)
                        .await?;
                let edge = Edge::read(unsigned(size), &peaks);
                edge.ok_or_else(|| inconsistent("audit_head", "peaks", "1"))
            })
        })
        .await
    }

    /// The leaves from place `from` on, at most `limit`, up to the first place that is empty.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn leaves(&self, from: u64, limit: u32) -> Result<Vec<Hash>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<(i64, Vec<u8>)> = query(
                    "SELECT seq, leaf
                       FROM audit_log
                      WHERE seq >= $1
                      ORDER BY seq
                      LIMIT $2",
                )
                .bind(signed(from))
                .bind(limit)
                .all(connection)
                .await?;
                let leaf = |(place, (seq, leaf)): (u64, (i64, Vec<u8>))| {
                    hash(&leaf).filter(|_| unsigned(seq) == place)
                };
                Ok((from..).zip(rows).map_while(leaf).collect())
            })
        })
        .await
    }

    /// The place of an event, where it has one.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn log_place(&self, event_id: String) -> Result<Option<u64>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let seq: Option<i64> = query("SELECT seq FROM audit_log WHERE event_id = $1")
                    .bind(event_id)
                    .scalar_if_any(connection)
                    .await?;
                Ok(seq.map(unsigned))
            })
        })
        .await
    }

    /// The log from place `from` on, at most `limit` rows, each with its event.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn log(&self, from: u64, limit: u32) -> Result<Vec<Entry>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<LogRow> = query(concat!(
                    "SELECT audit_log.seq, audit_log.event_id, audit_log.leaf, ",
                    event_columns!(),
                    " FROM audit_log
                      LEFT JOIN audit_events e ON e.id = audit_log.event_id
                      WHERE audit_log.seq >= $1
                      ORDER BY audit_log.seq
                      LIMIT $2"
                ))
                .bind(signed(from))
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(LogRow::entry).collect()
            })
        })
        .await
    }

    /// Events that are in no place of the log and wait for none: nobody of us wrote them. At most
    /// `limit`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn events_outside(&self, limit: u32) -> Result<Vec<String>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<(String,)> = query(
                    "SELECT e.id
                       FROM audit_events e
                       LEFT JOIN audit_log ON audit_log.event_id = e.id
                       LEFT JOIN audit_pending ON audit_pending.event_id = e.id
                      WHERE audit_log.event_id IS NULL AND audit_pending.event_id IS NULL
                      ORDER BY e.id
                      LIMIT $1",
                )
                .bind(limit)
                .all(connection)
                .await?;
                Ok(rows.into_iter().map(|(id,)| id).collect())
            })
        })
        .await
    }
}

impl LogRow {
    fn entry(self) -> Result<Entry, Failure> {
        let leaf =
            hash(&self.leaf).ok_or_else(|| inconsistent("audit_log", "leaf", &self.event_id))?;
        Ok(Entry {
            seq: unsigned(self.seq),
            event_id: self.event_id,
            leaf,
            line: self.event.line(),
        })
    }
}
