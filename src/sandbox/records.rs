//! What the sandbox remembers, one record a kind of Stripe object. None of it is a card number.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::declines::Decline;
use super::ids::Card;
use super::intents::Core;
use super::words::Word;
use crate::clock::Timestamp;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) fields: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PaymentMethod {
    pub(super) id: String,
    pub(super) card: Card,
    pub(super) created_s: i64,
    pub(super) billing_details: Value,
    pub(super) metadata: Map<String, Value>,
    pub(super) customer: Option<String>,
    pub(super) set_up: bool,
    pub(super) standing: Standing,
}

/// Whether a `PaymentMethod` may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    Usable,
    /// Told by its id after a restart: it belongs to whoever first presents it.
    Rebuilt,
    Detached,
    /// Charged without a customer: never again, says Stripe.
    Spent,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SetupIntent {
    pub(super) core: Core,
    pub(super) created_s: i64,
    #[serde(with = "super::words")]
    pub(super) usage: Word,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) core: Core,
    #[serde(with = "super::words::moment")]
    pub(super) created: Timestamp,
    pub(super) amount: i64,
    pub(super) amount_received: i64,
    pub(super) currency: String,
    pub(super) manual_capture: bool,
    #[serde(with = "super::words::if_any")]
    pub(super) setup_future_usage: Option<Word>,
    pub(super) statement_descriptor_suffix: Option<String>,
    pub(super) latest_charge: Option<String>,
    pub(super) canceled_s: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) payment_intent: String,
    pub(super) customer: Option<String>,
    pub(super) payment_method: PaymentMethod,
    pub(super) amount: i64,
    pub(super) amount_captured: i64,
    pub(super) amount_refunded: i64,
    /// Refunds made of it, failed ones too.
    pub(super) refunds: u64,
    pub(super) fate: Fate,
    pub(super) currency: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) statement_descriptor_suffix: Option<String>,
    /// A dispute has taken its money away.
    pub(super) disputed: bool,
    pub(super) dispute: Option<String>,
}

/// How far a charge has come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Fate {
    /// Neither agreed to nor refused yet: its `PaymentIntent` is `processing`.
    Pending,
    /// The issuer agreed and holds the money.
    Held,
    Taken,
    /// Held money that was given back.
    Released,
    Refused(#[serde(with = "super::words::decline")] &'static Decline),
}

impl Charge {
    pub(super) const fn failure(&self) -> Option<&'static Decline> {
        match self.fate {
            Fate::Refused(decline) => Some(decline),
            Fate::Pending | Fate::Held | Fate::Taken | Fate::Released => None,
        }
    }

    pub(super) const fn is_taken(&self) -> bool {
        matches!(self.fate, Fate::Taken)
    }

    /// Stripe's word for it.
    pub(super) const fn status(&self) -> &'static str {
        match self.fate {
            Fate::Pending => "pending",
            Fate::Held | Fate::Taken | Fate::Released => "succeeded",
            Fate::Refused(_) => "failed",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) charge: String,
    pub(super) payment_intent: String,
    #[serde(with = "super::words::if_any")]
    pub(super) reason: Option<Word>,
    pub(super) metadata: Map<String, Value>,
    /// `pending`, `succeeded` or `failed`.
    #[serde(with = "super::words")]
    pub(super) status: Word,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dispute {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) charge: String,
    pub(super) payment_intent: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    #[serde(with = "super::words")]
    pub(super) brand: Word,
    #[serde(with = "super::words")]
    pub(super) reason: Word,
    #[serde(with = "super::words")]
    pub(super) status: Word,
    /// A question of the issuer's: no money has moved.
    pub(super) inquiry: bool,
    /// What the merchant has submitted, which is in each of its events.
    pub(super) evidence: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
}
