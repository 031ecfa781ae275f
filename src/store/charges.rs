//! Charges: what was asked for, written down once before the processor hears of it.

use sqlx::SqliteConnection;

use super::claims::{self, Claim, Found};
use super::events::record_all;
use super::parse::{Reading, moment_if_any, one_row, quiet_debug};
use super::tokens::{self, Kept, SealedRow};
use super::{Failure, Store};
use crate::audit::{Action, Event};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, TokenId, TokenStatus};

/// A charge to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCharge {
    /// Its id.
    pub id: ChargeId,
    /// Whose charge.
    pub account: Account,
    /// The certificate name of who asks for it.
    pub client: String,
    /// What is charged.
    pub token: TokenId,
    /// How much, in the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Whether the money moves at once, or is only authorized.
    pub capture: bool,
    /// Whether the shopper is away.
    pub off_session: bool,
    /// The merchant's words.
    pub description: Option<String>,
    /// What the shopper's statement says behind the merchant's name.
    pub statement_descriptor_suffix: Option<String>,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// Now.
    pub created_at: Timestamp,
    /// Till when the caller is at work on it: past that, another may go on with it.
    pub lease_until: Timestamp,
}

/// A charge as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct ChargeRow {
    /// Its id.
    pub id: ChargeId,
    /// Whose charge.
    pub account: Account,
    /// The certificate name of who asked for it.
    pub client: String,
    /// What is charged.
    pub token: TokenId,
    /// How much, in the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Whether the money moves at once, or is only authorized.
    pub capture: bool,
    /// Whether the shopper is away.
    pub off_session: bool,
    /// The merchant's words.
    pub description: Option<String>,
    /// What the shopper's statement says behind the merchant's name.
    pub statement_descriptor_suffix: Option<String>,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// Whether the processor is asked on-session because the token's set-up still waits for
    /// authentication; nothing while it has surely not been asked. Never asked otherwise again:
    /// under one key the processor takes one question.
    pub setup_pending: Option<bool>,
    /// Where it is in its life.
    pub status: ChargeStatus,
    /// The processor's name of the payment, once it is known.
    pub payment: Option<String>,
    /// Why it was declined, exactly where it was.
    pub decline: Option<DeclineRow>,
    /// Where the shopper authenticates, while that is wanted.
    pub redirect_url: Option<String>,
    /// Till when somebody is at work on it, exactly while it is processing.
    pub lease_until: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its status was last written.
    pub updated_at: Timestamp,
}

/// Why a charge was declined, in the processor's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineRow {
    /// The code.
    pub code: String,
    /// What the network advises.
    pub advice: Option<String>,
    /// Whether it may be tried again later.
    pub retryable: bool,
}

quiet_debug! {
    NewCharge { id, account, token }
    ChargeRow { id, account, token, status, payment, decline }
}

/// What a request for a charge came to.
#[derive(Debug, PartialEq, Eq)]
pub enum ChargeBegun {
    /// It is written down. Open the value and ask the processor.
    New(Box<SealedRow>),
    /// This same request was written down before. The value is given where nobody is at work on
    /// the charge any more, and then the caller is: it repeats the question under the same key.
    Replayed(Box<ChargeRow>, Option<Box<SealedRow>>),
    /// The key stands for another request.
    Mismatch,
    /// There is no such token.
    TokenUnknown,
    /// The token is forgotten, or about to be.
    TokenDeleted,
}

impl Store {
    /// Writes a charge down, once for each claim, with its `events`; only then may the value be
    /// opened and the processor be asked. Where nothing new is written down `events` are written
    /// as refused; where a replay goes on with the charge, those of the opening are written.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_charge(
        &self,
        claim: Claim,
        charge: NewCharge,
        events: Vec<Event>,
    ) -> Result<ChargeBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let begun = match claims::look_up(tx, &claim).await? {
                    Found::Seen(id) => {
                        let row = find(tx, environment, &charge.account, &id).await?;
                        let row = row.ok_or_else(|| claims::dangling(&claim))?;
                        return go_on(tx, environment, row, (&charge, &claim), events).await;
                    }
                    Found::Mismatch => ChargeBegun::Mismatch,
                    Found::Nothing => begin(tx, environment, &claim, &charge).await?,
                };
                if matches!(begun, ChargeBegun::New(_)) {
                    record_all(tx, &events).await?;
                } else {
                    let refused: Vec<Event> = events.into_iter().map(Event::refused).collect();
                    record_all(tx, &refused).await?;
                }
                Ok(begun)
            })
        })
        .await
    }

    /// A charge of `account`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn charge(
        &self,
        account: &Account,
        id: ChargeId,
    ) -> Result<Option<ChargeRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.read(move |connection| {
            Box::pin(async move { find(connection, environment, &account, &id.to_string()).await })
        })
        .await
    }
}

/// The first time: the token must be there and in use.
async fn begin(
    tx: &mut SqliteConnection,
    environment: Environment,
    claim: &Claim,
    charge: &NewCharge,
) -> Result<ChargeBegun, Failure> {
    let sealed = match tokens::find_sealed(tx, environment, &charge.account, charge.token).await? {
        Kept::Nowhere => return Ok(ChargeBegun::TokenUnknown),
        Kept::Erased => return Ok(ChargeBegun::TokenDeleted),
        Kept::Sealed(row) if row.status == TokenStatus::Deleting => {
            return Ok(ChargeBegun::TokenDeleted);
        }
        Kept::Sealed(row) => row,
    };
    claims::keep(tx, claim, &charge.id.to_string()).await?;
    let setup_pending = (sealed.status != TokenStatus::RequiresAction).then_some(false);
    insert(tx, charge, setup_pending).await?;
    Ok(ChargeBegun::New(Box::new(sealed)))
}

