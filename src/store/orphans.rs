//! Orphans: cards that were vaulted at the processor and became no token. They are written down in
//! the transaction that decides so, and forgotten at the processor by whoever may open them.

use super::charges::Lease;
use super::connection::Connection;
use super::events::record;
use super::keys::{DataKeyRow, put_data_key};
use super::parse::{Reading, one_row};
use super::row::row;
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
use crate::seal::{Sealed, SealedValue, WrappedDataKey};
use crate::token::{Account, Environment, TokenId};

/// A card to be forgotten.
#[derive(Clone, PartialEq, Eq)]
pub struct OrphanRow {
    /// The token that it would have become: its sealed value is bound to that id.
    pub id: TokenId,
    /// At whose processor account.
    pub account: Account,
    /// The processor's reference, sealed.
    pub sealed: Sealed,
    /// What it is sealed under, wrapped.
    pub data_key: WrappedDataKey,
    /// The token that is this same card, where its expiry at the processor is to be renewed first.
    pub renew: Option<Renewal>,
    /// How often it was tried.
    pub tries: u32,
}

/// A token whose card was posted with a later expiry.
#[derive(Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The token with its sealed value; nothing where it is forgotten meanwhile.
    pub token: Option<SealedRow>,
    /// Month of the expiry.
    pub exp_month: u8,
    /// Year of the expiry.
    pub exp_year: u16,
}

super::parse::quiet_debug! {
    OrphanRow { id, account, tries }
    Renewal { token, exp_month, exp_year }
}

/// A card that became no token, to be written down.
pub(super) struct NewOrphan<'a> {
    pub(super) id: TokenId,
    pub(super) account: &'a Account,
    pub(super) value: &'a SealedValue,
    /// Keyed hash of the processor's name of the card.
    pub(super) reference: Mark,
    /// The token that is this same card, with the expiry it is to have at the processor.
    pub(super) renew: Option<(TokenId, u8, u16)>,
    pub(super) now: Timestamp,
}

/// Writes down a card that is to be forgotten at the processor; not where it is the very card of
/// a token. To a question that is repeated the processor gives the same card again, and an attempt
/// that outlives its lease may find that its repetition has made the token of it.
pub(super) async fn insert(
    tx: &mut Connection,
    environment: Environment,
    orphan: NewOrphan<'_>,
) -> Result<(), Failure> {
    if is_a_tokens(tx, &orphan).await? {
        return Ok(());
    }
    put_data_key(tx, environment, &orphan.value.data_key).await?;
    let renew = orphan.renew;
    let written = query(
        "INSERT INTO orphans (id, account, sealed, data_key_id, token_id, exp_month, exp_year, tries, lease_until_ms, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8)",
    )
    .bind(orphan.id.to_string())
    .bind(orphan.account.as_str())
    .bind(orphan.value.sealed.as_bytes())
    .bind(orphan.value.data_key.id.to_string())
    .bind(renew.map(|(token, _, _)| token.to_string()))
    .bind(renew.map(|(_, month, _)| i64::from(month)))
    .bind(renew.map(|(_, _, year)| i64::from(year)))
    .bind(orphan.now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "orphans", &orphan.id)
}

async fn is_a_tokens(tx: &mut Connection, orphan: &NewOrphan<'_>) -> Result<bool, Failure> {
    query(
        "SELECT EXISTS (
           SELECT 1
             FROM tokens
            WHERE account = $1 AND reference_mac IN ($2, $3) AND status IN ('active', 'requires_action'))",
    )
    .bind(orphan.account.as_str())
    .bind(orphan.reference.now.as_slice())
    .bind(orphan.reference.also.as_slice())
    .scalar(tx)
    .await
}

