//! `/v1/payment_intents`: create, confirm, capture, cancel, read.
//!
//! `attempt` is the life of a charge: issuer's wish for authentication, decline, money. `settle`
//! is the one place where money moves.

use serde_json::{Value, json};

use super::cards::Authentication;
use super::charges;
use super::declines::{AUTHENTICATION_REQUIRED, Decline};
use super::errors::Refusal;
use super::orders;
use super::payment_methods as methods;
use super::setup_intents::next_action;
use super::state::{Call, Outcome, PaymentIntent, PaymentMethod, Standing, State, page, seconds};

const KNOWN: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "payment_method",
    "confirm",
    "off_session",
    "capture_method",
    "setup_future_usage",
    "metadata",
    "description",
    "statement_descriptor_suffix",
    "return_url",
    "error_on_requires_action",
    "payment_method_types",
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "payment_method_options",
    "confirmation_method",
];
const KNOWN_AT_CONFIRM: &[&str] = &[
    "payment_method",
    "off_session",
    "return_url",
    "error_on_requires_action",
    "setup_future_usage",
    "payment_method_options",
    "capture_method",
];
/// Values of `setup_future_usage`.
pub(super) const USAGES: &[&str] = &["off_session", "on_session"];

/// How one attempt is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    off_session: bool,
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

    fn of(call: &Call<'_>) -> Result<Self, Refusal> {
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

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(KNOWN)?;
    let confirm = form.flag("confirm")?.unwrap_or(false);
    let manner = Manner::of(call)?;
    if manner.off_session && !confirm {
        return Err(
            Refusal::invalid("`off_session` can only be used with `confirm=true`.")
                .param("off_session"),
        );
    }
    let mut intent = orders::read(state, call)?;
    // The method is looked at before anything is made: a wrong id leaves nothing behind.
    intent.payment_method = usable(state, call, intent.customer.as_deref())?;
    if intent.payment_method.is_some() {
        intent.status = "requires_confirmation";
    } else if confirm {
        return Err(missing_method());
    }
    let id = intent.id.clone();
    state.payment_intents.insert(id.clone(), intent);
    state.made.payment_intents = state.made.payment_intents.saturating_add(1);
    if confirm {
        attempt(state, call, &id, manner)
    } else {
        shown(state, &id)
    }
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    shown(state, call.id)
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    let customer = call.form.get("customer");
    let intents = state
        .payment_intents
        .newest()
        .filter(|intent| customer.is_none() || intent.customer.as_deref() == customer);
    page(call, "/v1/payment_intents", intents, |i| &i.id, show)
}

pub(super) fn confirm(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(KNOWN_AT_CONFIRM)?;
    let manner = Manner::of(call)?;
    let usage = form.choice("setup_future_usage", USAGES)?;
    let return_url = form.return_url()?;
    let intent = found(state, call.id)?;
    if !matches!(
        intent.status,
        "requires_payment_method" | "requires_confirmation" | "requires_action"
    ) {
        return Err(unexpected(state, call.id, "confirmed"));
    }
    let customer = intent.customer.clone();
    let method = usable(state, call, customer.as_deref())?;
    let intent = found(state, call.id)?;
    intent.payment_method = method.or_else(|| intent.payment_method.take());
    intent.return_url = return_url.or_else(|| intent.return_url.take());
    intent.setup_future_usage = usage.or(intent.setup_future_usage);
    if intent.payment_method.is_none() {
        let object = show(intent);
        return Err(missing_method().with("payment_intent", object));
    }
    attempt(state, call, call.id, manner)
}

pub(super) fn capture(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&[
        "amount_to_capture",
        "metadata",
        "statement_descriptor_suffix",
    ])?;
    orders::check_texts(call)?;
    let wanted = call.form.integer("amount_to_capture")?;
    let intent = found(state, call.id)?;
    if intent.status != "requires_capture" {
        let refusal = unexpected(state, call.id, "captured");
        return Err(refusal);
    }
    let amount = wanted.unwrap_or(intent.amount);
    if amount < 1 || amount > intent.amount {
        return Err(Refusal::invalid(
            "The amount to capture must be from 1 to the amount that was authorized.",
        )
        .code("amount_too_large")
        .param("amount_to_capture"));
    }
    settle(state, call.id, amount);
    shown(state, call.id)
}

pub(super) fn cancel(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["cancellation_reason"])?;
    let reason = call.form.choice(
        "cancellation_reason",
        &[
            "abandoned",
            "duplicate",
            "fraudulent",
            "requested_by_customer",
        ],
    )?;
    let now_s = call.now_s();
    let intent = found(state, call.id)?;
    if matches!(intent.status, "succeeded" | "canceled" | "processing") {
        return Err(unexpected(state, call.id, "canceled"));
    }
    intent.status = "canceled";
    intent.canceled_s = Some(now_s);
    intent.cancellation_reason = reason;
    if let Some(charge) = intent.latest_charge.clone() {
        charges::release(state, &charge);
    }
    shown(state, call.id)
}

