//! Refunds: money given back, never more than was taken.
//!
//! What is to be given back is reserved on the charge in the transaction that writes the refund
//! down, so that two refunds at once cannot give back the same money; a refund that fails releases
//! it. `settle` writes what the processor said, `listed` takes over what was made there.

mod due;
mod earlier;
mod listed;
mod proof;
mod row;
mod settle;

use super::charges::{self, ChargeRow};
use super::claims::{self, Begun, Claim, Entered, Won};
use super::connection::Connection;
use super::events::{record, record_refused};
use super::orders::{Authentic, quarantine};
use super::owed::Lease;
use super::parse::{one_row, quiet_debug};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, Environment, RefundId, RefundReason, RefundStatus};

pub use due::DueRefunds;
use earlier::Earlier;
pub use listed::{ListedRefund, RefundTaken};
pub use row::RefundRow;
pub(super) use row::find_by_processor_refund;
pub use settle::RefundOutcome;

/// A refund to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Its id.
    pub id: RefundId,
    /// Whose charge.
    pub account: Account,
    /// The certificate name of who asks for it.
    pub client: String,
    /// What is given back.
    pub charge: ChargeId,
    /// How much, in the charge's currency; all that is left where nothing is said.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<RefundReason>,
    /// The processor's idempotency key, made from the caller's.
    pub processor_key: String,
    /// Now.
    pub created_at: Timestamp,
    /// Held by the caller until then.
    pub lease_until: Timestamp,
}

quiet_debug! {
    NewRefund { id, account, charge, amount }
}

/// A refund that is the caller's to ask the processor for.
#[derive(Debug, PartialEq, Eq)]
pub struct RefundWork {
    /// The right to end it.
    pub lease: Lease,
    /// The refund.
    pub refund: Authentic<RefundRow>,
    /// What it gives back.
    pub charge: Authentic<ChargeRow>,
    /// Whether an earlier request under the same key of the caller was given up, as the rows say: the
    /// processor is asked first whether it has its refund.
    pub asked_before: bool,
}

/// Why a refund does not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRefund {
    /// There is no such charge.
    Unknown,
    /// The charge has not so much to give back.
    NotRefundable(Box<ChargeRow>),
}

/// What a request for a refund came to.
pub type RefundBegun = Begun<Box<RefundWork>, Box<RefundRow>, NoRefund>;

impl Store {
    /// Writes a refund down, once for each claim, with its event; only then may the processor be
    /// asked.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_refund(
        &self,
        claim: Claim,
        new: NewRefund,
        event: Event,
    ) -> Result<RefundBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let id = new.id.to_string();
                let won = match claims::enter(tx, &claim, &id).await? {
                    Entered::Won(won) => won,
                    Entered::Seen(id) => return go_on(tx, environment, &id, &claim, &new).await,
                    Entered::Mismatch => {
                        record_refused(tx, event);
                        return Ok(Begun::Mismatch);
                    }
                };
                let key = new.charge.to_string();
                let charge = charges::find_to_change(tx, environment, &new.account, &key).await?;
                let charge = match charge {
                    Some(charge) => charges::authenticate(tx, environment, charge).await?,
                    None => None,
                };
                let refused = match charge {
                    None => NoRefund::Unknown,
                    Some(charge) => {
                        let of = earlier::Of::new(&new, claim.lives_since());
                        let asked_before =
                            match earlier::find(tx, environment, (&of, &charge)).await? {
                                Earlier::None => false,
                                Earlier::GivenUp => true,
                                Earlier::Made(made) => {
                                    claims::turn(tx, won, &claim, &made).await?;
                                    return go_on(tx, environment, &made, &claim, &new).await;
                                }
                            };
                        let mut charge = charge.into_claim();
                        match reserve(tx, &mut charge, new.amount, claim.now).await? {
                            None => NoRefund::NotRefundable(Box::new(charge)),
                            Some(amount) => {
                                let lease = Lease::first();
                                let refund = written(&new, &lease, (amount, &charge));
                                let refund = insert(tx, won, environment, refund).await?;
                                // No more than what is left of it has changed.
                                let charge = Authentic::ordered(charge);
                                record(tx, event);
                                return Ok(Begun::New(Box::new(RefundWork {
                                    lease,
                                    refund,
                                    charge,
                                    asked_before,
                                })));
                            }
                        }
                    }
                };
                claims::release(tx, won, &id).await?;
                record_refused(tx, event);
                Ok(Begun::Refused(refused))
            })
        })
        .await
    }

    /// The refund of `account` that the processor knows by that name.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn refund_named(
        &self,
        account: &Account,
        processor_refund: String,
    ) -> Result<Option<RefundRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                find_by_processor_refund(connection, environment, &account, &processor_refund).await
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

