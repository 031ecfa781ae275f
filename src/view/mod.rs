//! What the world sees of tokens, charges and refunds: the one JSON form that answers and events
//! share. Nothing here is sealed, and nothing here can charge.

mod charge;
mod dispute;
mod event;
mod refund;
mod report;
mod session;
mod token;

use serde::Serialize;
use utoipa::ToSchema;

pub use charge::{Charge, ChargePage, ChargePageLink, Checks, Contradiction, Processor};
pub use dispute::Dispute;
pub use event::{Event, EventPage};
pub use refund::{Refund, RefundPage};
pub use report::{Report, ReportPage, ReportTicket};
pub use session::{SessionStatus, collects};
pub use token::{Card, Token, TokenPage};

/// Where the shopper must go.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextAction {
    /// Always `redirect`.
    r#type: &'static str,
    /// The issuer's page; it returns the shopper afterwards.
    redirect_url: String,
}

impl NextAction {
    const fn redirect(redirect_url: String) -> Self {
        Self {
            r#type: "redirect",
            redirect_url,
        }
    }
}

/// Why a card was declined, as far as its owner may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Decline {
    /// The processor's decline code: `insufficient_funds`.
    pub code: String,
    /// The issuer's advice, where it gave one: `try_again_later`.
    pub advice: Option<String>,
    /// Whether the same card may be tried again later.
    pub retryable: bool,
}
