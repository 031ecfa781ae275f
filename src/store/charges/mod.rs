//! Charges: what was asked for, written down once before the processor hears of it.
//!
//! `row` is a charge as it stands; here it is begun; `settle` writes what the processor said,
//! `operations` captures and cancels, `contradiction` keeps what the processor says against one,
//! `release` lets go, `due` finds what is open.

mod contradiction;
mod due;
mod earlier;
mod operations;
mod proof;
mod release;
mod row;
mod settle;
#[cfg(test)]
mod tests;

use super::charge_pages::{self, NewPage};
use super::claims::{self, Begun, Claim, Entered, Won};
use super::connection::Connection;
use super::events::record_all;
use super::orders::Authentic;
use super::owed::Lease;
use super::parse::{one_row, quiet_debug};
use super::sealed::{self, Kept, SealedRow};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::{Action, Event};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, ChargeStatus, Environment, TokenId, TokenStatus};

pub(super) use contradiction::{contradict, end_contradiction};
pub use due::{DueCharge, DueCharges};
use earlier::Earlier;
pub use operations::{NewOperation, NoOperation, OperationBegun};
pub(super) use proof::{authenticate, check, forged};
pub use row::{ChargeFilter, ChargeRow, Contradiction, DeclineRow, DetailsRow, OperationRow};
pub(super) use row::{find, find_to_change};
pub use settle::{Announce, Authority, ChargeOutcome};

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
    /// Where in the shop the shopper is led after the issuer's page.
    pub return_url: Option<String>,
    /// The page on which the shopper may confirm it, as often as it takes.
    pub page: Option<NewPage>,
    /// The security code that the shopper has given again for it.
    pub security_code: Option<NewSecurityCode>,
    /// The processor's idempotency key, made from the caller's.
    pub processor_key: String,
    /// Now.
    pub created_at: Timestamp,
    /// Held by the caller until then: past that, another may go on with it.
    pub lease_until: Timestamp,
}

quiet_debug! {
    NewCharge { id, account, token }
}

/// The processor's token of a security code, for one charge.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecurityCode {
    /// The token, sealed.
    pub sealed: Vec<u8>,
    /// Why no charge is begun with it; a charge that stands is answered all the same.
    pub fault: Option<CodeFault>,
}

/// Why a security code begins no charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// It was given too long ago.
    Expired,
    /// It names no code of that token.
    NotValid,
}

impl std::fmt::Debug for NewSecurityCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecurityCode(..)")
    }
}

/// A charge that is the caller's to ask the processor for.
#[derive(Debug, PartialEq, Eq)]
pub struct ChargeWork {
    /// The right to end it.
    pub lease: Lease,
    /// What is asked for.
    pub charge: Authentic<ChargeRow>,
    /// The value to be opened for it.
    pub sealed: SealedRow,
    /// Whether an earlier request under the same key of the caller was given up, as the rows say: the
    /// processor is asked first whether it has its payment.
    pub asked_before: bool,
}

/// Why a token cannot be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotChargeable {
    /// There is no such token.
    Unknown,
    /// The token is deleted, or about to be.
    Deleted,
    /// The security code begins no charge.
    Code(CodeFault),
}

/// What a request for a charge came to.
pub type ChargeBegun = Begun<Box<ChargeWork>, Box<ChargeRow>, NotChargeable>;

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
                let key = charge.id.to_string();
                let won = match claims::enter(tx, &claim, &key).await? {
                    Entered::Won(won) => won,
                    Entered::Seen(id) => {
                        let row = find_to_change(tx, environment, account, &id).await?;
                        let row = row.ok_or_else(|| claims::dangling(&claim))?;
                        return go_on(tx, environment, row, (&charge, &claim), events).await;
                    }
                    Entered::Mismatch => {
                        record_all(tx, events.into_iter().map(Event::refused).collect());
                        return Ok(Begun::Mismatch);
                    }
                };
                let of = earlier::Of::new(&charge, claim.lives_since());
                let asked_before = match earlier::find(tx, environment, &of).await? {
                    Earlier::None => false,
                    Earlier::GivenUp => true,
                    Earlier::Made(made) => {
                        claims::turn(tx, won, &claim, &made.id.to_string()).await?;
                        return go_on(tx, environment, *made, (&charge, &claim), events).await;
                    }
                };
                let fault = charge.security_code.as_ref().and_then(|code| code.fault);
                // What was asked for before is looked for first, however late.
                let fault = fault.filter(|fault| *fault != CodeFault::Expired || !asked_before);
                let kept = sealed::find_to_charge(tx, environment, account, token).await?;
                let refused = match (kept, fault) {
                    (Kept::Sealed(sealed), _) if sealed.status == TokenStatus::Deleting => {
                        NotChargeable::Deleted
                    }
                    (Kept::Sealed(_), Some(fault)) => NotChargeable::Code(fault),
                    (Kept::Sealed(sealed), None) => {
                        let lease = Lease::first();
                        let page = charge.page.clone();
                        let made = begun(charge, &sealed, &lease);
                        let charge = insert(tx, won, environment, made).await?;
                        if let Some(page) = page {
                            charge_pages::insert(
                                tx,
                                (&charge.account, charge.id),
                                (charge.amount, &charge.currency),
                                charge.return_url.as_deref(),
                                (&page, charge.created_at),
                            )
                            .await?;
                        }
                        record_all(tx, events);
                        return Ok(Begun::New(Box::new(ChargeWork {
                            lease,
                            charge,
                            sealed,
                            asked_before,
                        })));
                    }
                    (Kept::Erased, _) => NotChargeable::Deleted,
                    (Kept::Nowhere, _) => NotChargeable::Unknown,
                };
                claims::release(tx, won, &key).await?;
                record_all(tx, events.into_iter().map(Event::refused).collect());
                Ok(Begun::Refused(refused))
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
    if row.status != ChargeStatus::Processing {
        return Ok(Begun::Replayed(Box::new(row)));
    }
    if row.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(Begun::InFlight);
    }
    let lease = Lease::resumed();
    take_lease(tx, &mut row, &lease, charge.lease_until).await?;
    // What was not ordered is worked on by nobody, whoever repeats it.
    let Some(row) = authenticate(tx, environment, row).await? else {
        return Ok(Begun::InFlight);
    };
    let sealed = sealed_of(tx, environment, &row).await?;
    let opened = |event: &Event| event.action == Action::TokenOpened;
    record_all(tx, events.into_iter().filter(opened).collect());
    let asked_before = was_asked_before(tx, environment, &row).await?;
    Ok(Begun::Resumed(Box::new(ChargeWork {
        lease,
        charge: row,
        sealed,
        asked_before,
    })))
}

