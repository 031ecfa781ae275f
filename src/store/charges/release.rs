//! Letting go of a charge: for another try under its own key, or for good.

use super::extend_lease;
use super::row::{self, ChargeRow};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::claims;
use crate::store::events::record;
use crate::store::parse::{Reading, one_row};
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId};

impl Store {
    /// Ends the caller's work on a charge, or on a step of it, whose outcome is not known: from
    /// `until` on, whoever comes next goes on with it under its own key.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_charge(
        &self,
        account: &Account,
        id: ChargeId,
        until: Timestamp,
    ) -> Result<ChargeRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                extend_lease(tx, id, until).await?;
                let key = id.to_string();
                let charge = row::find(tx, environment, &account, &key).await?;
                Reading::new("charges", &key, environment).found("id", charge)
            })
        })
        .await
    }

    /// Gives up a charge for which the processor was surely never asked, and frees its idempotency
    /// key, so that the same request may be made anew.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_charge(
        &self,
        id: ChargeId,
        now: Timestamp,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let canceled = query(
                    "UPDATE charges
                        SET status = 'canceled',
                            lease_until_ms = NULL,
                            updated_at_ms = $2
                      WHERE id = $1 AND status = 'processing' AND payment IS NULL",
                )
                .bind(&key)
                .bind(now.unix_ms())
                .execute(&mut *tx)
                .await?;
                one_row(canceled, "charges", &id)?;
                claims::free(tx, &key).await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }
}
