//! Settling: what the processor did about a charge, and who asks it again where nobody knows.

use sqlx::SqliteConnection;

use super::charges::{self, ChargeRow, DeclineRow};
use super::events::record;
use super::parse::{Reading, one_row};
use super::tokens::SealedRow;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, ChargeStatus, Environment};

/// What the processor said about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOutcome {
    /// Where it is in its life now.
    pub status: ChargeStatus,
    /// The processor's name of the payment.
    pub payment: Option<String>,
    /// Why it was declined, exactly where it was.
    pub decline: Option<DeclineRow>,
    /// Where the shopper authenticates, only where that is wanted.
    pub redirect_url: Option<String>,
    /// When that became known.
    pub at: Timestamp,
}

/// Which unsettled charges to take, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The present moment: a charge whose lease has not run out is somebody else's.
    pub now: Timestamp,
    /// Only charges asked for at or before this moment.
    pub older_than: Timestamp,
    /// Till when they are the caller's.
    pub lease_until: Timestamp,
    /// At most this many.
    pub limit: u32,
}

/// Unsettled charges that are the caller's until the lease runs out.
#[derive(Debug)]
pub struct Leased {
    /// Each with the sealed value of its token.
    pub charges: Vec<(ChargeRow, SealedRow)>,
    /// Those that do not mean anything, for the alarm: they are leased too, and stand in no
    /// other's way.
    pub unreadable: Vec<Failure>,
}

impl Store {
    /// Writes down what the processor said. Repeating the same outcome changes nothing but the
    /// log, and an outcome that is still `processing` never undoes one that is more.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where another outcome was written down before; else as every
    /// operation.
    pub async fn finish_charge(
        &self,
        account: &Account,
        id: ChargeId,
        outcome: ChargeOutcome,
        event: Event,
    ) -> Result<ChargeRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let reading = Reading::new("charges", &key, environment);
                let before = charges::find(tx, environment, &account, &key).await?;
                let before = reading.found("id", before)?;
                let processing = before.status == ChargeStatus::Processing;
                if let (Some(known), Some(told)) = (&before.payment, &outcome.payment)
                    && known != told
                {
                    return Err(reading.inconsistent("payment"));
                }
                if processing {
                    settle(tx, id, &outcome).await?;
                } else if outcome.status != ChargeStatus::Processing && !says(&before, &outcome) {
                    return Err(reading.inconsistent("status"));
                }
                record(tx, &event).await?;
                let after = charges::find(tx, environment, &account, &key).await?;
                reading.found("id", after)
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
                let written = sqlx::query(
                    "UPDATE charges
                        SET setup_pending = $2
                      WHERE id = $1 AND status = 'processing' AND setup_pending IS NULL",
                )
                .bind(id.to_string())
                .bind(pending)
                .execute(tx)
                .await?;
                one_row(written.rows_affected(), "charges", &id)
            })
        })
        .await
    }

    /// Takes charges that nobody is at work on, for whoever will ask the processor again, and
    /// writes for each the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_unsettled<E>(&self, lease: Lease, mut event_of: E) -> Result<Leased, Failure>
    where
        E: FnMut(&ChargeRow) -> Event + Send + 'static,
    {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut leased = Leased {
                    charges: Vec::new(),
                    unreadable: Vec::new(),
                };
                for (id, account) in take(tx, lease).await? {
                    match unsettled(tx, environment, &id, account).await {
                        Ok((charge, sealed)) => {
                            record(tx, &event_of(&charge)).await?;
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

/// Whether `outcome` is what `row` says already.
fn says(row: &ChargeRow, outcome: &ChargeOutcome) -> bool {
    row.status == outcome.status
        && row.decline == outcome.decline
        && row.redirect_url == outcome.redirect_url
}

async fn settle(
    tx: &mut SqliteConnection,
    id: ChargeId,
    outcome: &ChargeOutcome,
) -> Result<(), Failure> {
    let decline = outcome.decline.as_ref();
    let written = sqlx::query(
        "UPDATE charges
            SET status = $2,
                payment = COALESCE(payment, $3),
                decline_code = $4,
                decline_advice = $5,
                decline_retryable = $6,
                redirect_url = $7,
                lease_until_ms = CASE WHEN $2 = 'processing' THEN lease_until_ms END,
                updated_at_ms = $8
          WHERE id = $1 AND status = 'processing'",
    )
    .bind(id.to_string())
    .bind(outcome.status.name())
    .bind(outcome.payment.as_deref())
    .bind(decline.map(|decline| decline.code.as_str()))
    .bind(decline.and_then(|decline| decline.advice.as_deref()))
    .bind(decline.map(|decline| decline.retryable))
    .bind(outcome.redirect_url.as_deref())
    .bind(outcome.at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written.rows_affected(), "charges", &id)
}

/// Puts the lease on what is due, whether or not it can be read.
async fn take(tx: &mut SqliteConnection, lease: Lease) -> Result<Vec<(String, String)>, Failure> {
    Ok(sqlx::query_as(
        "UPDATE charges
            SET lease_until_ms = $3
          WHERE id IN (
                SELECT id
                  FROM charges
                 WHERE status = 'processing' AND lease_until_ms <= $1 AND created_at_ms <= $2
                 ORDER BY lease_until_ms
                 LIMIT $4)
      RETURNING id, account",
    )
    .bind(lease.now.unix_ms())
    .bind(lease.older_than.unix_ms())
    .bind(lease.lease_until.unix_ms())
    .bind(lease.limit)
    .fetch_all(tx)
    .await?)
}

async fn unsettled(
    tx: &mut SqliteConnection,
    environment: Environment,
    id: &str,
    account: String,
) -> Result<(ChargeRow, SealedRow), Failure> {
    let reading = Reading::new("charges", id, environment);
    let account = reading.account(account)?;
    let charge = charges::find(tx, environment, &account, id).await?;
    let charge = reading.found("id", charge)?;
    let sealed = charges::sealed_of(tx, environment, &charge).await?;
    Ok((charge, sealed))
}
