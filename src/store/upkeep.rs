//! What keeps the store in order: the proof that it can write, and the removal of what is over.

use super::connection::Connection;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;

/// The most rows of each kind that one sweep removes, so that no request waits long behind it.
pub const SWEEP_ROWS_MAX: u32 = 1_000;

/// How long what happened stands in the feed, and a notice is known again: a month, which is longer
/// than anybody delivers either (Stripe: three days; ours: three).
const NEWS_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// How long a session that made no token is kept after it expired, for questions about it.
const SESSION_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

impl Store {
    /// Makes one durable write, through the same queue as every other.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: then this process is not ready.
    pub async fn probe_write(&self, now: Timestamp) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "INSERT INTO write_probe (id, written_at_ms)
                     VALUES (1, $1)
                         ON CONFLICT (id) DO UPDATE
                        SET written_at_ms = excluded.written_at_ms",
                )
                .bind(now.unix_ms())
                .execute(tx)
                .await?;
                super::parse::one_row(written, "write_probe", &1)
            })
        })
        .await
    }

    /// Removes expired idempotency keys whose work is over, and sessions that ended long ago without a token and that
    /// no key points at; answers how many rows went. At most [`SWEEP_ROWS_MAX`] of each go at once:
    /// call again while it removes any. Then it cuts the write-ahead log, so that what was erased
    /// from the database does not live on there; where a reader is in the way, the next sweep does.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, Failure> {
        let removed = self
            .write(move |tx| {
                Box::pin(async move {
                    let keys = query(
                        "DELETE FROM idempotency_keys
                          WHERE (account, client, key) IN (
                                SELECT account, client, key
                                  FROM idempotency_keys
                                 WHERE expires_at_ms <= $1
                                   AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.id = resource AND charges.status = 'processing')
                                   AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.operation_id = resource AND charges.operation IS NOT NULL)
                                   AND NOT EXISTS (SELECT 1 FROM refunds WHERE refunds.id = resource AND refunds.status = 'processing')
                                 LIMIT $2)",
                    )
                    .bind(now.unix_ms())
                    .bind(SWEEP_ROWS_MAX)
                    .execute(&mut *tx)
                    .await?;
                    let sessions = query(
                        "DELETE FROM sessions
                          WHERE id IN (
                                SELECT id
                                  FROM sessions
                                 WHERE token_id IS NULL
                                   AND expires_at_ms <= $1
                                   AND (busy_until_ms IS NULL OR busy_until_ms <= $2)
                                   AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE resource = sessions.id)
                                 LIMIT $3)",
                    )
                    .bind(now.unix_ms().saturating_sub(SESSION_KEPT_MS))
                    .bind(now.unix_ms())
                    .bind(SWEEP_ROWS_MAX)
                    .execute(tx)
                    .await?;
                    let told = sweep_told(tx, now).await?;
                    Ok(keys.saturating_add(sessions).saturating_add(told))
                })
            })
            .await?;
        self.writer.checkpoint().await?;
        Ok(removed)
    }
}

/// Removes processor events that will not come again, and events that were delivered, or that nobody
/// takes.
async fn sweep_told(tx: &mut Connection, now: Timestamp) -> Result<u64, Failure> {
    let before = now.unix_ms().saturating_sub(NEWS_KEPT_MS);
    let notices = query(
        "DELETE FROM processor_events
          WHERE (account, id) IN (
                SELECT account, id
                  FROM processor_events
                 WHERE last_seen_at_ms <= $1 AND status <> 'pending'
                 LIMIT $2)",
    )
    .bind(before)
    .bind(SWEEP_ROWS_MAX)
    .execute(tx)
    .await?;
    // A delivery that is still due keeps its event.
    query(
        "DELETE FROM deliveries
          WHERE status <> 'due' AND event_id IN (
                SELECT id
                  FROM events
                 WHERE created_at_ms <= $1
                 ORDER BY id
                 LIMIT $2)",
    )
    .bind(before)
    .bind(SWEEP_ROWS_MAX)
    .execute(tx)
    .await?;
    let events = query(
        "DELETE FROM events
          WHERE id IN (
                SELECT id
                  FROM events
                 WHERE created_at_ms <= $1
                   AND seq IS NOT NULL
                   AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id)
                 ORDER BY id
                 LIMIT $2)",
    )
    .bind(before)
    .bind(SWEEP_ROWS_MAX)
    .execute(tx)
    .await?;
    Ok(notices.saturating_add(events))
}
