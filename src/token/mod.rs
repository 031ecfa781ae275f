//! Tokens: the ids, and what the world may know of the card behind one.
//!
//! Everything here is safe to store in clear and to show to the merchant that owns it. What can
//! charge a card, the processor's reference, is sealed and lives elsewhere. Read [`id`] next.

pub mod id;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use id::{
    AlertId, BlockId, ChargeId, DataKeyId, Environment, EventId, Id, IncidentId, RefundId,
    ReportId, RequestId, RunId, SessionId, TokenId,
};

/// The merchant, brand or subsidiary to which clients, tokens and charges belong.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

impl Account {
    /// Letters, digits, `-` and `_`, at most this many.
    pub const LENGTH_MAX: usize = 64;

    /// The account's name in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a name for an account: letters, digits, `-` and `_`, 1 to 64 of them.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an account's name is 1 to 64 letters, digits, '-' or '_'")]
pub struct AccountRefused;

impl TryFrom<String> for Account {
    type Error = AccountRefused;

    fn try_from(name: String) -> Result<Self, AccountRefused> {
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
        if (1..=Self::LENGTH_MAX).contains(&name.len()) && name.bytes().all(plain) {
            Ok(Self(name))
        } else {
            Err(AccountRefused)
        }
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the processor tells about a card and the world may know (PCI DSS 3.4.1 allows the last
/// four digits): all that is ever stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSummary {
    /// The processor's name of the brand: `visa`.
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// Month of expiry, 1 to 12.
    pub exp_month: u8,
    /// Year of expiry, four digits.
    pub exp_year: u16,
    /// `credit`, `debit`, `prepaid` or `unknown`.
    pub funding: String,
    /// ISO 3166-1 alpha-2 country of the issuer, where the processor knows it.
    pub country: Option<String>,
}

/// Defines a closed set of names that stands the same in the wire, the schema and the code.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of its life.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name on the wire and in the schema.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

names! {
    /// Where a token is in its life.
    TokenStatus {
        /// It can be charged.
        Active = "active",
        /// The issuer still wants the shopper to authenticate.
        RequiresAction = "requires_action",
        /// Its deletion has begun; it can no longer be charged.
        Deleting = "deleting",
        /// Its sealed value is erased; only the tombstone stays.
        Deleted = "deleted",
    }

    /// How the merchant means to charge the token.
    Usage {
        /// While the shopper is away: subscriptions, later shipments.
        OffSession = "off_session",
        /// Only while the shopper is there.
        OnSession = "on_session",
    }

    /// Where a charge is in its life.
    ChargeStatus {
        /// Written down; what the processor did is not known yet.
        Processing = "processing",
        /// The money is on its way.
        Succeeded = "succeeded",
        /// Authorized, waiting for its capture.
        RequiresCapture = "requires_capture",
        /// The issuer wants the shopper to authenticate.
        RequiresAction = "requires_action",
        /// Refused by the issuer or the processor.
        Declined = "declined",
        /// Given up before any money moved.
        Canceled = "canceled",
    }

    /// What is done with an authorized charge.
    ChargeOperation {
        /// The money is taken, all of it or a part.
        Capture = "capture",
        /// It is given up.
        Cancel = "cancel",
    }

    /// Where a refund is in its life.
    RefundStatus {
        /// Asked for; the money is not known to be on its way back.
        Processing = "processing",
        /// The money is on its way back.
        Succeeded = "succeeded",
        /// The bank did not take it; the money is the merchant's again.
        Failed = "failed",
        /// Given up before any money moved.
        Canceled = "canceled",
    }

    /// Why a merchant gives money back.
    RefundReason {
        /// It was charged twice.
        Duplicate = "duplicate",
        /// The shopper did not ask for the charge.
        Fraudulent = "fraudulent",
        /// The shopper asked for the money.
        RequestedByCustomer = "requested_by_customer",
    }
}
