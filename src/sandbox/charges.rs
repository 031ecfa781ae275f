//! `/v1/charges`: what an attempt left behind, one charge each.

use serde_json::{Value, json};

use super::declines::Decline;
use super::ids;
use super::objects::{self, Object};
use super::payment_methods::checks;
use super::records::{Charge, Fate, PaymentMethod};
use super::state::{Bounded, Call, Outcome, State, seconds};
use crate::clock::Timestamp;

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["customer", "payment_intent"])?;
    let customer = call.form.get("customer");
    let intent = call.form.get("payment_intent");
    objects::page(state, call, "/v1/charges", |charge: &Charge| {
        (customer.is_none() || charge.customer.as_deref() == customer)
            && intent.is_none_or(|id| charge.payment_intent == id)
    })
}

/// Writes down an attempt for that `PaymentIntent`; its id, if there is such an intent.
pub(super) fn record(
    state: &mut State,
    now: Timestamp,
    intent_id: &str,
    payment_method: PaymentMethod,
    fate: Fate,
) -> Option<String> {
    let intent = state.payment_intents.get(intent_id)?;
    let charge = Charge {
        id: ids::new("ch_3"),
        created_s: seconds(now),
        payment_intent: intent.core.id.clone(),
        customer: intent.core.customer.clone(),
        payment_method,
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        refunds: 0,
        fate,
        currency: intent.currency.clone(),
        metadata: intent.core.metadata.clone(),
        description: intent.core.description.clone(),
        statement_descriptor_suffix: intent.statement_descriptor_suffix.clone(),
        disputed: false,
        dispute: None,
    };
    let id = charge.id.clone();
    state.charges.insert(id.clone(), charge);
    Some(id)
}

pub(super) fn capture(state: &mut State, id: &str, amount: i64) {
    if let Some(charge) = state.charges.get_mut(id) {
        charge.fate = Fate::Taken;
        charge.amount_captured = amount;
    }
}

/// An authorization that was never captured is given back.
pub(super) fn release(state: &mut State, id: &str) {
    if let Some(charge) = state.charges.get_mut(id)
        && matches!(charge.fate, Fate::Held)
    {
        charge.fate = Fate::Released;
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
        "network_transaction_id": transaction_id(charge),
        "regulated_status": "unregulated",
        "three_d_secure": null,
        "wallet": null,
    })
}

/// As networks give them: of letters here, so that no run of digits looks like a card's.
fn transaction_id(charge: &Charge) -> Option<String> {
    let (_, letters) = charge.id.split_once("Sbx")?;
    let asked = !matches!(charge.fate, Fate::Pending);
    asked.then(|| {
        letters
            .chars()
            .take(15)
            .collect::<String>()
            .to_ascii_uppercase()
    })
}

impl Object for Charge {
    const NAME: &'static str = "charge";

    fn all(state: &State) -> &Bounded<Self> {
        &state.charges
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.charges
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        let refunded = matches!(self.fate, Fate::Released)
            || (self.amount_captured > 0 && self.amount_refunded >= self.amount_captured);
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "application": null,
            "application_fee": null,
            "application_fee_amount": null,
            "balance_transaction": null,
            "billing_details": self.payment_method.billing_details,
            "calculated_statement_descriptor": "SANDBOX",
            "captured": self.is_taken(),
            "created": self.created_s,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "disputed": self.dispute.is_some(),
            "failure_balance_transaction": null,
            "failure_code": self.failure().map(|decline| decline.code),
            "failure_message": self.failure().map(|decline| decline.message),
            "fraud_details": {},
            "livemode": false,
            "metadata": self.metadata,
            "on_behalf_of": null,
            "outcome": outcome(self.failure()),
            "paid": self.status() == "succeeded",
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method.id,
            "payment_method_details": { "card": card(self), "type": "card" },
            "receipt_email": null,
            "receipt_number": null,
            "receipt_url": null,
            "refunded": refunded,
            "review": null,
            "shipping": null,
            "source_transfer": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status(),
            "transfer_data": null,
            "transfer_group": null,
        })
    }
}
