//! A refund.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::RefundRow;
use crate::token::RefundReason;

/// Money given back.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's name")]
pub struct Refund {
    /// Its id.
    #[schema(example = "ref_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `refund`.
    object: &'static str,
    /// `processing`, `succeeded`, `failed` or `canceled`.
    status: &'static str,
    /// The charge it belongs to.
    charge: String,
    /// In the currency's minor unit.
    amount: i64,
    /// ISO 4217 in lower case.
    currency: String,
    /// `duplicate`, `fraudulent` or `requested_by_customer`.
    reason: Option<&'static str>,
    /// Why it failed, in the processor's word.
    failure_code: Option<String>,
    /// The processor's id of it, once it is known.
    processor_refund: Option<String>,
    /// Goes up with each change: of two copies the one with the higher version is the newer.
    version: i64,
    /// RFC 3339.
    created_at: String,
    /// When it last changed; RFC 3339.
    updated_at: String,
}

impl Refund {
    /// A refund as it stands.
    #[must_use]
    pub fn of(row: &RefundRow) -> Self {
        Self {
            id: row.id.to_string(),
            object: "refund",
            status: row.status.name(),
            charge: row.charge.to_string(),
            amount: row.amount,
            currency: row.currency.clone(),
            reason: row.reason.map(RefundReason::name),
            failure_code: row.failure_code.clone(),
            processor_refund: row.processor_refund.clone(),
            version: row.version,
            created_at: row.created_at.rfc3339(),
            updated_at: row.updated_at.rfc3339(),
        }
    }
}

/// A page of refunds.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundPage {
    /// Always `list`.
    object: &'static str,
    /// Newest first.
    data: Vec<Refund>,
    /// Whether there are older ones: ask again with `starting_after` the last id.
    has_more: bool,
}

impl RefundPage {
    /// A page.
    #[must_use]
    pub fn of(rows: &[RefundRow], has_more: bool) -> Self {
        Self {
            object: "list",
            data: rows.iter().map(Refund::of).collect(),
            has_more,
        }
    }
}
