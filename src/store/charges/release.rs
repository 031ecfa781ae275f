//! Letting go of a charge: for another try under its own key, or for good.

use super::rest_if_open;
use super::row::{self, ChargeRow};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::claims;
use crate::store::events::{record, record_refused};
use crate::store::parse::Reading;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId};

impl Store {
    /// Ends the caller's work on a charge, or on a step of it, whose outcome is not known: from
    /// `until` on, whoever comes next goes on with it under its own key. Where a notice or another
    /// node has brought it to its end meanwhile, it is answered as it stands.
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
                rest_if_open(tx, id, until).await?;
                let key = id.to_string();
                let charge = row::find(tx, environment, &account, &key).await?;
                Reading::new("charges", &key, environment).found("id", charge)
            })
        })
        .await
    }

    /// Gives up a charge for which the processor was surely never asked, and frees its idempotency
    /// key, so that the same request may be made anew. Where the lease that the caller had is not
    /// its own any more, somebody else is at work on the charge, and it is left to them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_charge(
        &self,
        charge: ChargeRow,
        now: Timestamp,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let key = charge.id.to_string();
                let canceled = query(
                    "UPDATE charges
                        SET status = 'canceled',
                            lease_until_ms = NULL,
                            updated_at_ms = $2
                      WHERE id = $1 AND status = 'processing' AND payment IS NULL
                        AND lease_until_ms = $3",
                )
                .bind(&key)
                .bind(now.unix_ms())
                .bind(charge.lease_until.map(Timestamp::unix_ms))
                .execute(&mut *tx)
                .await?;
                if canceled == 1 {
                    claims::free(tx, &key).await?;
                    record(tx, event);
                } else {
                    record_refused(tx, event);
                }
                Ok(())
            })
        })
        .await
    }
}
