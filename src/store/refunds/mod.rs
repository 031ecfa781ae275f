//! Refunds: money given back, never more than was taken.
//!
//! What is to be given back is taken off the charge in the transaction that writes the refund down,
//! so that two refunds at once cannot give back the same money; a refund that fails puts it back.

mod row;
mod settle;

use super::charges::{self, ChargeRow};
use super::claims::{self, Claim, Found};
use super::connection::Connection;
use super::events::{record, record_refused};
use super::parse::{one_row, quiet_debug};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, Environment, RefundId, RefundReason, RefundStatus};

pub use row::RefundRow;
pub(super) use settle::told;
pub use settle::{LeasedRefunds, RefundOutcome, ToldRefund};

/// A refund to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Its id.
    pub id: RefundId,
    /// Whose charge.
    pub account: Account,
    /// The certificate name of who asks for it; nobody where it was made at the processor itself.
    pub client: Option<String>,
    /// What is given back.
    pub charge: ChargeId,
    /// How much, in the charge's currency; all that is left where nothing is said.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<RefundReason>,
    /// Now.
    pub created_at: Timestamp,
    /// Till when the caller is at work on it.
    pub lease_until: Timestamp,
}

quiet_debug! {
    NewRefund { id, account, charge, amount }
}

/// What a request for a refund came to.
#[derive(Debug, PartialEq, Eq)]
pub enum RefundBegun {
    /// It is written down, or an earlier try of it is the caller's now: ask the processor to give
    /// back what this charge took.
    Ask(Box<RefundRow>, Box<ChargeRow>),
    /// This same request was written down before; the refund is as it is now.
    Replayed(Box<RefundRow>),
    /// This same request is under way.
    InFlight,
    /// The key stands for another request.
    Mismatch,
    /// There is no such charge.
    Unknown,
    /// The charge has not so much to give back.
    TooMuch(Box<ChargeRow>),
}

impl Store {
    /// Writes a refund down, once for each claim, with its event; only then may the processor be
    /// asked.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_refund(
        &self,
        claim: Claim,
        refund: NewRefund,
        event: Event,
    ) -> Result<RefundBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let begun = match claims::look_up(tx, &claim).await? {
                    Found::Mismatch => RefundBegun::Mismatch,
                    Found::Seen(id) => {
                        return go_on(tx, environment, &id, &claim, &refund).await;
                    }
                    Found::Nothing => match begin(tx, environment, refund).await? {
                        Ok((refund, charge)) => {
                            claims::take(tx, &claim, &refund.id.to_string()).await?;
                            record(tx, event);
                            return Ok(RefundBegun::Ask(Box::new(refund), Box::new(charge)));
                        }
                        Err(Some(charge)) => RefundBegun::TooMuch(Box::new(charge)),
                        Err(None) => RefundBegun::Unknown,
                    },
                };
                record_refused(tx, event);
                Ok(begun)
            })
        })
        .await
    }

    /// A refund of `account`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn refund(
        &self,
        account: &Account,
        id: RefundId,
    ) -> Result<Option<RefundRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(
                async move { row::find(connection, environment, &account, &id.to_string()).await },
            )
        })
        .await
    }

    /// The refunds of a charge, newest first; at most `limit`, the page after `starting_after`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn refunds_of(
        &self,
        account: &Account,
        charge: ChargeId,
        limit: u32,
        starting_after: Option<RefundId>,
    ) -> Result<Vec<RefundRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                row::list(
                    connection,
                    environment,
                    &account,
                    charge,
                    (limit, starting_after),
                )
                .await
            })
        })
        .await
    }
}

/// Takes the money off the charge and writes the refund; or says which charge has not so much, or
/// that there is none.
async fn begin(
    tx: &mut Connection,
    environment: Environment,
    refund: NewRefund,
) -> Result<Result<(RefundRow, ChargeRow), Option<ChargeRow>>, Failure> {
    let key = refund.charge.to_string();
    let charge = charges::find(tx, environment, &refund.account, &key).await?;
    let Some(mut charge) = charge else {
        return Ok(Err(None));
    };
    let left = charge.captured.saturating_sub(charge.refunded);
    let amount = refund.amount.unwrap_or(left);
    if amount <= 0 || !take_off(tx, &charge, amount).await? {
        return Ok(Err(Some(charge)));
    }
    charge.refunded = charge.refunded.saturating_add(amount);
    let row = RefundRow {
        id: refund.id,
        account: refund.account,
        client: refund.client,
        charge: refund.charge,
        amount,
        currency: charge.currency.clone(),
        reason: refund.reason,
        status: RefundStatus::Processing,
        processor_refund: None,
        failure_code: None,
        lease_until: Some(refund.lease_until),
        created_at: refund.created_at,
        updated_at: refund.created_at,
    };
    row::insert(tx, &row).await?;
    Ok(Ok((row, charge)))
}

/// Takes `amount` off what the charge can give back; false where there is not so much.
async fn take_off(tx: &mut Connection, charge: &ChargeRow, amount: i64) -> Result<bool, Failure> {
    let taken = query(
        "UPDATE charges
            SET refunded = refunded + $2
          WHERE id = $1 AND status = 'succeeded' AND refunded + $2 <= captured",
    )
    .bind(charge.id.to_string())
    .bind(amount)
    .execute(tx)
    .await?;
    Ok(taken == 1)
}

/// Puts back what a refund that failed had taken off its charge.
async fn put_back(tx: &mut Connection, refund: &RefundRow) -> Result<(), Failure> {
    let put = query(
        "UPDATE charges
            SET refunded = refunded - $2
          WHERE id = $1 AND refunded >= $2",
    )
    .bind(refund.charge.to_string())
    .bind(refund.amount)
    .execute(tx)
    .await?;
    one_row(put, "charges", &refund.charge)
}

/// A repetition: where the lease has run out, whoever asks takes it and goes on.
async fn go_on(
    tx: &mut Connection,
    environment: Environment,
    id: &str,
    claim: &Claim,
    refund: &NewRefund,
) -> Result<RefundBegun, Failure> {
    let row = row::find(tx, environment, &refund.account, id).await?;
    let mut row = row.ok_or_else(|| claims::dangling(claim))?;
    if row.status != RefundStatus::Processing || row.processor_refund.is_some() {
        return Ok(RefundBegun::Replayed(Box::new(row)));
    }
    if row.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(RefundBegun::InFlight);
    }
    settle::extend_lease(tx, row.id, refund.lease_until).await?;
    row.lease_until = Some(refund.lease_until);
    let key = row.charge.to_string();
    let charge = charges::find(tx, environment, &row.account, &key).await?;
    let charge = charge.ok_or_else(|| claims::dangling(claim))?;
    Ok(RefundBegun::Ask(Box::new(row), Box::new(charge)))
}
