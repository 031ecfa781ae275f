//! Operations: an authorized charge is captured or canceled, once for each claim.
//!
//! An operation is written down before the processor hears of it, as the charge itself was. One is
//! under way at a time, and each has a processor key of its own.

use super::row::{self, ChargeRow, OperationRow, Row};
use super::{authenticate, proof, take_lease};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::claims::{self, Begun, Claim, Entered, Won};
use crate::store::connection::Connection;
use crate::store::events::{record, record_refused};
use crate::store::orders::Authentic;
use crate::store::owed::{Lease, NothingDone};
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, ChargeOperation, Environment};

/// An operation to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperation {
    /// Whose charge.
    pub account: Account,
    /// The charge.
    pub charge: ChargeId,
    /// Its id: what its idempotency key stands for.
    pub id: String,
    /// What is to be done with the charge.
    pub operation: ChargeOperation,
    /// How much a capture takes; all of it where nothing is said.
    pub amount: Option<i64>,
    /// The processor's idempotency key, made from the caller's.
    pub processor_key: String,
    /// Held by the caller until then.
    pub lease_until: Timestamp,
}

/// Why an operation does not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum NoOperation {
    /// There is no such charge.
    Unknown,
    /// The charge is not in a state for this, or less was authorized.
    InvalidState(Box<ChargeRow>),
}

/// What a request for an operation came to.
pub type OperationBegun = Begun<(Lease, Box<Authentic<ChargeRow>>), Box<ChargeRow>, NoOperation>;

impl Store {
    /// Writes an operation down, once for each claim, with its event; only then may the processor
    /// be asked.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_operation(
        &self,
        claim: Claim,
        new: NewOperation,
        event: Event,
    ) -> Result<OperationBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let entered = claims::enter(tx, &claim, &new.id).await?;
                // Whoever changes the charge meanwhile is waited for: what is decided on here is so.
                let key = new.charge.to_string();
                let charge = row::find_to_change(tx, environment, &new.account, &key).await?;
                let is_there = charge.is_some();
                let charge = match charge {
                    Some(charge) => authenticate(tx, environment, charge).await?,
                    None => None,
                };
                let begun = match (entered, charge) {
                    (Entered::Seen(id), Some(charge)) => {
                        return go_on(tx, charge, (&id, &claim), &new).await;
                    }
                    (Entered::Seen(_), None) if is_there => Begun::InFlight,
                    (Entered::Seen(_), None) => return Err(claims::dangling(&claim)),
                    (Entered::Mismatch, _) => Begun::Mismatch,
                    (Entered::Won(won), None) => {
                        claims::release(tx, won, &new.id).await?;
                        Begun::Refused(NoOperation::Unknown)
                    }
                    (Entered::Won(won), Some(charge)) if charge.operation.is_some() => {
                        claims::release(tx, won, &new.id).await?;
                        Begun::InFlight
                    }
                    (Entered::Won(won), Some(charge))
                        if is_done(tx, environment, (&charge, &new)) =>
                    {
                        let done = charge.operation_id.clone().unwrap_or_default();
                        claims::turn(tx, won, &claim, &done).await?;
                        return Ok(Begun::Replayed(Box::new(charge.into_claim())));
                    }
                    (Entered::Won(won), Some(charge)) if !allows(&charge, &new) => {
                        claims::release(tx, won, &new.id).await?;
                        Begun::Refused(NoOperation::InvalidState(Box::new(charge.into_claim())))
                    }
                    (Entered::Won(won), Some(charge)) => {
                        let lease = Lease::first();
                        let work = (&new, &lease, claim.now);
                        let charge = begin(tx, won, (environment, &charge), work).await?;
                        record(tx, event);
                        return Ok(Begun::New((lease, Box::new(charge))));
                    }
                };
                record_refused(tx, event);
                Ok(begun)
            })
        })
        .await
    }

    /// Gives up the operation that was not done and will not be, and frees its key. The charge owes
    /// a look at the processor afterwards. Where the lease is lost, the operation is somebody
    /// else's, and stays.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_operation(
        &self,
        nothing: NothingDone,
        charge: ChargeRow,
        now: Timestamp,
        event: Event,
    ) -> Result<(), Failure> {
        let (token, refused) = (nothing.token(), nothing.is_refused());
        self.write(move |tx| {
            Box::pin(async move {
                let id = charge.operation_id.as_deref().unwrap_or_default();
                let abandoned = query(
                    "UPDATE charges
                        SET operation = NULL,
                            operation_amount = NULL,
                            lease_token = NULL,
                            lease_until_ms = CASE WHEN status = 'requires_action' THEN $4 END,
                            version = version + 1,
                            updated_at_ms = $4
                      WHERE id = $1 AND operation_id = $2 AND operation IS NOT NULL AND lease_token = $3",
                )
                .bind(charge.id.to_string())
                .bind(id)
                .bind(token)
                .bind(now.unix_ms())
                .execute(tx)
                .await?;
                if abandoned == 1 {
                    let asked = charge.operation.as_ref();
                    let asked = asked.map_or("", |operation| &operation.processor_key);
                    claims::abandoned(tx, (id, asked), refused).await?;
                    crate::store::reviews::request(tx, (&charge.account, charge.id), None, now)
                        .await?;
                }
                record(tx, event);
                Ok(())
            })
        })
        .await
    }
}

