//! Refunds as the processor lists them: ours, or made there by somebody else, which are written
//! down as if they had been asked for here.

use super::row::{self, RefundRow};
use super::settle::{RefundOutcome, Settled, settle};
use super::{proof, reserve};
use crate::clock::Timestamp;
use crate::store::alerts::{self, NewAlert};
use crate::store::charges::{self, ChargeRow};
use crate::store::connection::Connection;
use crate::store::outbox::News;
use crate::store::parse::Reading;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, Environment, RefundId, RefundStatus};

/// A refund as the processor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRefund {
    /// Our id of it, where it carries one.
    pub ours: Option<RefundId>,
    /// The id that it gets where it is not known here.
    pub id: RefundId,
    /// In the charge's currency.
    pub amount: i64,
    /// How it stands.
    pub outcome: RefundOutcome,
}

/// What taking a listed refund over came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundTaken {
    /// It is known as it stands.
    Known,
    /// It was new here, or in another state.
    Changed,
    /// The charge has not so much left: another refund of ours is open and may fail.
    NotYet,
    /// It contradicts what was written down as final.
    Contradiction,
}

/// That a refund of the charge has another end or amount at the processor than here.
const REFUND_DIFFERS: &str = "refund_differs";

impl Store {
    /// Writes down that the processor's refunds of a charge are those that are known here: what it
    /// said against one of them is over.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn refunds_agree(
        &self,
        (account, charge): (&Account, ChargeId),
        at: Timestamp,
    ) -> Result<(), Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = charge.to_string();
                let reading = Reading::new("charges", &key, environment);
                let charge = charges::find_to_change(tx, environment, &account, &key).await?;
                let charge = reading.found("id", charge)?;
                charges::end_contradiction(tx, &charge, REFUND_DIFFERS, at).await
            })
        })
        .await
    }

    /// Takes over a refund of a charge as the processor lists it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_listed_refund<P, A>(
        &self,
        (account, charge): (&Account, ChargeId),
        listed: ListedRefund,
        (publish, alert): (P, A),
    ) -> Result<RefundTaken, Failure>
    where
        P: Fn(&RefundRow) -> News + Clone + Send + Sync + 'static,
        A: Fn(&ChargeRow) -> NewAlert + Clone + Send + Sync + 'static,
    {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = charge.to_string();
                let reading = Reading::new("charges", &key, environment);
                let charge = charges::find_to_change(tx, environment, &account, &key).await?;
                let charge = reading.found("id", charge)?;
                let taken = take(tx, environment, charge, &listed, &publish).await?;
                if taken == RefundTaken::Contradiction {
                    let charge = charges::find(tx, environment, &account, &key).await?;
                    let charge = reading.found("id", charge)?;
                    let at = listed.outcome.at;
                    if !charges::contradict(tx, &charge, REFUND_DIFFERS, at).await? {
                        let charge = charges::find(tx, environment, &account, &key).await?;
                        alerts::raise(tx, &alert(&reading.found("id", charge)?)).await?;
                    }
                }
                Ok(taken)
            })
        })
        .await
    }
}

async fn take(
    tx: &mut Connection,
    environment: Environment,
    mut charge: ChargeRow,
    listed: &ListedRefund,
    publish: &impl Fn(&RefundRow) -> News,
) -> Result<RefundTaken, Failure> {
    let name = listed
        .outcome
        .processor_refund
        .as_deref()
        .unwrap_or_default();
    let account = charge.account.clone();
    let mut known = match listed.ours {
        Some(ours) => row::find_to_change(tx, environment, &account, &ours.to_string()).await?,
        None => None,
    };
    if known.is_none() {
        known = row::find_by_processor_refund(tx, environment, &account, name).await?;
    }
    let before = match known {
        Some(refund) => refund,
        None if matches!(
            listed.outcome.status,
            RefundStatus::Failed | RefundStatus::Canceled
        ) =>
        {
            return Ok(RefundTaken::Known);
        }
        None => match reserve(tx, &mut charge, Some(listed.amount), listed.outcome.at).await? {
            Some(amount) => adopt(tx, environment, &charge, (listed, amount)).await?,
            None => return Ok(RefundTaken::NotYet),
        },
    };
    if before.charge != charge.id || before.amount != listed.amount {
        return Ok(RefundTaken::Contradiction);
    }
    let settled = settle(tx, environment, (&before, None), &listed.outcome, publish).await?;
    Ok(match settled {
        Settled::Changed(_) => RefundTaken::Changed,
        Settled::Same => RefundTaken::Known,
        Settled::Contradiction => RefundTaken::Contradiction,
    })
}

/// Writes down a refund that somebody made at the processor.
async fn adopt(
    tx: &mut Connection,
    environment: Environment,
    charge: &ChargeRow,
    (listed, amount): (&ListedRefund, i64),
) -> Result<RefundRow, Failure> {
    let at: Timestamp = listed.outcome.at;
    let refund = RefundRow {
        id: listed.id,
        account: charge.account.clone(),
        client: None,
        charge: charge.id,
        amount,
        currency: charge.currency.clone(),
        reason: None,
        status: RefundStatus::Processing,
        processor_refund: None,
        failure_code: None,
        processor_key: listed.id.to_string(),
        lease_until: Some(at),
        lease_token: None,
        version: 1,
        created_at: at,
        updated_at: at,
        proofs: proof::RefundProofs::default(),
    };
    let refund = proof::ordered(tx, environment, refund)?;
    row::insert(tx, &refund).await?;
    Ok(refund.into_claim())
}
