//! Which work of rotation is believed: what was asked for carries a proof of an internal process.

use super::{KeyJob, end_as_failed};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::{Forged, Orders, quarantine};

/// The order of a piece of work. How far it is decides nothing: the last look goes over every row.
pub(super) fn order(orders: &Orders, job: &KeyJob) -> Order {
    orders
        .order(Kind::KeyJob)
        .text(&job.id)
        .text(job.work.name())
        .number(job.total)
        .number(i64::from(job.rows_per_s_max))
        .number(job.created_at.unix_ms())
}

/// Quarantines work that nobody asked for, and ends it, so that ours of its kind can run.
pub(super) async fn end_forged(
    tx: &mut Connection,
    id: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let forged = Forged {
        table: "key_jobs",
        row: id.to_owned(),
    };
    quarantine(tx, &forged, None).await?;
    end_as_failed(tx, (id, "no valid proof of who asked for it"), now).await
}
