//! What was given back before for the same request, where our own rows do not know it: as for
//! charges in [`settle`](super::settle).

use super::charge::RETRY_AFTER_S;
use super::{Internal, Refusal, Witness, processor_of};
use crate::processor::{self, Failure, Sought};
use crate::store::{Authentic, ChargeRow, Lease, NothingDone, RefundRow};

impl Internal {
    /// The refund that was made for the request of this one; nothing where surely none was.
    pub(super) async fn find_refund_of_request(
        &self,
        refund: &RefundRow,
        charge: &ChargeRow,
    ) -> Result<Option<processor::Refund>, Failure> {
        let processor =
            processor_of(&self.processors, &refund.account).map_err(|_| Failure::NotSent)?;
        let payment = charge.payment.as_deref().unwrap_or_default();
        let client = refund.client.as_deref().unwrap_or_default();
        let mark = self.request_mark(&refund.processor_key);
        let call = self.common.metrics.processor_call("refund_state");
        let found = processor
            .find_refund(payment, Sought::Request(&mark), client)
            .await;
        call.ended(found.is_ok());
        found
    }

    /// The refund that carries our id of it, or that was made for the same request.
    pub(super) async fn find_either(
        &self,
        refund: &RefundRow,
        charge: &ChargeRow,
    ) -> Result<Option<processor::Refund>, Failure> {
        match self.find_refund(refund, charge).await? {
            Some(found) => Ok(Some(found)),
            None => self.find_refund_of_request(refund, charge).await,
        }
    }

    /// The request's refund is at the processor: it is this one, or the one whose row has it.
    pub(super) async fn made_before(
        &self,
        context: &Witness,
        (lease, refund): (Lease, Authentic<RefundRow>),
        found: processor::Refund,
    ) -> Result<RefundRow, Refusal> {
        if found.refund.as_deref() == Some(refund.id.to_string().as_str()) {
            return self.refunded(context, (&lease, &refund), found).await;
        }
        tracing::error!(refund = %refund.id, "the refund of this request was made before; it is not made again");
        let store = &self.common.store;
        let holder = store.refund_named(&refund.account, found.id.clone());
        if let Some(holder) = holder.await? {
            let nothing = NothingDone::unchanged(lease);
            self.abandon_refund(context, (nothing, refund)).await?;
            return Ok(holder);
        }
        if found.amount == refund.amount {
            return self.refunded(context, (&lease, &refund), found).await;
        }
        // All that was left is another amount now: the refund is taken over as it is, and who comes
        // back is answered with it.
        let (account, charge) = (refund.account.clone(), refund.charge);
        let nothing = NothingDone::unchanged(lease);
        self.abandon_refund(context, (nothing, refund)).await?;
        let now = self.common.now();
        let payment = None;
        store.request_review(&account, charge, payment, now).await?;
        Err(Refusal::InFlight {
            retry_after_s: RETRY_AFTER_S,
        })
    }
}
