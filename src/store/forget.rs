//! Forgetting: a token's sealed value is erased in two steps, with the processor told in between.

use sqlx::SqliteConnection;

use super::events::{record, record_refused};
use super::tokens::{self, Kept, SealedRow, TokenRow};
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{Account, TokenId, TokenStatus};

/// What stands in the way of forgetting a token, or its value, opened for the last time.
#[derive(Debug, PartialEq, Eq)]
pub enum Forget {
    /// Nothing: it can no longer be charged. Detach it at the processor, then finish.
    Open(SealedRow),
    /// A charge on it is not settled yet, and could not be without its value. Try again later.
    InUse,
    /// It is forgotten already.
    Deleted,
    /// There is no such token.
    Unknown,
}

impl Store {
    /// Takes a token out of use and gives out its sealed value, to be detached at the processor.
    /// May be repeated until [`finish_forget`](Self::finish_forget).
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_forget(
        &self,
        account: &Account,
        id: TokenId,
        event: Event,
    ) -> Result<Forget, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let mut row = match tokens::find_sealed(tx, environment, &account, id).await? {
                    Kept::Sealed(row) => row,
                    Kept::Erased => {
                        record_refused(tx, event).await?;
                        return Ok(Forget::Deleted);
                    }
                    Kept::Nowhere => {
                        record_refused(tx, event).await?;
                        return Ok(Forget::Unknown);
                    }
                };
                if is_being_charged(tx, id).await? {
                    record_refused(tx, event).await?;
                    return Ok(Forget::InUse);
                }
                take_out_of_use(tx, id).await?;
                record(tx, &event).await?;
                row.status = TokenStatus::Deleting;
                Ok(Forget::Open(row))
            })
        })
        .await
    }

    /// Erases the sealed value; the tombstone is the answer. Repeating it changes nothing but the
    /// log.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where no deletion was begun; else as every operation.
    pub async fn finish_forget(
        &self,
        account: &Account,
        id: TokenId,
        now: Timestamp,
        event: Event,
    ) -> Result<TokenRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE tokens
                        SET status = 'deleted', sealed = NULL, deleted_at_ms = $3
                      WHERE id = $1 AND account = $2 AND status = 'deleting'",
                )
                .bind(id.to_string())
                .bind(account.as_str())
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                let row = tokens::find(tx, environment, &account, id).await?;
                let tombstone = row
                    .filter(|row| row.status == TokenStatus::Deleted)
                    .ok_or_else(|| Failure::Inconsistent {
                        table: "tokens",
                        column: "status",
                        row: id.to_string(),
                    })?;
                record(tx, &event).await?;
                Ok(tombstone)
            })
        })
        .await
    }
}

async fn is_being_charged(tx: &mut SqliteConnection, id: TokenId) -> Result<bool, Failure> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
           SELECT 1
             FROM charges
            WHERE token_id = $1 AND status = 'processing')",
    )
    .bind(id.to_string())
    .fetch_one(tx)
    .await?)
}

async fn take_out_of_use(tx: &mut SqliteConnection, id: TokenId) -> Result<(), Failure> {
    let written = sqlx::query(
        "UPDATE tokens
            SET status = 'deleting'
          WHERE id = $1 AND status <> 'deleted'",
    )
    .bind(id.to_string())
    .execute(tx)
    .await?;
    super::parse::one_row(written.rows_affected(), "tokens", &id)
}
