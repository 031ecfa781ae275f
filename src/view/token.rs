//! A token, and what the world may know of its card (PCI DSS 3.4.1).

use serde::Serialize;
use utoipa::ToSchema;

use super::NextAction;
use crate::store::TokenRow;

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
    /// `active` or `requires_action`.
    status: &'static str,
    /// Where the shopper must go, when the issuer wants to see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    /// RFC 3339.
    created_at: String,
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
            status: row.status.name(),
            next_action: redirect_url.map(NextAction::redirect),
            created_at: row.created_at.rfc3339(),
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
