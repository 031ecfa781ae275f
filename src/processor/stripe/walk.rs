//! The lists of what was made since a moment, page by page.
//!
//! Stripe lists newest first, so what is made during the walk is not in it, and nothing is listed
//! twice (<https://docs.stripe.com/api/pagination>). Lists are read from the primary data.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::amounts;
use super::answers::{List, Metadata};
use super::{Stripe, named, refund_state};
use crate::clock::Timestamp;
use crate::processor::failure::is_name;
use crate::processor::reference::is_id;
use crate::processor::transport::Call;
use crate::processor::{Failure, ListedDispute, ListedPayment, ListedRefund, ListedStatus, Page};

/// On whose behalf the governor admits these calls: a client of its own, which waits behind nobody
/// and whom nobody waits behind.
const CLIENT: &str = "reconciliation";
/// Objects of a page: the most that Stripe gives.
const PAGE_OBJECTS: u32 = 100;

impl Stripe {
    /// See [`Processor::payments_since`](crate::processor::Processor::payments_since).
    pub(in crate::processor) async fn payments_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedPayment>, Failure> {
        self.page("payment_intents", since, after, payment).await
    }

    /// See [`Processor::refunds_since`](crate::processor::Processor::refunds_since).
    pub(in crate::processor) async fn refunds_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedRefund>, Failure> {
        self.page("refunds", since, after, refund).await
    }

    /// See [`Processor::disputes_since`](crate::processor::Processor::disputes_since).
    pub(in crate::processor) async fn disputes_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedDispute>, Failure> {
        self.page("disputes", since, after, dispute).await
    }

    /// See [`Processor::listed_payment`](crate::processor::Processor::listed_payment).
    pub(in crate::processor) async fn listed_payment(
        &self,
        id: &str,
    ) -> Result<ListedPayment, Failure> {
        self.one("payment_intents", id, payment).await
    }

    /// See [`Processor::listed_refund`](crate::processor::Processor::listed_refund).
    pub(in crate::processor) async fn listed_refund(
        &self,
        id: &str,
    ) -> Result<ListedRefund, Failure> {
        self.one("refunds", id, refund).await
    }

    /// See [`Processor::listed_dispute`](crate::processor::Processor::listed_dispute).
    pub(in crate::processor) async fn listed_dispute(
        &self,
        id: &str,
    ) -> Result<ListedDispute, Failure> {
        self.one("disputes", id, dispute).await
    }

    async fn one<O: DeserializeOwned, T>(
        &self,
        list: &str,
        id: &str,
        read: fn(Named<O>) -> Option<T>,
    ) -> Result<T, Failure> {
        let path = format!("/v1/{list}/{}", named(id)?);
        let object: Named<O> = self.ask(Call::get(path).on_behalf_of(CLIENT)).await?;
        // An object of another name says nothing of this one.
        let object = Some(object).filter(|object| object.id == id);
        object.and_then(read).ok_or(Failure::OutcomeUnknown)
    }

    async fn page<O: DeserializeOwned, T>(
        &self,
        list: &str,
        since: Timestamp,
        after: Option<&str>,
        read: fn(Named<O>) -> Option<T>,
    ) -> Result<Page<T>, Failure> {
        let since_s = since.unix_ms().div_euclid(1_000);
        let mut path = format!("/v1/{list}?created%5Bgte%5D={since_s}&limit={PAGE_OBJECTS}");
        if let Some(after) = after {
            path = format!("{path}&starting_after={}", named(after)?);
        }
        let page: List<Listed<O>> = self.ask(Call::get(path).on_behalf_of(CLIENT)).await?;
        let next = match page.data.last() {
            Some(end) if page.has_more => Some(end.id().ok_or(Failure::OutcomeUnknown)?),
            // More, and nothing to go on from: the rest would be taken for absent.
            None if page.has_more => return Err(Failure::OutcomeUnknown),
            Some(_) | None => None,
        };
        let mut unreadable: u64 = 0;
        let mut objects = Vec::with_capacity(page.data.len());
        for listed in page.data {
            match listed.read(read) {
                Some(object) => objects.push(object),
                None => unreadable = unreadable.saturating_add(1),
            }
        }
        Ok(Page {
            objects,
            unreadable,
            next,
        })
    }
}

/// An object of a list. One that is not what it should be spoils itself and not its page.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed<O> {
    Object(Named<O>),
    Named { id: String },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Named<O> {
    id: String,
    #[serde(flatten)]
    rest: O,
}

