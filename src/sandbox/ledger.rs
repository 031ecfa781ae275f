//! `/_sandbox/ledger`: what was really made, whatever the callers were told.
//!
//! `by_charge` and `by_refund` are for whoever must prove that money moves exactly once: they sum
//! up all payments with one `metadata[cloakroom_charge]`, all refunds with one
//! `metadata[cloakroom_refund]`. What had to give way to newer objects is not in them; `evicted`
//! says whether there was any.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::objects::Object;
use super::records::{Fate, PaymentIntent, Refund, Standing};
use super::state::{Bounded, State};

const CHARGE: &str = "cloakroom_charge";
const REFUND: &str = "cloakroom_refund";

/// All payments that one caller's charge has led to. More than one that `paid` is a charge that
/// was made twice.
#[derive(Debug, Default, Serialize)]
pub(super) struct ByCharge {
    /// `PaymentIntent`s.
    payments: u64,
    /// Of them those whose money is held or taken.
    paid: u64,
    captured: u64,
    canceled: u64,
    processing: u64,
    declined: u64,
    refunds: u64,
    amount_authorized: i64,
    amount_captured: i64,
    amount_refunded: i64,
    ids: Vec<String>,
}

/// All refunds that one caller's refund has led to.
#[derive(Debug, Default, Serialize)]
pub(super) struct ByRefund {
    refunds: u64,
    pending: u64,
    succeeded: u64,
    failed: u64,
    /// Of the refunds that have not failed.
    amount: i64,
    ids: Vec<String>,
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

fn label<'a>(metadata: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(Value::as_str)
}

/// All payments, or those of one charge.
pub(super) fn by_charge(state: &State, only: Option<&str>) -> BTreeMap<String, ByCharge> {
    let mut sums: BTreeMap<String, ByCharge> = BTreeMap::new();
    for intent in state.payment_intents.newest() {
        let Some(name) = label(&intent.core.metadata, CHARGE) else {
            continue;
        };
        if only.is_none_or(|only| only == name) {
            add_payment(state, sums.entry(name.to_owned()).or_default(), intent);
        }
    }
    sums
}

fn add_payment(state: &State, sum: &mut ByCharge, intent: &PaymentIntent) {
    count(&mut sum.payments);
    sum.ids.push(intent.core.id.clone());
    match intent.core.status {
        "canceled" => count(&mut sum.canceled),
        "processing" => count(&mut sum.processing),
        "requires_payment_method" => count(&mut sum.declined),
        _ => {}
    }
    let charge = intent.latest_charge.as_ref();
    let Some(charge) = charge.and_then(|id| state.charges.get(id)) else {
        return;
    };
    if charge.status() == "succeeded" {
        count(&mut sum.paid);
        sum.amount_authorized = sum.amount_authorized.saturating_add(charge.amount);
    }
    if charge.is_taken() {
        count(&mut sum.captured);
    }
    sum.amount_captured = sum.amount_captured.saturating_add(charge.amount_captured);
    sum.amount_refunded = sum.amount_refunded.saturating_add(charge.amount_refunded);
    sum.refunds = sum.refunds.saturating_add(charge.refunds);
}

/// All refunds, or those of one caller's refund.
pub(super) fn by_refund(state: &State, only: Option<&str>) -> BTreeMap<String, ByRefund> {
    let mut sums: BTreeMap<String, ByRefund> = BTreeMap::new();
    for refund in state.refunds.newest() {
        let Some(name) = label(&refund.metadata, REFUND) else {
            continue;
        };
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let sum = sums.entry(name.to_owned()).or_default();
        count(&mut sum.refunds);
        sum.ids.push(refund.id.clone());
        match refund.status {
            "failed" => count(&mut sum.failed),
            "pending" => count(&mut sum.pending),
            _ => count(&mut sum.succeeded),
        }
        if refund.status != "failed" {
            sum.amount = sum.amount.saturating_add(refund.amount);
        }
    }
    sums
}

/// All of it.
pub(super) fn whole(state: &State) -> Value {
    json!({
        "made": {
            "payment_methods": state.made.payment_methods,
            "payment_intents": state.made.payment_intents,
            "charges_succeeded": state.made.charges_succeeded,
            "charges_failed": state.made.charges_failed,
            "refunds": state.made.refunds,
            "disputes": state.made.disputes,
            "settlements_lost": state.made.deeds_lost,
        },
        "evicted": {
            "payment_methods": state.payment_methods.evicted,
            "payment_intents": state.payment_intents.evicted,
            "charges": state.charges.evicted,
            "refunds": state.refunds.evicted,
        },
        "by_charge": by_charge(state, None),
        "by_refund": by_refund(state, None),
        "webhooks": { "waiting": state.mail.waiting(), "tally": state.mail.tally },
        "customers": state.customers.len(),
        "payment_methods": each(&state.payment_methods, |method| json!({
            "id": method.id,
            "customer": method.customer,
            "attached": method.customer.is_some(),
            "detached": method.standing == Standing::Detached,
        })),
        "setup_intents": each(&state.setup_intents, |intent| json!({
            "id": intent.core.id,
            "status": intent.core.status,
            "customer": intent.core.customer,
            "payment_method": intent.core.payment_method,
            "metadata": intent.core.metadata,
        })),
        "payment_intents": each(&state.payment_intents, |intent| json!({
            "id": intent.core.id,
            "status": intent.core.status,
            "amount": intent.amount,
            "amount_received": intent.amount_received,
            "currency": intent.currency,
            "customer": intent.core.customer,
            "metadata": intent.core.metadata,
            "latest_charge": intent.latest_charge,
        })),
        "charges": each(&state.charges, |charge| json!({
            "id": charge.id,
            "payment_intent": charge.payment_intent,
            "payment_method": charge.payment_method.id,
            "amount": charge.amount,
            "amount_captured": charge.amount_captured,
            "amount_refunded": charge.amount_refunded,
            "captured": charge.is_taken(),
            "released": matches!(charge.fate, Fate::Released),
            "status": charge.status(),
            "metadata": charge.metadata,
        })),
        "refunds": each(&state.refunds, Refund::show),
        "requests": state.seen,
    })
}

fn each<T>(of: &Bounded<T>, show: impl Fn(&T) -> Value) -> Vec<Value> {
    of.newest().map(show).collect()
}
