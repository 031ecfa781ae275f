//! One attempt to take the money: issuer's wish for authentication, decline, money, and the money
//! that takes its time.
//!
//! `succeed` and `capture` are the only places where money moves.

use serde_json::json;

use super::cards::Authentication;
use super::charges;
use super::declines::{AUTHENTICATION_REQUIRED, Decline, GENERIC};
use super::errors::Refusal;
use super::events;
use super::intents;
use super::later::{self, Deed, Later};
use super::objects::{Object, found};
use super::records::{Charge, Fate, PaymentIntent, PaymentMethod, Standing};
use super::state::{Call, Outcome, State};

/// How one attempt is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) off_session: bool,
    error_on_requires_action: bool,
    authenticated: bool,
}

impl Manner {
    /// The cardholder has just passed the issuer's page.
    pub(super) const AUTHENTICATED: Self = Self {
        off_session: false,
        error_on_requires_action: false,
        authenticated: true,
    };

    pub(super) fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let off_session = match call.form.get("off_session") {
            None | Some("false") => false,
            Some("true" | "one_off" | "recurring") => true,
            Some(_) => {
                return Err(Refusal::invalid("Invalid off_session.").param("off_session"));
            }
        };
        let manner = Self {
            off_session,
            error_on_requires_action: call.form.flag("error_on_requires_action")?.unwrap_or(false),
            authenticated: false,
        };
        Ok(manner)
    }
}

/// One attempt to take the money.
pub(super) fn attempt(state: &mut State, call: &Call<'_>, id: &str, manner: Manner) -> Outcome {
    let method = intents::method_of::<PaymentIntent>(state, call, id)?;
    let behaviour = method.card.behaviour();
    let authentication = behaviour.map_or(Authentication::Never, |b| b.authentication);
    let ask = authentication.at_charge(manner.off_session, method.set_up);
    if ask && !manner.authenticated {
        if manner.off_session || manner.error_on_requires_action {
            let decline = &AUTHENTICATION_REQUIRED;
            return Err(declined(state, call, id, &method, decline));
        }
        return intents::ask::<PaymentIntent>(state, call, id);
    }
    if let Some(decline) = behaviour.and_then(|behaviour| behaviour.charge) {
        return Err(declined(state, call, id, &method, decline));
    }
    use_method(state, call, id, &method.id);
    let switch = state.switches.payments;
    let when = Later::of(&found::<PaymentIntent>(state, id)?.core.metadata, switch);
    let fate = if when == Later::AtOnce {
        Fate::Held
    } else {
        Fate::Pending
    };
    let charge = charges::record(state, call.now, id, method, fate);
    let intent = found::<PaymentIntent>(state, id)?;
    intent.latest_charge = charge;
    intent.core.last_error = None;
    if when == Later::AtOnce {
        return succeed(state, call, id);
    }
    wait(state, call, id, when)
}

/// Neither yes nor no yet.
fn wait(state: &mut State, call: &Call<'_>, id: &str, when: Later) -> Outcome {
    let intent = found::<PaymentIntent>(state, id)?;
    intent.core.status = "processing";
    if let Some(charge) = intent.latest_charge.clone() {
        events::about::<Charge>(state, call, "charge.pending", &charge);
    }
    if let Some(succeeds) = when.outcome() {
        let id = id.to_owned();
        later::plan(state, Deed::Payment { id, succeeds });
    }
    let event = "payment_intent.processing";
    Ok(events::about::<PaymentIntent>(state, call, event, id))
}

/// The end of `processing`.
pub(super) fn end(state: &mut State, call: &Call<'_>, id: &str, succeeds: bool) -> Outcome {
    let intent = found::<PaymentIntent>(state, id)?;
    if intent.core.status != "processing" {
        return Err(intents::unexpected::<PaymentIntent>(state, id, "settled"));
    }
    let charge = intent.latest_charge.clone().unwrap_or_default();
    if succeeds {
        found::<Charge>(state, &charge)?.fate = Fate::Held;
        return succeed(state, call, id);
    }
    let record = found::<Charge>(state, &charge)?;
    record.fate = Fate::Refused(&GENERIC);
    let method = record.payment_method.clone();
    let _told = fail(state, call, id, &method, &GENERIC);
    Ok(found::<PaymentIntent>(state, id)?.show())
}

