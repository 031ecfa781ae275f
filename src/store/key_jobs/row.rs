//! The rows of rotation's work, read.

use super::orders::order;
use super::{KeyJob, KeyWork};
use crate::clock::Timestamp;
use crate::seal::{Sealed, WrappedDataKey};
use crate::store::Failure;
use crate::store::keys::DataKeyRow;
use crate::store::orders::Orders;
use crate::store::parse::{Reading, quiet_debug};
use crate::store::row::row;
use crate::token::{Account, Environment, TokenId, Usage};

/// A sealed value that is to be moved.
#[derive(Clone)]
pub struct ToReseal {
    /// Its token.
    pub token: TokenId,
    /// Whose token.
    pub account: Account,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// How it is charged.
    pub usage: Usage,
    /// The value; none of a token that was deleted.
    pub sealed: Option<Sealed>,
    /// What it is sealed under.
    pub data_key: WrappedDataKey,
}

quiet_debug! {
    ToReseal { token, account }
}

row! {
    pub(super) struct JobRow {
        id: String,
        kind: String,
        after_id: String,
        done: i64,
        total: i64,
        rows_per_s_max: i64,
        created_at_ms: i64,
        finished_at_ms: Option<i64>,
        failure: Option<String>,
        lease_until_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}

impl JobRow {
    /// Of which job.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The job, where an internal process asked for it.
    pub(super) fn believed(&self, orders: &Orders, environment: Environment) -> Option<KeyJob> {
        let job = self.read(environment).ok()?;
        let proof = self.order_proof.as_deref();
        orders.believes(&order(orders, &job), proof).then_some(job)
    }

    fn read(&self, environment: Environment) -> Result<KeyJob, Failure> {
        let reading = Reading::new("key_jobs", &self.id, environment);
        let work = [KeyWork::Rewrap, KeyWork::Reseal]
            .into_iter()
            .find(|work| work.name() == self.kind);
        Ok(KeyJob {
            work: reading.found("kind", work)?,
            rows_per_s_max: reading
                .found("rows_per_s_max", u32::try_from(self.rows_per_s_max).ok())?,
            after: self.after_id.clone(),
            done: self.done,
            total: self.total,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            finished_at: self.finished_at_ms.map(Timestamp::from_unix_ms),
            failure: self.failure.clone(),
            lease_until: Timestamp::from_unix_ms(self.lease_until_ms),
            id: self.id.clone(),
        })
    }
}

row! {
    pub(super) struct SealedColumns {
        id: String,
        account: String,
        customer_ref: Option<String>,
        usage: String,
        sealed: Option<Vec<u8>>,
        data_key: DataKeyRow,
    }
}

impl SealedColumns {
    pub(super) fn read(self, environment: Environment) -> Result<ToReseal, Failure> {
        let reading = Reading::new("tokens", &self.id, environment);
        Ok(ToReseal {
            token: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            customer_ref: self.customer_ref,
            usage: reading.found("usage", Usage::from_name(&self.usage))?,
            sealed: self.sealed.map(Sealed::from_bytes),
            data_key: self.data_key.read(environment)?,
        })
    }
}
