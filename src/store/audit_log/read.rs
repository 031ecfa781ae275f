//! The log as whoever verifies it reads it.

use super::{hash, inconsistent, signed, unsigned};
use crate::audit::leaf::{Columns, Line};
use crate::audit::verify::Entry;
use crate::store::row::row;
use crate::store::sql::query;
use crate::store::{Failure, Store};

row! {
    /// A row of the log with the columns of its event, which may be gone.
    struct LogRow {
        seq: i64,
        event_id: String,
        leaf: Vec<u8>,
        id: Option<String>,
        at_ms: Option<i64>,
        actor_kind: Option<String>,
        actor: Option<String>,
        action: Option<String>,
        outcome: Option<String>,
        account: Option<String>,
        subject: Option<String>,
        origin: Option<String>,
        node: Option<String>,
        request_id: Option<String>,
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
                let rows: Vec<LogRow> = query(
                    "SELECT audit_log.seq, audit_log.event_id, audit_log.leaf, e.id, e.at_ms, e.actor_kind, e.actor, e.action, e.outcome, e.account, e.subject, e.origin, e.node, e.request_id
                       FROM audit_log
                       LEFT JOIN audit_events e ON e.id = audit_log.event_id
                      WHERE audit_log.seq >= $1
                      ORDER BY audit_log.seq
                      LIMIT $2",
                )
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
        let text = Option::unwrap_or_default;
        let columns = Columns {
            at_ms: self.at_ms.unwrap_or_default(),
            actor: (text(self.actor_kind), self.actor),
            act: (text(self.action), text(self.outcome)),
            data: (self.account, self.subject),
            place: (text(self.origin), text(self.node), self.request_id),
        };
        Ok(Entry {
            seq: unsigned(self.seq),
            event_id: self.event_id,
            leaf,
            line: self.id.map(|id| Line::of_columns(id, columns)),
        })
    }
}
