//! What the processor's payment means for its charge.

use crate::clock::Timestamp;
use crate::processor::{Check, Decline, DeclineCode, Payment, PaymentStatus};
use crate::store::{ChargeOutcome, ChargeRow, DeclineRow, DetailsRow};
use crate::token::ChargeStatus;
use crate::vault::owed::retry_at;

/// Milliseconds for which a shopper who does not authenticate is waited for by asking; after that
/// only the processor's event ends the charge.
const AUTHENTICATION_ASKED_FOR_MS: u64 = 24 * 3_600 * 1_000;

/// What the processor says of a shopper who did not pass the issuer's page.
pub(super) const NOT_AUTHENTICATED: &str = "payment_intent_authentication_failure";

pub(in crate::vault) fn code(text: &str) -> DeclineCode {
    DeclineCode::parse(text).unwrap_or_else(DeclineCode::generic)
}

/// A refusal that the same card will meet again.
pub(super) fn final_decline(reason: &str) -> Decline {
    Decline {
        code: code(reason),
        advice: None,
        retryable: false,
    }
}

/// An outcome of which there is no more to say.
pub(super) fn plain(status: ChargeStatus, payment: Option<String>, at: Timestamp) -> ChargeOutcome {
    ChargeOutcome {
        status,
        payment,
        captured: 0,
        decline: None,
        redirect_url: None,
        details: DetailsRow::default(),
        retry_at: None,
        at,
    }
}

pub(super) fn outcome_of(payment: Payment, charge: &ChargeRow, at: Timestamp) -> ChargeOutcome {
    let again = retry_at(at, charge.created_at, None);
    let details = details_of(&payment);
    let plain = |status| ChargeOutcome {
        details,
        ..plain(status, Some(payment.id.clone()), at)
    };
    match payment.status {
        PaymentStatus::Succeeded => ChargeOutcome {
            // What the processor does not tell is what it was asked for.
            captured: if (1..=charge.amount).contains(&payment.captured) {
                payment.captured
            } else {
                charge.amount
            },
            ..plain(ChargeStatus::Succeeded)
        },
        PaymentStatus::RequiresCapture => plain(ChargeStatus::RequiresCapture),
        PaymentStatus::Processing | PaymentStatus::ActionUnsupported => ChargeOutcome {
            retry_at: Some(again),
            ..plain(ChargeStatus::Processing)
        },
        PaymentStatus::Canceled => plain(ChargeStatus::Canceled),
        PaymentStatus::RequiresAction { redirect_url } => {
            let is_asked = at.ms_since(charge.created_at) < AUTHENTICATION_ASKED_FOR_MS;
            // At its page's end the charge is declined.
            let ends = charge.page_until.map(|until| until.max(again));
            ChargeOutcome {
                redirect_url: Some(redirect_url),
                retry_at: is_asked.then_some(again).or(ends),
                ..plain(ChargeStatus::RequiresAction)
            }
        }
        // Who did not pass the issuer's page may try again while the charge has a page.
        PaymentStatus::Declined(decline)
            if charge.page_until.is_some_and(|until| until > at)
                && decline.code.as_str() == NOT_AUTHENTICATED =>
        {
            ChargeOutcome {
                retry_at: charge.page_until,
                ..plain(ChargeStatus::RequiresAction)
            }
        }
        PaymentStatus::Declined(decline) => ChargeOutcome {
            decline: declined(decline, None, at).decline,
            ..plain(ChargeStatus::Declined)
        },
    }
}

fn details_of(payment: &Payment) -> DetailsRow {
    let name = |check: Option<Check>| check.map(|check| check.name().to_owned());
    DetailsRow {
        // A run of digits that could be a card number is not kept, whoever calls it otherwise.
        network_transaction_id: payment
            .details
            .network_transaction_id
            .clone()
            .filter(|id| !crate::card::scan::contains(id)),
        cvc_check: name(payment.details.cvc_check),
        postal_code_check: name(payment.details.postal_code_check),
    }
}

pub(super) fn declined(decline: Decline, payment: Option<String>, at: Timestamp) -> ChargeOutcome {
    let Decline {
        code,
        advice,
        retryable,
    } = decline;
    ChargeOutcome {
        decline: Some(DeclineRow {
            code: code.to_string(),
            advice: advice.map(|advice| advice.name().to_owned()),
            retryable,
        }),
        ..plain(ChargeStatus::Declined, payment, at)
    }
}
