//! Letting go of a charge: for another try under its own key, or for good.

use super::row::{self, ChargeRow};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::claims;
use crate::store::events::{record, record_refused};
use crate::store::outbox::{self, News};
use crate::store::owed::{self, Lease, NothingDone};
use crate::store::parse::Reading;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId};

impl Store {
    /// Puts off the caller's work on a charge, or on an operation on it, whose outcome is not known:
    /// from `until` on, the next worker goes on with it under the same processor key. Where the
    /// lease is lost, the charge is answered as it stands.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn defer_charge(
        &self,
        lease: Lease,
        (account, id): (&Account, ChargeId),
        until: Timestamp,
    ) -> Result<ChargeRow, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let token = lease.token();
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                owed::CHARGES
                    .put_off(tx, (&key, account.as_str()), token, until)
                    .await?;
                let charge = row::find(tx, environment, &account, &key).await?;
                Reading::new("charges", &key, environment).found("id", charge)
            })
        })
        .await
    }

    /// Gives up a charge for which the processor did nothing, and frees its idempotency key, so that
    /// the same request may be made anew; false where the lease is lost, and the charge is left to
    /// whoever has it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn abandon_charge(
        &self,
        nothing: NothingDone,
        charge: ChargeRow,
        (event, now): (Event, Timestamp),
        publish: impl Fn(&ChargeRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<bool, Failure> {
        let (token, known) = (nothing.token(), nothing.is_resumed());
        let refused = nothing.is_refused();
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let key = charge.id.to_string();
                let canceled = query(
                    "UPDATE charges
                        SET status = 'canceled',
                            security_code_token = NULL,
                            lease_until_ms = NULL,
                            lease_token = NULL,
                            version = version + 1,
                            updated_at_ms = $2
                      WHERE id = $1 AND status = 'processing' AND payment IS NULL
                        AND lease_token = $3",
                )
                .bind(&key)
                .bind(now.unix_ms())
                .bind(token)
                .execute(&mut *tx)
                .await?;
                if canceled == 1 {
                    let asked = (key.as_str(), charge.processor_key.as_str());
                    claims::abandoned(tx, asked, refused).await?;
                    record(tx, event);
                    // Its caller was told of it when the first try ended.
                    if known
                        && let Some(row) = row::find(tx, environment, &charge.account, &key).await?
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
