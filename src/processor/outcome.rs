//! What a processor did, in our words.

use std::fmt;

use crate::token::CardSummary;

use super::{Decline, DeclineCode, Reference};

/// A card that can be charged by its reference.
#[derive(Debug)]
pub struct VaultedCard {
    /// What charges the card; to be sealed.
    pub reference: Reference,
    /// What the world may know of it.
    pub summary: CardSummary,
    /// What the shopper has still to do before the issuer agrees.
    pub next_action: Option<NextAction>,
    /// The processor's own mark of the card, the same for the same number, where it gives one.
    pub fingerprint: Option<String>,
    /// Whether this very card was posted under this key before: the processor compared.
    pub replayed: bool,
}

/// What the shopper has to do.
#[derive(Clone, PartialEq, Eq)]
pub struct NextAction {
    /// The issuer's page, `https`. Whoever has it can act as the shopper, so it is not logged.
    pub redirect_url: String,
}

impl fmt::Debug for NextAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextAction(..)")
    }
}

/// A payment as the processor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The processor's id of it.
    pub id: String,
    /// Where it is in its life.
    pub status: PaymentStatus,
    /// How much was taken, in the currency's minor unit; 0 unless it succeeded.
    pub captured: i64,
    /// Our charge id, where it carries one.
    pub charge: Option<String>,
    /// What the networks and the issuer said about it.
    pub details: PaymentDetails,
}

/// What finance and disputes need to know of a payment, where the processor says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentDetails {
    /// The card network's id of the transaction.
    pub network_transaction_id: Option<String>,
    /// What the issuer said of the security code.
    pub cvc_check: Option<Check>,
    /// What the issuer said of the postal code.
    pub postal_code_check: Option<Check>,
}

/// An issuer's check of a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is right.
    Pass,
    /// It is wrong.
    Fail,
    /// The issuer does not check it.
    Unavailable,
    /// It was not asked.
    Unchecked,
}

impl Check {
    /// Every result there is.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Unavailable, Self::Unchecked];

    /// The name on the wire and in the schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unavailable => "unavailable",
            Self::Unchecked => "unchecked",
        }
    }

    /// The result of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

/// A refund as the processor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The processor's id of it.
    pub id: String,
    /// In the currency's minor unit.
    pub amount: i64,
    /// Where it is in its life.
    pub status: RefundState,
    /// Why it failed, where it did.
    pub failure: Option<DeclineCode>,
    /// Our refund id, where it carries one.
    pub refund: Option<String>,
    /// The mark of the request that it was made for, where it carries one.
    pub request: Option<String>,
}

/// Where a refund is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// The processor has it and will tell later.
    Pending,
    /// The money is on its way back.
    Succeeded,
    /// The bank did not take it.
    Failed,
    /// Given up before any money moved.
    Canceled,
}

/// Where a payment is in its life.
#[derive(Clone, PartialEq, Eq)]
pub enum PaymentStatus {
    /// The money is on its way.
    Succeeded,
    /// Authorized, waiting for its capture.
    RequiresCapture,
    /// The issuer wants the shopper to authenticate.
    RequiresAction {
        /// The issuer's page, `https`.
        redirect_url: String,
    },
    /// The issuer wants an authentication that this service cannot send a shopper to: the payment
    /// is to be canceled.
    ActionUnsupported,
    /// The processor has it and will tell later.
    Processing,
    /// Given up before any money moved.
    Canceled,
    /// Refused.
    Declined(Decline),
}

impl fmt::Debug for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("Succeeded"),
            Self::RequiresCapture => f.write_str("RequiresCapture"),
            Self::RequiresAction { .. } => f.write_str("RequiresAction(..)"),
            Self::ActionUnsupported => f.write_str("ActionUnsupported"),
            Self::Processing => f.write_str("Processing"),
            Self::Canceled => f.write_str("Canceled"),
            Self::Declined(decline) => f.debug_tuple("Declined").field(decline).finish(),
        }
    }
}

/// Whether a reference can be charged at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardState {
    /// The card is attached to its customer.
    Attached,
    /// The processor has let go of it: it can never be charged again.
    Detached,
}

/// Whether the issuer has agreed to a vaulted card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupState {
    /// It has.
    Succeeded,
    /// The shopper has not finished.
    Pending,
    /// It has not, and will not by waiting.
    Failed,
}
