//! Where payments and disputes are in their lives, in Stripe's words.

/// Where a payment was in its life when its event was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// The money is on its way.
    Succeeded,
    /// Authorized, waiting for its capture.
    RequiresCapture,
    /// The issuer wants the shopper to authenticate.
    RequiresAction,
    /// Declined, or without a card yet.
    RequiresPaymentMethod,
    /// Its confirmation is not over.
    RequiresConfirmation,
    /// The processor has not ended it.
    Processing,
    /// Canceled.
    Canceled,
    /// A state that this program does not know.
    Unknown,
}

impl PaymentState {
    /// The state of that name
    /// (<https://docs.stripe.com/api/payment_intents/object#payment_intent_object-status>).
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "succeeded" => Self::Succeeded,
            "requires_capture" => Self::RequiresCapture,
            "requires_action" => Self::RequiresAction,
            "requires_payment_method" => Self::RequiresPaymentMethod,
            "requires_confirmation" => Self::RequiresConfirmation,
            "processing" => Self::Processing,
            "canceled" => Self::Canceled,
            _ => Self::Unknown,
        }
    }
}

/// Where a dispute is in its life
/// (<https://docs.stripe.com/api/disputes/object#dispute_object-status>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStatus {
    /// An inquiry that wants an answer; no money has moved.
    WarningNeedsResponse,
    /// An inquiry that was answered.
    WarningUnderReview,
    /// An inquiry that ended without a chargeback.
    WarningClosed,
    /// A chargeback that wants an answer.
    NeedsResponse,
    /// A chargeback that was answered.
    UnderReview,
    /// The merchant has the money again.
    Won,
    /// The shopper has the money.
    Lost,
    /// Resolved before it became a chargeback.
    Prevented,
    /// A state that this program does not know.
    Unknown,
}

impl DisputeStatus {
    /// Every status there is.
    pub const ALL: [Self; 9] = [
        Self::WarningNeedsResponse,
        Self::WarningUnderReview,
        Self::WarningClosed,
        Self::NeedsResponse,
        Self::UnderReview,
        Self::Won,
        Self::Lost,
        Self::Prevented,
        Self::Unknown,
    ];

    /// The name, in Stripe's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WarningNeedsResponse => "warning_needs_response",
            Self::WarningUnderReview => "warning_under_review",
            Self::WarningClosed => "warning_closed",
            Self::NeedsResponse => "needs_response",
            Self::UnderReview => "under_review",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Prevented => "prevented",
            Self::Unknown => "unknown",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|status| status.name() == name);
        found.unwrap_or(Self::Unknown)
    }

    /// Whether the bank has not decided yet. One that is not known may be open.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::WarningNeedsResponse
            | Self::WarningUnderReview
            | Self::NeedsResponse
            | Self::UnderReview
            | Self::Unknown => true,
            Self::WarningClosed | Self::Won | Self::Lost | Self::Prevented => false,
        }
    }
}
