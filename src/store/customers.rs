//! The processor's customer of each of a merchant's customers: one, whoever asks first.

use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::token::Account;

impl Store {
    /// The processor's customer of `customer_ref`, where there is one.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn processor_customer(
        &self,
        account: &Account,
        customer_ref: &str,
    ) -> Result<Option<String>, Failure> {
        let (account, customer_ref) = (account.clone(), customer_ref.to_owned());
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT processor_customer
                       FROM processor_customers
                      WHERE account = $1 AND customer_ref = $2",
                )
                .bind(account.as_str())
                .bind(customer_ref)
                .scalar_if_any(connection)
                .await
            })
        })
        .await
    }

    /// Keeps the processor's customer of `customer_ref`. The first one stays, and is the answer:
    /// of two that were made at once, both callers go on with the same.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn remember_customer(
        &self,
        account: &Account,
        customer_ref: &str,
        processor_customer: &str,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let (account, customer_ref) = (account.clone(), customer_ref.to_owned());
        let processor_customer = processor_customer.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                // The loser's update is the real write of a replay.
                query(
                    "INSERT INTO processor_customers (account, customer_ref, processor_customer, created_at_ms, last_seen_at_ms)
                     VALUES ($1, $2, $3, $4, $4)
                         ON CONFLICT (account, customer_ref) DO UPDATE
                        SET last_seen_at_ms = excluded.last_seen_at_ms
                  RETURNING processor_customer",
                )
                .bind(account.as_str())
                .bind(customer_ref)
                .bind(processor_customer)
                .bind(now.unix_ms())
                .scalar(tx)
                .await
            })
        })
        .await
    }
}