impl<O> Listed<O> {
    fn id(&self) -> Option<String> {
        match self {
            Self::Object(Named { id, .. }) | Self::Named { id } => is_id(id).then(|| id.clone()),
            Self::Other(_) => None,
        }
    }

    fn read<T>(self, read: fn(Named<O>) -> Option<T>) -> Option<T> {
        match self {
            Self::Object(object) => read(object),
            Self::Named { .. } | Self::Other(_) => None,
        }
    }
}

/// A `payment_intent`.
#[derive(Deserialize)]
struct PaymentIntent {
    amount: i64,
    amount_received: Option<i64>,
    currency: String,
    status: String,
    created: i64,
    metadata: Option<Metadata>,
}

/// A `refund`.
#[derive(Deserialize)]
struct Refund {
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    /// Null where Stripe has none.
    status: Option<String>,
    created: i64,
    metadata: Option<Metadata>,
}

/// A `dispute`.
#[derive(Deserialize)]
struct Dispute {
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    reason: String,
    status: String,
    created: i64,
}

fn payment(Named { id, rest }: Named<PaymentIntent>) -> Option<ListedPayment> {
    let metadata = rest.metadata.unwrap_or_default();
    Some(ListedPayment {
        id: checked_id(id, &["pi_"])?,
        charge: metadata.charge,
        request: metadata.request,
        amount: minor_units(rest.amount, &rest.currency)?,
        captured: minor_units(rest.amount_received.unwrap_or(0), &rest.currency)?,
        currency: checked_currency(rest.currency)?,
        status: status(&rest.status),
        created_at: moment(rest.created)?,
    })
}

fn refund(Named { id, rest }: Named<Refund>) -> Option<ListedRefund> {
    let metadata = rest.metadata.unwrap_or_default();
    Some(ListedRefund {
        id: checked_id(id, &["re_", "pyr_"])?,
        payment: checked_payment(rest.payment_intent).ok()?,
        refund: metadata.refund,
        request: metadata.request,
        amount: minor_units(rest.amount, &rest.currency)?,
        currency: checked_currency(rest.currency)?,
        status: rest.status.as_deref().and_then(refund_state),
        created_at: moment(rest.created)?,
    })
}

fn dispute(Named { id, rest }: Named<Dispute>) -> Option<ListedDispute> {
    Some(ListedDispute {
        id: checked_id(id, &["du_", "dp_"])?,
        payment: checked_payment(rest.payment_intent).ok()?,
        amount: minor_units(rest.amount, &rest.currency)?,
        currency: checked_currency(rest.currency)?,
        reason: Some(rest.reason).filter(|reason| is_name(reason))?,
        status: Some(rest.status).filter(|status| is_name(status))?,
        created_at: moment(rest.created)?,
    })
}

/// Stripe's states of a payment
/// (<https://docs.stripe.com/payments/paymentintents/lifecycle>).
fn status(status: &str) -> Option<ListedStatus> {
    match status {
        "succeeded" => Some(ListedStatus::Succeeded),
        "requires_capture" => Some(ListedStatus::RequiresCapture),
        "requires_action" => Some(ListedStatus::RequiresAction),
        "processing" | "requires_confirmation" => Some(ListedStatus::Processing),
        "canceled" => Some(ListedStatus::Canceled),
        "requires_payment_method" => Some(ListedStatus::Declined),
        _ => None,
    }
}

fn checked_id(id: String, prefixes: &[&str]) -> Option<String> {
    let known = prefixes.iter().any(|prefix| id.starts_with(prefix));
    (known && is_id(&id)).then_some(id)
}

/// What stands where a payment's id must is none.
struct NoPayment;

/// A payment's id may be missing; one that is there must be one.
fn checked_payment(id: Option<String>) -> Result<Option<String>, NoPayment> {
    id.map(|id| checked_id(id, &["pi_"]).ok_or(NoPayment))
        .transpose()
}

/// Stripe's amount in the currency's minor unit, which is not always Stripe's own.
fn minor_units(amount: i64, currency: &str) -> Option<i64> {
    amounts::from_stripe(amount, currency).filter(|amount| *amount >= 0)
}

fn checked_currency(currency: String) -> Option<String> {
    let plain = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_lowercase());
    plain.then_some(currency)
}

fn moment(created_s: i64) -> Option<Timestamp> {
    created_s.checked_mul(1_000).map(Timestamp::from_unix_ms)
}