/// A repetition: of an operation that is over, or that nobody is working on any more.
async fn go_on(
    tx: &mut Connection,
    charge: Authentic<ChargeRow>,
    (id, claim): (&str, &Claim),
    new: &NewOperation,
) -> Result<OperationBegun, Failure> {
    let mut charge = charge.into_claim();
    if charge.operation.is_none() || charge.operation_id.as_deref() != Some(id) {
        return Ok(Begun::Replayed(Box::new(charge)));
    }
    if charge.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(Begun::InFlight);
    }
    let lease = Lease::resumed();
    take_lease(tx, &mut charge, &lease, new.lease_until).await?;
    // No more than its lease has changed.
    let charge = Authentic::ordered(charge);
    Ok(Begun::Resumed((lease, Box::new(charge))))
}

/// Whether the charge is in a state for the operation, and so much was authorized.
fn allows(charge: &ChargeRow, new: &NewOperation) -> bool {
    use crate::token::ChargeStatus::{RequiresAction, RequiresCapture};
    let enough = new
        .amount
        .is_none_or(|amount| (1..=charge.amount).contains(&amount));
    match new.operation {
        ChargeOperation::Capture => charge.status == RequiresCapture && enough,
        ChargeOperation::Cancel => matches!(charge.status, RequiresCapture | RequiresAction),
    }
}

/// Whether it is the charge's newest operation, asked for under the same key of the caller, that has
/// brought the charge where it is: the key's row was lost.
fn is_done(
    tx: &Connection,
    environment: Environment,
    (charge, new): (&Authentic<ChargeRow>, &NewOperation),
) -> bool {
    use crate::token::ChargeStatus::{Canceled, Succeeded};
    let at_its_end = match new.operation {
        ChargeOperation::Capture => charge.status == Succeeded,
        ChargeOperation::Cancel => charge.status == Canceled,
    };
    let (Some(id), Some(key)) = (&charge.operation_id, &charge.proofs.operation_key) else {
        return false;
    };
    let first = claims::first_processor_key;
    if !at_its_end || first(key) != first(&new.processor_key) {
        return false;
    }
    let done = asked((new, charge), key.clone());
    let order = proof::operation(environment, (&charge.account, charge.id), (id, &done));
    tx.orders()
        .believes(&order, charge.proofs.operation.as_deref())
}

/// The operation as it is written down under that key.
fn asked((new, charge): (&NewOperation, &ChargeRow), processor_key: String) -> OperationRow {
    let capture = new.operation == ChargeOperation::Capture;
    OperationRow {
        operation: new.operation,
        amount: capture.then(|| new.amount.unwrap_or(charge.amount)),
        processor_key,
    }
}

/// Writes the operation for which its key was won into a charge that the transaction holds.
async fn begin(
    tx: &mut Connection,
    won: Won,
    (environment, charge): (Environment, &Authentic<ChargeRow>),
    (new, lease, now): (&NewOperation, &Lease, Timestamp),
) -> Result<Authentic<ChargeRow>, Failure> {
    let processor_key = won.processor_key(tx.orders(), &new.processor_key);
    let operation = asked((new, charge), processor_key);
    let whose = (&charge.account, charge.id);
    let order = proof::operation(environment, whose, (&new.id, &operation));
    let operation_proof = tx.orders().sign(&order)?;
    let row: Row = query(concat!(
        "UPDATE charges
            SET operation = $2,
                operation_amount = $3,
                operation_id = $4,
                operation_key = $5,
                operation_proof = $6,
                lease_until_ms = $7,
                lease_token = $8,
                version = version + 1,
                updated_at_ms = $9
          WHERE id = $1
      RETURNING ",
        row::columns!()
    ))
    .bind(new.charge.to_string())
    .bind(operation.operation.name())
    .bind(operation.amount)
    .bind(&new.id)
    .bind(&operation.processor_key)
    .bind(operation_proof)
    .bind(new.lease_until.unix_ms())
    .bind(lease.token())
    .bind(now.unix_ms())
    .one(tx)
    .await?;
    row.read(environment).map(Authentic::ordered)
}
