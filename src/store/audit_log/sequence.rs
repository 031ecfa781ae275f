//! Events get their places, those of them whose writer is proven.

use std::collections::VecDeque;

use sqlx::PgConnection;

use super::event_row::{EventRow, event_columns};
use super::{hash, inconsistent, signed};
use crate::audit::leaf::Line;
use crate::audit::tree::{Edge, Hash};
use crate::audit::{Action, Actor, Writer};
use crate::clock::Timestamp;
use crate::store::connection::{Connection, Link};
use crate::store::orders::{self, Forged, Orders};
use crate::store::parse::{every_row, one_row};
use crate::store::row::row;
use crate::store::sql::query;
use crate::store::{Failure, Store, events};

/// What the log's head is after some events have got their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// The tree's edge.
    pub edge: Edge,
    /// How many waited and do not any more.
    pub events: usize,
}

row! {
    /// An event that waits for its place.
    struct Waiting {
        place: i64,
        event_id: String,
        leaf: Vec<u8>,
        proof: Option<Vec<u8>>,
        is_in_the_log: bool,
        event: EventRow,
    }
}

/// An event that gets its place.
struct Placed {
    place: i64,
    seq: i64,
    event_id: String,
    leaf: Hash,
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
                let head: Option<(i64, Vec<u8>, i64)> = query(
                    "UPDATE audit_head
                        SET node = $1, lease_until_ms = $2
                      WHERE id = 1 AND (node = $1 OR lease_until_ms < $3)
                  RETURNING size, peaks, writers_after",
                )
                .bind(node)
                .bind(lease_until.unix_ms())
                .bind(now.unix_ms())
                .optional(&mut *tx)
                .await?;
                let Some((size, peaks, writers_after)) = head else {
                    return Ok(None);
                };
                let edge = Edge::read(u64::try_from(size).unwrap_or(0), &peaks);
                let edge = edge.ok_or_else(|| inconsistent("audit_head", "peaks", "1"))?;
                Ok(Some(extend(tx, edge, (events_max, writers_after)).await?))
            })
        })
        .await
    }
}

async fn extend(
    tx: &mut Connection,
    mut edge: Edge,
    (events_max, writers_after): (u32, i64),
) -> Result<Sequenced, Failure> {
    let waiting: VecDeque<Waiting> = query(concat!(
        "SELECT audit_pending.place, audit_pending.event_id, audit_pending.leaf, audit_pending.proof,
                EXISTS (SELECT 1 FROM audit_log WHERE audit_log.event_id = audit_pending.event_id) AS is_in_the_log, ",
        event_columns!(),
        " FROM audit_pending
          LEFT JOIN audit_events e ON e.id = audit_pending.event_id
          WHERE audit_pending.seq IS NULL
          ORDER BY audit_pending.place
          LIMIT $1"
    ))
    .bind(events_max)
    .all(&mut *tx)
    .await?
    .into();
    let events = waiting.len();
    let mut placed = Vec::with_capacity(events);
    for one in waiting {
        let (place, event_id) = (one.place, one.event_id.clone());
        let Some(leaf) = one.proven(tx.orders(), writers_after) else {
            set_aside(tx, place, event_id).await?;
            continue;
        };
        placed.push(Placed {
            place,
            seq: signed(edge.size()),
            event_id,
            leaf,
        });
        edge.append(leaf);
    }
    if !placed.is_empty() {
        put(tx, &placed).await?;
        let moved = query("UPDATE audit_head SET size = $1, peaks = $2 WHERE id = 1")
            .bind(signed(edge.size()))
            .bind(edge.bytes())
            .execute(tx)
            .await?;
        one_row(moved, "audit_head", &"1")?;
    }
    Ok(Sequenced { edge, events })
}

impl Waiting {
    /// Its leaf, where the log has not got it yet, where it is of the event that stands there, and
    /// where the writer that the event names may write such events and has written this one.
    fn proven(self, orders: &Orders, writers_after: i64) -> Option<Hash> {
        let leaf = hash(&self.leaf).filter(|_| !self.is_in_the_log)?;
        let line = self.event.line()?;
        let is_of_it = line.id == self.event_id && line.leaf() == leaf;
        // What was handed in before events named their writer, and nobody could name one.
        if line.writer.is_none() && self.place <= writers_after {
            return is_of_it.then_some(leaf);
        }
        let writer = Writer::from_name(line.writer.as_deref()?)?;
        let is_written = events::order(orders, writer, &leaf)
            .is_none_or(|order| orders.believes(&order, self.proof.as_deref()));
        (is_of_it && is_written && may_write(writer, line)).then_some(leaf)
    }
}

/// A newer internal process may write what this one has no name for.
fn may_write(writer: Writer, line: Line<'_>) -> bool {
    let actor = line.actor.map(std::borrow::Cow::into_owned);
    let actor = Actor::from_parts(&line.actor_kind, actor);
    match (actor, Action::from_name(&line.action)) {
        (Some(actor), Some(action)) => writer.may_write(&actor, action),
        (None, _) | (_, None) => writer == Writer::Internal,
    }
}

/// Gives events their places: on PostgreSQL all of them in one statement.
async fn put(tx: &mut Connection, placed: &[Placed]) -> Result<(), Failure> {
    if let Link::Postgres(link) = tx.link() {
        return put_together(link, placed).await;
    }
    for Placed {
        place,
        seq,
        event_id,
        leaf,
    } in placed
    {
        let written = query("INSERT INTO audit_log (seq, event_id, leaf) VALUES ($1, $2, $3)")
            .bind(*seq)
            .bind(event_id)
            .bind(leaf.as_slice())
            .execute(&mut *tx)
            .await?;
        one_row(written, "audit_log", seq)?;
        let marked = query("UPDATE audit_pending SET seq = $1 WHERE place = $2")
            .bind(*seq)
            .bind(*place)
            .execute(&mut *tx)
            .await?;
        one_row(marked, "audit_pending", seq)?;
    }
    Ok(())
}

async fn put_together(link: &mut PgConnection, placed: &[Placed]) -> Result<(), Failure> {
    fn column<'p, T>(placed: &'p [Placed], of: impl Fn(&'p Placed) -> T) -> Vec<T> {
        placed.iter().map(of).collect()
    }
    let marked = sqlx::query(
        "WITH placed AS (
             INSERT INTO audit_log (seq, event_id, leaf)
             SELECT * FROM UNNEST ($1::bigint[], $2::text[], $3::bytea[])
         )
         UPDATE audit_pending
            SET seq = given.seq
           FROM UNNEST ($1::bigint[], $4::bigint[]) AS given (seq, place)
          WHERE audit_pending.place = given.place",
    )
    .bind(column(placed, |one| one.seq))
    .bind(column(placed, |one| one.event_id.as_str()))
    .bind(column(placed, |one| one.leaf.as_slice()))
    .bind(column(placed, |one| one.place))
    .execute(link)
    .await?
    .rows_affected();
    every_row(marked, "audit_log", placed.len())
}

/// A row that nobody proves to have written gets no place: who may write here must not be able to
/// stop the log, nor to speak in it for others.
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
