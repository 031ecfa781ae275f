//! What a charge's proofs bind, and the check of them.
//!
//! The order binds all that the processor is asked, and when it was asked first: past the lifetime
//! of its key the payment is looked for, not asked for. The payment's name is bound when it is
//! learned, so that no other payment is captured, canceled or refunded as this charge's. What the
//! processor itself keeps account of (status, how much was captured, how much was given back) is not
//! bound: it decides nothing that the processor would not refuse.

use aws_lc_rs::digest;

use super::row::{ChargeRow, OperationRow};
use super::settle::ChargeOutcome;
use crate::seal::order::{Kind, Order};
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::orders::{Authentic, Forged, Orders, quarantine};
use crate::token::{Account, ChargeId, ChargeStatus, Environment};

/// The order of the charge itself.
pub(super) fn order(environment: Environment, charge: &ChargeRow) -> Order {
    let order = Order::new(Kind::Charge, environment)
        .text(&charge.id.to_string())
        .text(charge.account.as_str())
        .text(&charge.client)
        .text(&charge.token.to_string())
        .number(charge.amount)
        .text(&charge.currency)
        .flag(charge.capture)
        .flag(charge.off_session)
        .text_if_any(charge.description.as_deref())
        .text_if_any(charge.statement_descriptor_suffix.as_deref())
        .text(&charge.metadata)
        .text(&charge.processor_key)
        .number(charge.created_at.unix_ms());
    // A charge that leads nowhere, or has no page, is bound as it was before charges could.
    let order = match &charge.return_url {
        Some(return_url) => order.text(return_url),
        None => order,
    };
    let order = match charge.page_until {
        Some(until) => order.number(until.unix_ms()),
        None => order,
    };
    match &charge.security_code_hash {
        Some(hash) => order.bytes(hash),
        None => order,
    }
}

/// What stays of a sealed security code when the charge is settled, so that its order can still be
/// checked.
pub(super) fn hash(sealed: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, sealed).as_ref().to_vec()
}

/// Whether the security code is the one that was ordered. What may still be asked of the processor
/// is asked with it, or not at all.
fn has_its_code(charge: &ChargeRow) -> bool {
    let waits = charge.status == ChargeStatus::Processing && charge.payment.is_none();
    match (&charge.security_code_token, &charge.security_code_hash) {
        (Some(sealed), Some(known)) => hash(sealed) == *known,
        (None, Some(_)) => !waits,
        (Some(_), None) => false,
        (None, None) => true,
    }
}

/// That the charge's payment is the one of that name.
pub(super) fn payment(
    environment: Environment,
    (account, charge): (&Account, ChargeId),
    payment: &str,
) -> Order {
    Order::new(Kind::Payment, environment)
        .text(&charge.to_string())
        .text(account.as_str())
        .text(payment)
}

/// That the shopper of the charge may be led to that page.
fn redirect(environment: Environment, charge: &ChargeRow, page: &str) -> Order {
    Order::new(Kind::Redirect, environment)
        .text(&charge.id.to_string())
        .text(charge.account.as_str())
        .text(page)
}

/// A proof, where there is anything to prove.
type Proof = Option<Vec<u8>>;

/// The proofs of what an outcome says: of the payment's name, where it is learned now (one that
/// stands in the row has its proof, or is not believed), and of the issuer's page.
pub(super) fn of_outcome(
    orders: &Orders,
    environment: Environment,
    (before, outcome): (&ChargeRow, &ChargeOutcome),
) -> Result<(Proof, Proof), Failure> {
    let whose = (&before.account, before.id);
    let learned = match before.payment {
        None => outcome.payment.as_deref(),
        Some(_) => None,
    };
    let learned = learned.map(|name| orders.sign(&payment(environment, whose, name)));
    let page = outcome.redirect_url.as_deref();
    let page = page.map(|page| orders.sign(&redirect(environment, before, page)));
    Ok((learned.transpose()?, page.transpose()?))
}

/// The charge without a page that no process of ours has learned from the processor: nobody is led
/// there, and the next look at the payment writes it anew.
pub(super) fn led_by_ours(
    orders: &Orders,
    environment: Environment,
    mut charge: ChargeRow,
) -> ChargeRow {
    let is_ours = |page: &String| {
        let order = redirect(environment, &charge, page);
        orders.believes(&order, charge.proofs.redirect.as_deref())
    };
    charge.redirect_url = charge.redirect_url.clone().filter(is_ours);
    charge
}

/// The order of a capture or a cancellation.
pub(super) fn operation(
    environment: Environment,
    (account, charge): (&Account, ChargeId),
    (id, operation): (&str, &OperationRow),
) -> Order {
    Order::new(Kind::Operation, environment)
        .text(&charge.to_string())
        .text(account.as_str())
        .text(id)
        .text(operation.operation.name())
        .number_if_any(operation.amount)
        .text(&operation.processor_key)
}

/// Whether somebody who may has ordered the charge, its payment's name and its operation.
pub(super) fn is_ordered(tx: &Connection, environment: Environment, charge: &ChargeRow) -> bool {
    let (orders, whose) = (tx.orders(), (&charge.account, charge.id));
    let proofs = &charge.proofs;
    let believes =
        |order: &Order, proof: &Option<Vec<u8>>| orders.believes(order, proof.as_deref());
    let pays = charge
        .payment
        .as_deref()
        .is_none_or(|name| believes(&payment(environment, whose, name), &proofs.payment));
    let operates = charge.operation.as_ref().is_none_or(|row| {
        let id = charge.operation_id.as_deref().unwrap_or_default();
        believes(&operation(environment, whose, (id, row)), &proofs.operation)
    });
    let ordered = believes(&order(environment, charge), &proofs.order);
    pays && operates && ordered && has_its_code(charge)
}

/// The charge, where somebody who may has ordered it; else it is quarantined, and nothing is
/// answered.
pub(in crate::store) async fn authenticate(
    tx: &mut Connection,
    environment: Environment,
    charge: ChargeRow,
) -> Result<Option<Authentic<ChargeRow>>, Failure> {
    match check(tx, environment, charge) {
        Ok(charge) => Ok(Some(charge)),
        Err(id) => {
            quarantine(tx, &forged(id), None).await?;
            Ok(None)
        }
    }
}

/// The charge, where somebody who may has ordered it; else its id, to be quarantined.
pub(in crate::store) fn check(
    tx: &Connection,
    environment: Environment,
    charge: ChargeRow,
) -> Result<Authentic<ChargeRow>, ChargeId> {
    if is_ordered(tx, environment, &charge) {
        Ok(Authentic::ordered(charge))
    } else {
        Err(charge.id)
    }
}

/// That charge, as it is reported.
pub(in crate::store) fn forged(charge: ChargeId) -> Forged {
    Forged {
        table: "charges",
        row: charge.to_string(),
    }
}
