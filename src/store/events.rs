//! Audit events: written with what they record, or alone where nothing else is; each with its leaf
//! and a proof of who wrote it, which wait for its place in the log.

use sqlx::PgConnection;

use super::connection::{Connection, Link};
use super::orders::Orders;
use super::parse::{every_row, one_row};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::leaf::Line;
use crate::audit::tree::Hash;
use crate::audit::{Event, Writer};
use crate::seal::order::{Kind, Order};
use crate::token::Account;

impl Store {
    /// Writes an event of its own: a read, a refusal at the door, a start or a stop. Whoever reads
    /// or opens a token answers only after this has.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: then what it would record must not happen.
    pub async fn record(&self, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                record(tx, event);
                Ok(())
            })
        })
        .await
    }
}

/// Notes `event` to be written in the transaction of its act.
pub(super) fn record(tx: &mut Connection, event: Event) {
    tx.note(event);
}

/// Notes all of `events`.
pub(super) fn record_all(tx: &mut Connection, events: Vec<Event>) {
    for event in events {
        record(tx, event);
    }
}

/// Notes `event` as refused: what it names was not done.
pub(super) fn record_refused(tx: &mut Connection, event: Event) {
    record(tx, event.refused());
}

/// Writes what was noted: the last act of a transaction before its commit.
pub(super) async fn write_noted(tx: &mut Connection) -> Result<(), Failure> {
    let events = tx.take_events();
    if events.is_empty() {
        return Ok(());
    }
    let orders = tx.orders().clone();
    let written: Vec<Written> = events
        .iter()
        .map(|event| Written::by(&orders, event))
        .collect::<Result<_, _>>()?;
    if let Link::Postgres(link) = tx.link() {
        return write_together(link, &written).await;
    }
    for one in &written {
        write(tx, one).await?;
    }
    Ok(())
}

/// An event as this process writes it.
struct Written<'e> {
    event: &'e Event,
    writer: Writer,
    leaf: Hash,
    proof: Option<Vec<u8>>,
}

impl<'e> Written<'e> {
    fn by(orders: &Orders, event: &'e Event) -> Result<Self, Failure> {
        let writer = orders.writer();
        let leaf = Line::of(event, writer).leaf();
        let proof = order(orders, writer, &leaf).map(|order| orders.sign(&order));
        Ok(Self {
            event,
            writer,
            leaf,
            proof: proof.transpose()?,
        })
    }
}

/// What the proof of an event is of; none where nothing proves who wrote it.
pub(super) fn order(orders: &Orders, writer: Writer, leaf: &Hash) -> Option<Order> {
    let kind = match writer {
        Writer::Internal => Kind::AuditEvent,
        Writer::Capture => Kind::CaptureAuditEvent,
        Writer::Unproven => return None,
    };
    Some(orders.order(kind).bytes(leaf))
}

async fn write(tx: &mut Connection, written: &Written<'_>) -> Result<(), Failure> {
    let event = written.event;
    let put = query(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, writer, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(event.id.to_string())
    .bind(event.at.unix_ms())
    .bind(event.actor.kind())
    .bind(event.actor.name())
    .bind(event.action.name())
    .bind(event.outcome.name())
    .bind(event.account.as_ref().map(Account::as_str))
    .bind(event.subject.as_deref())
    .bind(&event.origin)
    .bind(&event.node)
    .bind(written.writer.name())
    .bind(event.request_id.as_deref())
    .execute(&mut *tx)
    .await?;
    one_row(put, "audit_events", &event.id)?;
    let waiting =
        query("INSERT INTO audit_pending (event_id, at_ms, leaf, proof) VALUES ($1, $2, $3, $4)")
            .bind(event.id.to_string())
            .bind(event.at.unix_ms())
            .bind(written.leaf.as_slice())
            .bind(written.proof.clone())
            .execute(tx)
            .await?;
    one_row(waiting, "audit_pending", &event.id)
}

/// One statement for all events of a batch: on PostgreSQL each statement is a round trip.
async fn write_together(link: &mut PgConnection, written: &[Written<'_>]) -> Result<(), Failure> {
    fn column<T>(written: &[Written<'_>], of: impl Fn(&Written<'_>) -> T) -> Vec<T> {
        written.iter().map(of).collect()
    }
    let of_event = |of: fn(&Event) -> String| column(written, |one| of(one.event));
    let of_event_if_any = |of: fn(&Event) -> Option<String>| column(written, |one| of(one.event));
    let put = sqlx::query(
        "WITH handed_in AS (
             INSERT INTO audit_pending (event_id, at_ms, leaf, proof)
             SELECT * FROM UNNEST ($1::text[], $2::bigint[], $13::bytea[], $14::bytea[])
         )
         INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, writer, request_id)
         SELECT * FROM UNNEST ($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])",
    )
    .bind(of_event(|event| event.id.to_string()))
    .bind(column(written, |one| one.event.at.unix_ms()))
    .bind(of_event(|event| event.actor.kind().to_owned()))
    .bind(of_event_if_any(|event| event.actor.name().map(str::to_owned)))
    .bind(of_event(|event| event.action.name().to_owned()))
    .bind(of_event(|event| event.outcome.name().to_owned()))
    .bind(of_event_if_any(|event| event.account.as_ref().map(ToString::to_string)))
    .bind(of_event_if_any(|event| event.subject.clone()))
    .bind(of_event(|event| event.origin.clone()))
    .bind(of_event(|event| event.node.clone()))
    .bind(column(written, |one| one.writer.name()))
    .bind(of_event_if_any(|event| event.request_id.clone()))
    .bind(column(written, |one| one.leaf.to_vec()))
    .bind(column(written, |one| one.proof.clone()))
    .execute(link)
    .await?
    .rows_affected();
    every_row(put, "audit_events", written.len())
}
