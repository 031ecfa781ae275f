//! Which events of the processor are believed: those whose signature one of our processes checked.
//!
//! A dispute, a renewed card and a detached one are applied as they are told, without a look at the
//! processor. So the proof binds what was told, and when.

use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::{Forged, Orders, quarantine};
use crate::store::sql::query;

/// Bytes of an event that the quarantine keeps.
const CONTENT_LETTERS_MAX: usize = 65_536;

/// The order to apply an event.
pub(super) fn order(
    orders: &Orders,
    (account, id): (&str, &str),
    (body, created_at): (&str, Timestamp),
) -> Order {
    orders
        .order(Kind::ProcessorEvent)
        .text(account)
        .text(id)
        .text(body)
        .number(created_at.unix_ms())
}

/// Takes out an event that the processor did not sign; the real one of that name can still come.
pub(super) async fn take_out(
    tx: &mut Connection,
    (account, id): (&str, &str),
    body: &str,
) -> Result<(), Failure> {
    let forged = Forged {
        table: "processor_events",
        row: format!("{account}/{id}"),
    };
    let content: String = body.chars().take(CONTENT_LETTERS_MAX).collect();
    let content = (!content.is_empty()).then_some(content);
    quarantine(tx, &forged, content.as_deref()).await?;
    query("DELETE FROM processor_events WHERE account = $1 AND id = $2")
        .bind(account)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}
