//! A refund as it stands, read alone or in a list.

use super::proof::RefundProofs;
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::Authentic;
use crate::store::parse::{Reading, moment_if_any, one_row, quiet_debug};
use crate::store::row::row;
use crate::store::sql::{locking, query};
use crate::token::{Account, ChargeId, Environment, RefundId, RefundReason, RefundStatus};

/// A refund as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// Its id.
    pub id: RefundId,
    /// Whose refund.
    pub account: Account,
    /// The certificate name of who asked for it; nobody where it was made at the processor itself.
    pub client: Option<String>,
    /// What is given back.
    pub charge: ChargeId,
    /// How much, in the currency's minor unit.
    pub amount: i64,
    /// The charge's currency: ISO 4217, lower case.
    pub currency: String,
    /// Why.
    pub reason: Option<RefundReason>,
    /// Where it is in its life.
    pub status: RefundStatus,
    /// The processor's name of it, once it is known.
    pub processor_refund: Option<String>,
    /// Why it failed, in the processor's word.
    pub failure_code: Option<String>,
    /// The processor's idempotency key of it.
    pub processor_key: String,
    /// Held until then, or not due before; exactly while it is processing.
    pub lease_until: Option<Timestamp>,
    /// The token of the worker that holds it.
    pub(in crate::store) lease_token: Option<i64>,
    /// Goes up with each change that can be seen.
    pub version: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What shows who ordered it.
    pub(in crate::store) proofs: RefundProofs,
}

quiet_debug! {
    RefundRow { id, account, charge, amount, status }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT refunds.id, refunds.account, refunds.client, refunds.charge_id, refunds.amount, charges.currency, refunds.reason, refunds.status, refunds.processor_refund, refunds.failure_code, refunds.processor_key, refunds.lease_until_ms, refunds.lease_token, refunds.version, refunds.created_at_ms, refunds.updated_at_ms, refunds.order_proof, refunds.processor_refund_proof
               FROM refunds
               JOIN charges ON charges.id = refunds.charge_id
              WHERE ",
            $rest
        )
    };
}

/// The refund of that account and id, read on a connection or in a transaction.
pub(super) async fn find(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<RefundRow>, Failure> {
    let row: Option<Row> = query(select!("refunds.id = $1 AND refunds.account = $2"))
        .bind(id)
        .bind(account.as_str())
        .optional(connection)
        .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The refund of that account and id, whose row nobody else changes before the transaction ends.
pub(super) async fn find_to_change(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<RefundRow>, Failure> {
    let row: Option<Row> = locking(
        select!("refunds.id = $1 AND refunds.account = $2"),
        select!("refunds.id = $1 AND refunds.account = $2 FOR UPDATE OF refunds"),
    )
    .bind(id)
    .bind(account.as_str())
    .optional(tx)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The refund that the processor knows by that name.
pub(in crate::store) async fn find_by_processor_refund(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    processor_refund: &str,
) -> Result<Option<RefundRow>, Failure> {
    let row: Option<Row> = query(select!(
        "refunds.account = $1 AND refunds.processor_refund = $2"
    ))
    .bind(account.as_str())
    .bind(processor_refund)
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// A charge's refunds, newest first: at most so many, after that one.
pub(super) async fn list(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    charge: ChargeId,
    (limit, starting_after): (u32, Option<RefundId>),
) -> Result<Vec<RefundRow>, Failure> {
    let rows: Vec<Row> = query(select!(
        "refunds.account = $1 AND refunds.charge_id = $2
            AND ($3 IS NULL OR refunds.id < $3)
          ORDER BY refunds.id DESC
          LIMIT $4"
    ))
    .bind(account.as_str())
    .bind(charge.to_string())
    .bind(starting_after.map(|id| id.to_string()))
    .bind(limit)
    .all(connection)
    .await?;
    rows.into_iter().map(|row| row.read(environment)).collect()
}

/// Writes a new refund.
pub(super) async fn insert(tx: &mut Connection, row: &Authentic<RefundRow>) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO refunds (id, account, client, charge_id, amount, reason, status, processor_refund, failure_code, lease_until_ms, created_at_ms, updated_at_ms, processor_key, lease_token, version, order_proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(row.id.to_string())
    .bind(row.account.as_str())
    .bind(row.client.as_deref())
    .bind(row.charge.to_string())
    .bind(row.amount)
    .bind(row.reason.map(RefundReason::name))
    .bind(row.status.name())
    .bind(row.processor_refund.as_deref())
    .bind(row.failure_code.as_deref())
    .bind(row.lease_until.map(Timestamp::unix_ms))
    .bind(row.created_at.unix_ms())
    .bind(row.updated_at.unix_ms())
    .bind(&row.processor_key)
    .bind(row.lease_token)
    .bind(row.version)
    .bind(row.proofs.order.as_deref())
    .execute(tx)
    .await?;
    one_row(written, "refunds", &row.id)
}

row! {
    struct Row {
        id: String,
        account: String,
        client: Option<String>,
        charge_id: String,
        amount: i64,
        currency: String,
        reason: Option<String>,
        status: String,
        processor_refund: Option<String>,
        failure_code: Option<String>,
        processor_key: Option<String>,
        lease_until_ms: Option<i64>,
        lease_token: Option<i64>,
        version: i64,
        created_at_ms: i64,
        updated_at_ms: i64,
        order_proof: Option<Vec<u8>>,
        processor_refund_proof: Option<Vec<u8>>,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<RefundRow, Failure> {
        let reading = Reading::new("refunds", &self.id, environment);
        let reason = match &self.reason {
            Some(reason) => Some(reading.found("reason", RefundReason::from_name(reason))?),
            None => None,
        };
        Ok(RefundRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            client: self.client,
            charge: reading.id("charge_id", &self.charge_id)?,
            amount: reading.found("amount", (self.amount > 0).then_some(self.amount))?,
            currency: self.currency,
            reason,
            status: reading.found("status", RefundStatus::from_name(&self.status))?,
            processor_refund: self.processor_refund,
            failure_code: self.failure_code,
            processor_key: reading.found("processor_key", self.processor_key)?,
            lease_until: moment_if_any(self.lease_until_ms),
            lease_token: self.lease_token,
            version: self.version,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
            proofs: RefundProofs {
                order: self.order_proof,
                processor_refund: self.processor_refund_proof,
            },
        })
    }
}
