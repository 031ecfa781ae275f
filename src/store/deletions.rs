//! Deletions: a token's sealed value is erased in two steps, with the card detached at the
//! processor in between. A deletion that was begun is finished by whichever node comes to it.

use super::claims::Begun;
use super::connection::Connection;
use super::events::{record, record_refused};
use super::orders::{self, Forged, Orders};
use super::outbox::{self, News};
use super::owed::{self, Lease, Take};
use super::parse::Reading;
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::tokens::{self, TokenRow};
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::{Account, TokenId, TokenStatus};

/// A deletion that is the caller's to finish: the card is to be detached.
#[derive(Debug, PartialEq, Eq)]
pub struct DeletionWork {
    /// The right to put it off.
    pub lease: Lease,
    /// The token's value, opened for the last time.
    pub sealed: SealedRow,
}

/// Why a token is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDeletion {
    /// There is no such token.
    Unknown,
    /// It is deleted already.
    Deleted,
    /// A charge on it is not settled yet, and could not be without its value.
    InUse,
}

/// What a request to delete a token came to. Nothing is replayed: what is deleted is refused.
pub type DeletionBegun = Begun<Box<DeletionWork>, std::convert::Infallible, NoDeletion>;

impl Store {
    /// Takes a token out of use and gives out its sealed value, to be detached at the processor.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_deletion(
        &self,
        (account, id): (&Account, TokenId),
        (now, until): (Timestamp, Timestamp),
        event: Event,
    ) -> Result<DeletionBegun, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let refused = match sealed::find(tx, environment, &account, id).await? {
                    Kept::Erased => NoDeletion::Deleted,
                    Kept::Nowhere => NoDeletion::Unknown,
                    Kept::Sealed(_) if is_being_charged(tx, id).await? => NoDeletion::InUse,
                    Kept::Sealed(row) => {
                        let resumed = row.status == TokenStatus::Deleting;
                        let lease = if resumed {
                            Lease::resumed()
                        } else {
                            Lease::first()
                        };
                        let whose = (&account, id);
                        if !take_out_of_use(tx, whose, &lease, (now, until)).await? {
                            record_refused(tx, event);
                            return Ok(Begun::InFlight);
                        }
                        record(tx, event);
                        let work = Box::new(DeletionWork {
                            lease,
                            sealed: SealedRow {
                                status: TokenStatus::Deleting,
                                ..row
                            },
                        });
                        return Ok(if resumed {
                            Begun::Resumed(work)
                        } else {
                            Begun::New(work)
                        });
                    }
                };
                record_refused(tx, event);
                Ok(Begun::Refused(refused))
            })
        })
        .await
    }

    /// Takes an account's deletions that stopped on the way, and writes for each the event of its
    /// value's opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_deletions<E>(
        &self,
        take: Take,
        mut event_of: E,
    ) -> Result<Vec<DeletionWork>, Failure>
    where
        E: FnMut(TokenId) -> Event + Clone + Send + 'static,
    {
        if !self.is_due(&owed::DELETIONS, &take).await? {
            return Ok(Vec::new());
        }
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (id, lease) in owed::DELETIONS.take(tx, &take).await? {
                    let reading = Reading::new("tokens", &id, environment);
                    let account = reading.account(take.scope.clone())?;
                    let token: TokenId = reading.id("id", &id)?;
                    if !is_ordered(tx, (&account, token)).await? {
                        let work = (&owed::DELETIONS, take.scope.as_str(), lease.token());
                        let forged = Forged {
                            table: "tokens",
                            row: id.clone(),
                        };
                        orders::set_aside(tx, (&id, work), &forged).await?;
                        continue;
                    }
                    if let Kept::Sealed(sealed) =
                        sealed::find(tx, environment, &account, token).await?
                    {
                        record(tx, event_of(token));
                        due.push(DeletionWork { lease, sealed });
                    }
                }
                Ok(due)
            })
        })
        .await
    }

    /// Puts a deletion off.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_deletion(
        &self,
        lease: Lease,
        (account, id): (&Account, TokenId),
        until: Timestamp,
    ) -> Result<(), Failure> {
        let (account, token) = (account.clone(), lease.token());
        self.write(move |tx| {
            Box::pin(async move {
                owed::DELETIONS
                    .put_off(tx, (&id.to_string(), account.as_str()), token, until)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Erases the sealed value once the card is detached; the tombstone is the answer. Repeating it
    /// changes nothing but the log.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where no deletion was begun; else as every operation.
    pub async fn finish_deletion(
        &self,
        (account, id): (&Account, TokenId),
        now: Timestamp,
        event: Event,
        publish: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<TokenRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let erased = query(
                    "UPDATE tokens
                        SET status = 'deleted', sealed = NULL, reference_mac = NULL,
                            deleted_at_ms = $3, updated_at_ms = $3, version = version + 1,
                            lease_until_ms = NULL, lease_token = NULL
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
                    .execute(&mut *tx)
                    .await?;
                // A card that was to take its place is detached as well.
                query(
                    "UPDATE orphans
                        SET token_id = NULL, exp_month = NULL, exp_year = NULL
                      WHERE token_id = $1",
                )
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
                    outbox::tell(tx, &publish(&tombstone)).await?;
                }
                Ok(tombstone)
            })
        })
        .await
    }
}

/// Whether a charge on the token is not settled.
pub(super) async fn is_being_charged(tx: &mut Connection, id: TokenId) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM charges
            WHERE token_id = $1 AND status = 'processing'
              AND NOT EXISTS (SELECT 1
                                FROM quarantine
                               WHERE table_name = 'charges' AND row_id = charges.id))",
    )
    .bind(id.to_string())
    .scalar(tx)
    .await
}

/// That the token is to end.
fn order(orders: &Orders, (account, id): (&Account, TokenId)) -> Order {
    orders
        .order(Kind::Deletion)
        .text(&id.to_string())
        .text(account.as_str())
}

/// Whether somebody who may has ordered the token's end.
async fn is_ordered(tx: &mut Connection, whose: (&Account, TokenId)) -> Result<bool, Failure> {
    let proof: Option<(Option<Vec<u8>>,)> =
        query("SELECT deletion_proof FROM tokens WHERE id = $1")
            .bind(whose.1.to_string())
            .optional(tx)
            .await?;
    let proof = proof.and_then(|(proof,)| proof);
    Ok(tx
        .orders()
        .believes(&order(tx.orders(), whose), proof.as_deref()))
}

/// Begins the deletion, or takes up one that stopped on the way, or that nobody had ordered before;
/// false where somebody is at it.
async fn take_out_of_use(
    tx: &mut Connection,
    (account, id): (&Account, TokenId),
    lease: &Lease,
    (now, until): (Timestamp, Timestamp),
) -> Result<bool, Failure> {
    let proof = tx.orders().sign(&order(tx.orders(), (account, id)))?;
    let written = query(
        "UPDATE tokens
            SET version = CASE WHEN status = 'deleting' THEN version ELSE version + 1 END,
                status = 'deleting', lease_until_ms = $3, lease_token = $4, updated_at_ms = $2,
                deletion_proof = $5
          WHERE id = $1
            AND (status <> 'deleting' OR lease_until_ms <= $2 OR lease_until_ms >= $6)",
    )
    .bind(id.to_string())
    .bind(now.unix_ms())
    .bind(until.unix_ms())
    .bind(lease.token())
    .bind(proof)
    .bind(orders::FOREVER.unix_ms())
    .execute(tx)
    .await?;
    Ok(written == 1)
}
