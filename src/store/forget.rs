//! Forgetting: a token's sealed value is erased in two steps, with the processor told in between.

use super::connection::Connection;
use super::events::{record, record_refused};
use super::outbox::{self, News};
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::tokens::{self, TokenRow};
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
                let mut row = match sealed::find(tx, environment, &account, id).await? {
                    Kept::Sealed(row) => row,
                    Kept::Erased => {
                        record_refused(tx, event);
                        return Ok(Forget::Deleted);
                    }
                    Kept::Nowhere => {
                        record_refused(tx, event);
                        return Ok(Forget::Unknown);
                    }
                };
                if is_being_charged(tx, id).await? {
                    record_refused(tx, event);
                    return Ok(Forget::InUse);
                }
                take_out_of_use(tx, id).await?;
                record(tx, event);
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
        (account, id): (&Account, TokenId),
        now: Timestamp,
        event: Event,
        tell: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<TokenRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let erased = query(
                    "UPDATE tokens
                        SET status = 'deleted', sealed = NULL, reference_mac = NULL, deleted_at_ms = $3
                      WHERE id = $1 AND account = $2 AND status = 'deleting'",
                )
                .bind(id.to_string())
                .bind(account.as_str())
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                // The same card posted again is a new token.
                query("DELETE FROM token_cards WHERE token_id = $1")
                    .bind(id.to_string())
                    .execute(tx)
                    .await?;
                let row = tokens::find(tx, environment, &account, id).await?;
                let tombstone = row
                    .filter(|row| row.status == TokenStatus::Deleted)
                    .ok_or_else(|| Failure::Inconsistent {
                        table: "tokens",
                        column: "status",
                        row: id.to_string(),
                    })?;
                record(tx, event);
                if erased == 1 {
                    outbox::tell(tx, &tell(&tombstone)).await?;
                }
                Ok(tombstone)
            })
        })
        .await
    }
}

async fn is_being_charged(tx: &mut Connection, id: TokenId) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM charges
            WHERE token_id = $1 AND status = 'processing')",
    )
    .bind(id.to_string())
    .scalar(tx)
    .await
}

async fn take_out_of_use(tx: &mut Connection, id: TokenId) -> Result<(), Failure> {
    let written = query(
        "UPDATE tokens
            SET status = 'deleting'
          WHERE id = $1 AND status <> 'deleted'",
    )
    .bind(id.to_string())
    .execute(tx)
    .await?;
    super::parse::one_row(written, "tokens", &id)
}