/// Whether anything else than this charge was begun under the caller's key.
async fn was_asked_before(
    tx: &mut Connection,
    environment: Environment,
    charge: &ChargeRow,
) -> Result<bool, Failure> {
    let of = earlier::Of {
        id: charge.id,
        account: &charge.account,
        token: charge.token,
        processor_key: &charge.processor_key,
        since: Timestamp::from_unix_ms(0),
    };
    Ok(earlier::find(tx, environment, &of).await? != Earlier::None)
}

/// The sealed value of an open charge's token, which cannot have been erased.
pub(in crate::store) async fn sealed_of(
    tx: &mut Connection,
    environment: Environment,
    charge: &ChargeRow,
) -> Result<SealedRow, Failure> {
    match sealed::find_to_charge(tx, environment, &charge.account, charge.token).await? {
        Kept::Sealed(row) => Ok(row),
        Kept::Erased | Kept::Nowhere => Err(Failure::Inconsistent {
            table: "charges",
            column: "token_id",
            row: charge.id.to_string(),
        }),
    }
}

/// Takes an open charge whose row the transaction holds.
async fn take_lease(
    tx: &mut Connection,
    row: &mut ChargeRow,
    lease: &Lease,
    until: Timestamp,
) -> Result<(), Failure> {
    let taken = query(
        "UPDATE charges
            SET lease_until_ms = $2, lease_token = $3
          WHERE id = $1 AND lease_until_ms IS NOT NULL",
    )
    .bind(row.id.to_string())
    .bind(until.unix_ms())
    .bind(lease.token())
    .execute(tx)
    .await?;
    one_row(taken, "charges", &row.id)?;
    row.lease_until = Some(until);
    row.lease_token = Some(lease.token());
    Ok(())
}

/// Writes the charge for which its key was won, and the proof that it was ordered.
async fn insert(
    tx: &mut Connection,
    won: Won,
    environment: Environment,
    mut charge: ChargeRow,
) -> Result<Authentic<ChargeRow>, Failure> {
    charge.processor_key = won.processor_key(tx.orders(), &charge.processor_key);
    let order_proof = tx.orders().sign(&proof::order(environment, &charge))?;
    let written = query(
        "INSERT INTO charges (id, account, client, token_id, amount, captured, refunded, currency, capture, off_session, description, statement_descriptor_suffix, metadata, status, disputed, lease_until_ms, created_at_ms, updated_at_ms, setup_pending, lease_token, processor_key, order_proof, return_url, page_expires_at_ms, security_code_token, security_code_hash, version)
         VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8, $9, $10, $11, 'processing', $15, $12, $13, $13, $14, $16, $17, $18, $19, $20, $21, $22, 1)",
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
    .bind(charge.lease_until.map(Timestamp::unix_ms))
    .bind(charge.created_at.unix_ms())
    .bind(charge.setup_pending)
    .bind(false)
    .bind(charge.lease_token)
    .bind(&charge.processor_key)
    .bind(order_proof.as_slice())
    .bind(charge.return_url.as_deref())
    .bind(charge.page_until.map(Timestamp::unix_ms))
    .bind(charge.security_code_token.as_deref())
    .bind(charge.security_code_hash.as_deref())
    .execute(tx)
    .await?;
    one_row(written, "charges", &charge.id)?;
    charge.proofs.order = Some(order_proof);
    Ok(Authentic::ordered(charge))
}

/// The charge as it is written down.
fn begun(charge: NewCharge, sealed: &SealedRow, lease: &Lease) -> ChargeRow {
    let setup_pending = (sealed.status != TokenStatus::RequiresAction).then_some(false);
    let security_code_token = charge.security_code.map(|code| code.sealed);
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
        return_url: charge.return_url,
        page_until: charge.page.map(|page| page.expires_at),
        security_code_hash: security_code_token.as_deref().map(proof::hash),
        security_code_token,
        setup_pending,
        status: ChargeStatus::Processing,
        payment: None,
        decline: None,
        redirect_url: None,
        operation: None,
        operation_id: None,
        processor_key: charge.processor_key,
        contradiction: None,
        details: DetailsRow::default(),
        disputed: false,
        lease_until: Some(charge.lease_until),
        lease_token: Some(lease.token()),
        version: 1,
        created_at: charge.created_at,
        updated_at: charge.created_at,
        proofs: row::ChargeProofs::default(),
    }
}
