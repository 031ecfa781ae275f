//! Audit events: written with what they record, or alone where nothing else is; each with its leaf,
//! which waits for its place in the log.

use sqlx::PgConnection;

use super::connection::{Connection, Link};
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::audit::leaf::Line;
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
    if let (Link::Postgres(link), true) = (tx.link(), events.len() > 1) {
        return write_together(link, &events).await;
    }
    for event in &events {
        write(tx, event).await?;
    }
    Ok(())
}

async fn write(tx: &mut Connection, event: &Event) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
    .bind(event.request_id.as_deref())
    .execute(&mut *tx)
    .await?;
    one_row(written, "audit_events", &event.id)?;
    let waiting = query("INSERT INTO audit_pending (event_id, at_ms, leaf) VALUES ($1, $2, $3)")
        .bind(event.id.to_string())
        .bind(event.at.unix_ms())
        .bind(Line::from(event).leaf().as_slice())
        .execute(tx)
        .await?;
    one_row(waiting, "audit_pending", &event.id)
}

/// Two statements for all events of a batch: on PostgreSQL each statement is a round trip.
async fn write_together(link: &mut PgConnection, events: &[Event]) -> Result<(), Failure> {
    fn column<T>(events: &[Event], of: impl Fn(&Event) -> T) -> Vec<T> {
        events.iter().map(of).collect()
    }
    let written = sqlx::query(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, request_id)
         SELECT * FROM UNNEST ($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])",
    )
    .bind(column(events, |event| event.id.to_string()))
    .bind(column(events, |event| event.at.unix_ms()))
    .bind(column(events, |event| event.actor.kind().to_owned()))
    .bind(column(events, |event| event.actor.name().map(str::to_owned)))
    .bind(column(events, |event| event.action.name().to_owned()))
    .bind(column(events, |event| event.outcome.name().to_owned()))
    .bind(column(events, |event| event.account.as_ref().map(|account| account.as_str().to_owned())))
    .bind(column(events, |event| event.subject.clone()))
    .bind(column(events, |event| event.origin.clone()))
    .bind(column(events, |event| event.node.clone()))
    .bind(column(events, |event| event.request_id.clone()))
    .execute(&mut *link)
    .await?
    .rows_affected();
    let waiting = sqlx::query(
        "INSERT INTO audit_pending (event_id, at_ms, leaf)
         SELECT * FROM UNNEST ($1::text[], $2::bigint[], $3::bytea[])",
    )
    .bind(column(events, |event| event.id.to_string()))
    .bind(column(events, |event| event.at.unix_ms()))
    .bind(column(events, |event| Line::from(event).leaf().to_vec()))
    .execute(link)
    .await?
    .rows_affected();
    if [written, waiting].map(usize::try_from) == [Ok(events.len()), Ok(events.len())] {
        Ok(())
    } else {
        Err(Failure::engine(&"not every audit event was written"))
    }
}
