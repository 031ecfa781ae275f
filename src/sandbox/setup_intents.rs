//! `/v1/setup_intents`: making a card reusable while the cardholder is present.

use serde_json::{Value, json};

use super::cards::Authentication;
use super::errors::Refusal;
use super::events;
use super::intents::{self, Core, Intent};
use super::objects::{self, Object, found};
use super::payment_methods as methods;
use super::records::{PaymentMethod, SetupIntent};
use super::state::{Bounded, Call, Outcome, State};

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
    let confirm = form.flag("confirm")?.unwrap_or(false);
    let mut intent = SetupIntent {
        core: Core::ordered(state, call, "seti_1")?,
        created_s: call.now_s(),
        usage: form
            .choice("usage", &["off_session", "on_session"])?
            .unwrap_or("off_session"),
    };
    // The method is looked at before anything is made: a wrong id leaves nothing behind.
    let core = &mut intent.core;
    core.payment_method = intents::usable(state, call, core.customer.as_deref())?;
    if core.payment_method.is_some() {
        core.status = "requires_confirmation";
    }
    let id = core.id.clone();
    state.setup_intents.insert(id.clone(), intent);
    let made = events::about::<SetupIntent>(state, call, "setup_intent.created", &id);
    if confirm {
        attempt(state, call, &id, false)
    } else {
        Ok(made)
    }
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["customer", "payment_method"])?;
    let customer = call.form.get("customer");
    let method = call.form.get("payment_method");
    objects::page(state, call, "/v1/setup_intents", |intent: &SetupIntent| {
        (customer.is_none() || intent.core.customer.as_deref() == customer)
            && (method.is_none() || intent.core.payment_method.as_deref() == method)
    })
}

pub(super) fn confirm(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form
        .only(&["payment_method", "return_url", "payment_method_options"])?;
    let status = found::<SetupIntent>(state, call.id)?.core.status;
    if matches!(status, "succeeded" | "canceled") {
        return Err(intents::unexpected::<SetupIntent>(
            state,
            call.id,
            "confirmed",
        ));
    }
    intents::choose::<SetupIntent>(state, call)?;
    attempt(state, call, call.id, false)
}

pub(super) fn cancel(state: &mut State, call: &Call<'_>) -> Outcome {
    intents::cancel::<SetupIntent>(state, call, &["succeeded", "canceled"])?;
    Ok(events::about::<SetupIntent>(
        state,
        call,
        SetupIntent::CANCELED_EVENT,
        call.id,
    ))
}

/// Sets the card up, asking the cardholder first where the issuer wants it.
pub(super) fn attempt(
    state: &mut State,
    call: &Call<'_>,
    id: &str,
    authenticated: bool,
) -> Outcome {
    let strict = state.switches.decline_at_attach;
    let method = intents::method_of::<SetupIntent>(state, call, id)?;
    let behaviour = method.card.behaviour();
    let authentication = behaviour.map_or(Authentication::Never, |b| b.authentication);
    if authentication.at_set_up() && !authenticated {
        return intents::ask::<SetupIntent>(state, call, id);
    }
    if let Some(decline) = methods::refused_at_set_up(&method, strict) {
        let refusal = Refusal::declined(decline);
        return Err(intents::failed::<SetupIntent>(state, call, id, refusal));
    }
    keep(state, call, id, &method.id)?;
    let core = &mut found::<SetupIntent>(state, id)?.core;
    core.status = "succeeded";
    core.last_error = None;
    Ok(events::about::<SetupIntent>(
        state,
        call,
        "setup_intent.succeeded",
        id,
    ))
}

/// The method is set up, and the customer's from now on.
fn keep(state: &mut State, call: &Call<'_>, id: &str, method_id: &str) -> Result<(), Refusal> {
    let customer = found::<SetupIntent>(state, id)?.core.customer.clone();
    let method = found::<PaymentMethod>(state, method_id)?;
    method.set_up = true;
    if customer.is_some() && method.customer != customer {
        method.customer = customer;
        events::about::<PaymentMethod>(state, call, "payment_method.attached", method_id);
    }
    Ok(())
}

impl Object for SetupIntent {
    const NAME: &'static str = "setup_intent";

    fn all(state: &State) -> &Bounded<Self> {
        &state.setup_intents
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.setup_intents
    }

    fn id(&self) -> &str {
        &self.core.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        let core = &self.core;
        json!({
            "id": core.id,
            "object": "setup_intent",
            "application": null,
            "automatic_payment_methods": null,
            "cancellation_reason": core.cancellation_reason,
            "client_secret": core.client_secret,
            "created": self.created_s,
            "customer": core.customer,
            "description": core.description,
            "excluded_payment_method_types": null,
            "flow_directions": null,
            "last_setup_error": core.last_error,
            "latest_attempt": null,
            "livemode": false,
            "mandate": null,
            "metadata": core.metadata,
            "next_action": core.next_action(),
            "on_behalf_of": null,
            "payment_method": core.payment_method,
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "single_use_mandate": null,
            "status": core.status,
            "usage": self.usage,
        })
    }
}

impl Intent for SetupIntent {
    const TITLE: &'static str = "SetupIntent";
    const UNEXPECTED: &'static str = "setup_intent_unexpected_state";
    const UNAUTHENTICATED: &'static str = "setup_intent_authentication_failure";
    const REQUIRES_ACTION_EVENT: &'static str = "setup_intent.requires_action";
    const FAILED_EVENT: &'static str = "setup_intent.setup_failed";
    const CANCELED_EVENT: &'static str = "setup_intent.canceled";
    const CANCELLATION_REASONS: &'static [&'static str] =
        &["abandoned", "duplicate", "requested_by_customer"];

    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}
