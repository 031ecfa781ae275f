//! The adapter to Stripe.
//!
//! Requests are built by async-stripe's builders, which pin the API's version, except those with a
//! raw card in it (`cards.rs`) or its security code (`security_codes.rs`). Answers are read by our
//! own structures, which take only what is used (`answers`), and refusals by one table (`errors`).
//!
//! Start at `cards.rs` for how a card becomes a reference, and at `charges.rs` for how a reference
//! is charged.

mod amounts;
mod answers;
mod cards;
mod charges;
mod errors;
mod form;
mod lifecycle;
mod refunds;
mod security_codes;
#[cfg(test)]
mod tests;
mod walk;

use std::time::Duration;

use stripe_client_core::{RequestBuilder, StripeMethod};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::governor::{Governor, Refused, Told};
use super::reference::is_id;
use super::transport::{Answer, Broken, Call, Transport};
use super::{Failure, RequestFault, Settings, SetupRefused};
pub(super) use amounts::from_stripe;
pub(super) use answers::Card as CardObject;
use errors::{Refusal, Step};
pub(super) use refunds::state as refund_state;

/// Under this name a payment or a refund carries the mark of the request that it was made for.
const REQUEST_METADATA: &str = "cloakroom_key";

/// One call is attempted so often, with the same key. More waiting is the caller's to decide.
const ATTEMPTS_MAX: u32 = 3;
/// Keys of one making under which a call is made, the last of them whatever it brings.
const GENERATIONS_MAX: u32 = 8;
/// Before the second attempt; doubled before each later one.
const PAUSE_MS: u64 = 100;
/// A processor that asks for a longer wait than this is not waited for here.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(2);

/// A connection to one Stripe account.
#[derive(Debug)]
pub struct Stripe {
    transport: Transport,
    governor: Governor,
}

