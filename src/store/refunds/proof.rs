//! What a refund's proofs bind, and the check of them.
//!
//! The order binds all that the processor is asked. Its payment is the charge's, whose name the
//! charge's own proof binds; the processor's name of the refund is bound when it is learned.

use super::row::RefundRow;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::charges::{self, ChargeRow};
use crate::store::connection::Connection;
use crate::store::orders::{Authentic, Forged};
use crate::token::{Environment, RefundId, RefundReason};

/// What shows who ordered a refund.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct RefundProofs {
    /// Of the refund itself.
    pub(super) order: Option<Vec<u8>>,
    /// Of the processor's name of it.
    pub(super) processor_refund: Option<Vec<u8>>,
}

/// The order of the refund itself.
fn order(environment: Environment, refund: &RefundRow) -> Order {
    Order::new(Kind::Refund, environment)
        .text(&refund.id.to_string())
        .text(refund.account.as_str())
        .text_if_any(refund.client.as_deref())
        .text(&refund.charge.to_string())
        .number(refund.amount)
        .text(&refund.currency)
        .text_if_any(refund.reason.map(RefundReason::name))
        .text(&refund.processor_key)
        .number(refund.created_at.unix_ms())
}

/// That the processor knows the refund by that name.
fn processor_refund(environment: Environment, refund: &RefundRow, name: &str) -> Order {
    Order::new(Kind::ProcessorRefund, environment)
        .text(&refund.id.to_string())
        .text(refund.account.as_str())
        .text(name)
}

/// The refund with the proof that this process orders it.
pub(super) fn ordered(
    tx: &Connection,
    environment: Environment,
    mut refund: RefundRow,
) -> Result<Authentic<RefundRow>, Failure> {
    refund.proofs.order = Some(tx.orders().sign(&order(environment, &refund))?);
    Ok(Authentic::ordered(refund))
}

/// The proof of the processor's name of a refund, where it is learned now.
pub(super) fn of_name(
    tx: &Connection,
    environment: Environment,
    before: &RefundRow,
    name: Option<&str>,
) -> Result<Option<Vec<u8>>, Failure> {
    let learned = name.filter(|_| before.processor_refund.is_none());
    let sign = |name| {
        tx.orders()
            .sign(&processor_refund(environment, before, name))
    };
    learned.map(sign).transpose()
}

/// The refund with its charge, where somebody who may has ordered both; else what is to be
/// quarantined.
pub(super) fn check(
    tx: &Connection,
    environment: Environment,
    (refund, charge): (RefundRow, ChargeRow),
) -> Result<(Authentic<RefundRow>, Authentic<ChargeRow>), Forged> {
    let (orders, proofs) = (tx.orders(), &refund.proofs);
    let named = refund.processor_refund.as_deref().is_none_or(|name| {
        let order = processor_refund(environment, &refund, name);
        orders.believes(&order, proofs.processor_refund.as_deref())
    });
    if !named || !orders.believes(&order(environment, &refund), proofs.order.as_deref()) {
        return Err(forged(refund.id));
    }
    match charges::check(tx, environment, charge) {
        Ok(charge) => Ok((Authentic::ordered(refund), charge)),
        Err(id) => Err(charges::forged(id)),
    }
}

/// That refund, as it is reported.
fn forged(refund: RefundId) -> Forged {
    Forged {
        table: "refunds",
        row: refund.to_string(),
    }
}
