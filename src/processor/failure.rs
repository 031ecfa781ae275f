//! How a call to a processor ends badly: a closed set, without a word of the processor's own.
//!
//! The one distinction that money hangs on is whether anything happened. [`Failure::effect`] is the
//! only place that decides it; what cannot be told apart is [`Effect::Unknown`].

use std::fmt;

/// Why a call did not bring what it was for.
///
/// Carries nothing of the answer but checked codes: the processor's free text may quote the
/// request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The issuer or the processor refused the card.
    #[error("declined: {0}")]
    Declined(Decline),
    /// The idempotency key was used before with other parameters.
    #[error("the idempotency key was used with other parameters")]
    IdempotencyMismatch,
    /// Another request with this key, or on this object, still runs.
    #[error("a request with this key is in flight; try again in {retry_after_s} s")]
    InFlight {
        /// Seconds to wait before repeating.
        retry_after_s: u32,
    },
    /// The processor asks for fewer requests. This one changed nothing.
    #[error("the processor limits the rate; try again in {retry_after_s} s")]
    RateLimited {
        /// Seconds to wait before repeating.
        retry_after_s: u32,
    },
    /// The card's details cannot be a card.
    #[error("not a card: {0}")]
    CardInvalid(CardFault),
    /// The processor does not let our key in, or not for this.
    #[error("the processor does not authorize our key for this")]
    NotAuthorized,
    /// The processor's account is not approved to send raw card numbers.
    #[error("the processor's account is not approved for raw card numbers")]
    RawCardsRefused,
    /// A field of the caller's is not one that the processor takes: nothing was charged.
    #[error("invalid request: {0}")]
    Invalid(RequestFault),
    /// The processor understood the request and refused it: a fault of ours or of our caller.
    #[error("the processor refused the request")]
    Rejected,
    /// What the request names does not exist at the processor.
    #[error("the processor does not know what the request names")]
    Missing,
    /// No connection was made: nothing happened.
    #[error("the processor was not reached")]
    NotSent,
    /// The processor keeps a server's fault under this key and will repeat it: what it did must be
    /// looked up.
    #[error("the processor keeps a fault under this key")]
    FaultKept,
    /// The request may have been carried out: timeout, cut, server fault or unreadable answer.
    #[error("what the processor did is unknown")]
    OutcomeUnknown,
}

/// What a failed request has done at the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This request did nothing. An earlier one under the same key may have.
    None,
    /// It may have been carried out, or still runs; the same request under the same key tells.
    Unknown,
    /// It was refused, and under this key always will be.
    Final,
    /// The same request brings the same answer, which does not tell: the object must be read.
    AskWhat,
}

impl Failure {
    /// What the failed request has done.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::NotSent
            | Self::NotAuthorized
            | Self::RawCardsRefused
            | Self::RateLimited { .. } => Effect::None,
            Self::OutcomeUnknown | Self::InFlight { .. } => Effect::Unknown,
            Self::Declined(_)
            | Self::CardInvalid(_)
            | Self::Invalid(_)
            | Self::Rejected
            | Self::Missing => Effect::Final,
            Self::FaultKept | Self::IdempotencyMismatch => Effect::AskWhat,
        }
    }

    /// Seconds that the processor asks to be left alone, where it does.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_s } | Self::InFlight { retry_after_s } => {
                Some(*retry_after_s)
            }
            Self::Declined(_)
            | Self::IdempotencyMismatch
            | Self::CardInvalid(_)
            | Self::NotAuthorized
            | Self::RawCardsRefused
            | Self::Invalid(_)
            | Self::Rejected
            | Self::Missing
            | Self::NotSent
            | Self::FaultKept
            | Self::OutcomeUnknown => None,
        }
    }

    /// The failure's name, for metrics and audit.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Declined(_) => "declined",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::InFlight { .. } => "in_flight",
            Self::RateLimited { .. } => "rate_limited",
            Self::CardInvalid(_) => "card_invalid",
            Self::NotAuthorized => "not_authorized",
            Self::RawCardsRefused => "raw_cards_refused",
            Self::Invalid(_) => "invalid",
            Self::Rejected => "rejected",
            Self::Missing => "missing",
            Self::NotSent => "not_sent",
            Self::FaultKept => "fault_kept",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// Which field of a request the processor does not take, in the words of our own interface. Never
