//! `/v1/setup_intents`: making a card reusable while the cardholder is present.

use serde_json::{Value, json};

use super::cards::Authentication;
use super::customers;
use super::errors::Refusal;
use super::ids;
use super::payment_methods as methods;
use super::state::{Call, Outcome, SetupIntent, State};

const KNOWN: &[&str] = &[
    "customer",
    "payment_method",
    "confirm",
    "usage",
    "return_url",
    "metadata",
    "description",
    "payment_method_types",
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "payment_method_options",
];

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(KNOWN)?;
    let customer = customers::named(state, call)?;
    let confirm = form.flag("confirm")?.unwrap_or(false);
    let id = ids::new("seti_1");
    let intent = SetupIntent {
        client_secret: format!("{id}_secret_{}", ids::random(25)),
        authenticate_url: call.authenticate_url(&id),
        created_s: call.now_s(),
        customer,
        payment_method: None,
        status: "requires_payment_method",
        usage: form
            .choice("usage", &["off_session", "on_session"])?
            .unwrap_or("off_session"),
        metadata: form.metadata()?,
        description: form.owned("description"),
        return_url: form.return_url()?,
        last_setup_error: None,
        cancellation_reason: None,
        id: id.clone(),
    };
    // The method is looked at before anything is made: a wrong id leaves nothing behind.
    let method = usable(state, call, intent.customer.as_deref())?;
    state.setup_intents.insert(id.clone(), intent);
    if let (Some(method), Some(intent)) = (method, state.setup_intents.get_mut(&id)) {
        intent.payment_method = Some(method);
        intent.status = "requires_confirmation";
    }
    if confirm {
        attempt(state, call, &id, false)
    } else {
        shown(state, &id)
    }
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    shown(state, call.id)
}

pub(super) fn confirm(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form
        .only(&["payment_method", "return_url", "payment_method_options"])?;
    let (status, customer) = {
        let intent = found(state, call.id)?;
        (intent.status, intent.customer.clone())
    };
    if matches!(status, "succeeded" | "canceled") {
        return Err(unexpected(state, call.id, "confirmed"));
    }
    let method = usable(state, call, customer.as_deref())?;
    let return_url = call.form.return_url()?;
    let intent = found(state, call.id)?;
    intent.payment_method = method.or_else(|| intent.payment_method.take());
    intent.return_url = return_url.or_else(|| intent.return_url.take());
    if intent.payment_method.is_none() {
        return Err(unexpected(
            state,
            call.id,
            "confirmed without a payment method",
        ));
    }
    attempt(state, call, call.id, false)
}

pub(super) fn cancel(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["cancellation_reason"])?;
    let reason = call.form.choice(
        "cancellation_reason",
        &["abandoned", "duplicate", "requested_by_customer"],
    )?;
    if matches!(found(state, call.id)?.status, "succeeded" | "canceled") {
        return Err(unexpected(state, call.id, "canceled"));
    }
    let intent = found(state, call.id)?;
    intent.status = "canceled";
    intent.cancellation_reason = reason;
    shown(state, call.id)
}

/// Sets the card up, asking the cardholder first where the issuer wants it.
pub(super) fn attempt(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    authenticated: bool,
) -> Outcome {
    let strict = state.switches.decline_at_attach;
    let Some(method_id) = found(state, id)?.payment_method.clone() else {
        return Err(unexpected(state, id, "confirmed without a payment method"));
    };
    let customer = found(state, id)?.customer.clone();
    let method = methods::remembered(state, &method_id, call.now)
        .ok_or_else(|| Refusal::missing_parameter("payment_method", "payment_method"))?;
    let behaviour = method.card.behaviour();
    let authentication = behaviour.map_or(Authentication::Never, |b| b.authentication);
    if authentication.at_set_up() && !authenticated {
        found(state, id)?.status = "requires_action";
        return shown(state, id);
    }
    if let Some(decline) = methods::refused_at_set_up(method, strict) {
        let refusal = Refusal::declined(decline);
        return Err(failed(state, id, refusal));
    }
    method.set_up = true;
    if customer.is_some() {
        method.customer = customer;
    }
    let intent = found(state, id)?;
    intent.status = "succeeded";
    intent.last_setup_error = None;
    shown(state, id)
}

