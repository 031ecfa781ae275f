//! `/v1/charges/{id}`: what an attempt left behind, one charge each.

use serde_json::{Value, json};

use super::declines::Decline;
use super::errors::Refusal;
use super::ids;
use super::payment_methods::checks;
use super::state::{Call, Charge, Outcome, PaymentMethod, State, seconds};
use crate::clock::Timestamp;

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    state
        .charges
        .get(call.id)
        .map(show)
        .ok_or_else(|| Refusal::missing("charge"))
}

/// Writes down an attempt for that `PaymentIntent`; its id, if there is such an intent.
pub(super) fn record(
    state: &mut State,
    now: Timestamp,
    intent_id: &str,
    payment_method: PaymentMethod,
    failure: Option<&'static Decline>,
) -> Option<String> {
    let intent = state.payment_intents.get(intent_id)?;
    let charge = Charge {
        id: ids::new("ch_3"),
        created_s: seconds(now),
        payment_intent: intent.id.clone(),
        customer: intent.customer.clone(),
        payment_method,
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        captured: false,
        released: false,
        currency: intent.currency.clone(),
        metadata: intent.metadata.clone(),
        description: intent.description.clone(),
        statement_descriptor_suffix: intent.statement_descriptor_suffix.clone(),
        failure,
    };
    let made = &mut state.made;
    if failure.is_some() {
        made.charges_failed = made.charges_failed.saturating_add(1);
    } else {
        made.charges_succeeded = made.charges_succeeded.saturating_add(1);
    }
    let id = charge.id.clone();
    state.charges.insert(id.clone(), charge);
    Some(id)
}

pub(super) fn capture(state: &mut State, id: &str, amount: i64) {
    if let Some(charge) = state.charges.get_mut(id) {
        charge.captured = true;
        charge.amount_captured = amount;
    }
}

/// An authorization that was never captured is given back.
pub(super) fn release(state: &mut State, id: &str) {
    if let Some(charge) = state.charges.get_mut(id) {
        charge.released = !charge.captured && charge.failure.is_none();
    }
}

fn outcome(failure: Option<&'static Decline>) -> Value {
    let (kind, network, risk) = match failure {
        None => ("authorized", "approved_by_network", "normal"),
        Some(decline) if decline.blocked => ("blocked", "not_sent_to_network", "highest"),
        Some(_) => ("issuer_declined", "declined_by_network", "normal"),
    };
    json!({
        "advice_code": failure.and_then(|decline| decline.advice),
        "network_advice_code": null,
        "network_decline_code": null,
        "network_status": network,
        "reason": failure.map(|decline| decline.reason),
        "risk_level": risk,
        "seller_message": failure.map_or("Payment complete.", |decline| decline.message),
        "type": kind,
    })
}

fn card(charge: &Charge) -> Value {
    let card = &charge.payment_method.card;
    json!({
        "amount_authorized": charge.amount,
        "authorization_code": null,
        "brand": card.brand.name(),
        "checks": checks(&charge.payment_method),
        "country": card.country,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card.fingerprint(),
        "funding": card.funding.name(),
        "installments": null,
        "last4": card.last4,
        "mandate": null,
        "network": card.brand.name(),
        "network_transaction_id": null,
        "regulated_status": "unregulated",
        "three_d_secure": null,
        "wallet": null,
    })
}

fn show(charge: &Charge) -> Value {
    let succeeded = charge.failure.is_none();
    let refunded = charge.released
        || (charge.amount_captured > 0 && charge.amount_refunded >= charge.amount_captured);
    json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.amount_captured,
        "amount_refunded": charge.amount_refunded,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": charge.payment_method.billing_details,
        "calculated_statement_descriptor": "SANDBOX",
        "captured": charge.captured,
        "created": charge.created_s,
        "currency": charge.currency,
        "customer": charge.customer,
        "description": charge.description,
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": charge.failure.map(|decline| decline.code),
        "failure_message": charge.failure.map(|decline| decline.message),
        "fraud_details": {},
        "livemode": false,
        "metadata": charge.metadata,
        "on_behalf_of": null,
        "outcome": outcome(charge.failure),
        "paid": succeeded,
        "payment_intent": charge.payment_intent,
        "payment_method": charge.payment_method.id,
        "payment_method_details": { "card": card(charge), "type": "card" },
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": refunded,
        "review": null,
        "shipping": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": charge.statement_descriptor_suffix,
        "status": if succeeded { "succeeded" } else { "failed" },
        "transfer_data": null,
        "transfer_group": null,
    })
}