/// The refund as it is written down.
fn written(new: &NewRefund, lease: &Lease, (amount, charge): (i64, &ChargeRow)) -> RefundRow {
    RefundRow {
        id: new.id,
        account: new.account.clone(),
        client: Some(new.client.clone()),
        charge: new.charge,
        amount,
        currency: charge.currency.clone(),
        reason: new.reason,
        status: RefundStatus::Processing,
        processor_refund: None,
        failure_code: None,
        processor_key: new.processor_key.clone(),
        lease_until: Some(new.lease_until),
        lease_token: Some(lease.token()),
        version: 1,
        created_at: new.created_at,
        updated_at: new.created_at,
        proofs: proof::RefundProofs::default(),
    }
}

/// Writes the refund for which its key was won, and the proof that it was ordered.
async fn insert(
    tx: &mut Connection,
    won: Won,
    environment: Environment,
    mut refund: RefundRow,
) -> Result<Authentic<RefundRow>, Failure> {
    refund.processor_key = won.processor_key(tx.orders(), &refund.processor_key);
    let refund = proof::ordered(tx, environment, refund)?;
    row::insert(tx, &refund).await?;
    Ok(refund)
}

/// Reserves `amount`, or all that is left, on a charge that the transaction holds; how much that
/// is, or nothing where the charge has not so much.
async fn reserve(
    tx: &mut Connection,
    charge: &mut ChargeRow,
    amount: Option<i64>,
    now: Timestamp,
) -> Result<Option<i64>, Failure> {
    let left = charge.captured.saturating_sub(charge.refunded);
    let amount = amount.unwrap_or(left);
    if amount <= 0 {
        return Ok(None);
    }
    let reserved = query(
        "UPDATE charges
            SET refunded = refunded + $2, version = version + 1, updated_at_ms = $3
          WHERE id = $1 AND status = 'succeeded' AND refunded + $2 <= captured",
    )
    .bind(charge.id.to_string())
    .bind(amount)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    if reserved != 1 {
        return Ok(None);
    }
    charge.refunded = charge.refunded.saturating_add(amount);
    Ok(Some(amount))
}

/// Releases what a refund that failed had reserved on its charge.
async fn release(tx: &mut Connection, refund: &RefundRow, now: Timestamp) -> Result<(), Failure> {
    let released = query(
        "UPDATE charges
            SET refunded = refunded - $2, version = version + 1, updated_at_ms = $3
          WHERE id = $1 AND refunded >= $2",
    )
    .bind(refund.charge.to_string())
    .bind(refund.amount)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(released, "charges", &refund.charge)
}

/// A repetition: where the lease has run out, whoever asks takes it and goes on.
async fn go_on(
    tx: &mut Connection,
    environment: Environment,
    id: &str,
    claim: &Claim,
    new: &NewRefund,
) -> Result<RefundBegun, Failure> {
    let row = row::find_to_change(tx, environment, &new.account, id).await?;
    let mut refund = row.ok_or_else(|| claims::dangling(claim))?;
    if refund.status != RefundStatus::Processing || refund.processor_refund.is_some() {
        return Ok(Begun::Replayed(Box::new(refund)));
    }
    if refund.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(Begun::InFlight);
    }
    let lease = Lease::resumed();
    let taken = query("UPDATE refunds SET lease_until_ms = $2, lease_token = $3 WHERE id = $1 AND lease_until_ms IS NOT NULL")
        .bind(id)
        .bind(new.lease_until.unix_ms())
        .bind(lease.token())
        .execute(&mut *tx)
        .await?;
    one_row(taken, "refunds", &refund.id)?;
    refund.lease_until = Some(new.lease_until);
    refund.lease_token = Some(lease.token());
    let key = refund.charge.to_string();
    let charge = charges::find(tx, environment, &refund.account, &key).await?;
    let charge = charge.ok_or_else(|| claims::dangling(claim))?;
    match proof::check(tx, environment, (refund, charge)) {
        Ok((refund, charge)) => {
            let of = (&*refund, &charge);
            let asked_before = earlier::was_asked_before(tx, environment, of).await?;
            Ok(Begun::Resumed(Box::new(RefundWork {
                lease,
                refund,
                charge,
                asked_before,
            })))
        }
        // What was not ordered is worked on by nobody, whoever repeats it.
        Err(forged) => {
            quarantine(tx, &forged, None).await?;
            Ok(Begun::InFlight)
        }
    }
}
