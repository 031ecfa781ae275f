//! One row of each kind, by our id or by the processor's.

use super::{ChargeView, DisputeView, RefundView};
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::parse::Reading;
use crate::store::row::row;
use crate::store::sql::query;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, RefundId, RefundStatus};

macro_rules! charge_columns {
    () => {
        "id, status, amount, captured, currency, payment, processor_key, page_expires_at_ms, created_at_ms, updated_at_ms"
    };
}
pub(super) use charge_columns;

macro_rules! refund_columns {
    () => {
        "id, charge_id, amount, status, processor_refund, created_at_ms, updated_at_ms"
    };
}
pub(super) use refund_columns;

pub(super) async fn charge(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: ChargeId,
) -> Result<Option<ChargeView>, Failure> {
    let row: Option<ChargeRow> = query(concat!(
        "SELECT ",
        charge_columns!(),
        " FROM charges WHERE id = $1 AND account = $2"
    ))
    .bind(id.to_string())
    .bind(account.as_str())
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The charge whose payment that is.
pub(super) async fn holder(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    payment: &str,
) -> Result<Option<ChargeView>, Failure> {
    let row: Option<ChargeRow> = query(concat!(
        "SELECT ",
        charge_columns!(),
        " FROM charges WHERE account = $1 AND payment = $2 ORDER BY id LIMIT 1"
    ))
    .bind(account.as_str())
    .bind(payment)
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

pub(super) async fn refund(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: RefundId,
) -> Result<Option<RefundView>, Failure> {
    let row: Option<RefundRow> = query(concat!(
        "SELECT ",
        refund_columns!(),
        " FROM refunds WHERE id = $1 AND account = $2"
    ))
    .bind(id.to_string())
    .bind(account.as_str())
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The refund that the processor knows by that name.
pub(super) async fn refund_of_name(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    name: &str,
) -> Result<Option<RefundView>, Failure> {
    let row: Option<RefundRow> = query(concat!(
        "SELECT ",
        refund_columns!(),
        " FROM refunds WHERE account = $1 AND processor_refund = $2 ORDER BY id LIMIT 1"
    ))
    .bind(account.as_str())
    .bind(name)
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

pub(super) async fn dispute(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<DisputeView>, Failure> {
    let row: Option<DisputeRow> = query(
        "SELECT id, charge_id, amount, status, changed_at_ms
           FROM disputes
          WHERE account = $1 AND id = $2",
    )
    .bind(account.as_str())
    .bind(id)
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

row! {
    pub(super) struct DisputeRow {
        id: String,
        charge_id: String,
        amount: i64,
        status: String,
        changed_at_ms: i64,
    }
}

impl DisputeRow {
    pub(super) fn read(self, environment: Environment) -> Result<DisputeView, Failure> {
        let name = self.id.clone();
        let reading = Reading::new("disputes", &name, environment);
        Ok(DisputeView {
            charge: reading.id("charge_id", &self.charge_id)?,
            id: self.id,
            amount: self.amount,
            status: self.status,
            changed_at: Timestamp::from_unix_ms(self.changed_at_ms),
        })
    }
}

row! {
    pub(super) struct ChargeRow {
        id: String,
        status: String,
        amount: i64,
        captured: i64,
        currency: String,
        payment: Option<String>,
        processor_key: Option<String>,
        page_expires_at_ms: Option<i64>,
        created_at_ms: i64,
        updated_at_ms: i64,
    }
}

impl ChargeRow {
    pub(super) fn read(self, environment: Environment) -> Result<ChargeView, Failure> {
        let reading = Reading::new("charges", &self.id, environment);
        Ok(ChargeView {
            id: reading.id("id", &self.id)?,
            status: reading.found("status", ChargeStatus::from_name(&self.status))?,
            amount: self.amount,
            captured: self.captured,
            currency: self.currency,
            payment: self.payment,
            processor_key: self.processor_key,
            has_page: self.page_expires_at_ms.is_some(),
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
        })
    }
}

row! {
    pub(super) struct RefundRow {
        id: String,
        charge_id: String,
        amount: i64,
        status: String,
        processor_refund: Option<String>,
        created_at_ms: i64,
        updated_at_ms: i64,
    }
}

impl RefundRow {
    pub(super) fn read(self, environment: Environment) -> Result<RefundView, Failure> {
        let reading = Reading::new("refunds", &self.id, environment);
        Ok(RefundView {
            id: reading.id("id", &self.id)?,
            charge: reading.id("charge_id", &self.charge_id)?,
            amount: self.amount,
            status: reading.found("status", RefundStatus::from_name(&self.status))?,
            processor_refund: self.processor_refund,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
        })
    }
}
