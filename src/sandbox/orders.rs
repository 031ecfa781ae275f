//! What a new `PaymentIntent` is asked to be, checked as Stripe checks it.

use super::errors::Refusal;
use super::intents::Core;
use super::payment_intents::USAGES;
use super::records::PaymentIntent;
use super::rules;
use super::state::{Call, State};

/// The `PaymentIntent` that a well-formed order asks for, without its method.
pub(super) fn read(state: &State, call: &Call<'_>) -> Result<PaymentIntent, Refusal> {
    let form = call.form;
    let currency = rules::currency(form)?;
    form.required("amount")?;
    let amount = form.integer("amount")?.unwrap_or(0);
    rules::amount(amount, &currency)?;
    rules::texts(form)?;
    Ok(PaymentIntent {
        core: Core::ordered(state, call, "pi_3")?,
        created: call.now,
        amount,
        amount_received: 0,
        currency,
        manual_capture: form.choice(
            "capture_method",
            &["automatic", "automatic_async", "manual"],
        )? == Some("manual"),
        setup_future_usage: form.choice("setup_future_usage", USAGES)?,
        statement_descriptor_suffix: form.owned("statement_descriptor_suffix"),
        latest_charge: None,
        canceled_s: None,
    })
}
