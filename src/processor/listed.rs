//! What a processor lists of its own objects, for the comparison with our rows.
//!
//! A list says less than an object that is read alone: it is enough to see that something differs,
//! never enough to change a row by. Read [`crate::reconciliation`] next.

use super::{Failure, Processor, RefundState};
use crate::clock::Timestamp;

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its objects.
    pub objects: Vec<T>,
    /// Objects of the page that are not what the processor documents.
    pub unreadable: u64,
    /// Where the next page begins; nothing where this is the last one.
    pub next: Option<String>,
}

/// Where a listed payment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListedStatus {
    /// The money is on its way.
    Succeeded,
    /// Authorized, waiting for its capture.
    RequiresCapture,
    /// The issuer wants the shopper to authenticate.
    RequiresAction,
    /// The processor has it and decides later.
    Processing,
    /// Given up before any money moved.
    Canceled,
    /// Refused; it can still be confirmed with another card.
    Declined,
}

impl ListedStatus {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::RequiresCapture,
        Self::RequiresAction,
        Self::Processing,
        Self::Canceled,
        Self::Declined,
    ];

    /// The name in reports: that of a charge in the same state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::RequiresCapture => "requires_capture",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::Canceled => "canceled",
            Self::Declined => "declined",
        }
    }
}

/// A payment as the processor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPayment {
    /// The processor's id of it.
    pub id: String,
    /// What its metadata names as our charge.
    pub charge: Option<String>,
    /// The mark of the request that it was made for, where its metadata have one.
    pub request: Option<String>,
    /// In the currency's minor unit.
    pub amount: i64,
    /// How much was taken.
    pub captured: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Nothing where the processor says what is not known yet.
    pub status: Option<ListedStatus>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A refund as the processor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRefund {
    /// The processor's id of it.
    pub id: String,
    /// The processor's id of the payment that it refunds.
    pub payment: Option<String>,
    /// What its metadata names as our refund.
    pub refund: Option<String>,
    /// The mark of the request that it was made for, where its metadata have one.
    pub request: Option<String>,
    /// In the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Nothing where the processor does not say, or says what is not known yet.
    pub status: Option<RefundState>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A dispute as the processor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDispute {
    /// The processor's id of it.
    pub id: String,
    /// The processor's id of the disputed payment.
    pub payment: Option<String>,
    /// In the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Why, in the processor's word.
    pub reason: String,
    /// Where it is in its life, in the processor's word.
    pub status: String,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl Processor {
    /// A page of the payments made since a moment, newest first: the first one, or the one that
    /// [`Page::next`] names.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn payments_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedPayment>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.payments_since(since, after).await,
        }
    }

    /// A page of the refunds made since a moment, newest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn refunds_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedRefund>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.refunds_since(since, after).await,
        }
    }

    /// A page of the disputes opened since a moment, newest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn disputes_since(
        &self,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<Page<ListedDispute>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.disputes_since(since, after).await,
        }
    }

    /// A payment as a list has it, read alone.
    ///
    /// # Errors
    /// [`Failure::Missing`] where the processor has none of that id; else [`Failure`].
    pub async fn listed_payment(&self, id: &str) -> Result<ListedPayment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.listed_payment(id).await,
        }
    }

    /// A refund as a list has it, read alone.
    ///
    /// # Errors
    /// [`Failure::Missing`] where the processor has none of that id; else [`Failure`].
    pub async fn listed_refund(&self, id: &str) -> Result<ListedRefund, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.listed_refund(id).await,
        }
    }

    /// A dispute as a list has it, read alone.
    ///
    /// # Errors
    /// [`Failure::Missing`] where the processor has none of that id; else [`Failure`].
    pub async fn listed_dispute(&self, id: &str) -> Result<ListedDispute, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.listed_dispute(id).await,
        }
    }
}