/// the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFault {
    /// JSON pointer (RFC 6901) into our caller's request: `/amount`.
    pub pointer: &'static str,
    /// A stable word: `below_minimum`.
    pub reason: &'static str,
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pointer, self.reason)
    }
}

/// A refusal by the issuer or the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// Why: `insufficient_funds`.
    pub code: DeclineCode,
    /// What the processor advises the merchant to do, where it advises.
    pub advice: Option<Advice>,
    /// Whether the same card may pass later without anybody changing anything.
    pub retryable: bool,
}

impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())
    }
}

/// The code of a decline: lower-case letters, digits and `_`, so it can carry no card number
/// format, no markup and no sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeclineCode(String);

impl DeclineCode {
    /// At most this many characters.
    pub const LENGTH_MAX: usize = 64;

    /// Reads a code; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }

    /// The code of a decline that gives no readable one.
    #[must_use]
    pub fn generic() -> Self {
        Self("generic_decline".to_owned())
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is a name such as processors give to codes and brands. More than eight digits
/// would not be a name but somebody's number.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (1..=DeclineCode::LENGTH_MAX).contains(&text.len()) && text.bytes().all(plain) && digits <= 8
}

impl fmt::Display for DeclineCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the processor advises after a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The shopper should check the card's details.
    ConfirmCardData,
    /// The card will not pass; another is needed.
    DoNotTryAgain,
    /// It may pass later.
    TryAgainLater,
}

impl Advice {
    /// The name on the wire and in the schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmCardData => "confirm_card_data",
            Self::DoNotTryAgain => "do_not_try_again",
            Self::TryAgainLater => "try_again_later",
        }
    }

    /// The advice of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::ConfirmCardData,
            Self::DoNotTryAgain,
            Self::TryAgainLater,
        ]
        .into_iter()
        .find(|advice| advice.name() == name)
    }
}

/// Which detail of a card the processor could not accept. Never the detail itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFault {
    /// The number is no card's: its checksum is wrong.
    IncorrectNumber,
    /// The number is not even a number.
    InvalidNumber,
    /// The month of expiry.
    InvalidExpiryMonth,
    /// The year of expiry.
    InvalidExpiryYear,
    /// The security code's form.
    InvalidCvc,
}

impl CardFault {
    /// Every fault there is.
    pub const ALL: [Self; 5] = [
        Self::IncorrectNumber,
        Self::InvalidNumber,
        Self::InvalidExpiryMonth,
        Self::InvalidExpiryYear,
        Self::InvalidCvc,
    ];

    /// Where in the request the fault is, as a JSON pointer (RFC 6901).
    #[must_use]
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::IncorrectNumber | Self::InvalidNumber => "/card/number",
            Self::InvalidExpiryMonth => "/card/exp_month",
            Self::InvalidExpiryYear => "/card/exp_year",
            Self::InvalidCvc => "/card/cvc",
        }
    }

    /// The reason: `incorrect_number`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IncorrectNumber => "incorrect_number",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidExpiryMonth => "invalid_expiry_month",
            Self::InvalidExpiryYear => "invalid_expiry_year",
            Self::InvalidCvc => "invalid_cvc",
        }
    }

    /// The fault of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

impl fmt::Display for CardFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decline_code_carries_no_sentence_and_no_number() {
        assert!(DeclineCode::parse("insufficient_funds").is_some());
        assert!(DeclineCode::parse("r0_code").is_some());
        for text in [
            "",
            "Insufficient",
            "two words",
            "4242424242424242",
            "card_4242424242424242",
            "é",
            &"x".repeat(65),
        ] {
            assert!(DeclineCode::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn names_lead_back_to_what_they_name() {
        for fault in CardFault::ALL {
            assert_eq!(CardFault::from_name(fault.name()), Some(fault));
            assert!(fault.pointer().starts_with("/card/"));
        }
        assert_eq!(
            Advice::from_name("try_again_later"),
            Some(Advice::TryAgainLater)
        );
        assert_eq!(Advice::from_name("whatever"), None);
    }
}
