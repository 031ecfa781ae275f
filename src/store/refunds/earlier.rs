//! What an earlier request under a caller's key gave back, found without the key's row, as for charges.

use super::{NewRefund, proof, row};
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::charges::ChargeRow;
use crate::store::claims::first_processor_key;
use crate::store::connection::Connection;
use crate::store::orders::{Authentic, quarantine};
use crate::store::sql::query;
use crate::token::{Environment, RefundId, RefundStatus};

/// What is left of earlier requests.
pub(super) enum Earlier {
    /// There was none.
    None,
    /// What was begun was given up, as the rows say: the processor may know better.
    GivenUp,
    /// The refund of that id was made.
    Made(String),
}

/// The refund that an earlier request has made since then. A row that nobody who may has ordered is
/// quarantined, and stands for nothing.
pub(super) async fn find(
    tx: &mut Connection,
    environment: Environment,
    (new, charge, since): (&NewRefund, &Authentic<ChargeRow>, Timestamp),
) -> Result<Earlier, Failure> {
    let first = first_processor_key(&new.processor_key);
    let ids: Vec<(String,)> = query(
        "SELECT id
           FROM refunds
          WHERE charge_id = $1 AND id >= $2 AND id <> $3 AND account = $4 AND created_at_ms > $5
            AND (processor_key = $6 OR processor_key LIKE $7)
          ORDER BY id",
    )
    .bind(new.charge.to_string())
    .bind(RefundId::first_at(environment, since).to_string())
    .bind(new.id.to_string())
    .bind(new.account.as_str())
    .bind(since.unix_ms())
    .bind(first)
    .bind(format!("{first}-%"))
    .all(tx)
    .await?;
    let mut earlier = Earlier::None;
    for (id,) in ids {
        let Some(refund) = row::find_to_change(tx, environment, &new.account, &id).await? else {
            continue;
        };
        let of = ChargeRow::clone(charge);
        let refund = match proof::check(tx, environment, (refund, of)) {
            Ok((refund, _)) => refund,
            Err(forged) => {
                quarantine(tx, &forged, None).await?;
                continue;
            }
        };
        if refund.status == RefundStatus::Canceled && refund.processor_refund.is_none() {
            earlier = Earlier::GivenUp;
        } else {
            return Ok(Earlier::Made(id));
        }
    }
    Ok(earlier)
}
