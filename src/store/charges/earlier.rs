//! What an earlier request under a caller's key has made, found without the key's row: by the
//! processor's key that was made of the caller's, which every row carries under its order proof.

use super::row::{self, ChargeRow};
use super::{NewCharge, authenticate};
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::claims::first_processor_key;
use crate::store::connection::Connection;
use crate::store::sql::query;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, TokenId};

/// What is left of earlier requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// There was none.
    None,
    /// What was begun was given up, as the rows say: the processor may know better.
    GivenUp,
    /// This charge was made.
    Made(Box<ChargeRow>),
}

/// A charge whose earlier ones are looked for.
pub(super) struct Of<'a> {
    pub(super) id: ChargeId,
    pub(super) account: &'a Account,
    pub(super) token: TokenId,
    pub(super) processor_key: &'a str,
    /// What was made before is of an earlier life of the caller's key.
    pub(super) since: Timestamp,
}

impl<'a> Of<'a> {
    pub(super) fn new(charge: &'a NewCharge, since: Timestamp) -> Self {
        Self {
            id: charge.id,
            account: &charge.account,
            token: charge.token,
            processor_key: &charge.processor_key,
            since,
        }
    }
}

/// The charge that an earlier request has made, since the key's present life began. A row that
/// nobody who may has ordered is quarantined, and stands for nothing.
pub(super) async fn find(
    tx: &mut Connection,
    environment: Environment,
    of: &Of<'_>,
) -> Result<Earlier, Failure> {
    let first = first_processor_key(of.processor_key);
    // A token's charges are read by their ids, which sort by the time they were made.
    let ids: Vec<(String,)> = query(
        "SELECT id
           FROM charges
          WHERE token_id = $1 AND id >= $2 AND id <> $3 AND account = $4 AND created_at_ms > $5
            AND (processor_key = $6 OR processor_key LIKE $7)
          ORDER BY id",
    )
    .bind(of.token.to_string())
    .bind(ChargeId::first_at(environment, of.since).to_string())
    .bind(of.id.to_string())
    .bind(of.account.as_str())
    .bind(of.since.unix_ms())
    .bind(first)
    .bind(format!("{first}-%"))
    .all(tx)
    .await?;
    let mut earlier = Earlier::None;
    for (id,) in ids {
        let Some(charge) = row::find_to_change(tx, environment, of.account, &id).await? else {
            continue;
        };
        let Some(charge) = authenticate(tx, environment, charge).await? else {
            continue;
        };
        if charge.status == ChargeStatus::Canceled && charge.payment.is_none() {
            earlier = Earlier::GivenUp;
        } else {
            return Ok(Earlier::Made(Box::new(charge.into_claim())));
        }
    }
    Ok(earlier)
}
