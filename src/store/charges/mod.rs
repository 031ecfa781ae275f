//! Charges: what was asked for, written down once before the processor hears of it.
//!
//! `row` is a charge as it stands; here it is begun; `settle` writes what the processor said,
//! `steps` captures and cancels, `release` lets go.

mod release;
mod row;
mod settle;
mod steps;

use super::claims::{self, Claim, Found};
use super::connection::Connection;
use super::events::record_all;
use super::parse::{one_row, quiet_debug};
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::{Action, Event};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, TokenId, TokenStatus};

pub(super) use row::find;
pub use row::{ChargeFilter, ChargeRow, DeclineRow, StepRow};
pub use settle::{ChargeOutcome, Lease, Leased};
pub use steps::{NewStep, StepBegun};

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

quiet_debug! {
    NewCharge { id, account, token }
}

/// What a request for a charge came to.
#[derive(Debug, PartialEq, Eq)]
pub enum ChargeBegun {
    /// It is written down. Open the value and ask the processor.
    New(Box<ChargeRow>, Box<SealedRow>),
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
                let (token, account) = (charge.token, &charge.account);
                let sealed = match sealed::find(tx, environment, account, token).await? {
                    Kept::Sealed(row) if row.status != TokenStatus::Deleting => Ok(row),
                    Kept::Sealed(_) | Kept::Erased => Err(ChargeBegun::TokenDeleted),
                    Kept::Nowhere => Err(ChargeBegun::TokenUnknown),
                };
                let key = charge.id.to_string();
                let found = match &sealed {
                    Ok(_) => claims::take(tx, &claim, &key).await?,
                    Err(_) => claims::look_up(tx, &claim).await?,
                };
                let begun = match (found, sealed) {
                    (Found::Seen(id), _) => {
                        let row = find(tx, environment, account, &id).await?;
                        let row = row.ok_or_else(|| claims::dangling(&claim))?;
                        return go_on(tx, environment, row, (&charge, &claim), events).await;
                    }
                    (Found::Nothing, Ok(sealed)) => {
                        let row = insert(tx, charge, &sealed).await?;
                        record_all(tx, events);
                        return Ok(ChargeBegun::New(Box::new(row), Box::new(sealed)));
                    }
                    (Found::Nothing, Err(gone)) => gone,
                    (Found::Mismatch, _) => ChargeBegun::Mismatch,
                };
                record_all(tx, events.into_iter().map(Event::refused).collect());
                Ok(begun)
            })
        })
        .await
    }
}

/// A repetition: where the lease has run out, whoever asks takes it and goes on.
async fn go_on(
    tx: &mut Connection,
    environment: Environment,
    mut row: ChargeRow,
    (charge, claim): (&NewCharge, &Claim),
    events: Vec<Event>,
) -> Result<ChargeBegun, Failure> {
    let processing = row.status == ChargeStatus::Processing;
    if !processing || row.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(ChargeBegun::Replayed(Box::new(row), None));
    }
    extend_lease(tx, row.id, charge.lease_until).await?;
    row.lease_until = Some(charge.lease_until);
    let sealed = sealed_of(tx, environment, &row).await?;
    let opened = |event: &Event| event.action == Action::TokenOpened;
    record_all(tx, events.into_iter().filter(opened).collect());
    Ok(ChargeBegun::Replayed(Box::new(row), Some(Box::new(sealed))))
}

/// The sealed value of an open charge's token, which cannot have been erased.
pub(in crate::store) async fn sealed_of(
    tx: &mut Connection,
    environment: Environment,
    charge: &ChargeRow,
) -> Result<SealedRow, Failure> {
    match sealed::find(tx, environment, &charge.account, charge.token).await? {
        Kept::Sealed(row) => Ok(row),
        Kept::Erased | Kept::Nowhere => Err(Failure::Inconsistent {
            table: "charges",
            column: "token_id",
            row: charge.id.to_string(),
        }),
    }
}

/// Says that somebody is at work on an open charge until `until`.
async fn extend_lease(tx: &mut Connection, id: ChargeId, until: Timestamp) -> Result<(), Failure> {
    one_row(rest_if_open(tx, id, until).await?, "charges", &id)
}

/// Says that an open charge rests until `until`; answers how many rows that was.
async fn rest_if_open(tx: &mut Connection, id: ChargeId, until: Timestamp) -> Result<u64, Failure> {
    query(
        "UPDATE charges
            SET lease_until_ms = $2
          WHERE id = $1 AND lease_until_ms IS NOT NULL",
    )
    .bind(id.to_string())
    .bind(until.unix_ms())
    .execute(tx)
    .await
}

async fn insert(
    tx: &mut Connection,
    charge: NewCharge,
    sealed: &SealedRow,
) -> Result<ChargeRow, Failure> {
    let setup_pending = (sealed.status != TokenStatus::RequiresAction).then_some(false);
    let written = query(
        "INSERT INTO charges (id, account, client, token_id, amount, captured, refunded, currency, capture, off_session, description, statement_descriptor_suffix, metadata, status, steps, disputed, lease_until_ms, created_at_ms, updated_at_ms, setup_pending)
         VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8, $9, $10, $11, 'processing', 0, $15, $12, $13, $13, $14)",
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
    .bind(false)
    .execute(tx)
    .await?;
    one_row(written, "charges", &charge.id)?;
    Ok(begun(charge, setup_pending))
}

/// The charge as it was just written.
fn begun(charge: NewCharge, setup_pending: Option<bool>) -> ChargeRow {
    ChargeRow {
        id: charge.id,
        account: charge.account,
        client: charge.client,
        token: charge.token,
        amount: charge.amount,
        captured: 0,
        refunded: 0,
        currency: charge.currency,
        capture: charge.capture,
        off_session: charge.off_session,
        description: charge.description,
        statement_descriptor_suffix: charge.statement_descriptor_suffix,
        metadata: charge.metadata,
        setup_pending,
        status: ChargeStatus::Processing,
        payment: None,
        decline: None,
        redirect_url: None,
        step: None,
        steps: 0,
        disputed: false,
        lease_until: Some(charge.lease_until),
        created_at: charge.created_at,
        updated_at: charge.created_at,
    }
}
