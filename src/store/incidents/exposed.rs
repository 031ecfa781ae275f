//! What an investigation holds against the log: every token with its customer and its key, and
//! which token a charge or a refund is of. Nothing sealed is read.

use crate::clock::Timestamp;
use crate::store::row::row;
use crate::store::sql::query;
use crate::store::{Failure, Store};

/// A token, as an investigation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The token.
    pub token: String,
    /// Whose.
    pub account: String,
    /// The merchant's name for the customer, where it said one.
    pub customer: Option<String>,
    /// The session it came from.
    pub session: Option<String>,
    /// The data key that its value is or was sealed under.
    pub data_key: String,
    /// The key-encryption key that this one is wrapped to.
    pub kek: String,
    /// When it was made.
    pub created_at: Timestamp,
}

row! {
    struct Row {
        id: String,
        account: String,
        customer_ref: Option<String>,
        session_id: Option<String>,
        data_key_id: String,
        kek: String,
        created_at_ms: i64,
    }
}

impl Store {
    /// Tokens in the order of their ids, those that were deleted among them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn exposed(&self, after: String, limit: u32) -> Result<Vec<Exposed>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Row> = query(
                    "SELECT tokens.id, tokens.account, tokens.customer_ref, tokens.session_id, tokens.data_key_id, data_keys.kek, tokens.created_at_ms
                       FROM tokens
                       JOIN data_keys ON data_keys.id = tokens.data_key_id
                      WHERE tokens.id > $1
                      ORDER BY tokens.id
                      LIMIT $2",
                )
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                let read = |row: Row| Exposed {
                    token: row.id,
                    account: row.account,
                    customer: row.customer_ref,
                    session: row.session_id,
                    data_key: row.data_key_id,
                    kek: row.kek,
                    created_at: Timestamp::from_unix_ms(row.created_at_ms),
                };
                Ok(rows.into_iter().map(read).collect())
            })
        })
        .await
    }

    /// Charges in the order of their ids, each with its token.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn tokens_of_charges(
        &self,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, String)>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT id, token_id
                       FROM charges
                      WHERE id > $1
                      ORDER BY id
                      LIMIT $2",
                )
                .bind(after)
                .bind(limit)
                .all(connection)
                .await
            })
        })
        .await
    }

    /// Refunds in the order of their ids, each with its token.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn tokens_of_refunds(
        &self,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, String)>, Failure> {
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT refunds.id, charges.token_id
                       FROM refunds
                       JOIN charges ON charges.id = refunds.charge_id
                      WHERE refunds.id > $1
                      ORDER BY refunds.id
                      LIMIT $2",
                )
                .bind(after)
                .bind(limit)
                .all(connection)
                .await
            })
        })
        .await
    }
}
