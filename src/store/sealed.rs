//! A token's sealed value, for whoever has written down that it will be opened.

use super::Failure;
use super::connection::Connection;
use super::keys::DataKeyRow;
use super::orphan_orders;
use super::parse::{Reading, quiet_debug};
use super::row::row;
use super::sql::locking;
use crate::seal::{Sealed, WrappedDataKey};
use crate::token::{Account, Environment, TokenId, TokenStatus, Usage};

/// A token's sealed value with what it takes to open it. It is given out only by operations that
/// have written down the opening.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// The token.
    pub token: TokenId,
    /// Whose token.
    pub account: Account,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// How its owner means it to be charged.
    pub usage: Usage,
    /// The token that the value was sealed for: a card that takes the place of this token's card
    /// was sealed for another id.
    pub sealed_for: TokenId,
    /// The processor's reference, sealed.
    pub sealed: Sealed,
    /// What it is sealed under, wrapped.
    pub data_key: WrappedDataKey,
    /// Where the token is in its life.
    pub status: TokenStatus,
}

quiet_debug! {
    SealedRow { token, account, status }
}

/// What the store holds of a token's sealed value.
pub(super) enum Kept {
    /// The value.
    Sealed(SealedRow),
    /// A tombstone.
    Erased,
    /// No token of that account and id.
    Nowhere,
}

/// The value that charges that account's token: of the card that was vaulted last, where it has not
/// taken the place of the one before yet.
pub(super) async fn find_to_charge(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: TokenId,
) -> Result<Kept, Failure> {
    macro_rules! select {
        ($lock:literal) => {
            concat!(
                "SELECT tokens.id, tokens.account, tokens.customer_ref, tokens.usage, tokens.status,
                        COALESCE(orphans.sealed_for, tokens.id) AS sealed_for,
                        CASE WHEN tokens.sealed IS NULL THEN NULL ELSE COALESCE(orphans.sealed, tokens.sealed) END AS sealed,
                        data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
                   FROM tokens
                   LEFT JOIN orphans ON orphans.token_id = tokens.id
                   JOIN data_keys ON data_keys.id = COALESCE(orphans.data_key_id, tokens.data_key_id)
                  WHERE tokens.id = $1 AND tokens.account = $2
                  ORDER BY orphans.created_at_ms DESC
                  LIMIT 1",
                $lock
            )
        };
    }
    // A charge is written down only while its token stays in use.
    // A card that nobody put there takes no other's place.
    orphan_orders::drop_forged(connection, environment, id).await?;
    let (plain, locked) = (select!(""), select!(" FOR SHARE OF tokens"));
    read(connection, environment, (plain, locked), (account, id)).await
}

/// The sealed value of that account's token, with its wrapped data key; nobody else changes it
/// before the transaction ends.
pub(super) async fn find(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: TokenId,
) -> Result<Kept, Failure> {
    macro_rules! select {
        ($lock:literal) => {
            concat!(
                "SELECT tokens.id, tokens.account, tokens.customer_ref, tokens.usage, tokens.status, tokens.id AS sealed_for, tokens.sealed, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
                   FROM tokens
                   JOIN data_keys ON data_keys.id = tokens.data_key_id
                  WHERE tokens.id = $1 AND tokens.account = $2",
                $lock
            )
        };
    }
    let (plain, locked) = (select!(""), select!(" FOR UPDATE OF tokens"));
    read(connection, environment, (plain, locked), (account, id)).await
}

/// Reads a token's row with its data key. Where a rotation seals the value anew while the row is
/// waited for, the row is joined with the key of before, and so with none: it is locked by then,
/// and read afresh it has its key.
async fn read(
    connection: &mut Connection,
    environment: Environment,
    (plain, locked): (&'static str, &'static str),
    (account, id): (&Account, TokenId),
) -> Result<Kept, Failure> {
    let key = id.to_string();
    let select = || {
        locking(plain, locked)
            .bind(key.as_str())
            .bind(account.as_str())
    };
    let mut row: Option<SealedColumns> = select().optional(&mut *connection).await?;
    if row.is_none() && connection.has_rivals() {
        row = select().optional(connection).await?;
    }
    row.map_or(Ok(Kept::Nowhere), |row| row.read(environment))
}

row! {
    struct SealedColumns {
        id: String,
        account: String,
        customer_ref: Option<String>,
        usage: String,
        status: String,
        sealed_for: String,
        sealed: Option<Vec<u8>>,
        data_key: DataKeyRow,
    }
}

impl SealedColumns {
    fn read(self, environment: Environment) -> Result<Kept, Failure> {
        let reading = Reading::new("tokens", &self.id, environment);
        let status = reading.found("status", TokenStatus::from_name(&self.status))?;
        match (status, self.sealed) {
            (TokenStatus::Deleted, None) => Ok(Kept::Erased),
            // The schema forbids both; a value in a tombstone must not be opened.
            (TokenStatus::Deleted, Some(_)) | (_, None) => Err(reading.inconsistent("sealed")),
            (_, Some(sealed)) => Ok(Kept::Sealed(SealedRow {
                token: reading.id("id", &self.id)?,
                account: reading.account(self.account)?,
                customer_ref: self.customer_ref,
                usage: reading.found("usage", Usage::from_name(&self.usage))?,
                sealed_for: reading.id("sealed_for", &self.sealed_for)?,
                sealed: Sealed::from_bytes(sealed),
                data_key: self.data_key.read(environment)?,
                status,
            })),
        }
    }
}
