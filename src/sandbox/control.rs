//! `/_sandbox/…`: the hand of a test. Secret keys only. What each control does stands in `mod.rs`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::attempts;
use super::card_updates;
use super::disputes;
use super::errors::Refusal;
use super::faults::Fault;
use super::form::Form;
use super::later::Later;
use super::ledger;
use super::mail::Manner;
use super::objects::Object as _;
use super::payment_methods;
use super::records::Charge;
use super::refunds;
use super::state::{Bounded, Call, Outcome, State};
use super::webhooks::{self, Endpoint};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moves {
    decline_at_attach: Option<bool>,
    #[serde(alias = "raw_cards")]
    raw_cards_allowed: Option<bool>,
    redirects: Option<bool>,
    latency_ms: Option<u64>,
    search_lag_ms: Option<u64>,
    idempotency_key_lifetime_ms: Option<u64>,
    events: Option<bool>,
    payments: Option<Later>,
    refunds: Option<Later>,
    later_ms: Option<u64>,
    webhooks: Option<Manner>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Settled {
    Succeeded,
    Failed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settlement {
    outcome: Settled,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decided {
    Won,
    Lost,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    outcome: Decided,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Complaint {
    kind: disputes::Kind,
    #[serde(default)]
    amount: Option<i64>,
}

/// One control; `path` is what comes after `/_sandbox/`.
pub(super) fn answer(
    state: &mut State,
    (method, path): (&str, &str),
    body: &[u8],
    call: &Call<'_>,
) -> Outcome {
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        ("POST", ["faults"]) => stage(state, read(body, "This is not a fault.")?),
        ("GET", ["faults"]) => Ok(faults(state)),
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            Ok(faults(state))
        }
        ("POST", ["settings"]) => settings(state, &read(body, "These are not settings.")?),
        ("GET", ["ledger"]) => Ok(ledger::whole(state)),
        ("GET", ["ledger", "charges", id]) => Ok(json!(
            ledger::by_charge(state, Some(id))
                .remove(*id)
                .unwrap_or_default()
        )),
        ("GET", ["ledger", "refunds", id]) => Ok(json!(
            ledger::by_refund(state, Some(id))
                .remove(*id)
                .unwrap_or_default()
        )),
        (_, ["webhooks"]) => endpoints(state, method, body, call),
        ("POST", ["events", id, "resend"]) => resend(state, id),
        ("POST", ["payment_methods"]) => {
            let form = Form::parse(body)?;
            let call = Call {
                form: &form,
                ..*call
            };
            payment_methods::create_in_browser(state, &call)
        }
        ("POST", [kind, id, verb]) => {
            let call = Call { id, ..*call };
            object(state, (*kind, *verb), body, &call)
        }
        _ => Err(no_such_control()),
    }
}

/// What is done to one object.
fn object(state: &mut State, control: (&str, &str), body: &[u8], call: &Call<'_>) -> Outcome {
    match control {
        ("payment_methods", "update") => {
            let news = read(body, "This is no news of a card.")?;
            card_updates::by_network(state, call, news)
        }
        ("payment_intents", "settle") => attempts::end(state, call, call.id, succeeds(body)?),
        ("refunds", "settle") => refunds::end(state, call, call.id, succeeds(body)?),
        ("charges", "dispute") => {
            let complaint: Complaint = read(body, "This is no complaint.")?;
            disputes::open(state, call, call.id, complaint.kind, complaint.amount)
        }
        ("charges", "warn") => {
            disputes::warn(state, call, call.id);
            super::objects::shown::<Charge>(state, call.id)
        }
        ("disputes", "close") => {
            let decision: Decision = read(body, "The outcome is won or lost.")?;
            let won = matches!(decision.outcome, Decided::Won);
            disputes::close(state, call, call.id, won)
        }
        _ => Err(no_such_control()),
    }
}

fn no_such_control() -> Refusal {
    Refusal::new(404, "invalid_request_error", "No such control.")
}

fn read<T: DeserializeOwned>(body: &[u8], refusal: &'static str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::invalid(refusal))
}

fn succeeds(body: &[u8]) -> Result<bool, Refusal> {
    let settlement: Settlement = read(body, "The outcome is succeeded or failed.")?;
    Ok(matches!(settlement.outcome, Settled::Succeeded))
}

fn stage(state: &mut State, fault: Fault) -> Outcome {
    if !fault.is_possible() {
        return Err(Refusal::invalid(
            "A fault needs times > 0 and a status from 400 to 599.",
        ));
    }
    if !state.faults.stage(fault) {
        return Err(Refusal::invalid("Too many faults are staged."));
    }
    Ok(faults(state))
}

fn faults(state: &State) -> Value {
    json!({ "staged": state.faults.waiting(), "struck": state.faults.struck })
}

/// `/_sandbox/webhooks`: register one, list them, forget them all with their mail.
fn endpoints(state: &mut State, method: &str, body: &[u8], call: &Call<'_>) -> Outcome {
    match method {
        "POST" => {
            let order = read(body, "This is no webhook endpoint.")?;
            webhooks::order(state, call, order)
        }
        "GET" => {
            let shown: Vec<Value> = state.endpoints.newest().map(Endpoint::show).collect();
            Ok(json!({ "endpoints": shown }))
        }
        "DELETE" => {
            state.endpoints = Bounded::new(webhooks::ENDPOINTS_MAX);
            state.mail.clear();
            Ok(json!({ "endpoints": [] }))
        }
        _ => Err(no_such_control()),
    }
}

/// The same event once more to everybody who wants its kind.
fn resend(state: &mut State, id: &str) -> Outcome {
    let Some(event) = state.events.get(id) else {
        return Err(Refusal::missing("event"));
    };
    let (text, kind, shown) = (event.text.clone(), event.kind, event.show());
    for endpoint in state.wanting(kind) {
        state.mail.post(id, &endpoint, &text);
    }
    Ok(shown)
}

fn settings(state: &mut State, moves: &Moves) -> Outcome {
    fn take<T: Copy>(switch: &mut T, to: Option<T>) {
        *switch = to.unwrap_or(*switch);
    }
    if moves.webhooks.is_some_and(|manner| !manner.is_possible()) {
        return Err(Refusal::invalid(
            "Mail has up to 20 duplicates, a window of up to 1000, and a share of up to 100 lost.",
        ));
    }
    let switches = &mut state.switches;
    take(&mut switches.decline_at_attach, moves.decline_at_attach);
    take(&mut switches.raw_cards_allowed, moves.raw_cards_allowed);
    take(&mut switches.redirects, moves.redirects);
    take(&mut switches.latency_ms, moves.latency_ms);
    take(&mut switches.search_lag_ms, moves.search_lag_ms);
    take(&mut switches.events, moves.events);
    take(&mut switches.payments, moves.payments);
    take(&mut switches.refunds, moves.refunds);
    take(&mut switches.later_ms, moves.later_ms);
    let lifetime_ms = moves.idempotency_key_lifetime_ms;
    take(&mut state.keys.lifetime_ms, lifetime_ms);
    if let Some(manner) = moves.webhooks {
        state.mail.carry(manner);
    }
    let switches = &state.switches;
    Ok(json!({
        "decline_at_attach": switches.decline_at_attach,
        "raw_cards_allowed": switches.raw_cards_allowed,
        "redirects": switches.redirects,
        "latency_ms": switches.latency_ms,
        "search_lag_ms": switches.search_lag_ms,
        "idempotency_key_lifetime_ms": state.keys.lifetime_ms,
        "events": switches.events,
        "payments": switches.payments,
        "refunds": switches.refunds,
        "later_ms": switches.later_ms,
        "webhooks": state.mail.manner(),
    }))
}
