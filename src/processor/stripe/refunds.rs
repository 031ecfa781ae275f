//! Money goes back.

use std::collections::HashMap;

use stripe_client_core::StripeRequest as _;
use stripe_core::refund::{CreateRefund, CreateRefundReason, ListRefund, RetrieveRefund};

use super::amounts;
use super::answers::{self, List};
use super::lifecycle::{PAGE_ROWS, PAGES_MAX};
use super::{REQUEST_METADATA, Stripe, call, named, once};
use crate::processor::{
    DeclineCode, Failure, Refund, RefundOrder, RefundReason, RefundState, Sought,
};

/// Under this name a refund carries our id of it.
const REFUND_METADATA: &str = "cloakroom_refund";

impl Stripe {
    /// See [`Processor::refund`](crate::processor::Processor::refund).
    pub(in crate::processor) async fn refund(
        &self,
        order: &RefundOrder<'_>,
    ) -> Result<Refund, Failure> {
        let metadata = HashMap::from([
            (REFUND_METADATA.to_owned(), order.refund.to_owned()),
            (REQUEST_METADATA.to_owned(), order.request.to_owned()),
        ]);
        let amount = amounts::to_stripe(order.amount, order.currency).map_err(Failure::Invalid)?;
        let mut request = CreateRefund::new()
            .amount(amount)
            .metadata(metadata)
            .payment_intent(named(order.payment)?);
        if let Some(reason) = order.reason {
            request = request.reason(match reason {
                RefundReason::Duplicate => CreateRefundReason::Duplicate,
                RefundReason::Fraudulent => CreateRefundReason::Fraudulent,
                RefundReason::RequestedByCustomer => CreateRefundReason::RequestedByCustomer,
            });
        }
        let refund = once(call(request.build(), order.client), order.idempotency_key)?;
        let told = refund_of(&self.ask(refund).await?)?;
        // Another amount would be another refund than the one that is written down.
        if told.amount == order.amount {
            Ok(told)
        } else {
            Err(Failure::OutcomeUnknown)
        }
    }

    /// See [`Processor::refund_state`](crate::processor::Processor::refund_state).
    pub(in crate::processor) async fn refund_state(
        &self,
        id: &str,
        client: &str,
    ) -> Result<Refund, Failure> {
        let request = RetrieveRefund::new(named(id)?);
        let told = refund_of(&self.ask(call(request.build(), client)).await?)?;
        // An answer about another refund tells nothing of this one.
        if told.id == id {
            Ok(told)
        } else {
            Err(Failure::OutcomeUnknown)
        }
    }

    /// See [`Processor::find_refund`](crate::processor::Processor::find_refund).
    pub(in crate::processor) async fn find_refund(
        &self,
        payment: &str,
        sought: Sought<'_>,
        client: &str,
    ) -> Result<Option<Refund>, Failure> {
        let all = self.refunds_of(payment, client).await?;
        let is_it = |one: &Refund| match sought {
            Sought::Own(refund) => one.refund.as_deref() == Some(refund),
            Sought::Request(mark) => one.request.as_deref() == Some(mark) && may_stand(one.status),
        };
        Ok(all.into_iter().find(is_it))
    }

    /// See [`Processor::refunds_of`](crate::processor::Processor::refunds_of).
    pub(in crate::processor) async fn refunds_of(
        &self,
        payment: &str,
        client: &str,
    ) -> Result<Vec<Refund>, Failure> {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut request = ListRefund::new()
                .payment_intent(named(payment)?)
                .limit(PAGE_ROWS);
            if let Some(last) = &last {
                request = request.starting_after(last);
            }
            let page: List<answers::Refund> = self.ask(call(request.build(), client)).await?;
            last = page.data.last().map(answers::Refund::id).transpose()?;
            for one in &page.data {
                all.push(refund_of(one)?);
            }
            if !page.has_more {
                return Ok(all);
            }
            if last.is_none() {
                break;
            }
        }
        // What was not read may hold it: not found is not known.
        Err(Failure::OutcomeUnknown)
    }
}

/// Whether the money goes back: one that came to nothing answers no request.
const fn may_stand(status: RefundState) -> bool {
    match status {
        RefundState::Pending | RefundState::Succeeded => true,
        RefundState::Failed | RefundState::Canceled => false,
    }
}

fn refund_of(refund: &answers::Refund) -> Result<Refund, Failure> {
    // Stripe's own schema lets the state be null. One that is not known is not over: it is read again.
    let status = refund.status.as_deref().and_then(state);
    let status = status.unwrap_or(RefundState::Pending);
    Ok(Refund {
        id: refund.id()?,
        amount: refund.amount()?,
        status,
        failure: refund
            .failure_reason
            .as_deref()
            .and_then(DeclineCode::parse),
        refund: refund.ours().map(str::to_owned),
        request: refund.request().map(str::to_owned),
    })
}

/// Stripe's states of a refund (<https://docs.stripe.com/api/refunds/object#refund_object-status>).
pub(in crate::processor) fn state(status: &str) -> Option<RefundState> {
    match status {
        // Both are not over.
        "pending" | "requires_action" => Some(RefundState::Pending),
        "succeeded" => Some(RefundState::Succeeded),
        "failed" => Some(RefundState::Failed),
        "canceled" => Some(RefundState::Canceled),
        _ => None,
    }
}
