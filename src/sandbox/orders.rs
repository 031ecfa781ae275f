//! What a new `PaymentIntent` is asked to be, checked as Stripe checks it.

use super::errors::Refusal;
use super::intents::Core;
use super::payment_intents::USAGES;
use super::records::PaymentIntent;
use super::state::{Call, State};

const AMOUNT_MAX: i64 = 99_999_999;
/// Stripe's smallest charges, in minor units; other currencies have 1 here.
const AMOUNTS_MIN: [(&str, i64); 4] = [("usd", 50), ("eur", 50), ("gbp", 30), ("chf", 50)];
const SUFFIX_CHARS_MAX: usize = 22;
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// The `PaymentIntent` that a well-formed order asks for, without its method.
pub(super) fn read(state: &State, call: &Call<'_>) -> Result<PaymentIntent, Refusal> {
    let form = call.form;
    let currency = form.required("currency")?.to_ascii_lowercase();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(Refusal::invalid("Invalid currency.").param("currency"));
    }
    form.required("amount")?;
    let amount = form.integer("amount")?.unwrap_or(0);
    check_amount(amount, &currency)?;
    check_texts(call)?;
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

fn check_amount(amount: i64, currency: &str) -> Result<(), Refusal> {
    let min = AMOUNTS_MIN
        .iter()
        .find(|(of, _)| *of == currency)
        .map_or(1, |(_, min)| *min);
    if amount < 1 {
        return Err(
            Refusal::invalid("This value must be greater than or equal to 1.")
                .code("parameter_invalid_integer")
                .param("amount"),
        );
    }
    if amount < min {
        return Err(
            Refusal::invalid("Amount must be at least the currency's minimum.")
                .code("amount_too_small")
                .param("amount"),
        );
    }
    if amount > AMOUNT_MAX {
        return Err(Refusal::invalid("Amount must be no more than 99999999.")
            .code("amount_too_large")
            .param("amount"));
    }
    Ok(())
}

/// What goes onto a statement, within Stripe's limits.
pub(super) fn check_texts(call: &Call<'_>) -> Result<(), Refusal> {
    let suffix = call.form.get("statement_descriptor_suffix").unwrap_or("");
    let forbidden = |c: char| matches!(c, '<' | '>' | '\\' | '\'' | '"' | '*');
    if suffix.chars().count() > SUFFIX_CHARS_MAX || suffix.contains(forbidden) {
        return Err(Refusal::invalid(
            "The statement descriptor suffix has up to 22 characters and none of < > \\ ' \" *.",
        )
        .param("statement_descriptor_suffix"));
    }
    let description = call.form.get("description").unwrap_or("");
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Refusal::invalid("The description is too long.").param("description"));
    }
    Ok(())
}
