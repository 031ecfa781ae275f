//! Settling: what the processor did about a charge, and who asks it again where more is to come.

use super::row::{self, ChargeRow, DeclineRow, Row};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::outbox::{self, News};
use crate::store::parse::{Reading, one_row};
use crate::store::sealed::SealedRow;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, ChargeStatus, Environment};

/// What the processor said about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOutcome {
    /// Where it is in its life now.
    pub status: ChargeStatus,
    /// The processor's name of the payment.
    pub payment: Option<String>,
    /// How much was taken, exactly where it succeeded.
    pub captured: i64,
    /// Why it was declined, exactly where it was.
    pub decline: Option<DeclineRow>,
    /// Where the shopper authenticates, only where that is wanted.
    pub redirect_url: Option<String>,
    /// When to ask again, exactly where more is to come without us.
    pub rest_until: Option<Timestamp>,
    /// When that became known.
    pub at: Timestamp,
}

/// Which open rows to take, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The present moment: what is leased beyond it is somebody else's, or rests.
    pub now: Timestamp,
    /// Till when they are the caller's.
    pub lease_until: Timestamp,
    /// At most this many.
    pub limit: u32,
}

/// Open charges that are the caller's until the lease runs out.
#[derive(Debug)]
pub struct Leased {
    /// Each with the sealed value of its token, where the payment is not known and must be asked
    /// for by it.
    pub charges: Vec<(ChargeRow, Option<SealedRow>)>,
    /// Those that do not mean anything, for the alarm: they are leased too, and stand in no
    /// other's way.
    pub unreadable: Vec<Failure>,
}

/// What an outcome is to a row.
enum Told {
    /// It says more.
    More,
    /// It says the same, or what was so before.
    Nothing,
    /// Both cannot be true.
    Contradiction,
}

impl Store {
    /// Writes down what the processor said, and tells it. An outcome that the charge has already
    /// left behind changes nothing but the log.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where a different end was written down before; else as every
    /// operation.
    pub async fn settle_charge(
        &self,
        (account, id): (&Account, ChargeId),
        outcome: ChargeOutcome,
        event: Event,
        tell: impl Fn(&ChargeRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<ChargeRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let reading = Reading::new("charges", &key, environment);
                let before = row::find(tx, environment, &account, &key).await?;
                let before = reading.found("id", before)?;
                if let (Some(known), Some(told)) = (&before.payment, &outcome.payment)
                    && known != told
                {
                    return Err(reading.inconsistent("payment"));
                }
                record(tx, event);
                match compare(&before, &outcome) {
                    Told::Contradiction => Err(reading.inconsistent("status")),
                    Told::Nothing if outcome.status != before.status => Ok(before),
                    Told::Nothing => rest(tx, environment, &before, &outcome).await,
                    Told::More => {
                        let after = settle(tx, environment, &before, &outcome).await?;
                        outbox::tell(tx, &tell(&after)).await?;
                        Ok(after)
                    }
                }
            })
        })
        .await
    }

    /// Notes how the processor is about to be asked, before it is; every later question is the same.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn note_setup(&self, id: ChargeId, pending: bool) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE charges
                        SET setup_pending = $2
                      WHERE id = $1 AND status = 'processing' AND setup_pending IS NULL",
                )
                .bind(id.to_string())
                .bind(pending)
                .execute(tx)
                .await?;
                one_row(written, "charges", &id)
            })
        })
        .await
    }

    /// Takes charges about which the processor is to be asked and that nobody is at work on, and
    /// writes for each value that will be opened the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_open_charges<E>(
        &self,
        lease: Lease,
        mut event_of: E,
    ) -> Result<Leased, Failure>
    where
        E: FnMut(&ChargeRow) -> Event + Clone + Send + Sync + 'static,
    {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut leased = Leased {
                    charges: Vec::new(),
                    unreadable: Vec::new(),
                };
                for (id, account) in take(tx, lease).await? {
                    match open(tx, environment, &id, account).await {
                        Ok((charge, sealed)) => {
                            if sealed.is_some() {
                                record(tx, event_of(&charge));
                            }
                            leased.charges.push((charge, sealed));
                        }
                        Err(failure @ Failure::Inconsistent { .. }) => {
                            leased.unreadable.push(failure);
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Ok(leased)
            })
        })
        .await
    }
}

