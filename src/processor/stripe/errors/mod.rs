//! What Stripe's refusals mean: one table from (status, type, code, decline code, advice) to
//! [`Failure`].
//!
//! Statuses and types: <https://docs.stripe.com/api/errors>; idempotency and `Stripe-Should-Retry`:
//! <https://docs.stripe.com/error-low-level>; decline and advice codes:
//! <https://docs.stripe.com/declines/codes>.

mod fields;

use crate::processor::transport::Answer;
use crate::processor::{Advice, CardFault, Decline, DeclineCode, Failure};

use super::answers::{self, ErrorBody};

/// A wait that Stripe asks for is believed up to here.
const RETRY_AFTER_S_MAX: u32 = 300;
/// When Stripe names none.
const RETRY_AFTER_S_DEFAULT: u32 = 1;

/// Part of the sentence with which Stripe refuses raw cards from accounts that it has not approved
/// for them. It gives this refusal no code, so the sentence is all there is to know it by.
const RAW_CARDS_SENTENCE: &str = "Sending credit card numbers directly to the Stripe API";

/// Another request holds the object that this one is about; answered with 409 or with 429.
const LOCK_TIMEOUT: &str = "lock_timeout";

/// Codes after which the same card may pass later, when Stripe gives no advice of its own.
const RETRYABLE_CODES: [&str; 7] = [
    "approve_with_id",
    "card_velocity_exceeded",
    "insufficient_funds",
    "issuer_not_available",
    "processing_error",
    "reenter_transaction",
    "try_again_later",
];

/// What a call was for, where the same code means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The raw card is taken in: a number that is no number is the shopper's typing.
    CardIntake,
    /// Anything else: the issuer says what it thinks of a card that was taken in.
    Other,
}

/// A call that Stripe answered, but not with what it was for.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// The payment that was made and refused, where the answer names one.
    pub(super) payment: Option<String>,
    /// Whether the same call with the same key is worth another attempt.
    pub(super) again: bool,
    /// Whether it is an old answer, kept under the call's key.
    pub(super) replayed: bool,
}

impl Refusal {
    /// Whether the request itself was refused, long ago, and is not looked at any more. What is said
    /// of a card stands.
    pub(super) fn is_stale(&self) -> bool {
        self.replayed
            && matches!(
                self.failure,
                Failure::Rejected
                    | Failure::Missing
                    | Failure::Invalid(_)
                    | Failure::RawCardsRefused
            )
    }

    /// Whether something may have been done, or is being done, under this call's key.
    pub(super) const fn is_open(&self) -> bool {
        matches!(
            self.failure,
            Failure::OutcomeUnknown | Failure::InFlight { .. }
        )
    }
}

/// Reads an answer whose status is not a success.
pub(super) fn refusal(step: Step, answer: &Answer) -> Refusal {
    let body = answers::read_error(&answer.body);
    let status = answer.status.as_u16();
    let retry_after_s = answer
        .retry_after_s
        .unwrap_or(RETRY_AFTER_S_DEFAULT)
        .clamp(1, RETRY_AFTER_S_MAX);
    let mut failure = failure(step, status, body.as_ref(), retry_after_s);
    // A kept answer of an earlier try: repeating it brings nothing new.
    if answer.replayed && failure == Failure::OutcomeUnknown {
        failure = Failure::FaultKept;
    }
    let locked = matches!(failure, Failure::InFlight { .. })
        || body.as_ref().and_then(|body| body.code.as_deref()) == Some(LOCK_TIMEOUT);
    log(&failure, body.as_ref(), answer);
    Refusal {
        payment: body.as_ref().and_then(ErrorBody::payment),
        replayed: answer.replayed,
        again: answer.should_retry.unwrap_or(locked) && failure != Failure::FaultKept,
        failure,
    }
}

/// One line for each refusal. A request that is refused without anybody's field being named is ours
/// to look at.
fn log(failure: &Failure, body: Option<&ErrorBody>, answer: &Answer) {
    let status = answer.status.as_u16();
    let code = code(body);
    let code = code.as_ref().map(DeclineCode::as_str);
    let processor_request_id = answer.request_id.as_deref();
    let param = body.and_then(|body| fields::name(body.param.as_deref()?));
    let failed = failure.name();
    if *failure == Failure::Rejected {
        tracing::warn!(
            status,
            failure = failed,
            code,
            param,
            processor_request_id,
            "the processor refused the request"
        );
    } else {
        tracing::info!(
            status,
            failure = failed,
            code,
            param,
            processor_request_id,
            "the processor refused"
        );
    }
}