/// The cardholder did not pass the issuer's page.
pub(super) fn authentication_failed(state: &mut State, id: &str) -> Option<Refusal> {
    state.setup_intents.get(id)?;
    let refusal = Refusal::invalid("The cardholder could not be authenticated.")
        .code("setup_intent_authentication_failure");
    Some(failed(state, id, refusal))
}

fn failed(state: &mut State, id: &str, refusal: Refusal) -> Refusal {
    let Some(intent) = state.setup_intents.get_mut(id) else {
        return refusal;
    };
    intent.status = "requires_payment_method";
    intent.payment_method = None;
    intent.last_setup_error = Some(refusal.to_json(""));
    let object = show(intent);
    refusal.with("setup_intent", object)
}

/// The `payment_method` parameter, if it is there and that customer may use it.
fn usable(
    state: &mut State,
    call: &Call<'_>,
    customer: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let Some(id) = call.form.get("payment_method") else {
        return Ok(None);
    };
    let method = methods::remembered(state, id, call.now)
        .ok_or_else(|| Refusal::missing_parameter("payment_method", "payment_method"))?;
    methods::belongs_to(method, customer)?;
    Ok(Some(id.to_owned()))
}

fn found<'a>(state: &'a mut State, id: &str) -> Result<&'a mut SetupIntent, Refusal> {
    state
        .setup_intents
        .get_mut(id)
        .ok_or_else(|| Refusal::missing("setup_intent"))
}

fn unexpected(state: &State, id: &str, verb: &str) -> Refusal {
    let intent = state.setup_intents.get(id);
    let status = intent.map_or("unknown", |intent| intent.status);
    let refusal = Refusal::invalid(format!(
        "This SetupIntent has a status of {status} and cannot be {verb}."
    ))
    .code("setup_intent_unexpected_state");
    match intent {
        Some(intent) => refusal.with("setup_intent", show(intent)),
        None => refusal,
    }
}

fn shown(state: &State, id: &str) -> Outcome {
    state
        .setup_intents
        .get(id)
        .map(show)
        .ok_or_else(|| Refusal::missing("setup_intent"))
}

/// Where the client sends the cardholder.
pub(super) fn next_action(status: &str, authenticate_url: &str, return_url: Option<&str>) -> Value {
    match (status, return_url) {
        ("requires_action", Some(return_url)) => json!({
            "type": "redirect_to_url",
            "redirect_to_url": { "url": authenticate_url, "return_url": return_url },
        }),
        ("requires_action", None) => json!({
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "type": "three_d_secure_redirect",
                "stripe_js": authenticate_url,
            },
        }),
        _ => Value::Null,
    }
}

fn show(intent: &SetupIntent) -> Value {
    json!({
        "id": intent.id,
        "object": "setup_intent",
        "application": null,
        "automatic_payment_methods": null,
        "cancellation_reason": intent.cancellation_reason,
        "client_secret": intent.client_secret,
        "created": intent.created_s,
        "customer": intent.customer,
        "description": intent.description,
        "excluded_payment_method_types": null,
        "flow_directions": null,
        "last_setup_error": intent.last_setup_error,
        "latest_attempt": null,
        "livemode": false,
        "mandate": null,
        "metadata": intent.metadata,
        "next_action": next_action(
            intent.status,
            &intent.authenticate_url,
            intent.return_url.as_deref(),
        ),
        "on_behalf_of": null,
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": null,
        "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
        "payment_method_types": ["card"],
        "single_use_mandate": null,
        "status": intent.status,
        "usage": intent.usage,
    })
}
