//! A dispute as events show it.

use serde::Serialize;
use utoipa::ToSchema;

/// A dispute as the processor tells of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Dispute {
    /// The processor's name of it.
    pub id: String,
    /// Always `dispute`.
    pub object: &'static str,
    /// The charge that the cardholder disputes.
    pub charge: String,
    /// In the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, small letters.
    pub currency: String,
    /// The processor's words: `fraudulent`, `product_not_received`.
    pub reason: String,
    /// The processor's words: `needs_response`, `won`, `lost`.
    pub status: String,
}
