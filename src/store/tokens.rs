//! Tokens: what the world may know of them, and the sealed value that can be charged.

use super::connection::Connection;
use super::events::{record, record_refused};
use super::outbox::{self, News};
use super::parse::{Reading, moment_if_any, one_row, quiet_debug};
use super::row::row;
use super::same_card::{NewToken, Owner};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
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
    /// When the processor was found to have let go of the card: it cannot be charged until the same
    /// card is vaulted again.
    pub detached_at: Option<Timestamp>,
    /// Goes up with each change that can be seen.
    pub version: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

quiet_debug! {
    TokenRow { id, account, status }
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
                let rows: Vec<Row> = query(concat!(
                    "SELECT ",
                    columns!(),
                    " FROM tokens WHERE account = $1 AND customer_ref = $2 AND status <> 'deleted'
                       AND ($3 IS NULL OR id < $3)
                     ORDER BY id DESC
                     LIMIT $4"
                ))
                .bind(account.as_str())
                .bind(customer_ref)
                .bind(starting_after.map(|id| id.to_string()))
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Notes that the processor has refused a charge because the card is not attached any more;
    /// false where the token is known as such already, or another card is being put in its place.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn mark_token_detached(
        &self,
        (account, id): (&Account, TokenId),
        (event, now): (Event, Timestamp),
        publish: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<bool, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let marked = query(
                    "UPDATE tokens
                        SET detached_at_ms = $3, version = version + 1, updated_at_ms = $3
                      WHERE id = $1 AND account = $2 AND status IN ('active', 'requires_action')
                        AND detached_at_ms IS NULL
                        AND NOT EXISTS (SELECT 1 FROM orphans WHERE orphans.token_id = tokens.id)",
                )
                .bind(id.to_string())
                .bind(account.as_str())
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                if marked == 0 {
                    return Ok(false);
                }
                record(tx, event);
                if let Some(token) = find(tx, environment, &account, id).await? {
                    outbox::tell(tx, &publish(&token)).await?;
                }
                Ok(true)
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
        (event, now): (Event, Timestamp),
        tell: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<bool, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE tokens
                        SET status = 'active', version = version + 1, updated_at_ms = $3
                      WHERE id = $1 AND account = $2 AND status = 'requires_action'",
                )
                .bind(id.to_string())
                .bind(account.as_str())
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                let activated = written == 1;
                if activated {
                    record(tx, event);
                    if let Some(token) = find(tx, environment, &account, id).await? {
                        outbox::tell(tx, &tell(&token)).await?;
                    }
                } else {
                    record_refused(tx, event);
                }
                Ok(activated)
            })
        })
        .await
    }
}

/// Writes a new token.
pub(super) async fn insert(
    tx: &mut Connection,
    token: &NewToken,
    owner: &Owner,
) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO tokens (id, account, customer_ref, session_id, status, sealed, data_key_id, reference_mac, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms, updated_at_ms, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, 1)",
    )
    .bind(token.id.to_string())
    .bind(owner.account.as_str())
    .bind(owner.customer_ref.as_deref())
    .bind(owner.session.map(|session| session.to_string()))
    .bind(token.status.name())
    .bind(token.value.sealed.as_bytes())
    .bind(token.value.data_key.id.to_string())
    .bind(token.reference.now.as_slice())
    .bind(&token.card.brand)
    .bind(&token.card.last4)
    .bind(i64::from(token.card.exp_month))
    .bind(i64::from(token.card.exp_year))
    .bind(&token.card.funding)
    .bind(token.card.country.as_deref())
    .bind(owner.usage.name())
    .bind(&owner.metadata)
    .bind(token.created_at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "tokens", &token.id)
}

/// Writes anew when a token's card expires: all that the capture plane may write of a token that is
/// there.
pub(super) async fn write_expiry(
    tx: &mut Connection,
    id: TokenId,
    (exp_month, exp_year): (u8, u16),
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "UPDATE tokens
            SET exp_month = $2, exp_year = $3, version = version + 1, updated_at_ms = $4
          WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(i64::from(exp_month))
    .bind(i64::from(exp_year))
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "tokens", &id)
}

