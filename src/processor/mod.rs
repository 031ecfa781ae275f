//! The door to the card networks.
//!
//! [`Processor`] turns a card into a reusable reference and charges that reference. It speaks in
//! our own words: a closed set of [`Failure`]s, declines by code, ids checked before they are
//! believed. Nothing that a processor writes as free text comes through this door, because such
//! text may quote what was sent.
//!
//! A card passes here once, in [`Processor::vault_card`], and the security code of a saved one in
//! [`Processor::take_security_code`]: encoded in place into one wiped buffer and dropped before the
//! first await. Everything else carries references only.
//!
//! A second processor is a new arm of [`Processor`] and a module beside [`stripe`]. Read
//! [`Processor`] for the verbs, [`Failure`] for how they end badly, then `stripe/cards.rs`.

mod failure;
mod governor;
mod listed;
mod order;
mod outcome;
#[cfg(test)]
mod peer;
mod reference;
mod settings;
pub mod stripe;
mod transport;
pub mod webhook;

pub use failure::{Advice, CardFault, Decline, DeclineCode, Effect, Failure, RequestFault};
pub use governor::{
    Limits, STRIPE_ENDPOINT_REQUESTS_PER_S_MAX, STRIPE_LIVE_REQUESTS_PER_S_MAX,
    STRIPE_TEST_REQUESTS_PER_S_MAX,
};
pub use listed::{ListedDispute, ListedPayment, ListedRefund, ListedStatus, Page};
pub use order::{
    Address, AttachOrder, BillingDetails, CancelOrder, CaptureOrder, CardOrder, ChallengeOrder,
    ChargeOrder, RefundOrder, SecurityCodeOrder, Sought,
};
pub use outcome::{
    CardState, Check, NextAction, Payment, PaymentDetails, PaymentStatus, Refund, RefundState,
    SetupState, VaultedCard,
};
pub use reference::{Reference, ReferenceRefused};
pub use settings::{SecretKey, SecretKeyRefused, Settings, SetupRefused};

pub use crate::token::RefundReason;

use crate::card::{Card, Cvc};
use crate::clock::Timestamp;

/// A processor: one arm for each that is spoken.
#[derive(Debug)]
pub enum Processor {
    /// Stripe, or whatever speaks its wire form.
    Stripe(Box<stripe::Stripe>),
}

impl Processor {
    /// The door to Stripe. Connects to nothing yet.
    ///
    /// # Errors
    /// [`SetupRefused`] when the settings cannot make a safe connection.
    pub fn stripe(settings: &Settings) -> Result<Self, SetupRefused> {
        Ok(Self::Stripe(Box::new(stripe::Stripe::new(settings)?)))
    }

