//! What the processor did about a refund, and who asks it again.

use super::row::{self, RefundRow};
use super::{begin, put_back};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::charges::{self, ChargeRow, Lease};
use crate::store::claims;
use crate::store::connection::Connection;
use crate::store::events::{record, record_refused};
use crate::store::outbox::{self, News};
use crate::store::parse::{Reading, one_row};
use crate::store::refunds::NewRefund;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, Environment, RefundId, RefundStatus};

/// What the processor said about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOutcome {
    /// Where it is in its life now.
    pub status: RefundStatus,
    /// The processor's name of it, where it has one.
    pub processor_refund: Option<String>,
    /// Why it failed, in the processor's word.
    pub failure_code: Option<String>,
    /// When to ask again, exactly where more is to come.
    pub rest_until: Option<Timestamp>,
    /// When that became known.
    pub at: Timestamp,
}

/// Open refunds that are the caller's until the lease runs out.
#[derive(Debug)]
pub struct LeasedRefunds {
    /// Each with its charge.
    pub refunds: Vec<(RefundRow, ChargeRow)>,
    /// Those that do not mean anything, for the alarm.
    pub unreadable: Vec<Failure>,
}

impl Store {
    /// Writes down what the processor said, and tells it. Where the money did not go back, the
    /// charge has it again.
    ///
    /// # Errors
    /// [`Failure::Inconsistent`] where a different end was written down before; else as every
    /// operation.
    pub async fn settle_refund(
        &self,
        (account, id): (&Account, RefundId),
        outcome: RefundOutcome,
        event: Event,
        tell: impl Fn(&RefundRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<RefundRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let reading = Reading::new("refunds", &key, environment);
                let before = row::find(tx, environment, &account, &key).await?;
                let before = reading.found("id", before)?;
                record(tx, event);
                settle(tx, environment, before, &outcome, &tell).await
            })
        })
        .await
    }

    /// Ends the caller's work on a refund whose outcome is not known. Where a notice or another
    /// node has brought it to its end meanwhile, it is answered as it stands.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_refund(
        &self,
        account: &Account,
        id: RefundId,
        until: Timestamp,
    ) -> Result<RefundRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                rest_if_open(tx, id, until).await?;
                let key = id.to_string();
                let refund = row::find(tx, environment, &account, &key).await?;
                Reading::new("refunds", &key, environment).found("id", refund)
            })
        })
        .await
    }

    /// Gives up a refund that the processor surely did not make, and frees its key and the money.
    /// Where the lease that the caller had is not its own any more, somebody else is at work on the
    /// refund, and it is left to them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_refund(
        &self,
        refund: RefundRow,
        now: Timestamp,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let canceled = query(
                    "UPDATE refunds
                        SET status = 'canceled', lease_until_ms = NULL, updated_at_ms = $2
                      WHERE id = $1 AND status = 'processing' AND processor_refund IS NULL
                        AND lease_until_ms = $3",
                )
                .bind(refund.id.to_string())
                .bind(now.unix_ms())
                .bind(refund.lease_until.map(Timestamp::unix_ms))
                .execute(tx)
                .await?;
                if canceled == 1 {
                    put_back(tx, &refund).await?;
                    claims::free(tx, &refund.id.to_string()).await?;
                    record(tx, event);
                } else {
                    record_refused(tx, event);
                }
                Ok(())
            })
        })
        .await
    }

    /// Takes refunds about which the processor is to be asked and that nobody is at work on.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn lease_open_refunds(&self, lease: Lease) -> Result<LeasedRefunds, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut leased = LeasedRefunds {
                    refunds: Vec::new(),
                    unreadable: Vec::new(),
                };
                for (id, account) in take(tx, lease).await? {
                    match open(tx, environment, &id, account).await {
                        Ok(both) => leased.refunds.push(both),
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

/// Writes an outcome in the transaction of who learned it.
async fn settle(
    tx: &mut Connection,
    environment: Environment,
    before: RefundRow,
    outcome: &RefundOutcome,
    tell: &impl Fn(&RefundRow) -> News,
) -> Result<RefundRow, Failure> {
    use RefundStatus::{Canceled, Failed, Processing, Succeeded};
    let key = before.id.to_string();
    let reading = Reading::new("refunds", &key, environment);
    if let (Some(known), Some(told)) = (&before.processor_refund, &outcome.processor_refund)
        && known != told
    {
        return Err(reading.inconsistent("processor_refund"));
    }
    let more = match (before.status, outcome.status) {
        (Processing, _) | (Succeeded, Failed) => true,
        (Failed | Canceled, Succeeded) => return Err(reading.inconsistent("status")),
        (Succeeded, _) | (Failed | Canceled, Processing | Failed | Canceled) => false,
    };
    if !more {
        return Ok(before);
    }
    let written = query(
        "UPDATE refunds
            SET status = $3,
                processor_refund = COALESCE(processor_refund, $4),
                failure_code = $5,
                lease_until_ms = CASE WHEN $3 = 'processing' THEN COALESCE($6, lease_until_ms) END,
                updated_at_ms = $7
          WHERE id = $1 AND status = $2",
    )
    .bind(&key)
    .bind(before.status.name())
    .bind(outcome.status.name())
    .bind(outcome.processor_refund.as_deref())
    .bind(outcome.failure_code.as_deref())
    .bind(outcome.rest_until.map(Timestamp::unix_ms))
    .bind(outcome.at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "refunds", &before.id)?;
    if matches!(outcome.status, Failed | Canceled) {
        put_back(tx, &before).await?;
    }
    let after = row::find(tx, environment, &before.account, &key).await?;
    let after = reading.found("id", after)?;
    if after.status != before.status {
        outbox::tell(tx, &tell(&after)).await?;
    }
    Ok(after)
}

/// A refund that the processor tells of under its signature: ours, or one made there by somebody
/// else, which is written down as if it had been asked for here. Nothing where it is of no charge
/// of ours, or the charge has not so much left.
pub(in crate::store) async fn told(
    tx: &mut Connection,
    environment: Environment,
    told: &ToldRefund,
    tell: &impl Fn(&RefundRow) -> News,
) -> Result<Option<RefundRow>, Failure> {
    let NewRefund { account, .. } = &told.refund;
    let name = told.outcome.processor_refund.as_deref().unwrap_or_default();
    let mut known = match told.ours {
        Some(ours) => row::find(tx, environment, account, &ours.to_string()).await?,
        None => None,
    };
    if known.is_none() {
        known = row::find_by_processor_refund(tx, environment, account, name).await?;
    }
    let before = match known {
        Some(refund) => refund,
        None if matches!(
            told.outcome.status,
            RefundStatus::Failed | RefundStatus::Canceled
        ) =>
        {
            return Ok(None);
        }
        None => match begin(tx, environment, told.refund.clone()).await? {
            Ok((refund, _)) => refund,
            Err(_) => return Ok(None),
        },
    };
    settle(tx, environment, before, &told.outcome, tell)
        .await
        .map(Some)
}

/// A refund as the processor tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRefund {
    /// Our id of it, where it says one.
    pub ours: Option<RefundId>,
    /// What is written down where it is not known.
    pub refund: NewRefund,
    /// What became of it.
    pub outcome: RefundOutcome,
}

/// Says that somebody is at work on an open refund until `until`.
pub(super) async fn extend_lease(
    tx: &mut Connection,
    id: RefundId,
    until: Timestamp,
) -> Result<(), Failure> {
    one_row(rest_if_open(tx, id, until).await?, "refunds", &id)
}

/// Says that an open refund rests until `until`; answers how many rows that was.
async fn rest_if_open(tx: &mut Connection, id: RefundId, until: Timestamp) -> Result<u64, Failure> {
    query(
        "UPDATE refunds
            SET lease_until_ms = $2
          WHERE id = $1 AND lease_until_ms IS NOT NULL",
    )
    .bind(id.to_string())
    .bind(until.unix_ms())
    .execute(tx)
    .await
}

async fn take(tx: &mut Connection, lease: Lease) -> Result<Vec<(String, String)>, Failure> {
    query(
        "UPDATE refunds
            SET lease_until_ms = $2
          WHERE id IN (
                SELECT id
                  FROM refunds
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
) -> Result<(RefundRow, ChargeRow), Failure> {
    let reading = Reading::new("refunds", id, environment);
    let account = reading.account(account)?;
    let refund = row::find(tx, environment, &account, id).await?;
    let refund = reading.found("id", refund)?;
    let key = refund.charge.to_string();
    let charge = charges::find(tx, environment, &account, &key).await?;
    Ok((refund, reading.found("charge_id", charge)?))
}
