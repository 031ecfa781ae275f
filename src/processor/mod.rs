//! The door to the card networks.
//!
//! [`Processor`] turns a card into a reusable reference and charges that reference. It speaks in
//! our own words: a closed set of [`Failure`]s, declines by code, ids checked before they are
//! believed. Nothing that a processor writes as free text comes through this door, because such
//! text may quote what was sent.
//!
//! A card passes here once, in [`Processor::vault_card`]: encoded in place into one wiped buffer
//! and dropped before the first await. Everything else carries references only.
//!
//! A second processor is a new arm of [`Processor`] and a module beside [`stripe`]. Read
//! [`Processor`] for the verbs, [`Failure`] for how they end badly, then `stripe/cards.rs`.

mod failure;
mod order;
mod outcome;
#[cfg(test)]
mod peer;
mod reference;
mod settings;
pub mod stripe;
mod transport;

pub use failure::{Advice, CardFault, Decline, DeclineCode, Failure};
pub use order::{Address, BillingDetails, CardOrder, ChargeOrder};
pub use outcome::{NextAction, Payment, PaymentStatus, SetupState, VaultedCard};
pub use reference::{Reference, ReferenceRefused};
pub use settings::{SecretKey, SecretKeyRefused, Settings, SetupRefused};

use crate::card::Card;

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

    /// Makes the customer to whom references are attached, and answers its id. The processor
    /// learns no personal data by it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn create_customer(&self, idempotency_key: &str) -> Result<String, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.create_customer(idempotency_key).await,
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
    pub async fn setup_state(&self, reference: &Reference) -> Result<SetupState, Failure> {
        match self {
            Self::Stripe(stripe) => stripe.setup_state(reference).await,
        }
    }

    /// Makes the processor forget a reference. One that it does not know any more is forgotten.
    ///
    /// # Errors
    /// [`Failure`]; repeating the call is always safe.
    pub async fn detach(&self, reference: &Reference) -> Result<(), Failure> {
        match self {
            Self::Stripe(stripe) => stripe.detach(reference).await,
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