    /// Turns a card into a reference that can be charged later, and lets the issuer check it.
    ///
    /// The card is dropped, and so wiped, before anything is awaited. Repeating the call with the
    /// same idempotency key and the same card gives the same reference.
    ///
    /// # Errors
    /// [`Failure::CardInvalid`] and [`Failure::Declined`] are the shopper's to mend; after
    /// [`Failure::NotSent`] no card was taken in; the others are told by their names.
    pub async fn vault_card(
        &self,
        card: Card,
        order: &CardOrder<'_>,
    ) -> Result<VaultedCard, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.vault_card(card, order).await,
        }
    }

    /// Turns the security code of a saved card into the processor's name of it, good for one charge.
    ///
    /// The code is dropped, and so wiped, before anything is awaited. Whether it is right only the
    /// issuer tells, when it is charged with.
    ///
    /// # Errors
    /// [`Failure::CardInvalid`] is the shopper's to mend; the others are told by their names.
    pub async fn take_security_code(
        &self,
        code: Cvc,
        order: &SecurityCodeOrder<'_>,
    ) -> Result<String, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.take_security_code(code, order).await,
        }
    }

    /// Makes the customer to whom references are attached, and answers its id. The processor
    /// learns no personal data by it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn create_customer(
        &self,
        idempotency_key: &str,
        client: &str,
    ) -> Result<String, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.create_customer(idempotency_key, client).await,
        }
    }

    /// Whether so much can be charged in that currency: `amount` in the minor unit of ISO 4217,
    /// `currency` in lower case. To be asked before anything is written down.
    ///
    /// # Errors
    /// The field that this processor does not take: `/amount` or `/currency`.
    pub fn check_amount(&self, amount: i64, currency: &str) -> Result<(), RequestFault> {
        match self {
            Self::Stripe(stripe) => stripe.check_amount(amount, currency),
        }
    }

    /// Charges a reference, once for each idempotency key.
    ///
    /// A decline that made a payment object is a [`Payment`] with
    /// [`PaymentStatus::Declined`]; one that made none is [`Failure::Declined`].
    ///
    /// # Errors
    /// [`Failure`]; after [`Failure::OutcomeUnknown`] and [`Failure::InFlight`] the money may have
    /// moved, and only repeating the call with the same key tells.
    pub async fn charge(
        &self,
        reference: &Reference,
        order: &ChargeOrder<'_>,
    ) -> Result<Payment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.charge(reference, order).await,
        }
    }

    /// Whether the shopper has authenticated a reference whose issuer asked for it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn setup_state(
        &self,
        reference: &Reference,
        client: &str,
    ) -> Result<SetupState, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.setup_state(reference, client).await,
        }
    }

    /// Makes the processor forget a reference. One that it does not know any more is forgotten.
    ///
    /// # Errors
    /// [`Failure`]; repeating the call is always safe.
    pub async fn detach(&self, reference: &Reference, client: &str) -> Result<(), Failure> {
        match self {
            Self::Stripe(stripe) => stripe.detach(reference, client).await,
        }
    }

    /// Attaches what a browser vaulted at the processor itself, and lets the issuer check it.
    ///
    /// # Errors
    /// [`Failure::Missing`] where the processor does not know it, [`Failure::Rejected`] where it is
    /// no card or is somebody else's; else [`Failure`].
    pub async fn attach(&self, order: &AttachOrder<'_>) -> Result<VaultedCard, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.attach(order).await,
        }
    }

    /// How a payment stands.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn payment(&self, id: &str, client: &str) -> Result<Payment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.payment(id, client).await,
        }
    }

    /// The payment of a customer that carries our charge id or the mark of the request, made after
    /// `since`; nothing where surely none was made.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn find_payment(
        &self,
        customer: &str,
        sought: Sought<'_>,
        since: Timestamp,
        client: &str,
    ) -> Result<Option<Payment>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.find_payment(customer, sought, since, client).await,
        }
    }

    /// Takes an authorized payment.
    ///
    /// # Errors
    /// [`Failure::Rejected`] where it is not authorized, or not for so much: then
    /// [`payment`](Self::payment) tells how it stands; else [`Failure`].
    pub async fn capture(&self, order: &CaptureOrder<'_>) -> Result<Payment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.capture(order).await,
        }
    }

    /// Confirms a payment once more whose shopper did not authenticate, and who is there now: the
    /// same payment, with a page of the issuer's to send them to.
    ///
    /// # Errors
    /// [`Failure::Rejected`] where it does not wait for that; else [`Failure`].
    pub async fn challenge(
        &self,
        reference: &Reference,
        order: &ChallengeOrder<'_>,
    ) -> Result<Payment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.challenge(reference, order).await,
        }
    }

    /// Gives a payment up before money moves.
    ///
    /// # Errors
    /// [`Failure::Rejected`] where it is too late for that; else [`Failure`].
    pub async fn cancel(&self, order: &CancelOrder<'_>) -> Result<Payment, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.cancel(order).await,
        }
    }

    /// Gives money back.
    ///
    /// # Errors
    /// [`Failure::Rejected`] where so much was not taken; else [`Failure`].
    pub async fn refund(&self, order: &RefundOrder<'_>) -> Result<Refund, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.refund(order).await,
        }
    }

    /// How a refund stands.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn refund_state(&self, id: &str, client: &str) -> Result<Refund, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.refund_state(id, client).await,
        }
    }

    /// The refund of a payment that carries our refund id or the mark of the request; nothing where
    /// surely none was made.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn find_refund(
        &self,
        payment: &str,
        sought: Sought<'_>,
        client: &str,
    ) -> Result<Option<Refund>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.find_refund(payment, sought, client).await,
        }
    }

    /// All refunds of a payment, the newest first.
    ///
    /// # Errors
    /// [`Failure`]; more of them than are read is [`Failure::OutcomeUnknown`].
    pub async fn refunds_of(&self, payment: &str, client: &str) -> Result<Vec<Refund>, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.refunds_of(payment, client).await,
        }
    }

    /// Whether a vaulted card is still attached to its customer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn card_state(
        &self,
        reference: &Reference,
        client: &str,
    ) -> Result<CardState, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.card_state(reference, client).await,
        }
    }

    /// Whether the account may send card numbers at all. Leaves a published test card behind that
    /// belongs to nobody.
    ///
    /// # Errors
    /// [`Failure::RawCardsRefused`] where it may not; else [`Failure`].
    pub async fn accepts_raw_cards(&self) -> Result<(), Failure> {
        match self {
            Self::Stripe(stripe) => stripe.accepts_raw_cards().await,
        }
    }

    /// Whether the processor is reached, trusted and lets this key in; changes nothing there.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Stripe(stripe) => stripe.check().await,
        }
    }
}
