//! A token, and what the world may know of its card (PCI DSS 3.4.1).

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::NextAction;
use crate::store::TokenRow;
use crate::token::TokenStatus;

/// What the world may know of a token.
#[derive(Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its id.
    #[schema(example = "tok_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `token`.
    object: &'static str,
    /// The card behind it.
    card: Card,
    /// The merchant's own name for its customer.
    customer_ref: Option<String>,
    /// Whether it can be charged more than once.
    reusable: bool,
    /// `active`, `requires_action`, `detached` (the processor has let go of the card: have it
    /// entered again), `deleting` or `deleted`.
    status: &'static str,
    /// How it may be charged: `off_session` or `on_session`.
    usage: &'static str,
    /// Arbitrary key-value metadata.
    metadata: BTreeMap<String, String>,
    /// Where the shopper must go, when the issuer wants to see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    /// Goes up with each change: of two copies the one with the higher version is the newer.
    version: i64,
    /// RFC 3339.
    created_at: String,
    /// When it last changed; RFC 3339.
    updated_at: String,
}

/// What the world may know of a card (PCI DSS 3.4.1).
#[derive(Debug, Serialize, ToSchema)]
pub struct Card {
    /// `visa`, `mastercard`, `amex`, …
    brand: String,
    /// The last four digits.
    last4: String,
    /// 1 to 12.
    exp_month: u8,
    /// Four digits.
    exp_year: u16,
    /// `credit`, `debit`, `prepaid` or `unknown`.
    funding: String,
    /// ISO 3166-1 alpha-2, where the processor knows it.
    country: Option<String>,
}

impl Token {
    /// A token as it stands, and where its shopper must go.
    #[must_use]
    pub fn of(row: &TokenRow, redirect_url: Option<String>) -> Self {
        let card = row.card.clone();
        let in_use = matches!(
            row.status,
            TokenStatus::Active | TokenStatus::RequiresAction
        );
        let status = if in_use && row.detached_at.is_some() {
            "detached"
        } else {
            row.status.name()
        };
        Self {
            id: row.id.to_string(),
            object: "token",
            card: Card {
                brand: card.brand,
                last4: card.last4,
                exp_month: card.exp_month,
                exp_year: card.exp_year,
                funding: card.funding,
                country: card.country,
            },
            customer_ref: row.customer_ref.clone(),
            reusable: true,
            status,
            usage: row.usage.name(),
            metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
            next_action: redirect_url.map(NextAction::redirect),
            version: row.version,
            created_at: row.created_at.rfc3339(),
            updated_at: row.updated_at.rfc3339(),
        }
    }
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenPage {
    /// Always `list`.
    object: &'static str,
    /// Newest first.
    data: Vec<Token>,
    /// Whether there are older ones: ask again with `starting_after` the last id.
    has_more: bool,
}

impl TokenPage {
    /// A page.
    #[must_use]
    pub fn of(rows: &[TokenRow], has_more: bool) -> Self {
        Self {
            object: "list",
            data: rows.iter().map(|row| Token::of(row, None)).collect(),
            has_more,
        }
    }
}
