//! The processor's customer of each of a merchant's customers: one, whoever asks first.

use super::connection::Connection;
use super::orders::{Forged, Orders, quarantine};
use super::parse::one_row;
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::Account;

/// Letters by which a row is named in the quarantine.
const ROW_LETTERS_MAX: usize = 900;

impl Store {
    /// The processor's customer of `customer_ref`, where one of ours wrote it down. What somebody
    /// else wrote there is quarantined, and replaced by the next that is made.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn processor_customer(
        &self,
        account: &Account,
        customer_ref: &str,
    ) -> Result<Option<String>, Failure> {
        let key = Key {
            account: account.clone(),
            customer_ref: customer_ref.to_owned(),
        };
        let of = key.clone();
        let row = self.read(move |connection| Box::pin(async move { find(connection, &of).await }));
        let Some(row) = row.await? else {
            return Ok(None);
        };
        if row.is_believed(&self.orders, &key) {
            return Ok(Some(row.processor_customer));
        }
        self.write(move |tx| Box::pin(async move { set_aside(tx, &key, &row).await }))
            .await?;
        Ok(None)
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
        let key = Key {
            account: account.clone(),
            customer_ref: customer_ref.to_owned(),
        };
        let processor_customer = processor_customer.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let order = order(tx.orders(), &key, &processor_customer);
                let proof = tx.orders().sign(&order)?;
                // The loser's update is the real write of a replay.
                let kept: Row = query(
                    "INSERT INTO processor_customers (account, customer_ref, processor_customer, created_at_ms, last_seen_at_ms, order_proof)
                     VALUES ($1, $2, $3, $4, $4, $5)
                         ON CONFLICT (account, customer_ref) DO UPDATE
                        SET last_seen_at_ms = excluded.last_seen_at_ms
                  RETURNING processor_customer, order_proof",
                )
                .bind(key.account.as_str())
                .bind(&key.customer_ref)
                .bind(&processor_customer)
                .bind(now.unix_ms())
                .bind(proof.clone())
                .one(&mut *tx)
                .await?;
                if kept.is_believed(tx.orders(), &key) {
                    return Ok(kept.processor_customer);
                }
                set_aside(tx, &key, &kept).await?;
                let written = query(
                    "UPDATE processor_customers
                        SET processor_customer = $3, order_proof = $4
                      WHERE account = $1 AND customer_ref = $2",
                )
                .bind(key.account.as_str())
                .bind(&key.customer_ref)
                .bind(&processor_customer)
                .bind(proof)
                .execute(tx)
                .await?;
                one_row(written, "processor_customers", &key.customer_ref)?;
                Ok(processor_customer)
            })
        })
        .await
    }
}

/// Whose customer.
#[derive(Clone)]
struct Key {
    account: Account,
    customer_ref: String,
}

row! {
    #[derive(Clone)]
    struct Row {
        processor_customer: String,
        order_proof: Option<Vec<u8>>,
    }
}

impl Row {
    fn is_believed(&self, orders: &Orders, key: &Key) -> bool {
        let order = order(orders, key, &self.processor_customer);
        orders.believes(&order, self.order_proof.as_deref())
    }
}

/// The order to take the processor's customer for a merchant's: a card is vaulted for it.
fn order(orders: &Orders, key: &Key, processor_customer: &str) -> Order {
    orders
        .order(Kind::ProcessorCustomer)
        .text(key.account.as_str())
        .text(&key.customer_ref)
        .text(processor_customer)
}

async fn find(connection: &mut Connection, key: &Key) -> Result<Option<Row>, Failure> {
    query(
        "SELECT processor_customer, order_proof
           FROM processor_customers
          WHERE account = $1 AND customer_ref = $2",
    )
    .bind(key.account.as_str())
    .bind(&key.customer_ref)
    .optional(connection)
    .await
}

async fn set_aside(tx: &mut Connection, key: &Key, row: &Row) -> Result<(), Failure> {
    let forged = Forged {
        table: "processor_customers",
        row: format!("{}/{}", key.account.as_str(), key.customer_ref)
            .chars()
            .take(ROW_LETTERS_MAX)
            .collect(),
    };
    quarantine(tx, &forged, Some(&row.processor_customer)).await
}
