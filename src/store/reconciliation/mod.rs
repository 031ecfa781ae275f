//! Rows as the comparison with the processor needs them: by what the processor names, and all of a
//! time. Nothing is written here; a repair goes the way of every other event about a charge. Which
//! run compares an account stands in [`runs`].

mod rows;
mod runs;

use rows::{
    ChargeRow, DisputeRow, RefundRow, charge, charge_columns, dispute, holder, refund,
    refund_columns, refund_of_name,
};

use crate::clock::Timestamp;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, ChargeStatus, RefundId, RefundStatus};

pub use runs::{Comparison, ComparisonDone, ComparisonLease};

/// A charge, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeView {
    /// Its id.
    pub id: ChargeId,
    /// Where it is in its life.
    pub status: ChargeStatus,
    /// In the currency's minor unit.
    pub amount: i64,
    /// How much of it was taken.
    pub captured: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// The processor's id of the payment, once it is known.
    pub payment: Option<String>,
    /// The processor's idempotency key of it.
    pub processor_key: Option<String>,
    /// Whether its shopper may try again on a page of ours.
    pub has_page: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its status was last written.
    pub updated_at: Timestamp,
}

/// A refund, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundView {
    /// Its id.
    pub id: RefundId,
    /// The refunded charge.
    pub charge: ChargeId,
    /// In the currency's minor unit.
    pub amount: i64,
    /// Where it is in its life.
    pub status: RefundStatus,
    /// The processor's id of it, once it is known.
    pub processor_refund: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its status was last written.
    pub updated_at: Timestamp,
}

/// A dispute, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeView {
    /// The processor's id of it.
    pub id: String,
    /// The disputed charge.
    pub charge: ChargeId,
    /// In the currency's minor unit.
    pub amount: i64,
    /// Where it is in its life, in the processor's word.
    pub status: String,
    /// When it changed, by the processor's clock.
    pub changed_at: Timestamp,
}

/// What a payment of the processor refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRefs {
    /// The payment.
    pub payment: String,
    /// The charge that its metadata names.
    pub charge: Option<ChargeId>,
}

/// What a refund of the processor refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRefs {
    /// The refund.
    pub processor_refund: String,
    /// The refund of ours that its metadata names.
    pub refund: Option<RefundId>,
    /// The refunded payment.
    pub payment: Option<String>,
}

/// What a dispute of the processor refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeRefs {
    /// The dispute.
    pub dispute: String,
    /// The disputed payment.
    pub payment: Option<String>,
}

/// The rows of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfPayment {
    /// The charge that it names.
    pub named: Option<ChargeView>,
    /// The charge that has it.
    pub holder: Option<ChargeView>,
}

/// The rows of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfRefund {
    /// The refund that it names.
    pub named: Option<RefundView>,
    /// The refund that has its name.
    pub holder: Option<RefundView>,
    /// The charge whose payment it refunds.
    pub charge: Option<ChargeView>,
}

/// The rows of a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDispute {
    /// The dispute that has its name.
    pub row: Option<DisputeView>,
    /// The charge whose payment is disputed.
    pub charge: Option<ChargeView>,
}

impl Store {
    /// The rows of each of these payments, in their order.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rows_of_payments(
        &self,
        account: &Account,
        payments: Vec<PaymentRefs>,
    ) -> Result<Vec<OfPayment>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                let mut rows = Vec::with_capacity(payments.len());
                for of in &payments {
                    let named = match of.charge {
                        Some(id) => charge(connection, environment, &account, id).await?,
                        None => None,
                    };
                    let holder = holder(connection, environment, &account, &of.payment).await?;
                    rows.push(OfPayment { named, holder });
                }
                Ok(rows)
            })
        })
        .await
    }

    /// The rows of each of these refunds, in their order.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rows_of_refunds(
        &self,
        account: &Account,
        refunds: Vec<RefundRefs>,
    ) -> Result<Vec<OfRefund>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                let mut rows = Vec::with_capacity(refunds.len());
                for of in &refunds {
                    let named = match of.refund {
                        Some(id) => refund(connection, environment, &account, id).await?,
                        None => None,
                    };
                    let name = &of.processor_refund;
                    let by_name = refund_of_name(connection, environment, &account, name).await?;
                    let charge = match &of.payment {
                        Some(payment) => holder(connection, environment, &account, payment).await?,
                        None => None,
                    };
                    rows.push(OfRefund {
                        named,
                        holder: by_name,
                        charge,
                    });
                }
                Ok(rows)
            })
        })
        .await
    }

    /// The rows of each of these disputes, in their order.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rows_of_disputes(
        &self,
        account: &Account,
        disputes: Vec<DisputeRefs>,
    ) -> Result<Vec<OfDispute>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                let mut rows = Vec::with_capacity(disputes.len());
                for of in &disputes {
                    let row = dispute(connection, environment, &account, &of.dispute).await?;
                    let charge = match &of.payment {
                        Some(payment) => holder(connection, environment, &account, payment).await?,
                        None => None,
                    };
                    rows.push(OfDispute { row, charge });
                }
                Ok(rows)
            })
        })
        .await
    }

    /// A page of the disputes that were first seen since a moment, by their names.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn dispute_views_since(
        &self,
        account: &Account,
        (since, after): (Timestamp, Option<String>),
        limit: u32,
    ) -> Result<Vec<DisputeView>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<DisputeRow> = query(
                    "SELECT id, charge_id, amount, status, changed_at_ms
                       FROM disputes
                      WHERE account = $1 AND id > $2 AND created_at_ms >= $3
                      ORDER BY id
                      LIMIT $4",
                )
                .bind(account.as_str())
                .bind(after.unwrap_or_default())
                .bind(since.unix_ms())
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// A page of the charges asked for since a moment, oldest first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn charge_views_since(
        &self,
        account: &Account,
        (since, after): (Timestamp, Option<ChargeId>),
        limit: u32,
    ) -> Result<Vec<ChargeView>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let first = ChargeId::first_at(environment, since).to_string();
        let after = after.map_or(first, |id| id.to_string());
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<ChargeRow> = query(concat!(
                    "SELECT ",
                    charge_columns!(),
                    " FROM charges
                     WHERE account = $1 AND id > $2
                     ORDER BY id
                     LIMIT $3"
                ))
                .bind(account.as_str())
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// A page of the refunds asked for since a moment, oldest first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn refund_views_since(
        &self,
        account: &Account,
        (since, after): (Timestamp, Option<RefundId>),
        limit: u32,
    ) -> Result<Vec<RefundView>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let first = RefundId::first_at(environment, since).to_string();
        let after = after.map_or(first, |id| id.to_string());
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<RefundRow> = query(concat!(
                    "SELECT ",
                    refund_columns!(),
                    " FROM refunds
                     WHERE account = $1 AND id > $2
                     ORDER BY id
                     LIMIT $3"
                ))
                .bind(account.as_str())
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }
}
