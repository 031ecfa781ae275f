//! Notices: what the processor tells under its signature, each with its effect once.
//!
//! Of a payment a notice is only the hint to ask the processor how it stands, so that notices may
//! come late, twice and in any order. What nobody can be asked for (a dispute, a renewed card, a
//! refund made elsewhere) is taken from the notice itself.

use super::connection::Connection;
use super::events::record;
use super::outbox::{self, News};
use super::refunds::{self, RefundRow, ToldRefund};
use super::sql::query;
use super::tokens::{self, TokenRow};
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
use crate::token::{Account, CardSummary, ChargeId, Environment};

/// A notice, as far as it concerns the store.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whose processor account.
    pub account: Account,
    /// The processor's name of the notice.
    pub id: String,
    /// Now.
    pub now: Timestamp,
    /// What it tells.
    pub tells: Tells,
}

/// What a notice tells.
#[derive(Clone, Debug)]
pub enum Tells {
    /// Something happened to a payment: ask.
    Payment {
        /// The processor's name of it.
        payment: String,
        /// Our id of its charge, where it says one.
        charge: Option<ChargeId>,
    },
    /// A refund, with the processor's name of the payment it belongs to.
    Refund {
        /// The payment.
        payment: String,
        /// The refund; its charge is found by the payment.
        refund: Box<ToldRefund>,
    },
    /// The shopper's bank has taken a payment up, or let go of it.
    Dispute {
        /// The processor's name of the payment.
        payment: String,
        /// Whether it goes on.
        open: bool,
    },
    /// A card was renewed.
    Card {
        /// The keyed hash of the processor's name of the card.
        reference: Mark,
        /// What the world may know of it now.
        card: CardSummary,
    },
    /// The issuer has agreed to a card: its shopper authenticated.
    Setup {
        /// The keyed hash of the processor's name of the card.
        reference: Mark,
    },
    /// Nothing that concerns us.
    Nothing,
}

/// What a notice changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// It came before.
    Again,
    /// It is of nothing here.
    Elsewhere,
    /// It was taken.
    Taken,
}

/// Makes news of what a notice changed.
#[derive(Clone, Copy, Debug)]
pub struct Tellers<R, C, T> {
    /// Of a refund.
    pub refund: R,
    /// Of a charge whose dispute begins, changes or ends.
    pub charge: C,
    /// Of a token whose card was renewed.
    pub token: T,
}

impl Store {
    /// Takes a notice, once.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_notice<R, C, T>(
        &self,
        notice: Notice,
        event: Event,
        tellers: Tellers<R, C, T>,
    ) -> Result<Noticed, Failure>
    where
        R: Fn(&RefundRow) -> News + Clone + Send + Sync + 'static,
        C: Fn(ChargeId) -> News + Clone + Send + Sync + 'static,
        T: Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                if came_before(tx, &notice).await? {
                    return Ok(Noticed::Again);
                }
                let account = &notice.account;
                let concerns_us = match notice.tells {
                    Tells::Nothing => false,
                    Tells::Payment { payment, charge } => {
                        is_due(tx, account, (&payment, charge), notice.now).await?
                    }
                    Tells::Refund {
                        payment,
                        mut refund,
                    } => match charge_of(tx, environment, account, &payment).await? {
                        Some(charge) => {
                            refund.refund.charge = charge;
                            let told =
                                refunds::told(tx, environment, &refund, &tellers.refund).await?;
                            told.is_some()
                        }
                        None => false,
                    },
                    Tells::Dispute { payment, open } => {
                        match charge_of(tx, environment, account, &payment).await? {
                            Some(charge) => {
                                dispute(tx, charge, open).await?;
                                outbox::tell(tx, &(tellers.charge)(charge)).await?;
                                true
                            }
                            None => false,
                        }
                    }
                    Tells::Card { reference, card } => {
                        let renewed =
                            tokens::renew(tx, environment, account, (reference, card)).await?;
                        if let Some(token) = &renewed {
                            outbox::tell(tx, &(tellers.token)(token)).await?;
                        }
                        renewed.is_some()
                    }
                    Tells::Setup { reference } => {
                        let active = tokens::agree(tx, environment, account, reference).await?;
                        if let Some(token) = &active {
                            outbox::tell(tx, &(tellers.token)(token)).await?;
                        }
                        active.is_some()
                    }
                };
                record(tx, event);
                Ok(if concerns_us {
                    Noticed::Taken
                } else {
                    Noticed::Elsewhere
                })
            })
        })
        .await
    }
}

/// Keeps that the notice came; the second time is a write as well.
async fn came_before(tx: &mut Connection, notice: &Notice) -> Result<bool, Failure> {
    let deliveries: i64 = query(
        "INSERT INTO processor_notices (account, id, deliveries, received_at_ms, last_seen_at_ms)
         VALUES ($1, $2, 1, $3, $3)
             ON CONFLICT (account, id) DO UPDATE
            SET deliveries = processor_notices.deliveries + 1,
                last_seen_at_ms = excluded.last_seen_at_ms
      RETURNING deliveries",
    )
    .bind(notice.account.as_str())
    .bind(&notice.id)
    .bind(notice.now.unix_ms())
    .scalar(tx)
    .await?;
    Ok(deliveries > 1)
}

/// Makes the charge of a payment due for a look; false where there is none, or it is at its end.
async fn is_due(
    tx: &mut Connection,
    account: &Account,
    (payment, charge): (&str, Option<ChargeId>),
    now: Timestamp,
) -> Result<bool, Failure> {
    let due = query(
        "UPDATE charges
            SET lease_until_ms = $4
          WHERE account = $1
            AND (payment = $2 OR id = $3)
            AND step IS NULL
            AND (payment IS NOT NULL OR status = 'processing')
            AND status IN ('processing', 'requires_action', 'requires_capture')",
    )
    .bind(account.as_str())
    .bind(payment)
    .bind(charge.map(|charge| charge.to_string()))
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    Ok(due > 0)
}

async fn charge_of(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    payment: &str,
) -> Result<Option<ChargeId>, Failure> {
    let id: Option<String> =
        query("SELECT id FROM charges WHERE account = $1 AND payment = $2 ORDER BY id LIMIT 1")
            .bind(account.as_str())
            .bind(payment)
            .scalar_if_any(tx)
            .await?;
    let Some(id) = id else {
        return Ok(None);
    };
    let reading = super::parse::Reading::new("charges", &id, environment);
    reading.id("id", &id).map(Some)
}

async fn dispute(tx: &mut Connection, charge: ChargeId, open: bool) -> Result<(), Failure> {
    let written = query("UPDATE charges SET disputed = $2 WHERE id = $1")
        .bind(charge.to_string())
        .bind(open)
        .execute(tx)
        .await?;
    super::parse::one_row(written, "charges", &charge)
}