/// A charge that goes through attaches its method when asked to, and spends one that nobody owns.
fn use_method(state: &mut State, call: &Call<'_>, id: &str, method_id: &str) {
    let Some(intent) = state.payment_intents.get(id) else {
        return;
    };
    let (customer, keep) = (
        intent.core.customer.clone(),
        intent.setup_future_usage.is_some(),
    );
    let Some(method) = state.payment_methods.get_mut(method_id) else {
        return;
    };
    let attached = keep && customer.is_some() && method.customer != customer;
    if keep && customer.is_some() {
        method.customer = customer;
        method.set_up = true;
    }
    if method.customer.is_none() {
        method.standing = Standing::Spent;
    }
    if attached {
        events::about::<PaymentMethod>(state, call, "payment_method.attached", method_id);
    }
}

/// The issuer agreed: the money is held, or moves at once.
fn succeed(state: &mut State, call: &Call<'_>, id: &str) -> Outcome {
    state.made.charges_succeeded = state.made.charges_succeeded.saturating_add(1);
    let intent = found::<PaymentIntent>(state, id)?;
    let charge = intent.latest_charge.clone().unwrap_or_default();
    let event = if intent.manual_capture {
        intent.core.status = "requires_capture";
        "payment_intent.amount_capturable_updated"
    } else {
        let amount = intent.amount;
        settle(state, id, amount)?;
        "payment_intent.succeeded"
    };
    events::about::<Charge>(state, call, "charge.succeeded", &charge);
    Ok(events::about::<PaymentIntent>(state, call, event, id))
}

/// Held money is taken, all or part of it; the rest goes back.
pub(super) fn capture(state: &mut State, call: &Call<'_>, amount: i64) -> Outcome {
    settle(state, call.id, amount)?;
    let intent = found::<PaymentIntent>(state, call.id)?;
    let charge = intent.latest_charge.clone().unwrap_or_default();
    let before = json!({ "amount_captured": 0, "captured": false });
    events::change::<Charge>(state, call, "charge.captured", &charge, before);
    let event = "payment_intent.succeeded";
    Ok(events::about::<PaymentIntent>(state, call, event, call.id))
}

/// The money moves.
fn settle(state: &mut State, id: &str, amount: i64) -> Result<(), Refusal> {
    let intent = found::<PaymentIntent>(state, id)?;
    intent.core.status = "succeeded";
    intent.amount_received = amount;
    if let Some(charge) = intent.latest_charge.clone() {
        charges::capture(state, &charge, amount);
        later::follow(state, &charge);
    }
    Ok(())
}

fn declined(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    method: &PaymentMethod,
    decline: &'static Decline,
) -> Refusal {
    let charge = charges::record(state, call.now, id, method.clone(), Fate::Refused(decline));
    if let Some(intent) = state.payment_intents.get_mut(id) {
        intent.latest_charge = charge;
    }
    fail(state, call, id, method, decline)
}

/// The issuer refused, now or after a while.
fn fail(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    method: &PaymentMethod,
    decline: &'static Decline,
) -> Refusal {
    state.made.charges_failed = state.made.charges_failed.saturating_add(1);
    let charge = state
        .payment_intents
        .get(id)
        .and_then(|intent| intent.latest_charge.clone());
    if let Some(charge) = &charge {
        events::about::<Charge>(state, call, "charge.failed", charge);
    }
    let refusal = Refusal::declined(decline)
        .charge(charge)
        .with("payment_method", method.show());
    intents::failed::<PaymentIntent>(state, call, id, refusal)
}