/// The order of a charge's life, against what is told of it now.
fn compare(before: &ChargeRow, told: &ChargeOutcome) -> Told {
    use ChargeStatus::{
        Canceled, Declined, Processing, RequiresAction, RequiresCapture, Succeeded,
    };
    match (before.status, told.status) {
        (Succeeded, Succeeded) if before.captured != told.captured => Told::Contradiction,
        (Declined, Declined) if before.decline != told.decline => Told::Contradiction,
        // The page on which the shopper authenticates may change.
        (RequiresAction, RequiresAction) if before.redirect_url != told.redirect_url => Told::More,
        (Processing, Processing) if before.payment != told.payment && told.payment.is_some() => {
            Told::More
        }
        // Without its payment this is only what was supposed before.
        (RequiresAction, Processing) if told.payment.is_none() => Told::Nothing,
        (before, told) if before == told => Told::Nothing,
        (Processing, _) | (RequiresCapture, Succeeded | Canceled) => Told::More,
        (RequiresAction, Processing | Succeeded | RequiresCapture | Declined | Canceled) => {
            Told::More
        }
        // Told late: this is where the charge was before.
        (_, Processing | RequiresAction) | (Succeeded | Canceled | Declined, RequiresCapture) => {
            Told::Nothing
        }
        (Succeeded | Canceled | RequiresCapture, Declined)
        | (Succeeded, Canceled)
        | (Canceled | Declined, Succeeded) => Told::Contradiction,
        // A declined payment that is then given up stays declined. Equal ones are above.
        (Declined, Canceled | Declined)
        | (Succeeded, Succeeded)
        | (Canceled, Canceled)
        | (RequiresCapture, RequiresCapture) => Told::Nothing,
    }
}

/// Writes the outcome. A step is over when it has brought the charge to its end.
async fn settle(
    tx: &mut Connection,
    environment: Environment,
    before: &ChargeRow,
    outcome: &ChargeOutcome,
) -> Result<ChargeRow, Failure> {
    let key = before.id.to_string();
    let decline = outcome.decline.as_ref();
    let rest_until = match outcome.status {
        ChargeStatus::Processing => outcome
            .rest_until
            .or(before.lease_until)
            .or(Some(outcome.at)),
        // Past a day only the processor's notice ends it.
        ChargeStatus::RequiresAction => outcome.rest_until,
        ChargeStatus::Succeeded
        | ChargeStatus::RequiresCapture
        | ChargeStatus::Declined
        | ChargeStatus::Canceled => None,
    };
    let row: Option<Row> = query(concat!(
        "UPDATE charges
            SET status = $3,
                payment = COALESCE(payment, $4),
                captured = $5,
                decline_code = $6,
                decline_advice = $7,
                decline_retryable = $8,
                redirect_url = $9,
                step = NULL,
                step_amount = NULL,
                lease_until_ms = $10,
                updated_at_ms = $11
          WHERE id = $1 AND status = $2
      RETURNING ",
        row::columns!()
    ))
    .bind(&key)
    .bind(before.status.name())
    .bind(outcome.status.name())
    .bind(outcome.payment.as_deref())
    .bind(outcome.captured)
    .bind(decline.map(|decline| decline.code.as_str()))
    .bind(decline.and_then(|decline| decline.advice.as_deref()))
    .bind(decline.map(|decline| decline.retryable))
    .bind(outcome.redirect_url.as_deref())
    .bind(rest_until.map(Timestamp::unix_ms))
    .bind(outcome.at.unix_ms())
    .optional(tx)
    .await?;
    let reading = Reading::new("charges", &key, environment);
    reading.found("status", row)?.read(environment)
}

/// Nothing new: an open charge rests until it is asked about again, and one whose capture or
/// cancellation is under way stays leased.
async fn rest(
    tx: &mut Connection,
    environment: Environment,
    before: &ChargeRow,
    outcome: &ChargeOutcome,
) -> Result<ChargeRow, Failure> {
    let key = before.id.to_string();
    let row: Option<Row> = query(concat!(
        "UPDATE charges
            SET lease_until_ms = CASE
                    WHEN status = 'processing' THEN COALESCE($2, lease_until_ms)
                    WHEN step IS NOT NULL THEN lease_until_ms
                    WHEN status = 'requires_action' THEN $2
                END
          WHERE id = $1
      RETURNING ",
        row::columns!()
    ))
    .bind(&key)
    .bind(outcome.rest_until.map(Timestamp::unix_ms))
    .optional(tx)
    .await?;
    let reading = Reading::new("charges", &key, environment);
    reading.found("id", row)?.read(environment)
}

/// Puts the lease on what is due, whether or not it can be read. The outer condition is for an
/// engine where another may take the same rows between the choice and the change.
async fn take(tx: &mut Connection, lease: Lease) -> Result<Vec<(String, String)>, Failure> {
    query(
        "UPDATE charges
            SET lease_until_ms = $2
          WHERE id IN (
                SELECT id
                  FROM charges
                 WHERE lease_until_ms <= $1
                 ORDER BY lease_until_ms
                 LIMIT $3)
            AND lease_until_ms <= $1
      RETURNING id, account",
    )
    .bind(lease.now.unix_ms())
    .bind(lease.lease_until.unix_ms())
    .bind(lease.limit)
    .all(tx)
    .await
}

async fn open(
    tx: &mut Connection,
    environment: Environment,
    id: &str,
    account: String,
) -> Result<(ChargeRow, Option<SealedRow>), Failure> {
    let reading = Reading::new("charges", id, environment);
    let account = reading.account(account)?;
    let charge = row::find(tx, environment, &account, id).await?;
    let charge = reading.found("id", charge)?;
    let sealed = match charge.payment {
        Some(_) => None,
        None => Some(super::sealed_of(tx, environment, &charge).await?),
    };
    Ok((charge, sealed))
}
