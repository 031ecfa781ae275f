//! `/v1/refunds`: money given back, never more than was taken.
//!
//! A refund may take its time (`later.rs`), and it may fail after all: then the money is the
//! merchant's again, and can be refunded once more.

use serde_json::{Value, json};

use super::cards::Aftermath;
use super::errors::Refusal;
use super::events;
use super::ids;
use super::later::{self, Deed, Later};
use super::objects::{self, Object, found};
use super::records::{Charge, Refund};
use super::state::{Bounded, Call, Outcome, State};

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
        .filter(|charge| charge.failure().is_none())
        .ok_or_else(|| Refusal::missing_parameter("charge", "charge"))?;
    let amount = refundable(charge, wanted)?;
    let after = charge.payment_method.card.behaviour().map(|b| b.after);
    let refunds = match (state.switches.refunds, after) {
        (Later::AtOnce, Some(Aftermath::RefundPends)) => Later::Succeeded,
        (switch, _) => switch,
    };
    let when = Later::of(&metadata, refunds);
    let before = json!({ "amount_refunded": charge.amount_refunded, "refunded": false });
    charge.amount_refunded = charge.amount_refunded.saturating_add(amount);
    charge.refunds = charge.refunds.saturating_add(1);
    let refund = Refund {
        id: ids::new("re_3"),
        created_s: call.now_s(),
        amount,
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        reason,
        metadata,
        status: if when == Later::AtOnce {
            "succeeded"
        } else {
            "pending"
        },
    };
    let id = refund.id.clone();
    state.refunds.insert(id.clone(), refund);
    state.made.refunds = state.made.refunds.saturating_add(1);
    let outcome = match (when, after) {
        (Later::AtOnce, Some(Aftermath::RefundFails)) => Some(false),
        (Later::AtOnce, _) => None,
        (when, _) => when.outcome(),
    };
    if let Some(succeeds) = outcome {
        let id = id.clone();
        later::plan(state, Deed::Refund { id, succeeds });
    }
    let made = events::about::<Refund>(state, call, "refund.created", &id);
    events::change::<Charge>(state, call, "charge.refunded", &charge_id, before);
    Ok(made)
}

/// How much of what was asked for can be given back: all of it, or it is refused.
fn refundable(charge: &Charge, wanted: Option<i64>) -> Result<i64, Refusal> {
    if !charge.is_taken() {
        return Err(Refusal::invalid("This charge has not been captured."));
    }
    if charge.disputed {
        return Err(Refusal::invalid("This charge has been charged back.").code("charge_disputed"));
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
    Ok(amount)
}

/// A pending refund ends, or one that seemed to have succeeded fails.
pub(super) fn end(state: &mut State, call: &Call<'_>, id: &str, succeeds: bool) -> Outcome {
    let refund = found::<Refund>(state, id)?;
    let was = refund.status;
    match (was, succeeds) {
        ("pending", _) | ("succeeded", false) => {}
        _ => return Err(Refusal::invalid("This refund has ended already.")),
    }
    refund.status = if succeeds { "succeeded" } else { "failed" };
    let (charge, amount) = (refund.charge.clone(), refund.amount);
    let before = json!({ "status": was });
    let shown = events::change::<Refund>(state, call, "refund.updated", id, before);
    if succeeds {
        return Ok(shown);
    }
    if let Some(charge) = state.charges.get_mut(&charge) {
        charge.amount_refunded = charge.amount_refunded.saturating_sub(amount);
    }
    Ok(events::about::<Refund>(state, call, "refund.failed", id))
}

/// `POST …/{id}`: only metadata can be changed.
pub(super) fn update(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["metadata"])?;
    let metadata = call.form.metadata()?;
    let refund = found::<Refund>(state, call.id)?;
    let before = json!({ "metadata": refund.metadata });
    refund.metadata.extend(metadata);
    let event = "refund.updated";
    Ok(events::change::<Refund>(
        state, call, event, call.id, before,
    ))
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["payment_intent", "charge"])?;
    let (intent, charge) = (call.form.get("payment_intent"), call.form.get("charge"));
    objects::page(state, call, "/v1/refunds", |refund: &Refund| {
        intent.is_none_or(|id| refund.payment_intent == id)
            && charge.is_none_or(|id| refund.charge == id)
    })
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

impl Object for Refund {
    const NAME: &'static str = "refund";

    fn all(state: &State) -> &Bounded<Self> {
        &state.refunds
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.refunds
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": null,
            "charge": self.charge,
            "created": self.created_s,
            "currency": self.currency,
            "destination_details": { "card": { "type": "refund" }, "type": "card" },
            "metadata": self.metadata,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": self.status,
            "transfer_reversal": null,
        });
        let more = match self.status {
            "failed" => ("failure_reason", "expired_or_canceled_card"),
            "pending" => ("pending_reason", "processing"),
            _ => return shown,
        };
        if let Some(fields) = shown.as_object_mut() {
            fields.insert(more.0.to_owned(), more.1.into());
        }
        shown
    }
}
