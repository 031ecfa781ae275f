//! The one table that turns a verb's refusal into a problem.

use crate::problem::{Code, Problem};
use crate::vault::Refusal;
use crate::view;

/// Seconds after which a caller should come back when a dependency is down.
const UNAVAILABLE_RETRY_AFTER_S: u32 = 5;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated(why) => Self::new(Code::Unauthenticated).detail(why),
            Refusal::NotGranted(why) => Self::new(Code::NotGranted).detail(why),
            Refusal::NotFound => Self::new(Code::NotFound),
            Refusal::TokenDeleted => Self::new(Code::TokenDeleted),
            Refusal::InvalidCard(faults) => faults
                .iter()
                .fold(Self::new(Code::InvalidCard), |problem, fault| {
                    problem.at(fault.pointer, fault.reason)
                }),
            Refusal::Declined {
                decline,
                charge,
                replayed,
            } => {
                let problem =
                    Self::new(Code::CardDeclined)
                        .replayed(replayed)
                        .decline(view::Decline {
                            code: decline.code.to_string(),
                            advice: decline.advice.map(|advice| advice.name().to_owned()),
                            retryable: decline.retryable,
                        });
                match charge {
                    Some(charge) => problem.charge(charge.to_string()),
                    None => problem,
                }
            }
            Refusal::Unreadable => Self::new(Code::MalformedRequest),
            Refusal::Invalid(fault) => {
                Self::new(Code::InvalidRequest).at(fault.pointer, fault.reason)
            }
            Refusal::Impossible(why) => Self::new(Code::InvalidRequest).detail(why),
            Refusal::TooMuch(reason) => Self::new(Code::InvalidRequest).at("/amount", reason),
            Refusal::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch),
            Refusal::InFlight { retry_after_s } => {
                Self::new(Code::ConflictInFlight).retry_after_s(retry_after_s)
            }
            Refusal::AttemptsExhausted => Self::new(Code::RateLimited)
                .detail("The capture session has no attempt left; make a new one."),
            Refusal::VerificationRequired => Self::new(Code::VerificationRequired),
            Refusal::RateLimited { retry_after_s } => {
                Self::new(Code::RateLimited).retry_after_s(retry_after_s)
            }
            Refusal::ProcessorUnavailable => {
                Self::new(Code::ProcessorUnavailable).retry_after_s(UNAVAILABLE_RETRY_AFTER_S)
            }
            Refusal::StoreUnavailable => {
                Self::new(Code::StoreUnavailable).retry_after_s(UNAVAILABLE_RETRY_AFTER_S)
            }
            Refusal::Sealed => Self::new(Code::Sealed).retry_after_s(UNAVAILABLE_RETRY_AFTER_S),
            Refusal::KeyProvider => Self::new(Code::Sealed)
                .detail("The provider of the key does not answer.")
                .retry_after_s(UNAVAILABLE_RETRY_AFTER_S),
            Refusal::Internal => Self::new(Code::Internal),
        }
    }
}
