//! A charge.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Decline, NextAction};
use crate::clock::Timestamp;
use crate::store::ChargeRow;
use crate::token::ChargeStatus;

/// A charge.
#[derive(Debug, Serialize, ToSchema)]
pub struct Charge {
    /// Its id.
    #[schema(example = "chg_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `charge`.
    object: &'static str,
    /// `succeeded`, `requires_capture`, `requires_action`, `processing`, `declined` or `canceled`;
    /// `processing` also while a capture or a cancellation is under way whose end is not known.
    status: &'static str,
    /// The token that was charged.
    token: String,
    /// What was asked for, in the currency's minor unit.
    amount: i64,
    /// How much of it was taken.
    amount_captured: i64,
    /// How much of that was given back, or is on its way back.
    amount_refunded: i64,
    /// ISO 4217 in lower case.
    currency: String,
    /// Whether the money is taken at once.
    capture: bool,
    /// Whether the shopper was away.
    off_session: bool,
    /// Whether the shopper's bank has taken it up.
    disputed: bool,
    /// Shown in the processor's dashboard.
    description: Option<String>,
    /// Shown on the shopper's statement.
    statement_descriptor_suffix: Option<String>,
    /// The merchant's own notes.
    metadata: BTreeMap<String, String>,
    /// Why it was declined, when it was.
    decline: Option<Decline>,
    /// Where the shopper must go, when the issuer wants to see it.
    next_action: Option<NextAction>,
    /// The page to mail to the shopper; only in the answer to the request that made the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosted_page: Option<ChargePageLink>,
    /// The payment at the processor, for reconciliation with its reports.
    processor: Processor,
    /// The issuer's checks, where the processor passes them on.
    checks: Checks,
    /// What the processor says against this final state, where it does: an operator is looking at
    /// it.
    contradiction: Option<Contradiction>,
    /// Goes up with each change: of two copies the one with the higher version is the newer.
    version: i64,
    /// RFC 3339.
    created_at: String,
    /// When it last changed; RFC 3339.
    updated_at: String,
}

/// A payment at the processor.
#[derive(Debug, Serialize, ToSchema)]
pub struct Processor {
    /// `stripe`.
    name: &'static str,
    /// The account in the service's configuration.
    account: String,
    /// The processor's id of the payment, once it is known.
    payment: Option<String>,
    /// The card network's id of the transaction, where the processor passes it on.
    network_transaction_id: Option<String>,
}

/// The page on which the shopper confirms a charge at the issuer, as often as it takes.
#[derive(Serialize, ToSchema)]
pub struct ChargePageLink {
    /// Its address. Who has it may confirm the charge: send it to the shopper only.
    #[schema(
        example = "https://cards.example/pay/charges/chg_01h455vb4pex5vsknk084sn02q#chg_01h455vb4pex5vsknk084sn02q_secret_…"
    )]
    url: String,
    /// Until when it is shown; RFC 3339.
    expires_at: String,
}

impl std::fmt::Debug for ChargePageLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChargePageLink(..)")
    }
}

/// The issuer's checks: `pass`, `fail`, `unavailable` or `unchecked`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checks {
    /// Of the security code.
    cvc: Option<String>,
    /// Of the postal code.
    postal_code: Option<String>,
}

/// That the processor contradicts a final state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contradiction {
    /// What it says: `captured_after_canceled`.
    code: String,
    /// When that was first seen; RFC 3339.
    at: String,
}

impl Charge {
    /// With its page.
    #[must_use]
    pub fn with_page(self, url: &str, expires_at: Timestamp) -> Self {
        let hosted_page = Some(ChargePageLink {
            url: url.to_owned(),
            expires_at: expires_at.rfc3339(),
        });
        Self {
            hosted_page,
            ..self
        }
    }

    /// A charge as it stands.
    #[must_use]
    pub fn of(row: &ChargeRow) -> Self {
        let status = match row.operation {
            Some(_) => ChargeStatus::Processing,
            None => row.status,
        };
        Self {
            id: row.id.to_string(),
            object: "charge",
            status: status.name(),
            token: row.token.to_string(),
            amount: row.amount,
            amount_captured: row.captured,
            amount_refunded: row.refunded,
            currency: row.currency.clone(),
            capture: row.capture,
            off_session: row.off_session,
            disputed: row.disputed,
            description: row.description.clone(),
            statement_descriptor_suffix: row.statement_descriptor_suffix.clone(),
            metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
            decline: row.decline.clone().map(|decline| Decline {
                code: decline.code,
                advice: decline.advice,
                retryable: decline.retryable,
            }),
            next_action: row.redirect_url.clone().map(NextAction::redirect),
            hosted_page: None,
            processor: Processor {
                name: "stripe",
                account: row.account.as_str().to_owned(),
                payment: row.payment.clone(),
                network_transaction_id: row.details.network_transaction_id.clone(),
            },
            checks: Checks {
                cvc: row.details.cvc_check.clone(),
                postal_code: row.details.postal_code_check.clone(),
            },
            contradiction: row.contradiction.as_ref().map(|one| Contradiction {
                code: one.code.clone(),
                at: one.at.rfc3339(),
            }),
            version: row.version,
            created_at: row.created_at.rfc3339(),
            updated_at: row.updated_at.rfc3339(),
        }
    }
}

/// A page of charges.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargePage {
    /// Always `list`.
    object: &'static str,
    /// Newest first.
    data: Vec<Charge>,
    /// Whether there are older ones: ask again with `starting_after` the last id.
    has_more: bool,
}

impl ChargePage {
    /// A page.
    #[must_use]
    pub fn of(rows: &[ChargeRow], has_more: bool) -> Self {
        Self {
            object: "list",
            data: rows.iter().map(Charge::of).collect(),
            has_more,
        }
    }
}
