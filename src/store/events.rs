//! Audit events: written with what they record, or alone where nothing else is.

use sqlx::SqliteConnection;

use super::{Failure, Store};
use crate::audit::Event;

impl Store {
    /// Writes an event of its own: a read, a refusal at the door, a start or a stop. Whoever reads
    /// or opens a token answers only after this has.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: then what it would record must not happen.
    pub async fn record(&self, event: Event) -> Result<(), Failure> {
        self.write(move |tx| Box::pin(async move { record(tx, &event).await }))
            .await
    }
}

/// Writes `event` in the transaction of its act.
pub(super) async fn record(tx: &mut SqliteConnection, event: &Event) -> Result<(), Failure> {
    let written = sqlx::query(
        "INSERT INTO audit_events (id, at_ms, actor_kind, actor, action, outcome, account, subject, origin, node, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(event.id.to_string())
    .bind(event.at.unix_ms())
    .bind(event.actor.kind())
    .bind(event.actor.name())
    .bind(event.action.name())
    .bind(event.outcome.name())
    .bind(event.account.as_ref().map(crate::token::Account::as_str))
    .bind(event.subject.as_deref())
    .bind(&event.origin)
    .bind(&event.node)
    .bind(event.request_id.as_deref())
    .execute(tx)
    .await?;
    super::parse::one_row(written.rows_affected(), "audit_events", &event.id)
}

/// Writes all of `events`.
pub(super) async fn record_all(tx: &mut SqliteConnection, events: &[Event]) -> Result<(), Failure> {
    for event in events {
        record(tx, event).await?;
    }
    Ok(())
}

/// Writes `event` as refused: what it names was not done.
pub(super) async fn record_refused(tx: &mut SqliteConnection, event: Event) -> Result<(), Failure> {
    record(tx, &event.refused()).await
}
