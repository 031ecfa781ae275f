//! An event of the processor is applied, in one transaction that also ends it.

use super::{DueEvent, Reference, Report, end};
use crate::clock::Timestamp;
use crate::store::charges::{self, ChargeRow};
use crate::store::connection::Connection;
use crate::store::disputes::{self, DisputeChange, DisputeRow};
use crate::store::outbox::{self, News};
use crate::store::sql::query;
use crate::store::tokens::{self, TokenRow};
use crate::store::{Failure, Store, refunds, reviews};
use crate::token::{Account, ChargeId, Environment};

/// What applying an event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has its effect, or the look that it asks for is owed.
    Applied,
    /// It is of nothing here.
    Ignored,
    /// What it is about is not known here yet; it is still due.
    NotYet,
}

/// Makes the events that are published about what changed.
#[derive(Clone, Copy, Debug)]
pub struct Publish<D, T> {
    /// Of a dispute that began, changed or was decided.
    pub dispute: D,
    /// Of a token whose card changed at the processor.
    pub token: T,
}

impl Store {
    /// Applies an event.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn apply_processor_event<D, T>(
        &self,
        event: &DueEvent,
        now: Timestamp,
        publish: Publish<D, T>,
    ) -> Result<Applied, Failure>
    where
        D: Fn(&DisputeRow, DisputeChange) -> News + Clone + Send + Sync + 'static,
        T: Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    {
        let environment = self.environment;
        let (account, id) = (event.account.clone(), event.id.clone());
        let (created_at, token) = (event.created_at, event.lease.token());
        let report = event.report.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let place = Place {
                    environment,
                    account: &account,
                    created_at,
                    now,
                };
                let applied = match report {
                    Some(report) => apply(tx, &place, report, &publish).await?,
                    None => Applied::Ignored,
                };
                match applied {
                    Applied::Applied => end(tx, (account.as_str(), &id), token, "applied").await?,
                    Applied::Ignored => end(tx, (account.as_str(), &id), token, "ignored").await?,
                    Applied::NotYet => {}
                }
                Ok(applied)
            })
        })
        .await
    }
}

/// Where and when an event is applied.
struct Place<'a> {
    environment: Environment,
    account: &'a Account,
    created_at: Timestamp,
    now: Timestamp,
}

async fn apply<D, T>(
    tx: &mut Connection,
    place: &Place<'_>,
    report: Report,
    publish: &Publish<D, T>,
) -> Result<Applied, Failure>
where
    D: Fn(&DisputeRow, DisputeChange) -> News,
    T: Fn(&TokenRow) -> News,
{
    let changed = match report {
        Report::Payment {
            payment,
            charge,
            status,
            captured,
        } => {
            let said = status.as_deref().zip(captured);
            return payment_changed(tx, place, (&payment, charge.as_deref()), said).await;
        }
        Report::Refund {
            payment,
            refund,
            status,
        } => return refund_changed(tx, place, &payment, (&refund, &status)).await,
        dispute @ Report::Dispute { .. } => {
            return dispute_changed(tx, place, dispute, &publish.dispute).await;
        }
        Report::Card { reference, card } => {
            let renewed = (reference.into(), card);
            tokens::update_card(tx, place.environment, place.account, renewed, place.now).await?
        }
        Report::Setup { reference } => activate(tx, place, reference).await?,
        Report::Detached { reference } => {
            let mark = reference.into();
            tokens::mark_detached(tx, place.environment, place.account, mark, place.now).await?
        }
    };
    Ok(match changed {
        Some(token) => {
            outbox::tell(tx, &(publish.token)(&token)).await?;
            Applied::Applied
        }
        None => Applied::Ignored,
    })
}

async fn activate(
    tx: &mut Connection,
    place: &Place<'_>,
    reference: Reference,
) -> Result<Option<TokenRow>, Failure> {
    let mark = reference.into();
    tokens::activate_by_reference(tx, place.environment, place.account, mark, place.now).await
}

/// A payment of ours is looked at, in whatever state its charge is, unless the event says no more
/// than the row does.
async fn payment_changed(
    tx: &mut Connection,
    place: &Place<'_>,
    (payment, charge): (&str, Option<&str>),
    said: Option<(&str, i64)>,
) -> Result<Applied, Failure> {
    let named = charge.and_then(|id| ChargeId::parse(id, place.environment).ok());
    let found = match charge_of(tx, place, payment).await? {
        Some(charge) => Some(charge),
        None => match named {
            Some(id) => {
                let key = id.to_string();
                charges::find(tx, place.environment, place.account, &key).await?
            }
            None => None,
        },
    };
    let Some(charge) = found else {
        return Ok(Applied::Ignored);
    };
    let same_payment = charge.payment.as_deref() == Some(payment);
    let agrees = same_payment && said == Some((charge.status.name(), charge.captured));
    if !agrees || charge.operation.is_some() {
        let of = (place.account, charge.id);
        reviews::request(tx, of, Some(payment), place.now).await?;
    }
    Ok(Applied::Applied)
}

/// The payment's refunds are listed, unless this one is known as the event says it.
async fn refund_changed(
    tx: &mut Connection,
    place: &Place<'_>,
    payment: &str,
    (refund, status): (&str, &str),
) -> Result<Applied, Failure> {
    let Some(charge) = charge_of(tx, place, payment).await? else {
        return Ok(Applied::NotYet);
    };
    let known =
        refunds::find_by_processor_refund(tx, place.environment, place.account, refund).await?;
    if known.is_none_or(|known| known.status.name() != status) {
        reviews::request(tx, (place.account, charge.id), Some(payment), place.now).await?;
    }
    Ok(Applied::Applied)
}

async fn dispute_changed<D>(
    tx: &mut Connection,
    place: &Place<'_>,
    report: Report,
    publish: &D,
) -> Result<Applied, Failure>
where
    D: Fn(&DisputeRow, DisputeChange) -> News,
{
    let Report::Dispute {
        payment,
        dispute,
        amount,
        currency,
        reason,
        status,
        open,
    } = report
    else {
        return Ok(Applied::Ignored);
    };
    let Some(charge) = charge_of(tx, place, &payment).await? else {
        return Ok(Applied::NotYet);
    };
    let said = DisputeRow {
        id: dispute,
        account: place.account.clone(),
        charge: charge.id,
        amount,
        currency,
        reason,
        status,
        open,
        changed_at: place.created_at,
    };
    let became = disputes::put(tx, &said, place.now).await?;
    if became != DisputeChange::Nothing {
        outbox::tell(tx, &publish(&said, became)).await?;
    }
    Ok(Applied::Applied)
}

/// The charge whose payment that is.
async fn charge_of(
    tx: &mut Connection,
    place: &Place<'_>,
    payment: &str,
) -> Result<Option<ChargeRow>, Failure> {
    let id: Option<String> =
        query("SELECT id FROM charges WHERE account = $1 AND payment = $2 ORDER BY id LIMIT 1")
            .bind(place.account.as_str())
            .bind(payment)
            .scalar_if_any(tx)
            .await?;
    match id {
        Some(id) => charges::find_to_change(tx, place.environment, place.account, &id).await,
        None => Ok(None),
    }
}