impl Store {
    /// Takes cards that are to be forgotten, and writes for each the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_orphans<E>(
        &self,
        lease: Lease,
        mut event_of: E,
    ) -> Result<Vec<OrphanRow>, Failure>
    where
        E: FnMut(&OrphanRow) -> Event + Clone + Send + 'static,
    {
        let environment = self.environment;
        if !self
            .read(move |connection| Box::pin(any_due(connection, lease.now)))
            .await?
        {
            return Ok(Vec::new());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let rows: Vec<Row> = take(tx, lease).await?;
                let mut orphans = Vec::with_capacity(rows.len());
                for row in rows {
                    let orphan = row.read(tx, environment).await?;
                    record(tx, event_of(&orphan));
                    orphans.push(orphan);
                }
                Ok(orphans)
            })
        })
        .await
    }

    /// Notes that the processor has forgotten the card.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn orphan_forgotten(&self, id: TokenId, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let gone = query("DELETE FROM orphans WHERE id = $1")
                    .bind(id.to_string())
                    .execute(tx)
                    .await?;
                // Another node may have been as late as this one.
                if gone == 1 {
                    record(tx, event);
                }
                Ok(())
            })
        })
        .await
    }

    /// Lets a card rest until it is tried again.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn orphan_rests(&self, id: TokenId, until: Timestamp) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query("UPDATE orphans SET lease_until_ms = $2 WHERE id = $1")
                    .bind(id.to_string())
                    .bind(until.unix_ms())
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

async fn any_due(connection: &mut Connection, now: Timestamp) -> Result<bool, Failure> {
    query("SELECT EXISTS (SELECT 1 FROM orphans WHERE lease_until_ms <= $1)")
        .bind(now.unix_ms())
        .scalar(connection)
        .await
}

async fn take(tx: &mut Connection, lease: Lease) -> Result<Vec<Row>, Failure> {
    let ids: Vec<(String,)> = query(
        "UPDATE orphans
            SET lease_until_ms = $2, tries = tries + 1
          WHERE id IN (
                SELECT id
                  FROM orphans
                 WHERE lease_until_ms <= $1
                 ORDER BY lease_until_ms
                 LIMIT $3)
            AND lease_until_ms <= $1
      RETURNING id",
    )
    .bind(lease.now.unix_ms())
    .bind(lease.lease_until.unix_ms())
    .bind(lease.limit)
    .all(tx)
    .await?;
    let mut rows = Vec::with_capacity(ids.len());
    for (id,) in ids {
        let row = query(
            "SELECT orphans.id, orphans.account, orphans.sealed, orphans.token_id, orphans.exp_month, orphans.exp_year, orphans.tries, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
               FROM orphans
               JOIN data_keys ON data_keys.id = orphans.data_key_id
              WHERE orphans.id = $1",
        )
        .bind(&id)
        .one(tx)
        .await?;
        rows.push(row);
    }
    Ok(rows)
}

row! {
    struct Row {
        id: String,
        account: String,
        sealed: Vec<u8>,
        token_id: Option<String>,
        exp_month: Option<i64>,
        exp_year: Option<i64>,
        tries: i64,
        data_key: DataKeyRow,
    }
}

impl Row {
    async fn read(
        self,
        tx: &mut Connection,
        environment: Environment,
    ) -> Result<OrphanRow, Failure> {
        let reading = Reading::new("orphans", &self.id, environment);
        let account = reading.account(self.account)?;
        let renew = match (self.token_id.as_deref(), self.exp_month, self.exp_year) {
            (Some(token), Some(month), Some(year)) => {
                let token = reading.id("token_id", token)?;
                Some(Renewal {
                    token: match sealed::find(tx, environment, &account, token).await? {
                        Kept::Sealed(row) => Some(row),
                        Kept::Erased | Kept::Nowhere => None,
                    },
                    exp_month: reading.number("exp_month", month)?,
                    exp_year: reading.number("exp_year", year)?,
                })
            }
            _ => None,
        };
        Ok(OrphanRow {
            id: reading.id("id", &self.id)?,
            account,
            sealed: Sealed::from_bytes(self.sealed),
            data_key: self.data_key.read(environment)?,
            renew,
            tries: reading.number("tries", self.tries)?,
        })
    }
}