/// Writes what the world may know of a token's card anew.
async fn write_card(
    tx: &mut Connection,
    id: TokenId,
    card: &CardSummary,
    now: Timestamp,
) -> Result<(), Failure> {
    let written = query(
        "UPDATE tokens
            SET brand = $2, last4 = $3, exp_month = $4, exp_year = $5, funding = $6, country = $7,
                version = version + 1, updated_at_ms = $8
          WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(&card.brand)
    .bind(&card.last4)
    .bind(i64::from(card.exp_month))
    .bind(i64::from(card.exp_year))
    .bind(&card.funding)
    .bind(card.country.as_deref())
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "tokens", &id)
}

/// The issuer has agreed to the card that the processor knows by a name of this keyed hash; the
/// token, now active, or nothing where none was waiting.
pub(super) async fn activate_by_reference(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    reference: Mark,
    now: Timestamp,
) -> Result<Option<TokenRow>, Failure> {
    let row: Option<Row> = query(concat!(
        "UPDATE tokens
            SET status = 'active', version = version + 1, updated_at_ms = $4
          WHERE account = $1 AND reference_mac IN ($2, $3) AND status = 'requires_action'
      RETURNING ",
        columns!()
    ))
    .bind(account.as_str())
    .bind(reference.now.as_slice())
    .bind(reference.also.as_slice())
    .bind(now.unix_ms())
    .optional(tx)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The processor let go of the card that it knows by a name of this keyed hash; the token, now
/// marked, or nothing where no token in use is charged by it.
pub(super) async fn mark_detached(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    reference: Mark,
    now: Timestamp,
) -> Result<Option<TokenRow>, Failure> {
    let row: Option<Row> = query(concat!(
        "UPDATE tokens
            SET detached_at_ms = $4, version = version + 1, updated_at_ms = $4
          WHERE account = $1 AND reference_mac IN ($2, $3)
            AND status IN ('active', 'requires_action') AND detached_at_ms IS NULL
      RETURNING ",
        columns!()
    ))
    .bind(account.as_str())
    .bind(reference.now.as_slice())
    .bind(reference.also.as_slice())
    .bind(now.unix_ms())
    .optional(tx)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The processor renewed the card that it knows by a name of this keyed hash; the token as it is
/// now, or nothing where there is none in use.
pub(super) async fn update_card(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    (reference, card): (Mark, CardSummary),
    now: Timestamp,
) -> Result<Option<TokenRow>, Failure> {
    let row: Option<Row> = query(concat!("SELECT ", columns!(), " FROM tokens WHERE account = $1 AND reference_mac IN ($2, $3) AND status IN ('active', 'requires_action')"
    ))
    .bind(account.as_str())
    .bind(reference.now.as_slice())
    .bind(reference.also.as_slice())
    .optional(tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mut token = row.read(environment)?;
    if token.card == card {
        return Ok(None);
    }
    write_card(tx, token.id, &card, now).await?;
    token.card = card;
    token.version = token.version.saturating_add(1);
    token.updated_at = now;
    Ok(Some(token))
}

/// The token of that account and id, read on a connection or in a transaction.
pub(super) async fn find(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: TokenId,
) -> Result<Option<TokenRow>, Failure> {
    let row: Option<Row> = query(concat!(
        "SELECT ",
        columns!(),
        " FROM tokens WHERE id = $1 AND account = $2"
    ))
    .bind(id.to_string())
    .bind(account.as_str())
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// Every column that [`Row`] reads.
macro_rules! columns {
    () => {
        "id, account, customer_ref, session_id, status, brand, last4, exp_month, exp_year, funding, country, usage, metadata, created_at_ms, deleted_at_ms, detached_at_ms, version, updated_at_ms"
    };
}
use columns;

row! {
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
        detached_at_ms: Option<i64>,
        version: i64,
        updated_at_ms: Option<i64>,
    }
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
            detached_at: moment_if_any(self.detached_at_ms),
            version: self.version,
            updated_at: reading.found("updated_at_ms", moment_if_any(self.updated_at_ms))?,
        })
    }
}
