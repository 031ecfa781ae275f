//! What was paid before for the same request, where our own rows do not know it.
//!
//! Within a day the processor's idempotency key guards. Past it, and where the row of the caller's key
//! and the charge itself are gone, only the payment tells, by the mark of the request that it carries.
//! It is looked for in the customer's list, which is read from the primary data, and not by search,
//! which lags behind. That is a call more, so it is made only where rows may be gone: after a rollback
//! that an operator has accepted, where an earlier charge of the same request says that it was given
//! up, and where the processor knows the key and not the request.

use super::Internal;
use crate::processor::{Failure, Payment, Reference, Sought};
use crate::store::{Authentic, ChargeRow};
use crate::vault::processor_of;

impl Internal {
    /// Whether the processor is asked for an earlier payment before it is asked to charge.
    pub(super) fn looks_first(&self, asked_before: bool) -> bool {
        asked_before || self.is_recovering()
    }

    /// The payment that was made for the request of this charge; nothing where surely none was.
    pub(super) async fn find_of_request(
        &self,
        charge: &Authentic<ChargeRow>,
        reference: &Reference,
    ) -> Result<Option<Payment>, Failure> {
        let processor =
            processor_of(&self.processors, &charge.account).map_err(|_| Failure::NotSent)?;
        let mark = self.request_mark(&charge.processor_key);
        let since = self.key_lives_since(charge.created_at);
        let customer = reference.customer();
        let call = self.common.metrics.processor_call("find_payment");
        let found = processor
            .find_payment(customer, Sought::Request(&mark), since, &charge.client)
            .await;
        call.ended(found.is_ok());
        if let Ok(Some(payment)) = &found
            && payment.charge.as_deref() != Some(charge.id.to_string().as_str())
        {
            tracing::error!(charge = %charge.id, "the payment of this request was made before; it is not made again");
        }
        found
    }
}
