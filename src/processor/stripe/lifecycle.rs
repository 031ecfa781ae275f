//! A payment that was made: how it stands, its capture, its end.

use stripe_client_core::StripeRequest as _;
use stripe_core::payment_intent::{
    CancelPaymentIntent, CapturePaymentIntent, ListPaymentIntent, RetrievePaymentIntent,
};
use stripe_types::RangeQueryTs;

use super::amounts;
use super::answers::{List, PaymentIntent};
use super::charges::{payment_of, with_charge};
use super::{Stripe, call, named, once};
use crate::clock::Timestamp;
use crate::processor::transport::Call;
use crate::processor::{CancelOrder, CaptureOrder, Failure, Payment, Sought};

/// Pages of a list that are read at most, and rows in each: the most that Stripe gives.
pub(super) const PAGES_MAX: u32 = 20;
pub(super) const PAGE_ROWS: i64 = 100;
/// Seconds by which clocks may differ.
const CLOCKS_DIFFER_S: i64 = 3_600;

impl Stripe {
    /// See [`Processor::payment`](crate::processor::Processor::payment).
    pub(in crate::processor) async fn payment(
        &self,
        id: &str,
        client: &str,
    ) -> Result<Payment, Failure> {
        let request = RetrievePaymentIntent::new(named(id)?).expand(with_charge());
        self.about(id, call(request.build(), client)).await
    }

    /// See [`Processor::find_payment`](crate::processor::Processor::find_payment).
    ///
    /// A list is read from the primary data; Stripe's search lags behind
    /// (<https://docs.stripe.com/search#data-freshness>) and would miss what was just made.
    pub(in crate::processor) async fn find_payment(
        &self,
        customer: &str,
        sought: Sought<'_>,
        since: Timestamp,
        client: &str,
    ) -> Result<Option<Payment>, Failure> {
        let exactly_s = since.unix_ms().div_euclid(1_000);
        let since_s = exactly_s.saturating_sub(CLOCKS_DIFFER_S);
        let is_it = |one: &PaymentIntent| match sought {
            Sought::Own(charge) => one.ours() == Some(charge),
            Sought::Request(mark) => one.is_of_request(mark, exactly_s),
        };
        let mut last: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut request = ListPaymentIntent::new()
                .customer(named(customer)?)
                .created(RangeQueryTs::gte(since_s))
                .limit(PAGE_ROWS);
            if let Some(last) = &last {
                request = request.starting_after(last);
            }
            let page: List<PaymentIntent> = self.ask(call(request.build(), client)).await?;
            last = page.data.last().map(PaymentIntent::id).transpose()?;
            let found = page.data.into_iter().find(is_it);
            if let Some(found) = found {
                return payment_of(found).map(Some);
            }
            if !page.has_more {
                return Ok(None);
            }
            if last.is_none() {
                break;
            }
        }
        // What was not read may hold it: not found is not known.
        Err(Failure::OutcomeUnknown)
    }

    /// See [`Processor::capture`](crate::processor::Processor::capture).
    pub(in crate::processor) async fn capture(
        &self,
        order: &CaptureOrder<'_>,
    ) -> Result<Payment, Failure> {
        let mut request = CapturePaymentIntent::new(named(order.payment)?).expand(with_charge());
        if let Some(amount) = order.amount {
            let theirs = amounts::to_stripe(amount, order.currency);
            request = request.amount_to_capture(theirs.map_err(Failure::Invalid)?);
        }
        let capture = once(call(request.build(), order.client), order.idempotency_key)?;
        self.about(order.payment, capture).await
    }

    /// See [`Processor::cancel`](crate::processor::Processor::cancel).
    pub(in crate::processor) async fn cancel(
        &self,
        order: &CancelOrder<'_>,
    ) -> Result<Payment, Failure> {
        let request = CancelPaymentIntent::new(named(order.payment)?).expand(with_charge());
        let cancel = once(call(request.build(), order.client), order.idempotency_key)?;
        self.about(order.payment, cancel).await
    }

    /// Sends a call about one payment. An answer about another one tells nothing of it.
    async fn about(&self, payment: &str, call: Call) -> Result<Payment, Failure> {
        let told = payment_of(self.ask(call).await?)?;
        if told.id == payment {
            Ok(told)
        } else {
            Err(Failure::OutcomeUnknown)
        }
    }
}
