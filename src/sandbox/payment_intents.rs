//! `/v1/payment_intents`: create, update, confirm, capture, cancel, list.
//!
//! What happens when one is confirmed stands in `attempts.rs`.

use serde_json::{Value, json};

use super::attempts::{self, Manner};
use super::charges;
use super::cvc_tokens;
use super::errors::Refusal;
use super::events;
use super::form::Form;
use super::intents::{self, Core, Intent};
use super::objects::{self, Object, found};
use super::orders;
use super::records::PaymentIntent;
use super::rules;
use super::state::{Bounded, Call, Outcome, State, seconds};

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
    cvc_tokens::check(state, form)?;
    let mut intent = orders::read(state, call)?;
    // The method is looked at before anything is made: a wrong id leaves nothing behind.
    let core = &mut intent.core;
    core.payment_method = intents::usable(state, call, core.customer.as_deref())?;
    if core.payment_method.is_some() {
        core.status = "requires_confirmation";
    } else if confirm {
        return Err(intents::missing_method::<PaymentIntent>());
    }
    let id = core.id.clone();
    state.payment_intents.insert(id.clone(), intent);
    state.made.payment_intents = state.made.payment_intents.saturating_add(1);
    let made = events::about::<PaymentIntent>(state, call, "payment_intent.created", &id);
    if confirm {
        cvc_tokens::spend(state, form);
        attempts::attempt(state, call, &id, manner)
    } else {
        Ok(made)
    }
}

/// Stripe sends no event for what a caller changes here.
pub(super) fn update(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["metadata", "description"])?;
    rules::texts(call.form)?;
    let metadata = call.form.metadata()?;
    let intent = found::<PaymentIntent>(state, call.id)?;
    let description = call.form.owned("description");
    intent.core.description = description.or_else(|| intent.core.description.take());
    intent.core.metadata.extend(metadata);
    Ok(intent.show())
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["customer"])?;
    let customer = call.form.get("customer");
    objects::page(
        state,
        call,
        "/v1/payment_intents",
        |intent: &PaymentIntent| customer.is_none() || intent.core.customer.as_deref() == customer,
    )
}

pub(super) fn confirm(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(KNOWN_AT_CONFIRM)?;
    let manner = Manner::of(call)?;
    let usage = form.choice("setup_future_usage", USAGES)?;
    cvc_tokens::check(state, form)?;
    if !matches!(
        found::<PaymentIntent>(state, call.id)?.core.status,
        "requires_payment_method" | "requires_confirmation" | "requires_action"
    ) {
        return Err(intents::unexpected::<PaymentIntent>(
            state,
            call.id,
            "confirmed",
        ));
    }
    intents::choose::<PaymentIntent>(state, call)?;
    cvc_tokens::spend(state, form);
    let intent = found::<PaymentIntent>(state, call.id)?;
    intent.setup_future_usage = usage.or(intent.setup_future_usage);
    attempts::attempt(state, call, call.id, manner)
}

pub(super) fn capture(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&[
        "amount_to_capture",
        "final_capture",
        "metadata",
        "statement_descriptor_suffix",
    ])?;
    rules::texts(call.form)?;
    let wanted = call.form.integer("amount_to_capture")?;
    let metadata = call.form.metadata()?;
    let intent = found::<PaymentIntent>(state, call.id)?;
    if intent.core.status != "requires_capture" {
        return Err(intents::unexpected::<PaymentIntent>(
            state, call.id, "captured",
        ));
    }
    let amount = wanted.unwrap_or(intent.amount);
    if amount < 1 || amount > intent.amount {
        return Err(Refusal::invalid(
            "The amount to capture must be from 1 to the amount that was authorized.",
        )
        .code("amount_too_large")
        .param("amount_to_capture"));
    }
    intent.core.metadata.extend(metadata);
    attempts::capture(state, call, amount)
}

pub(super) fn cancel(state: &mut State, call: &Call<'_>) -> Outcome {
    let too_late = ["succeeded", "canceled", "processing"];
    intents::cancel::<PaymentIntent>(state, call, &too_late)?;
    let intent = found::<PaymentIntent>(state, call.id)?;
    intent.canceled_s = Some(call.now_s());
    if let Some(charge) = intent.latest_charge.clone() {
        charges::release(state, &charge);
    }
    let event = PaymentIntent::CANCELED_EVENT;
    Ok(events::about::<PaymentIntent>(state, call, event, call.id))
}

/// The answer with the charge itself in place of its id, where that was asked for.
pub(super) fn expanded(state: &State, form: &Form, mut answer: Value) -> Value {
    for path in form.listed("expand") {
        match path {
            "latest_charge" => expand(state, &mut answer),
            "data.latest_charge" => {
                let listed = answer.get_mut("data").and_then(Value::as_array_mut);
                for intent in listed.into_iter().flatten() {
                    expand(state, intent);
                }
            }
            _ => {}
        }
    }
    answer
}

fn expand(state: &State, intent: &mut Value) {
    let charge = intent
        .get("latest_charge")
        .and_then(Value::as_str)
        .and_then(|id| state.charges.get(id));
    if let (Some(charge), Some(fields)) = (charge, intent.as_object_mut()) {
        fields.insert("latest_charge".to_owned(), charge.show());
    }
}

impl Object for PaymentIntent {
    const NAME: &'static str = "payment_intent";

    fn all(state: &State) -> &Bounded<Self> {
        &state.payment_intents
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.payment_intents
    }

    fn id(&self) -> &str {
        &self.core.id
    }

    fn created_s(&self) -> i64 {
        seconds(self.created)
    }

    fn show(&self) -> Value {
        let core = &self.core;
        let capturable = if core.status == "requires_capture" {
            self.amount
        } else {
            0
        };
        let capture_method = if self.manual_capture {
            "manual"
        } else {
            "automatic"
        };
        json!({
            "id": core.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": capturable,
            "amount_details": { "tip": {} },
            "amount_received": self.amount_received,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": self.canceled_s,
            "cancellation_reason": core.cancellation_reason,
            "capture_method": capture_method,
            "client_secret": core.client_secret,
            "confirmation_method": "automatic",
            "created": seconds(self.created),
            "currency": self.currency,
            "customer": core.customer,
            "customer_account": null,
            "description": core.description,
            "excluded_payment_method_types": null,
            "last_payment_error": core.last_error,
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": core.metadata,
            "next_action": core.next_action(),
            "on_behalf_of": null,
            "payment_method": core.payment_method,
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": self.setup_future_usage,
            "shipping": null,
            "source": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": core.status,
            "transfer_data": null,
            "transfer_group": null,
        })
    }
}

impl Intent for PaymentIntent {
    const TITLE: &'static str = "PaymentIntent";
    const UNEXPECTED: &'static str = "payment_intent_unexpected_state";
    const UNAUTHENTICATED: &'static str = "payment_intent_authentication_failure";
    const REQUIRES_ACTION_EVENT: &'static str = "payment_intent.requires_action";
    const FAILED_EVENT: &'static str = "payment_intent.payment_failed";
    const CANCELED_EVENT: &'static str = "payment_intent.canceled";
    const CANCELLATION_REASONS: &'static [&'static str] = &[
        "abandoned",
        "duplicate",
        "fraudulent",
        "requested_by_customer",
    ];

    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}