impl Stripe {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupRefused`] when the settings cannot make a safe connection.
    pub fn new(settings: &Settings) -> Result<Self, SetupRefused> {
        let version = stripe_shared::version::VERSION.as_str();
        Ok(Self {
            transport: Transport::new(settings, version)?,
            governor: Governor::new(&settings.limits),
        })
    }

    /// See [`Processor::check_amount`](crate::processor::Processor::check_amount).
    #[expect(
        clippy::unused_self,
        reason = "what one account takes may differ from another's"
    )]
    pub(in crate::processor) fn check_amount(
        &self,
        amount: i64,
        currency: &str,
    ) -> Result<(), RequestFault> {
        amounts::check(amount, currency)
    }

    /// Sends a call, again where that is safe and promising, and answers a success or what the
    /// last telling attempt came to. Each attempt waits for its turn.
    async fn exchange(&self, step: Step, call: Call) -> Result<Answer, Refusal> {
        let deadline = self.transport.deadline();
        let mut earlier: Option<Refusal> = None;
        let mut attempt = 1_u32;
        loop {
            let refusal = match self.attempt(&call, deadline).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => errors::refusal(step, &answer),
                Err(refusal) => refusal,
            };
            let pause = pause(attempt, &refusal.failure);
            let worth_it = refusal.again && attempt < ATTEMPTS_MAX;
            let refusal = more_telling(earlier.take(), refusal);
            let wake = pause.and_then(|pause| Instant::now().checked_add(pause));
            let Some(wake) = wake.filter(|wake| worth_it && *wake < deadline) else {
                return Err(refusal);
            };
            earlier = Some(refusal);
            attempt = attempt.saturating_add(1);
            tokio::time::sleep_until(wake).await;
        }
    }

    /// Sends a call whose repetition does no harm, once for each `key`. Stripe keeps a refusal under its
    /// key for a day and repeats it whatever has changed meanwhile; then the call is made under the
    /// next key of the same making.
    async fn exchange_afresh(&self, step: Step, call: Call, key: &str) -> Result<Answer, Refusal> {
        let mut name = key.to_owned();
        for generation in 2..=GENERATIONS_MAX {
            match self.exchange(step, under(&call, &name)?).await {
                Err(refusal) if refusal.is_stale() => name = format!("{key}-{generation}"),
                ended => return ended,
            }
        }
        self.exchange(step, under(&call, &name)?).await
    }

    /// One attempt, when the governor lets it go. The only way to the processor.
    async fn attempt(&self, call: &Call, deadline: Instant) -> Result<Answer, Refusal> {
        let permit = self
            .governor
            .admit(call.caller(), call.endpoint(), deadline)
            .await?;
        let sent = self.transport.send(call, deadline).await;
        permit.ended(told(&sent));
        Ok(sent?)
    }
}

/// What an attempt tells of the processor's health. That it refuses, declines or does not know is
/// an answer like any other.
fn told(sent: &Result<Answer, Broken>) -> Told {
    let Ok(answer) = sent else {
        return Told::Failed;
    };
    match answer.status.as_u16() {
        429 if errors::is_lock(answer) => Told::Busy { pause: None },
        429 => Told::Busy {
            pause: answer.retry_after_s.map(u64::from).map(Duration::from_secs),
        },
        // A fault that is kept under its key says how the processor was, not how it is.
        500..=599 if !answer.replayed => Told::Failed,
        _ => Told::Well,
    }
}

/// Nothing was sent. Trying again at once is what the governor said no to.
impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let failure = match refused {
            Refused::Limited { retry_after_s } => Failure::RateLimited { retry_after_s },
            Refused::Open { retry_after_s } => {
                tracing::info!(retry_after_s, "not sent: the processor is left alone");
                Failure::NotSent
            }
        };
        Self {
            failure,
            again: false,
            replayed: false,
            payment: None,
        }
    }
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        let (failure, again) = match broken {
            Broken::NotSent => (Failure::NotSent, true),
            // Whether to repeat what may have happened is decided by who knows what it was for.
            Broken::OutcomeUnknown => (Failure::OutcomeUnknown, false),
        };
        Self {
            failure,
            again,
            replayed: false,
            payment: None,
        }
    }
}

/// Of two attempts at one call, what is known after both. An attempt that was not let through does
/// not undo what an earlier one did or another caller is doing.
fn more_telling(earlier: Option<Refusal>, later: Refusal) -> Refusal {
    let later_not_let_through = matches!(
        later.failure,
        Failure::NotSent
            | Failure::RateLimited { .. }
            | Failure::InFlight { .. }
            | Failure::NotAuthorized
    );
    match earlier {
        Some(earlier) if later_not_let_through && earlier.is_open() => earlier,
        Some(earlier) if later.failure == Failure::NotSent => earlier,
        Some(_) | None => later,
    }
}

/// How long to wait before the attempt after this one, spread at random so that many callers do not
/// come back at once; `None` when the processor asks for more than is waited for here.
fn pause(attempt: u32, failure: &Failure) -> Option<Duration> {
    let asked = match failure {
        Failure::RateLimited { retry_after_s } => Duration::from_secs(u64::from(*retry_after_s)),
        // The wait that a lock's answer names is for callers; the lock itself is short.
        Failure::InFlight { .. }
        | Failure::NotSent
        | Failure::OutcomeUnknown
        | Failure::FaultKept
        | Failure::Declined(_)
        | Failure::IdempotencyMismatch
        | Failure::CardInvalid(_)
        | Failure::NotAuthorized
        | Failure::RawCardsRefused
        | Failure::Invalid(_)
        | Failure::Rejected
        | Failure::Missing => Duration::ZERO,
    };
    if asked > PAUSE_ASKED_MAX {
        return None;
    }
    let doubled = PAUSE_MS.saturating_mul(1_u64 << attempt.saturating_sub(1).min(8));
    let mut random = [0_u8; 2];
    crate::random::fill(&mut random);
    let share = u64::from(u16::from_le_bytes(random));
    // Half of it for certain, the other half by chance.
    let half = doubled / 2;
    let spread = half.saturating_add(half.saturating_mul(share) >> 16);
    asked.checked_add(Duration::from_millis(spread))
}

/// A request of async-stripe's as a call of ours, on behalf of a client.
fn call(request: RequestBuilder, client: &str) -> Call {
    let path = match request.query.filter(|query| !query.is_empty()) {
        Some(query) => format!("/v1{}?{query}", request.path),
        None => format!("/v1{}", request.path),
    };
    let call = match request.method {
        StripeMethod::Get => Call::get(path),
        StripeMethod::Post | StripeMethod::Delete => {
            Call::post(path, sorted(&request.body.unwrap_or_default()))
        }
    };
    call.on_behalf_of(client)
}

/// The form with its pairs in order. The builders keep metadata in a hash map, whose order changes
/// from process to process; a call that is repeated with its key is the same call to the byte.
fn sorted(form: &str) -> Zeroizing<Vec<u8>> {
    let mut pairs: Vec<&str> = form.split('&').collect();
    pairs.sort_unstable();
    Zeroizing::new(pairs.join("&").into_bytes())
}

/// An id that goes into a request. What is none names nothing at the processor, and in a path or a
/// query it could make another request of this one.
fn named(id: &str) -> Result<&str, Failure> {
    is_id(id).then_some(id).ok_or(Failure::Rejected)
}

/// A call to be done once for that key, of which another may be made for another key.
fn under(call: &Call, key: &str) -> Result<Call, Refusal> {
    call.under(key).ok_or(Refusal {
        failure: Failure::Rejected,
        again: false,
        replayed: false,
        payment: None,
    })
}

/// A call to be done once for each key. A key that cannot stand in a header is our own fault.
fn once(call: Call, key: &str) -> Result<Call, Failure> {
    call.once(key).ok_or(Failure::Rejected)
}
