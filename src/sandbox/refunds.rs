//! `/v1/refunds`: money given back, never more than was taken.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::ids;
use super::state::{Call, Outcome, Refund, State, page};

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&["payment_intent", "charge", "amount", "reason", "metadata"])?;
    let reason = form.choice(
        "reason",
        &["duplicate", "fraudulent", "requested_by_customer"],
    )?;
    let metadata = form.metadata()?;
    let wanted = form.integer("amount")?;
    let charge_id = charge_named(state, call)?;
    let charge = state
        .charges
        .get_mut(&charge_id)
        .filter(|charge| charge.failure.is_none())
        .ok_or_else(|| Refusal::missing_parameter("charge", "charge"))?;
    if !charge.captured {
        return Err(Refusal::invalid("This charge has not been captured."));
    }
    let left = charge
        .amount_captured
        .saturating_sub(charge.amount_refunded);
    if left == 0 {
        return Err(Refusal::invalid("This charge has already been refunded.")
            .code("charge_already_refunded"));
    }
    let amount = wanted.unwrap_or(left);
    if amount < 1 || amount > left {
        return Err(Refusal::invalid(
            "Refund amount must be from 1 to the unrefunded amount on the charge.",
        )
        .param("amount"));
    }
    charge.amount_refunded = charge.amount_refunded.saturating_add(amount);
    let refund = Refund {
        id: ids::new("re_3"),
        created_s: call.now_s(),
        amount,
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        reason,
        metadata,
    };
    let shown = show(&refund);
    state.refunds.insert(refund.id.clone(), refund);
    state.made.refunds = state.made.refunds.saturating_add(1);
    Ok(shown)
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    state
        .refunds
        .get(call.id)
        .map(show)
        .ok_or_else(|| Refusal::missing("refund"))
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    let (intent, charge) = (call.form.get("payment_intent"), call.form.get("charge"));
    let refunds = state.refunds.newest().filter(|refund| {
        intent.is_none_or(|id| refund.payment_intent == id)
            && charge.is_none_or(|id| refund.charge == id)
    });
    page(call, "/v1/refunds", refunds, |refund| &refund.id, show)
}

fn charge_named(state: &State, call: &Call<'_>) -> Result<String, Refusal> {
    match (call.form.get("payment_intent"), call.form.get("charge")) {
        (_, Some(charge)) => Ok(charge.to_owned()),
        (Some(intent), None) => {
            let intent = state.payment_intents.get(intent).ok_or_else(|| {
                Refusal::missing_parameter("payment_intent", "payment_intent")
            })?;
            intent.latest_charge.clone().ok_or_else(|| {
                Refusal::invalid("This PaymentIntent does not have a successful charge to refund.")
                    .param("payment_intent")
            })
        }
        (None, None) => Err(Refusal::invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
        )
        .code("parameter_missing")),
    }
}

pub(super) fn show(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": null,
        "charge": refund.charge,
        "created": refund.created_s,
        "currency": refund.currency,
        "destination_details": { "card": { "type": "refund" }, "type": "card" },
        "metadata": refund.metadata,
        "payment_intent": refund.payment_intent,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": "succeeded",
        "transfer_reversal": null,
    })
}
