//! Who replaces a key now: one operator at a time, so that no two commands change the manifest in
//! turns.

use super::connection::Connection;
use super::orders::{Forged, Orders, quarantine};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};

/// Whoever replaces a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOperator {
    /// A name for this run of the command.
    pub run: String,
    /// The person.
    pub by: String,
    /// On which host.
    pub node: String,
    /// Since when.
    pub began_at: Timestamp,
    /// Till when, unless the run says anew that it goes on.
    pub lease_until: Timestamp,
}

impl Store {
    /// Takes the lease of replacing a key, or holds it longer; the other operator, where another
    /// one has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_rotation(
        &self,
        operator: KeyOperator,
        now: Timestamp,
    ) -> Result<Option<KeyOperator>, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let held: Option<Row> = query(
                    "SELECT run, by_whom, node, began_at_ms, lease_until_ms, order_proof
                       FROM key_rotations
                      WHERE id = 'rotation'",
                )
                .optional(&mut *tx)
                .await?;
                if let Some(row) = held {
                    let (other, proof) = row.read();
                    let ordered = order(tx.orders(), &other);
                    if !tx.orders().believes(&ordered, proof.as_deref()) {
                        set_aside(tx, &other).await?;
                    } else if other.run != operator.run && other.lease_until > now {
                        return Ok(Some(other));
                    }
                }
                if lease(tx, &operator, now).await? {
                    return Ok(None);
                }
                // Another operator was faster, between the look and now.
                let held: Option<Row> = query(
                    "SELECT run, by_whom, node, began_at_ms, lease_until_ms, order_proof
                       FROM key_rotations
                      WHERE id = 'rotation'",
                )
                .optional(tx)
                .await?;
                Ok(held.map(|row| row.read().0))
            })
        })
        .await
    }

    /// Lets the next operator in.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn release_rotation(&self, run: String) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query("DELETE FROM key_rotations WHERE run = $1")
                    .bind(&run)
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

/// Whether the lease is this operator's now: nobody else has one that has not ended.
async fn lease(
    tx: &mut Connection,
    operator: &KeyOperator,
    now: Timestamp,
) -> Result<bool, Failure> {
    let proof = tx.orders().sign(&order(tx.orders(), operator))?;
    let written = query(
        "INSERT INTO key_rotations (id, run, by_whom, node, began_at_ms, lease_until_ms, order_proof)
         VALUES ('rotation', $1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE
            SET run = excluded.run, by_whom = excluded.by_whom, node = excluded.node,
                began_at_ms = excluded.began_at_ms, lease_until_ms = excluded.lease_until_ms,
                order_proof = excluded.order_proof
          WHERE key_rotations.run = excluded.run OR key_rotations.lease_until_ms <= $7",
    )
    .bind(&operator.run)
    .bind(&operator.by)
    .bind(&operator.node)
    .bind(operator.began_at.unix_ms())
    .bind(operator.lease_until.unix_ms())
    .bind(proof)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    Ok(written == 1)
}

/// The order to keep other operators out: a row that none of ours wrote keeps out nobody.
fn order(orders: &Orders, operator: &KeyOperator) -> Order {
    orders
        .order(Kind::Rotation)
        .text(&operator.run)
        .text(&operator.by)
        .text(&operator.node)
        .number(operator.began_at.unix_ms())
        .number(operator.lease_until.unix_ms())
}

async fn set_aside(tx: &mut Connection, claimed: &KeyOperator) -> Result<(), Failure> {
    let forged = Forged {
        table: "key_rotations",
        row: claimed.run.clone(),
    };
    let content = format!("{} on {}", claimed.by, claimed.node);
    quarantine(tx, &forged, Some(&content)).await?;
    query("DELETE FROM key_rotations WHERE run = $1")
        .bind(&claimed.run)
        .execute(tx)
        .await?;
    Ok(())
}

row! {
    struct Row {
        run: String,
        by_whom: String,
        node: String,
        began_at_ms: i64,
        lease_until_ms: i64,
        order_proof: Option<Vec<u8>>,
    }
}

impl Row {
    fn read(self) -> (KeyOperator, Option<Vec<u8>>) {
        let operator = KeyOperator {
            run: self.run,
            by: self.by_whom,
            node: self.node,
            began_at: Timestamp::from_unix_ms(self.began_at_ms),
            lease_until: Timestamp::from_unix_ms(self.lease_until_ms),
        };
        (operator, self.order_proof)
    }
}