/// A repetition: where the lease has run out, whoever asks takes it and goes on.
async fn go_on(
    tx: &mut SqliteConnection,
    environment: Environment,
    mut row: ChargeRow,
    (charge, claim): (&NewCharge, &Claim),
    events: Vec<Event>,
) -> Result<ChargeBegun, Failure> {
    if row.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(ChargeBegun::Replayed(Box::new(row), None));
    }
    extend_lease(tx, row.id, charge.lease_until).await?;
    row.lease_until = Some(charge.lease_until);
    let sealed = sealed_of(tx, environment, &row).await?;
    let opened = |event: &Event| event.action == Action::TokenOpened;
    let opened: Vec<Event> = events.into_iter().filter(opened).collect();
    record_all(tx, &opened).await?;
    Ok(ChargeBegun::Replayed(Box::new(row), Some(Box::new(sealed))))
}

/// The sealed value of an unsettled charge's token, which cannot have been erased.
pub(super) async fn sealed_of(
    tx: &mut SqliteConnection,
    environment: Environment,
    charge: &ChargeRow,
) -> Result<SealedRow, Failure> {
    match tokens::find_sealed(tx, environment, &charge.account, charge.token).await? {
        Kept::Sealed(row) => Ok(row),
        Kept::Erased | Kept::Nowhere => Err(Failure::Inconsistent {
            table: "charges",
            column: "token_id",
            row: charge.id.to_string(),
        }),
    }
}

/// Says that somebody is at work on an unsettled charge until `until`.
pub(super) async fn extend_lease(
    tx: &mut SqliteConnection,
    id: ChargeId,
    until: Timestamp,
) -> Result<(), Failure> {
    let written = sqlx::query(
        "UPDATE charges
            SET lease_until_ms = $2
          WHERE id = $1 AND status = 'processing'",
    )
    .bind(id.to_string())
    .bind(until.unix_ms())
    .execute(tx)
    .await?;
    one_row(written.rows_affected(), "charges", &id)
}

async fn insert(
    tx: &mut SqliteConnection,
    charge: &NewCharge,
    setup_pending: Option<bool>,
) -> Result<(), Failure> {
    let written = sqlx::query(
        "INSERT INTO charges (id, account, client, token_id, amount, currency, capture, off_session, description, statement_descriptor_suffix, metadata, status, lease_until_ms, created_at_ms, updated_at_ms, setup_pending)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'processing', $12, $13, $13, $14)",
    )
    .bind(charge.id.to_string())
    .bind(charge.account.as_str())
    .bind(&charge.client)
    .bind(charge.token.to_string())
    .bind(charge.amount)
    .bind(&charge.currency)
    .bind(charge.capture)
    .bind(charge.off_session)
    .bind(charge.description.as_deref())
    .bind(charge.statement_descriptor_suffix.as_deref())
    .bind(&charge.metadata)
    .bind(charge.lease_until.unix_ms())
    .bind(charge.created_at.unix_ms())
    .bind(setup_pending)
    .execute(tx)
    .await?;
    one_row(written.rows_affected(), "charges", &charge.id)
}

/// The charge of that account and id, read on a connection or in a transaction.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<ChargeRow>, Failure> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, account, client, token_id, amount, currency, capture, off_session, description, statement_descriptor_suffix, metadata, setup_pending, status, payment, decline_code, decline_advice, decline_retryable, redirect_url, lease_until_ms, created_at_ms, updated_at_ms
           FROM charges
          WHERE id = $1 AND account = $2",
    )
    .bind(id)
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account: String,
    client: String,
    token_id: String,
    amount: i64,
    currency: String,
    capture: bool,
    off_session: bool,
    description: Option<String>,
    statement_descriptor_suffix: Option<String>,
    metadata: String,
    setup_pending: Option<bool>,
    status: String,
    payment: Option<String>,
    decline_code: Option<String>,
    decline_advice: Option<String>,
    decline_retryable: Option<bool>,
    redirect_url: Option<String>,
    lease_until_ms: Option<i64>,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    fn read(self, environment: Environment) -> Result<ChargeRow, Failure> {
        let reading = Reading::new("charges", &self.id, environment);
        let status = reading.found("status", ChargeStatus::from_name(&self.status))?;
        let decline = match (status, self.decline_code, self.decline_retryable) {
            (ChargeStatus::Declined, Some(code), Some(retryable)) => Some(DeclineRow {
                code,
                advice: self.decline_advice,
                retryable,
            }),
            (ChargeStatus::Declined, _, _) | (_, Some(_), _) => {
                return Err(reading.inconsistent("decline_code"));
            }
            _ => None,
        };
        Ok(ChargeRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            client: self.client,
            token: reading.id("token_id", &self.token_id)?,
            amount: reading.found("amount", (self.amount > 0).then_some(self.amount))?,
            currency: self.currency,
            setup_pending: self.setup_pending,
            capture: self.capture,
            off_session: self.off_session,
            description: self.description,
            statement_descriptor_suffix: self.statement_descriptor_suffix,
            metadata: self.metadata,
            status,
            payment: self.payment,
            decline,
            redirect_url: self.redirect_url,
            lease_until: moment_if_any(self.lease_until_ms),
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
        })
    }
}
