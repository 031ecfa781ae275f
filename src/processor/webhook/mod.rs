//! What Stripe tells by itself: events, signed over their raw bytes.
//!
//! Nothing of a body is read before its signature holds (`signature.rs`), and what is read is
//! checked as strictly as an answer: ids, names, amounts (`event.rs`). Free text is not read at all.

mod event;
mod life;
mod signature;
#[cfg(test)]
mod tests;

use super::{DeclineCode, RefundState};
use crate::clock::Timestamp;
use crate::token::CardSummary;

pub use life::{DisputeStatus, PaymentState};
pub use signature::{WebhookSecret, WebhookSecretRefused};

/// Seconds by which a signature may be old, or ahead of our clock: Stripe's own default.
pub const TOLERANCE_S: u64 = 300;

/// Why a notice is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefused {
    /// No secret of ours made the signature.
    #[error("the signature is not one of ours")]
    Signature,
    /// It is signed, and too long ago or too far ahead.
    #[error("the signature is not of this time")]
    TooOld,
    /// It is signed, and means nothing.
    #[error("what is signed is no notice")]
    Unreadable,
}

/// What Stripe tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Stripe's name of it: `evt_…`.
    pub id: String,
    /// Whether it is of live mode.
    pub live: bool,
    /// The connected account that it is about, where one endpoint serves several: `acct_…`.
    pub account: Option<String>,
    /// When it happened.
    pub created: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened at the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something became of a payment; how it stands is to be asked.
    Payment {
        /// The payment.
        payment: String,
        /// Our id of its charge, where it carries one.
        charge: Option<String>,
        /// How it stood when the event was made, where the event's object is the payment itself.
        status: Option<PaymentState>,
        /// How much of it was taken, in the currency's minor unit, where the event says it.
        captured: Option<i64>,
    },
    /// A refund began, or came to its end.
    Refund {
        /// The refund.
        refund: String,
        /// Its payment.
        payment: Option<String>,
        /// Our id of it, where it carries one.
        ours: Option<String>,
        /// In the currency's minor unit.
        amount: i64,
        /// Lower-case ISO 4217.
        currency: String,
        /// Where it is in its life; of a state that is not known, [`RefundState::Pending`]: it is to
        /// be read.
        state: RefundState,
        /// Why it failed, where it did.
        failure: Option<DeclineCode>,
    },
    /// The shopper's bank has taken a payment up.
    Dispute {
        /// The dispute.
        dispute: String,
        /// Its payment.
        payment: Option<String>,
        /// In the currency's minor unit; 0 where it is none that can be read.
        amount: i64,
        /// Lower-case ISO 4217; `xxx`, no currency, where it is none that can be read.
        currency: String,
        /// Stripe's word: `fraudulent`.
        reason: String,
        /// Stripe's word: `needs_response`.
        status: String,
        /// The same, as far as we know it.
        state: DisputeStatus,
        /// Which of its notices this is.
        phase: DisputePhase,
    },
    /// A card was renewed by its network, or changed by somebody at the processor.
    Card {
        /// The card at the processor.
        payment_method: String,
        /// What the world may know of it now.
        card: CardSummary,
    },
    /// A card was detached from its customer: nobody can charge it any more.
    Detached {
        /// The card at the processor.
        payment_method: String,
    },
    /// The issuer has agreed to a card.
    Setup {
        /// The card at the processor.
        payment_method: String,
    },
    /// Something else.
    Other,
}

/// Which notice of a dispute it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputePhase {
    /// The first.
    Opened,
    /// One between.
    Updated,
    /// The last.
    Closed,
}

/// Reads a notice that one of `secrets` signed.
///
/// # Errors
/// [`NoticeRefused`]; of an unsigned body nothing is read.
pub fn read(
    secrets: &[WebhookSecret],
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Notice, NoticeRefused> {
    let signed_at_s = signature::verify(secrets, signature, body)?;
    let now_s = now.unix_ms().div_euclid(1_000);
    if now_s.abs_diff(signed_at_s) > TOLERANCE_S {
        return Err(NoticeRefused::TooOld);
    }
    event::notice(body).map_err(|_| NoticeRefused::Unreadable)
}