/// Whether a refusal is about a lock on one object, and not about the account's rate.
pub(super) fn is_lock(answer: &Answer) -> bool {
    let body = answers::read_error(&answer.body);
    body.is_some_and(|body| body.code.as_deref() == Some(LOCK_TIMEOUT))
}

fn failure(step: Step, status: u16, body: Option<&ErrorBody>, retry_after_s: u32) -> Failure {
    // A server's fault, a failed dependency and a redirect say nothing of what was done before.
    if !(400..=499).contains(&status) || status == 424 {
        return Failure::OutcomeUnknown;
    }
    let text =
        |field: fn(&ErrorBody) -> &Option<String>| body.and_then(|body| field(body).as_deref());
    let kind = text(|body| &body.kind);
    let code = text(|body| &body.code);
    if step == Step::CardIntake
        && text(|body| &body.message).is_some_and(|message| message.contains(RAW_CARDS_SENTENCE))
    {
        return Failure::RawCardsRefused;
    }
    match (status, kind, code) {
        (401 | 403, ..) | (_, Some("authentication_error"), _) => Failure::NotAuthorized,
        (429, ..) | (_, Some("rate_limit_error"), _) => Failure::RateLimited { retry_after_s },
        (409, ..) | (_, _, Some("idempotency_key_in_use" | LOCK_TIMEOUT)) => {
            Failure::InFlight { retry_after_s }
        }
        (_, Some("idempotency_error"), _) => Failure::IdempotencyMismatch,
        (_, Some("card_error"), _) => refused_card(step, body),
        (_, Some("invalid_request_error"), Some("resource_missing")) => {
            fields::missing(text(|body| &body.param)).map_or(Failure::Missing, Failure::Invalid)
        }
        (_, Some("invalid_request_error"), code) => match card_fault(step, code, body) {
            Some(fault) => Failure::CardInvalid(fault),
            None => fields::fault(code, text(|body| &body.param))
                .map_or(Failure::Rejected, Failure::Invalid),
        },
        // `api_error`, a type that is not known yet, or a page of something on the way.
        _ => Failure::OutcomeUnknown,
    }
}

fn refused_card(step: Step, body: Option<&ErrorBody>) -> Failure {
    let code = body.and_then(|body| body.code.as_deref());
    if let Some(fault) = card_fault(step, code, body) {
        return Failure::CardInvalid(fault);
    }
    // What Stripe finds wrong with the request is no word of the issuer's about the card.
    let issuer_spoke = body.is_some_and(|body| body.decline_code.is_some());
    match fields::by_code(code) {
        Some(fault) if !issuer_spoke => Failure::Invalid(fault),
        Some(_) | None => Failure::Declined(decline(body)),
    }
}

/// A detail that cannot be a card's. With a decline code it is the issuer's word, not Stripe's.
fn card_fault(step: Step, code: Option<&str>, body: Option<&ErrorBody>) -> Option<CardFault> {
    let issuer_spoke = body.is_some_and(|body| body.decline_code.is_some());
    if step == Step::CardIntake && !issuer_spoke {
        code.and_then(CardFault::from_name)
    } else {
        None
    }
}

/// The decline in a refusal, or in an intent's last error.
pub(super) fn decline(body: Option<&ErrorBody>) -> Decline {
    let advice = body
        .and_then(|body| body.advice_code.as_deref())
        .and_then(Advice::from_name);
    let code = code(body).unwrap_or_else(DeclineCode::generic);
    let retryable = match advice {
        Some(Advice::TryAgainLater) => true,
        Some(Advice::DoNotTryAgain | Advice::ConfirmCardData) => false,
        None => RETRYABLE_CODES.contains(&code.as_str()),
    };
    Decline {
        code,
        advice,
        retryable,
    }
}

/// The issuer wants an authentication to which this service cannot send the shopper.
pub(super) fn authentication_required() -> Decline {
    let code = DeclineCode::parse("authentication_required");
    Decline {
        code: code.unwrap_or_else(DeclineCode::generic),
        advice: None,
        retryable: false,
    }
}

/// The most telling code there is.
fn code(body: Option<&ErrorBody>) -> Option<DeclineCode> {
    let body = body?;
    let read = |code: &Option<String>| code.as_deref().and_then(DeclineCode::parse);
    read(&body.decline_code).or_else(|| read(&body.code))
}

#[cfg(test)]
mod tests;
