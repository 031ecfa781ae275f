//! Steps: an authorized charge is captured or canceled, once for each claim.
//!
//! A step is written down before the processor hears of it, as the charge itself was. One is under
//! way at a time; its number is in the processor's key, so that a later step is another question.

use super::extend_lease;
use super::row::{self, ChargeRow, Row};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::claims::{self, Claim, Found};
use crate::store::connection::Connection;
use crate::store::events::{record, record_refused};
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, Environment, Step};

/// A step to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// Whose charge.
    pub account: Account,
    /// The charge.
    pub charge: ChargeId,
    /// What is to be done with it.
    pub step: Step,
    /// How much a capture takes; all of it where nothing is said.
    pub amount: Option<i64>,
    /// Till when the caller is at work on it.
    pub lease_until: Timestamp,
}

/// What a request for a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum StepBegun {
    /// It is written down, or an earlier try of it is the caller's now: ask the processor.
    Ask(Box<ChargeRow>),
    /// This same request has been answered; the charge is as it is now.
    Replayed(Box<ChargeRow>),
    /// This request, or another step, is under way.
    InFlight,
    /// The key stands for another request.
    Mismatch,
    /// There is no such charge.
    Unknown,
    /// The charge is not in a state for this, or less was authorized.
    Impossible(Box<ChargeRow>),
}

impl Store {
    /// Writes a step down, once for each claim, with its event; only then may the processor be
    /// asked.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_step(
        &self,
        claim: Claim,
        step: NewStep,
        event: Event,
    ) -> Result<StepBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let key = step.charge.to_string();
                let found = row::find(tx, environment, &step.account, &key).await?;
                let Some(charge) = found else {
                    record_refused(tx, event);
                    return Ok(StepBegun::Unknown);
                };
                let begun = match claims::look_up(tx, &claim).await? {
                    Found::Mismatch => StepBegun::Mismatch,
                    Found::Seen(resource) => {
                        return go_on(tx, charge, &resource, &claim, &step).await;
                    }
                    Found::Nothing => match begin(tx, environment, &step, &claim).await? {
                        Some(charge) => {
                            claims::take(tx, &claim, &resource_of(&charge)).await?;
                            record(tx, event);
                            return Ok(StepBegun::Ask(Box::new(charge)));
                        }
                        None if charge.step.is_some() => StepBegun::InFlight,
                        None => StepBegun::Impossible(Box::new(charge)),
                    },
                };
                record_refused(tx, event);
                Ok(begun)
            })
        })
        .await
    }

    /// Gives up the step that the processor has not done and will not do, and frees its key.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn drop_step(&self, charge: ChargeRow, event: Event) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let dropped = query(
                    "UPDATE charges
                        SET step = NULL,
                            step_amount = NULL,
                            lease_until_ms = CASE WHEN status = 'requires_action' THEN lease_until_ms END
                      WHERE id = $1 AND steps = $2 AND step IS NOT NULL",
                )
                .bind(charge.id.to_string())
                .bind(charge.steps)
                .execute(tx)
                .await?;
                // Another may have seen the step's end already.
                if dropped == 1 {
                    claims::free(tx, &resource_of(&charge)).await?;
                }
                record(tx, event);
                Ok(())
            })
        })
        .await
    }
}

/// What the key of a charge's present step stands for.
fn resource_of(charge: &ChargeRow) -> String {
    format!("{}/{}", charge.id, charge.steps)
}

/// A repetition: of a step that is over, or that nobody is at work on any more.
async fn go_on(
    tx: &mut Connection,
    mut charge: ChargeRow,
    resource: &str,
    claim: &Claim,
    step: &NewStep,
) -> Result<StepBegun, Failure> {
    if charge.step.is_none() || resource != resource_of(&charge) {
        return Ok(StepBegun::Replayed(Box::new(charge)));
    }
    if charge.lease_until.is_none_or(|until| until > claim.now) {
        return Ok(StepBegun::InFlight);
    }
    extend_lease(tx, charge.id, step.lease_until).await?;
    charge.lease_until = Some(step.lease_until);
    Ok(StepBegun::Ask(Box::new(charge)))
}

/// The states from which a step can be taken are in the statement, which decides alone.
async fn begin(
    tx: &mut Connection,
    environment: Environment,
    step: &NewStep,
    claim: &Claim,
) -> Result<Option<ChargeRow>, Failure> {
    let capture = step.step == Step::Capture;
    let row: Option<Row> = query(concat!(
        "UPDATE charges
            SET step = $3,
                step_amount = CASE WHEN $4 THEN COALESCE($5, amount) END,
                steps = steps + 1,
                lease_until_ms = $6,
                updated_at_ms = $7
          WHERE id = $1 AND account = $2
            AND step IS NULL
            AND (status = 'requires_capture' OR (status = 'requires_action' AND NOT $4))
            AND COALESCE($5, 1) BETWEEN 1 AND amount
      RETURNING ",
        row::columns!()
    ))
    .bind(step.charge.to_string())
    .bind(step.account.as_str())
    .bind(step.step.name())
    .bind(capture)
    .bind(step.amount)
    .bind(step.lease_until.unix_ms())
    .bind(claim.now.unix_ms())
    .optional(tx)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}
