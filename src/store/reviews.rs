//! Reviews: looks at the processor that are owed to a charge, in whatever state it is.
//!
//! The processor's event, a decline that leaves a payment open, an operation that was given up and
//! a reconciliation each ask for one. A review that is asked for while it is being made is made
//! again.

use super::charges::{self, ChargeRow};
use super::connection::Connection;
use super::orders::{self, Authentic};
use super::owed::{self, Lease, Take};
use super::parse::Reading;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::token::{Account, ChargeId, Environment};

/// A review that is due, with the lease of it.
#[derive(Debug)]
pub struct DueReview {
    /// The right to end it.
    pub lease: Lease,
    /// The charge as it stands.
    pub charge: Authentic<ChargeRow>,
    /// The payment to look at, where the charge has none.
    pub payment: Option<String>,
    /// How often it was asked for: one more while it is made means once more.
    pub requests: i64,
    /// How often it was tried before.
    pub tries: u32,
}

/// Asks for a review in the transaction of its reason.
pub(super) async fn request(
    tx: &mut Connection,
    (account, charge): (&Account, ChargeId),
    payment: Option<&str>,
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "INSERT INTO charge_reviews (charge_id, account, payment, requests, tries, lease_until_ms, created_at_ms)
         VALUES ($1, $2, $3, 1, 0, $4, $4)
             ON CONFLICT (charge_id) DO UPDATE
            SET requests = charge_reviews.requests + 1,
                payment = COALESCE(excluded.payment, charge_reviews.payment),
                tries = 0,
                lease_until_ms = CASE WHEN charge_reviews.lease_token IS NULL THEN excluded.lease_until_ms ELSE charge_reviews.lease_until_ms END",
    )
    .bind(charge.to_string())
    .bind(account.as_str())
    .bind(payment)
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    Ok(())
}

impl Store {
    /// Asks for a review of a charge, whatever its state; false where there is no such charge.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn request_review(
        &self,
        account: &Account,
        id: ChargeId,
        payment: Option<String>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                if charges::find(tx, environment, &account, &key)
                    .await?
                    .is_none()
                {
                    return Ok(false);
                }
                request(tx, (&account, id), payment.as_deref(), now).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Takes an account's reviews that are due.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_reviews(&self, take: Take) -> Result<Vec<DueReview>, Failure> {
        if !self.is_due(&owed::REVIEWS, &take).await? {
            return Ok(Vec::new());
        }
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for (id, lease) in owed::REVIEWS.take(tx, &take).await? {
                    due.extend(read(tx, environment, (&id, &take.scope), lease).await?);
                }
                Ok(due)
            })
        })
        .await
    }

    /// Ends a review; one that was asked for again meanwhile is due at once.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn finish_review(
        &self,
        lease: Lease,
        (id, requests): (ChargeId, i64),
    ) -> Result<(), Failure> {
        let token = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let ended = query(
                    "DELETE FROM charge_reviews
                      WHERE charge_id = $1 AND lease_token = $2 AND requests = $3",
                )
                .bind(&key)
                .bind(token)
                .bind(requests)
                .execute(&mut *tx)
                .await?;
                if ended == 0 {
                    query(
                        "UPDATE charge_reviews
                            SET lease_until_ms = 0, lease_token = NULL
                          WHERE charge_id = $1 AND lease_token = $2",
                    )
                    .bind(&key)
                    .bind(token)
                    .execute(tx)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Puts a review off.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_review(
        &self,
        lease: Lease,
        (account, id): (&Account, ChargeId),
        until: Timestamp,
    ) -> Result<(), Failure> {
        let (account, token) = (account.clone(), lease.token());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                query("UPDATE charge_reviews SET tries = tries + 1 WHERE charge_id = $1 AND lease_token = $2")
                    .bind(&key)
                    .bind(token)
                    .execute(&mut *tx)
                    .await?;
                owed::REVIEWS
                    .put_off(tx, (&key, account.as_str()), token, until)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

async fn read(
    tx: &mut Connection,
    environment: Environment,
    (id, account): (&str, &str),
    lease: Lease,
) -> Result<Option<DueReview>, Failure> {
    let reading = Reading::new("charge_reviews", id, environment);
    let account = reading.account(account.to_owned())?;
    let (payment, requests, tries): (Option<String>, i64, i64) =
        query("SELECT payment, requests, tries FROM charge_reviews WHERE charge_id = $1")
            .bind(id)
            .one(tx)
            .await?;
    let charge = charges::find(tx, environment, &account, id).await?;
    let charge = reading.found("charge_id", charge)?;
    let charge = match charges::check(tx, environment, charge) {
        Ok(charge) => charge,
        Err(forged) => {
            let work = (&owed::REVIEWS, account.as_str(), lease.token());
            orders::set_aside(tx, (id, work), &charges::forged(forged)).await?;
            return Ok(None);
        }
    };
    Ok(Some(DueReview {
        lease,
        charge,
        payment,
        requests,
        tries: reading.number("tries", tries)?,
    }))
}
