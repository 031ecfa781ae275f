//! `/_sandbox/…`: the hand of a test. Secret keys only.
//!
//! * `POST /_sandbox/faults` stages a [`Fault`], `DELETE` clears them all;
//! * `POST /_sandbox/settings` moves switches and answers how they stand;
//! * `GET /_sandbox/ledger` says what was really made, whatever the callers were told.

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::faults::Fault;
use super::state::{Outcome, Standing, State};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moves {
    decline_at_attach: Option<bool>,
    raw_cards_allowed: Option<bool>,
    latency_ms: Option<u64>,
    search_lag_ms: Option<u64>,
    idempotency_key_lifetime_ms: Option<u64>,
}

pub(super) fn answer(state: &mut State, method: &str, path: &str, body: &[u8]) -> Outcome {
    match (method, path) {
        ("POST", "/_sandbox/faults") => {
            let fault: Fault = serde_json::from_slice(body)
                .map_err(|_| Refusal::invalid("This is not a fault."))?;
            if !fault.is_possible() {
                return Err(Refusal::invalid(
                    "A fault needs times > 0 and a status from 400 to 599.",
                ));
            }
            if !state.faults.stage(fault) {
                return Err(Refusal::invalid("Too many faults are staged."));
            }
            Ok(json!({ "staged": state.faults.waiting() }))
        }
        ("DELETE", "/_sandbox/faults") => {
            state.faults.clear();
            Ok(json!({ "staged": 0 }))
        }
        ("POST", "/_sandbox/settings") => {
            let moves: Moves = serde_json::from_slice(body)
                .map_err(|_| Refusal::invalid("These are not settings."))?;
            Ok(settings(state, &moves))
        }
        ("GET", "/_sandbox/ledger") => Ok(ledger(state)),
        _ => Err(Refusal::new(
            404,
            "invalid_request_error",
            "No such control.",
        )),
    }
}

fn settings(state: &mut State, moves: &Moves) -> Value {
    let switches = &mut state.switches;
    if let Some(on) = moves.decline_at_attach {
        switches.decline_at_attach = on;
    }
    if let Some(on) = moves.raw_cards_allowed {
        switches.raw_cards_allowed = on;
    }
    if let Some(latency_ms) = moves.latency_ms {
        switches.latency_ms = latency_ms;
    }
    if let Some(lag_ms) = moves.search_lag_ms {
        switches.search_lag_ms = lag_ms;
    }
    if let Some(lifetime_ms) = moves.idempotency_key_lifetime_ms {
        state.keys.lifetime_ms = lifetime_ms;
    }
    json!({
        "decline_at_attach": state.switches.decline_at_attach,
        "raw_cards_allowed": state.switches.raw_cards_allowed,
        "latency_ms": state.switches.latency_ms,
        "search_lag_ms": state.switches.search_lag_ms,
        "idempotency_key_lifetime_ms": state.keys.lifetime_ms,
    })
}

fn ledger(state: &State) -> Value {
    json!({
        "made": {
            "payment_methods": state.made.payment_methods,
            "payment_intents": state.made.payment_intents,
            "charges_succeeded": state.made.charges_succeeded,
            "charges_failed": state.made.charges_failed,
            "refunds": state.made.refunds,
        },
        "evicted": {
            "payment_methods": state.payment_methods.evicted,
            "payment_intents": state.payment_intents.evicted,
            "charges": state.charges.evicted,
            "refunds": state.refunds.evicted,
        },
        "customers": state.customers.len(),
        "payment_methods": each(&state.payment_methods, |method| json!({
            "id": method.id,
            "customer": method.customer,
            "attached": method.customer.is_some(),
            "detached": method.standing == Standing::Detached,
        })),
        "setup_intents": each(&state.setup_intents, |intent| json!({
            "id": intent.id,
            "status": intent.status,
            "customer": intent.customer,
            "payment_method": intent.payment_method,
            "metadata": intent.metadata,
        })),
        "payment_intents": each(&state.payment_intents, |intent| json!({
            "id": intent.id,
            "status": intent.status,
            "amount": intent.amount,
            "amount_received": intent.amount_received,
            "currency": intent.currency,
            "customer": intent.customer,
            "metadata": intent.metadata,
            "latest_charge": intent.latest_charge,
        })),
        "charges": each(&state.charges, |charge| json!({
            "id": charge.id,
            "payment_intent": charge.payment_intent,
            "payment_method": charge.payment_method.id,
            "amount": charge.amount,
            "amount_captured": charge.amount_captured,
            "amount_refunded": charge.amount_refunded,
            "captured": charge.captured,
            "status": if charge.failure.is_none() { "succeeded" } else { "failed" },
            "metadata": charge.metadata,
        })),
        "refunds": each(&state.refunds, super::refunds::show),
        "requests": state.seen,
    })
}

fn each<T>(of: &super::state::Bounded<T>, show: impl Fn(&T) -> Value) -> Vec<Value> {
    of.newest().map(show).collect()
}