/// One attempt to take the money.
pub(super) fn attempt(state: &mut State, call: &Call<'_>, id: &str, manner: Manner) -> Outcome {
    let Some(method_id) = found(state, id)?.payment_method.clone() else {
        return Err(missing_method());
    };
    let method = methods::remembered(state, &method_id, call.now)
        .ok_or_else(|| Refusal::missing_parameter("payment_method", "payment_method"))?
        .clone();
    let behaviour = method.card.behaviour();
    let authentication = behaviour.map_or(Authentication::Never, |b| b.authentication);
    let ask = authentication.at_charge(manner.off_session, method.set_up);
    if ask && !manner.authenticated {
        if manner.off_session || manner.error_on_requires_action {
            let decline = &AUTHENTICATION_REQUIRED;
            return Err(declined(state, call, id, &method, decline));
        }
        found(state, id)?.status = "requires_action";
        return shown(state, id);
    }
    if let Some(decline) = behaviour.and_then(|behaviour| behaviour.charge) {
        return Err(declined(state, call, id, &method, decline));
    }
    use_method(state, id, &method_id);
    let charge = charges::record(state, call.now, id, method, None);
    let intent = found(state, id)?;
    intent.latest_charge = charge;
    intent.last_payment_error = None;
    if intent.manual_capture {
        intent.status = "requires_capture";
    } else {
        let amount = intent.amount;
        settle(state, id, amount);
    }
    shown(state, id)
}

/// A charge that goes through attaches its method when asked to, and spends one that nobody owns.
fn use_method(state: &mut State, id: &str, method_id: &str) {
    let Some(intent) = state.payment_intents.get(id) else {
        return;
    };
    let (customer, keep) = (intent.customer.clone(), intent.setup_future_usage.is_some());
    if let Some(method) = state.payment_methods.get_mut(method_id) {
        if keep && customer.is_some() {
            method.customer = customer;
            method.set_up = true;
        }
        if method.customer.is_none() {
            method.standing = Standing::Spent;
        }
    }
}

/// The money moves.
fn settle(state: &mut State, id: &str, amount: i64) {
    let Some(intent) = state.payment_intents.get_mut(id) else {
        return;
    };
    intent.status = "succeeded";
    intent.amount_received = amount;
    if let Some(charge) = intent.latest_charge.clone() {
        charges::capture(state, &charge, amount);
    }
}

fn declined(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    method: &PaymentMethod,
    decline: &'static Decline,
) -> Refusal {
    let charge = charges::record(state, call.now, id, method.clone(), Some(decline));
    let refusal = Refusal::declined(decline).charge(charge.clone());
    let method = methods::show(method);
    failed(state, id, charge, refusal.with("payment_method", method))
}

/// The cardholder did not pass the issuer's page.
pub(super) fn authentication_failed(state: &mut State, id: &str) -> Option<Refusal> {
    state.payment_intents.get(id)?;
    let refusal = Refusal::invalid("The cardholder could not be authenticated.")
        .code("payment_intent_authentication_failure");
    Some(failed(state, id, None, refusal))
}

fn failed(state: &mut State, id: &str, charge: Option<String>, refusal: Refusal) -> Refusal {
    let Some(intent) = state.payment_intents.get_mut(id) else {
        return refusal;
    };
    intent.status = "requires_payment_method";
    intent.payment_method = None;
    intent.latest_charge = charge.or_else(|| intent.latest_charge.take());
    intent.last_payment_error = Some(refusal.to_json(""));
    let object = show(intent);
    refusal.with("payment_intent", object)
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

fn missing_method() -> Refusal {
    Refusal::invalid("You cannot confirm this PaymentIntent because it's missing a payment method.")
        .code("payment_intent_unexpected_state")
        .param("payment_method")
}

fn found<'a>(state: &'a mut State, id: &str) -> Result<&'a mut PaymentIntent, Refusal> {
    state
        .payment_intents
        .get_mut(id)
        .ok_or_else(|| Refusal::missing("payment_intent"))
}

fn unexpected(state: &State, id: &str, verb: &str) -> Refusal {
    let intent = state.payment_intents.get(id);
    let status = intent.map_or("unknown", |intent| intent.status);
    let refusal = Refusal::invalid(format!(
        "This PaymentIntent could not be {verb} because it has a status of {status}."
    ))
    .code("payment_intent_unexpected_state");
    match intent {
        Some(intent) => refusal.with("payment_intent", show(intent)),
        None => refusal,
    }
}

fn shown(state: &State, id: &str) -> Outcome {
    state
        .payment_intents
        .get(id)
        .map(show)
        .ok_or_else(|| Refusal::missing("payment_intent"))
}

pub(super) fn show(intent: &PaymentIntent) -> Value {
    let capturable = if intent.status == "requires_capture" {
        intent.amount
    } else {
        0
    };
    let capture_method = if intent.manual_capture {
        "manual"
    } else {
        "automatic"
    };
    json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": capturable,
        "amount_details": { "tip": {} },
        "amount_received": intent.amount_received,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": intent.canceled_s,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": capture_method,
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": seconds(intent.created),
        "currency": intent.currency,
        "customer": intent.customer,
        "customer_account": null,
        "description": intent.description,
        "excluded_payment_method_types": null,
        "last_payment_error": intent.last_payment_error,
        "latest_charge": intent.latest_charge,
        "livemode": false,
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
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": intent.setup_future_usage,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": intent.statement_descriptor_suffix,
        "status": intent.status,
        "transfer_data": null,
        "transfer_group": null,
    })
}
