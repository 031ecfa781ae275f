//! What the processor did about a refund.

use super::row::{self, RefundRow};
use super::{proof, release};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::charges;
use crate::store::claims;
use crate::store::connection::Connection;
use crate::store::events::{record, record_refused};
use crate::store::outbox::{self, News};
use crate::store::owed::{self, Lease, NothingDone};
use crate::store::parse::{Reading, one_row};
use crate::store::reviews;
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
    pub retry_at: Option<Timestamp>,
    /// When that became known.
    pub at: Timestamp,
}

impl Store {
    /// Writes down what the processor said, and publishes it. Where the money did not go back, the
    /// charge has it again. What contradicts a final state is left to a look at the payment and all
    /// of its refunds.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    #[expect(
        clippy::too_many_arguments,
        reason = "who says it, of which refund, what, and how it is published"
    )]
    pub async fn settle_refund(
        &self,
        lease: &Lease,
        (account, id): (&Account, RefundId),
        outcome: RefundOutcome,
        event: Event,
        publish: impl Fn(&RefundRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<RefundRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let mine = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let reading = Reading::new("refunds", &key, environment);
                // The charge's row first, as everybody does.
                let known = row::find(tx, environment, &account, &key).await?;
                let charge = reading.found("id", known)?.charge;
                charges::find_to_change(tx, environment, &account, &charge.to_string()).await?;
                let before = row::find_to_change(tx, environment, &account, &key).await?;
                let before = reading.found("id", before)?;
                record(tx, event);
                let settled =
                    settle(tx, environment, (&before, Some(mine)), &outcome, &publish).await?;
                if matches!(settled, Settled::Contradiction) {
                    reviews::request(tx, (&account, charge), None, outcome.at).await?;
                }
                Ok(match settled {
                    Settled::Changed(after) => *after,
                    Settled::Same | Settled::Contradiction => before,
                })
            })
        })
        .await
    }

    /// Puts off the caller's work on a refund whose outcome is not known. Where the lease is lost,
    /// the refund is answered as it stands.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_refund(
        &self,
        lease: Lease,
        (account, id): (&Account, RefundId),
        until: Timestamp,
    ) -> Result<RefundRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let token = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                owed::REFUNDS
                    .put_off(tx, (&key, account.as_str()), token, until)
                    .await?;
                let refund = row::find(tx, environment, &account, &key).await?;
                Reading::new("refunds", &key, environment).found("id", refund)
            })
        })
        .await
    }

    /// Gives up a refund that the processor did not make and will not, and frees its key and the
    /// money; false where the lease is lost, and the refund is left to whoever has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_refund(
        &self,
        nothing: NothingDone,
        refund: RefundRow,
        (event, now): (Event, Timestamp),
        publish: impl Fn(&RefundRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<bool, Failure> {
        let (environment, token) = (self.environment, nothing.token());
        let (known, refused) = (nothing.is_resumed(), nothing.is_refused());
        self.write(move |tx| {
            Box::pin(async move {
                // The charge's row first, as everybody does.
                let charge = refund.charge.to_string();
                charges::find_to_change(tx, environment, &refund.account, &charge).await?;
                let canceled = query(
                    "UPDATE refunds
                        SET status = 'canceled',
                            lease_until_ms = NULL,
                            lease_token = NULL,
                            version = version + 1,
                            updated_at_ms = $2
                      WHERE id = $1 AND status = 'processing' AND processor_refund IS NULL
                        AND lease_token = $3",
                )
                .bind(refund.id.to_string())
                .bind(now.unix_ms())
                .bind(token)
                .execute(tx)
                .await?;
                if canceled == 1 {
                    release(tx, &refund, now).await?;
                    let key = refund.id.to_string();
                    let asked = (key.as_str(), refund.processor_key.as_str());
                    claims::abandoned(tx, asked, refused).await?;
                    record(tx, event);
                    // Its caller was told of it when the first try ended.
                    if known
                        && let Some(row) = row::find(tx, environment, &refund.account, &key).await?
                    {
                        outbox::tell(tx, &publish(&row)).await?;
                    }
                } else {
                    record_refused(tx, event);
                }
                Ok(canceled == 1)
            })
        })
        .await
    }
}

/// What settling came to.
pub(super) enum Settled {
    /// The refund is in another state now.
    Changed(Box<RefundRow>),
    /// It says nothing new.
    Same,
    /// A different end was written down before.
    Contradiction,
}

/// Writes an outcome in the transaction of who learned it.
pub(super) async fn settle(
    tx: &mut Connection,
    environment: Environment,
    (before, mine): (&RefundRow, Option<i64>),
    outcome: &RefundOutcome,
    publish: &impl Fn(&RefundRow) -> News,
) -> Result<Settled, Failure> {
    use RefundStatus::{Canceled, Failed, Processing, Succeeded};
    let key = before.id.to_string();
    let another = match (&before.processor_refund, &outcome.processor_refund) {
        (Some(known), Some(named)) => known != named,
        (None, _) | (_, None) => false,
    };
    match (before.status, outcome.status) {
        _ if another => return Ok(Settled::Contradiction),
        (Processing, _) | (Succeeded, Failed) => {}
        (Failed | Canceled, Succeeded) => return Ok(Settled::Contradiction),
        (Succeeded, _) | (Failed | Canceled, Processing | Failed | Canceled) => {
            return Ok(Settled::Same);
        }
    }
    // Another worker's lease on it stays that worker's.
    let held = before.lease_until.is_some_and(|until| until > outcome.at)
        && before.lease_token.is_some()
        && before.lease_token != mine;
    let (until, token) = match outcome.status {
        Processing if held => (before.lease_until, before.lease_token),
        Processing => (outcome.retry_at.or(before.lease_until), None),
        Succeeded | Failed | Canceled => (None, None),
    };
    let name = outcome.processor_refund.as_deref();
    let name_proof = proof::of_name(tx, environment, before, name)?;
    let written = query(
        "UPDATE refunds
            SET status = $3,
                processor_refund = COALESCE(processor_refund, $4),
                processor_refund_proof = COALESCE(processor_refund_proof, $9),
                failure_code = $5,
                lease_until_ms = $6,
                lease_token = $7,
                version = version + 1,
                updated_at_ms = $8
          WHERE id = $1 AND status = $2",
    )
    .bind(&key)
    .bind(before.status.name())
    .bind(outcome.status.name())
    .bind(outcome.processor_refund.as_deref())
    .bind(outcome.failure_code.as_deref())
    .bind(until.map(Timestamp::unix_ms))
    .bind(token)
    .bind(outcome.at.unix_ms())
    .bind(name_proof)
    .execute(tx)
    .await?;
    one_row(written, "refunds", &before.id)?;
    if matches!(outcome.status, Failed | Canceled) {
        release(tx, before, outcome.at).await?;
    }
    let after = row::find(tx, environment, &before.account, &key).await?;
    let after = Reading::new("refunds", &key, environment).found("id", after)?;
    if after.status != before.status {
        outbox::tell(tx, &publish(&after)).await?;
    }
    Ok(Settled::Changed(Box::new(after)))
}
