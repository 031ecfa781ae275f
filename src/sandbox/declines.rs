//! How a charge is refused: code, decline code, advice and words as Stripe documents them
//! (<https://docs.stripe.com/declines/codes>).

/// A refusal by issuer, network or fraud rules, in Stripe's words.
#[derive(Debug)]
pub(super) struct Decline {
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
    pub(super) advice: Option<&'static str>,
    pub(super) message: &'static str,
    /// Refused by fraud rules: no issuer was asked, and setting the card up is not refused.
    pub(super) blocked: bool,
}

const fn decline(
    code: &'static str,
    reason: &'static str,
    advice: &'static str,
    message: &'static str,
) -> Decline {
    Decline {
        code,
        reason,
        advice: Some(advice),
        message,
        blocked: false,
    }
}

const DECLINED: &str = "Your card was declined.";
const LATER: &str = "try_again_later";
const NEVER: &str = "do_not_try_again";
const CHECK: &str = "confirm_card_data";

/// Every refusal there is, to be found again by its reason.
pub(super) static ALL: [&Decline; 10] = [
    &GENERIC,
    &INSUFFICIENT,
    &LOST,
    &STOLEN,
    &EXPIRED,
    &WRONG_CVC,
    &PROCESSING,
    &VELOCITY,
    &FRAUDULENT,
    &AUTHENTICATION_REQUIRED,
];

pub(super) static GENERIC: Decline = decline("card_declined", "generic_decline", LATER, DECLINED);
pub(super) static INSUFFICIENT: Decline = decline(
    "card_declined",
    "insufficient_funds",
    LATER,
    "Your card has insufficient funds.",
);
pub(super) static LOST: Decline = decline("card_declined", "lost_card", NEVER, DECLINED);
pub(super) static STOLEN: Decline = decline("card_declined", "stolen_card", NEVER, DECLINED);
pub(super) static EXPIRED: Decline = decline(
    "expired_card",
    "expired_card",
    CHECK,
    "Your card has expired.",
);
pub(super) static WRONG_CVC: Decline = decline(
    "incorrect_cvc",
    "incorrect_cvc",
    CHECK,
    "Your card's security code is incorrect.",
);
pub(super) static PROCESSING: Decline = decline(
    "processing_error",
    "processing_error",
    LATER,
    "An error occurred while processing your card. Try again in a little bit.",
);
pub(super) static VELOCITY: Decline = decline(
    "card_declined",
    "card_velocity_exceeded",
    LATER,
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
);
pub(super) static FRAUDULENT: Decline = Decline {
    blocked: true,
    ..decline("card_declined", "fraudulent", NEVER, DECLINED)
};

/// Issuer wants to see the cardholder: the 402 of a charge made while nobody is there.
pub(super) static AUTHENTICATION_REQUIRED: Decline = Decline {
    advice: None,
    ..decline(
        "authentication_required",
        "authentication_required",
        LATER,
        "Your card was declined. This transaction requires authentication.",
    )
};
