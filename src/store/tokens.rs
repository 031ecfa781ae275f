//! Tokens: what the world may know of them, and the sealed value that can be charged.

use sqlx::SqliteConnection;

use super::attempts::NewToken;
use super::events::{record, record_refused};
use super::keys::DataKeyRow;
use super::parse::{Reading, moment_if_any, one_row, quiet_debug};
use super::sessions::SessionRow;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::{Sealed, WrappedDataKey};
use crate::token::{Account, CardSummary, Environment, SessionId, TokenId, TokenStatus, Usage};

/// A token as the world may see it. What can charge it is not here.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Whose token.
    pub account: Account,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// The session it came from.
    pub session: Option<SessionId>,
    /// Where it is in its life.
    pub status: TokenStatus,
    /// What the world may know of the card.
    pub card: CardSummary,
    /// How it will be charged.
    pub usage: Usage,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its sealed value was erased.
    pub deleted_at: Option<Timestamp>,
}

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
    /// The processor's reference, sealed.
    pub sealed: Sealed,
    /// What it is sealed under, wrapped.
    pub data_key: WrappedDataKey,
    /// Where the token is in its life.
    pub status: TokenStatus,
}

quiet_debug! {
    TokenRow { id, account, status }
    SealedRow { token, account, status }
}

impl Store {
    /// A token of `account`, its tombstone included.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn token(&self, account: &Account, id: TokenId) -> Result<Option<TokenRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move { find(connection, environment, &account, id).await })
        })
        .await
    }

    /// A customer's tokens, newest first, tombstones left out; the page after `starting_after`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn tokens_of(
        &self,
        account: &Account,
        customer_ref: &str,
        limit: u32,
        starting_after: Option<TokenId>,
    ) -> Result<Vec<TokenRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let customer_ref = customer_ref.to_owned();
        self.read(move |connection| {
            Box::pin(async move {
                // Ids sort by the time they were made.
                let rows: Vec<Row> = sqlx::query_as(concat!(
                    columns!(),
                    "WHERE account = $1 AND customer_ref = $2 AND status <> 'deleted'
                       AND ($3 IS NULL OR id < $3)
                     ORDER BY id DESC
                     LIMIT $4"
                ))
                .bind(account.as_str())
                .bind(customer_ref)
                .bind(starting_after.map(|id| id.to_string()))
                .bind(limit)
                .fetch_all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Gives the sealed value of a token out to be opened, for another purpose than a charge or a
    /// deletion. Nothing where there is no such token, or its value is erased.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn open_token(
        &self,
        account: &Account,
        id: TokenId,
        event: Event,
    ) -> Result<Option<SealedRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                match find_sealed(tx, environment, &account, id).await? {
                    Kept::Sealed(row) => {
                        record(tx, &event).await?;
                        Ok(Some(row))
                    }
                    Kept::Erased | Kept::Nowhere => {
                        record_refused(tx, event).await?;
                        Ok(None)
                    }
                }
            })
        })
        .await
    }

    /// Notes that the issuer's wish for authentication was met. False where the token was not
    /// waiting for it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn activate_token(
        &self,
        account: &Account,
        id: TokenId,
        event: Event,
    ) -> Result<bool, Failure> {
        let account = account.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let written = sqlx::query(
                    "UPDATE tokens
                        SET status = 'active'
                      WHERE id = $1 AND account = $2 AND status = 'requires_action'",
                )
                .bind(id.to_string())
                .bind(account.as_str())
                .execute(&mut *tx)
                .await?;
                let activated = written.rows_affected() == 1;
                if activated {
                    record(tx, &event).await?;
                } else {
                    record_refused(tx, event).await?;
                }
                Ok(activated)
            })
        })
        .await
    }
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

/// Writes the token that `session` becomes.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    token: &NewToken,
    session: &SessionRow,
) -> Result<(), Failure> {
    let written = sqlx::query(
        "INSERT INTO tokens (id, account, customer_ref, session_id, status, sealed, data_key_id, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(token.id.to_string())
    .bind(session.account.as_str())
    .bind(session.customer_ref.as_deref())
    .bind(session.id.to_string())
    .bind(token.status.name())
    .bind(token.value.sealed.as_bytes())
    .bind(token.value.data_key.id.to_string())
    .bind(&token.card.brand)
    .bind(&token.card.last4)
    .bind(i64::from(token.card.exp_month))
    .bind(i64::from(token.card.exp_year))
    .bind(&token.card.funding)
    .bind(token.card.country.as_deref())
    .bind(session.usage.name())
    .bind(&session.metadata)
    .bind(token.created_at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written.rows_affected(), "tokens", &token.id)
}

/// The token of that account and id, read on a connection or in a transaction.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    environment: Environment,
    account: &Account,
    id: TokenId,
) -> Result<Option<TokenRow>, Failure> {
    let row: Option<Row> = sqlx::query_as(concat!(columns!(), "WHERE id = $1 AND account = $2"))
        .bind(id.to_string())
        .bind(account.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The sealed value of that account's token, with its wrapped data key.
pub(super) async fn find_sealed(
    connection: &mut SqliteConnection,
    environment: Environment,
    account: &Account,
    id: TokenId,
) -> Result<Kept, Failure> {
    let row: Option<SealedColumns> = sqlx::query_as(
        "SELECT tokens.id, tokens.account, tokens.customer_ref, tokens.status, tokens.sealed, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
           FROM tokens
           JOIN data_keys ON data_keys.id = tokens.data_key_id
          WHERE tokens.id = $1 AND tokens.account = $2",
    )
    .bind(id.to_string())
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?;
    row.map_or(Ok(Kept::Nowhere), |row| row.read(environment))
}

macro_rules! columns {
    () => {
        "SELECT id, account, customer_ref, session_id, status, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms, deleted_at_ms
           FROM tokens
          "
    };
}
use columns;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account: String,
    customer_ref: Option<String>,
    session_id: Option<String>,
    status: String,
    brand: String,
    last4: String,
    exp_month: i64,
    exp_year: i64,
    funding: String,
    country: Option<String>,
    usage: String,
    metadata: String,
    created_at_ms: i64,
    deleted_at_ms: Option<i64>,
}

impl Row {
    fn read(self, environment: Environment) -> Result<TokenRow, Failure> {
        let reading = Reading::new("tokens", &self.id, environment);
        let four_digits = self.last4.len() == 4 && self.last4.bytes().all(|b| b.is_ascii_digit());
        Ok(TokenRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            customer_ref: self.customer_ref,
            session: reading.id_if_any("session_id", self.session_id.as_deref())?,
            status: reading.found("status", TokenStatus::from_name(&self.status))?,
            card: CardSummary {
                brand: self.brand,
                last4: reading.found("last4", four_digits.then_some(self.last4))?,
                exp_month: reading.number("exp_month", self.exp_month)?,
                exp_year: reading.number("exp_year", self.exp_year)?,
                funding: self.funding,
                country: self.country,
            },
            usage: reading.found("usage", Usage::from_name(&self.usage))?,
            metadata: self.metadata,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            deleted_at: moment_if_any(self.deleted_at_ms),
        })
    }
}

#[derive(sqlx::FromRow)]
struct SealedColumns {
    id: String,
    account: String,
    customer_ref: Option<String>,
    status: String,
    sealed: Option<Vec<u8>>,
    #[sqlx(flatten)]
    data_key: DataKeyRow,
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
                sealed: Sealed::from_bytes(sealed),
                data_key: self.data_key.read(environment)?,
                status,
            })),
        }
    }
}
