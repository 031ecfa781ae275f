//! What an earlier request under a caller's key gave back, found without the key's row, as for charges.

use super::{NewRefund, RefundRow, proof, row};
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::charges::ChargeRow;
use crate::store::claims::first_processor_key;
use crate::store::connection::Connection;
use crate::store::orders::{Authentic, quarantine};
use crate::store::sql::query;
use crate::token::{Account, Environment, RefundId, RefundStatus};

/// What is left of earlier requests.
pub(super) enum Earlier {
    /// There was none.
    None,
    /// What was begun was given up, as the rows say: the processor may know better.
    GivenUp,
    /// The refund of that id was made.
    Made(String),
}

/// A refund whose earlier ones are looked for.
pub(super) struct Of<'a> {
    id: RefundId,
    account: &'a Account,
    processor_key: &'a str,
    /// What was made before is of an earlier life of the caller's key.
    since: Timestamp,
}

impl<'a> Of<'a> {
    pub(super) fn new(new: &'a NewRefund, since: Timestamp) -> Self {
        Self {
            id: new.id,
            account: &new.account,
            processor_key: &new.processor_key,
            since,
        }
    }
}

/// Whether anything else than this refund was begun under the caller's key.
pub(super) async fn was_asked_before(
    tx: &mut Connection,
    environment: Environment,
    (refund, charge): (&RefundRow, &Authentic<ChargeRow>),
) -> Result<bool, Failure> {
    let of = Of {
        id: refund.id,
        account: &refund.account,
        processor_key: &refund.processor_key,
        since: Timestamp::from_unix_ms(0),
    };
    let earlier = find(tx, environment, (&of, charge)).await?;
    Ok(!matches!(earlier, Earlier::None))
}

/// The refund that an earlier request has made since then. A row that nobody who may has ordered is
/// quarantined, and stands for nothing.
pub(super) async fn find(
    tx: &mut Connection,
    environment: Environment,
    (of, charge): (&Of<'_>, &Authentic<ChargeRow>),
) -> Result<Earlier, Failure> {
    let first = first_processor_key(of.processor_key);
    let ids: Vec<(String,)> = query(
        "SELECT id
           FROM refunds
          WHERE charge_id = $1 AND id >= $2 AND id <> $3 AND account = $4 AND created_at_ms > $5
            AND (processor_key = $6 OR processor_key LIKE $7)
          ORDER BY id",
    )
    .bind(charge.id.to_string())
    .bind(RefundId::first_at(environment, of.since).to_string())
    .bind(of.id.to_string())
    .bind(of.account.as_str())
    .bind(of.since.unix_ms())
    .bind(first)
    .bind(format!("{first}-%"))
    .all(tx)
    .await?;
    let mut earlier = Earlier::None;
    for (id,) in ids {
        let Some(refund) = row::find_to_change(tx, environment, of.account, &id).await? else {
            continue;
        };
        let its = ChargeRow::clone(charge);
        let refund = match proof::check(tx, environment, (refund, its)) {
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
