//! Why a verb did not do what it was asked, as a closed set.
//!
//! A refusal says what its caller may know. What only the operator may know is logged where it is
//! met, once.

use crate::card;
use crate::processor::{self, Decline};
use crate::seal;
use crate::store;
use crate::token::ChargeId;

/// Where in the request a card's detail is wrong, and why; found by our parsers or by the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardFault {
    /// JSON pointer: `/card/number`.
    pub pointer: &'static str,
    /// A stable word: `checksum`.
    pub reason: &'static str,
}

impl From<card::Fault> for CardFault {
    fn from(fault: card::Fault) -> Self {
        Self {
            pointer: fault.field.pointer(),
            reason: fault.reason.name(),
        }
    }
}

impl From<processor::CardFault> for CardFault {
    fn from(fault: processor::CardFault) -> Self {
        Self {
            pointer: fault.pointer(),
            reason: fault.name(),
        }
    }
}

/// Why a verb refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The credential is unknown, spent or expired; the words say which, as far as that helps its
    /// rightful owner.
    #[error("not authenticated")]
    Unauthenticated(&'static str),
    /// The credential is a right to something else; the words say to what.
    #[error("not granted")]
    NotGranted(&'static str),
    /// There is no such thing for this caller.
    #[error("not found")]
    NotFound,
    /// The token was deleted.
    #[error("the token is deleted")]
    TokenDeleted,
    /// The card's details are not a card's.
    #[error("the card is not valid")]
    InvalidCard(Vec<CardFault>),
    /// The issuer or the processor declined.
    #[error("declined")]
    Declined {
        /// Why.
        decline: Decline,
        /// The charge, where there is one.
        charge: Option<ChargeId>,
        /// Whether an earlier request with the same key was answered with it.
        replayed: bool,
    },
    /// What was signed is not what the processor tells.
    #[error("not readable")]
    Unreadable,
    /// A field of the request is not one that the processor takes.
    #[error("invalid request: {0}")]
    Invalid(processor::RequestFault),
    /// What it is asked of is not in a state for it; the words say which.
    #[error("not possible")]
    Impossible(&'static str),
    /// More money than there is: a stable word says of what.
    #[error("too much")]
    TooMuch(&'static str),
    /// The idempotency key belongs to another request.
    #[error("the idempotency key belongs to another request")]
    IdempotencyMismatch,
    /// The same request is still running.
    #[error("the same request is still running")]
    InFlight {
        /// Seconds after which it should have ended.
        retry_after_s: u32,
    },
    /// The attempts of a session are used up.
    #[error("no attempt is left")]
    AttemptsExhausted,
    /// A rule of the watch wants the shopper verified anew.
    #[error("the shopper must be verified again")]
    VerificationRequired,
    /// The processor or this service takes no more at the moment.
    #[error("too many requests")]
    RateLimited {
        /// Seconds after which to come back.
        retry_after_s: u32,
    },
    /// The processor cannot be reached, does not answer or does not accept our key.
    #[error("the processor is not available")]
    ProcessorUnavailable,
    /// The store takes no writes or gives no rows.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The stored value or its key cannot be opened.
    #[error("sealed")]
    Sealed,
    /// The module or the service that holds the key does not answer.
    #[error("the provider of the key (hardware module or key service) does not answer")]
    KeyProvider,
    /// A fault of our own.
    #[error("internal")]
    Internal,
}

impl From<store::Failure> for Refusal {
    fn from(failure: store::Failure) -> Self {
        tracing::error!(%failure, "store");
        match failure {
            store::Failure::Inconsistent { .. } => Self::Internal,
            store::Failure::Unavailable(_)
            | store::Failure::Illegal(_)
            | store::Failure::SchemaTooOld { .. }
            | store::Failure::SchemaUnknown { .. }
            | store::Failure::SchemaChanged { .. }
            | store::Failure::LoginTooBroad { .. } => Self::StoreUnavailable,
        }
    }
}

impl From<seal::Refused> for Refusal {
    fn from(refused: seal::Refused) -> Self {
        match refused {
            seal::Refused::Value => {
                tracing::error!(%refused, "a stored value does not open: altered, moved, or of another key");
                Self::Sealed
            }
            seal::Refused::Provider => {
                tracing::error!(%refused, "nothing is opened: the hardware module or the key service is missing");
                Self::KeyProvider
            }
        }
    }
}

impl From<processor::Failure> for Refusal {
    fn from(failure: processor::Failure) -> Self {
        use processor::Failure;
        match failure {
            Failure::Declined(decline) => Self::Declined {
                decline,
                charge: None,
                replayed: false,
            },
            Failure::CardInvalid(fault) => Self::InvalidCard(vec![fault.into()]),
            Failure::Invalid(fault) => Self::Invalid(fault),
            Failure::IdempotencyMismatch => Self::IdempotencyMismatch,
            Failure::InFlight { retry_after_s } => Self::InFlight { retry_after_s },
            Failure::RateLimited { retry_after_s } => Self::RateLimited { retry_after_s },
            Failure::NotAuthorized => {
                tracing::error!("the processor does not accept our key; see `cloakroom check`");
                Self::ProcessorUnavailable
            }
            Failure::RawCardsRefused => {
                tracing::error!(
                    "the processor account may not send card numbers; see pci-docs/processor.md"
                );
                Self::ProcessorUnavailable
            }
            Failure::Rejected | Failure::Missing => {
                tracing::error!(%failure, "the processor refused a request of ours");
                Self::Internal
            }
            Failure::NotSent | Failure::OutcomeUnknown | Failure::FaultKept => {
                tracing::warn!(%failure, "processor");
                Self::ProcessorUnavailable
            }
        }
    }
}
