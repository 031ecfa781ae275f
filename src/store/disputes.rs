//! Disputes: what the shopper's bank has taken up, one row each, by the processor's own status.

use super::connection::Connection;
use super::outbox::{self, News};
use super::parse::one_row;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId};

/// A dispute as the processor says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeRow {
    /// The processor's name of it.
    pub id: String,
    /// Whose processor account.
    pub account: Account,
    /// What is disputed.
    pub charge: ChargeId,
    /// In the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Why, in the processor's word: `fraudulent`.
    pub reason: String,
    /// Where it is in its life, in the processor's word: `needs_response`.
    pub status: String,
    /// Whether it is not decided.
    pub open: bool,
    /// When it changed, by the processor's clock.
    pub changed_at: Timestamp,
}

/// What a report about a dispute changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeChange {
    /// It is new.
    Opened,
    /// It is in another state.
    Updated,
    /// It is decided.
    Closed,
    /// Nothing: this was said before, or is older than what is known.
    Nothing,
}

impl DisputeChange {
    /// The end of the event's name: `dispute.opened`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated | Self::Nothing => "updated",
            Self::Closed => "closed",
        }
    }
}

impl Store {
    /// Writes what the processor was found to say of a dispute, and publishes it where it is new.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn put_dispute(
        &self,
        said: DisputeRow,
        now: Timestamp,
        publish: impl Fn(&DisputeRow, DisputeChange) -> News + Clone + Send + Sync + 'static,
    ) -> Result<DisputeChange, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let change = put(tx, &said, now).await?;
                if change != DisputeChange::Nothing {
                    outbox::tell(tx, &publish(&said, change)).await?;
                }
                Ok(change)
            })
        })
        .await
    }
}

/// Writes what is said of a dispute, and whether its charge is disputed by any.
pub(super) async fn put(
    tx: &mut Connection,
    said: &DisputeRow,
    now: Timestamp,
) -> Result<DisputeChange, Failure> {
    let known: Option<(String, i64, bool, i64)> = query(
        "SELECT status, amount, open, changed_at_ms FROM disputes WHERE account = $1 AND id = $2",
    )
    .bind(said.account.as_str())
    .bind(&said.id)
    .optional(tx)
    .await?;
    let change = change(known.as_ref(), said);
    if change == DisputeChange::Nothing {
        if known.is_some() {
            heard_again(tx, said).await?;
        }
        return Ok(change);
    }
    let written = query(
        "INSERT INTO disputes (account, id, charge_id, amount, currency, reason, status, open, changed_at_ms, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (account, id) DO UPDATE
            SET amount = excluded.amount, reason = excluded.reason, status = excluded.status,
                open = excluded.open, changed_at_ms = excluded.changed_at_ms",
    )
    .bind(said.account.as_str())
    .bind(&said.id)
    .bind(said.charge.to_string())
    .bind(said.amount)
    .bind(&said.currency)
    .bind(&said.reason)
    .bind(&said.status)
    .bind(said.open)
    .bind(said.changed_at.unix_ms())
    .bind(now.unix_ms())
    .execute(&mut *tx)
    .await?;
    one_row(written, "disputes", &said.id)?;
    let marked = query(
        "UPDATE charges
            SET disputed = EXISTS (SELECT 1 FROM disputes WHERE charge_id = charges.id AND open = $2),
                version = version + 1,
                updated_at_ms = $3
          WHERE id = $1",
    )
    .bind(said.charge.to_string())
    .bind(true)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(marked, "charges", &said.charge)?;
    Ok(change)
}

/// The same was said again, perhaps later: what lies between is older than what is known.
async fn heard_again(tx: &mut Connection, said: &DisputeRow) -> Result<(), Failure> {
    query(
        "UPDATE disputes
            SET changed_at_ms = $3
          WHERE account = $1 AND id = $2 AND changed_at_ms < $3 AND status = $4 AND amount = $5",
    )
    .bind(said.account.as_str())
    .bind(&said.id)
    .bind(said.changed_at.unix_ms())
    .bind(&said.status)
    .bind(said.amount)
    .execute(tx)
    .await?;
    Ok(())
}

/// The newest report wins; of two of one second the one after which it is decided.
fn change(known: Option<&(String, i64, bool, i64)>, said: &DisputeRow) -> DisputeChange {
    let Some((status, amount, open, changed_at_ms)) = known else {
        return if said.open {
            DisputeChange::Opened
        } else {
            DisputeChange::Closed
        };
    };
    let at = said.changed_at.unix_ms();
    let older = at < *changed_at_ms || (at == *changed_at_ms && !open && said.open);
    if older || (*status == said.status && *amount == said.amount) {
        DisputeChange::Nothing
    } else if *open && !said.open {
        DisputeChange::Closed
    } else {
        DisputeChange::Updated
    }
}
