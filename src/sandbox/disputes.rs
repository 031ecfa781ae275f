//! `/v1/disputes`: a cardholder who wants the money back.
//!
//! A dispute comes by itself after a charge on one of the published cards, or by the control
//! plane's hand. It ends as at Stripe by evidence (`winning_evidence`, `losing_evidence` as
//! `evidence[uncategorized_text]`) or by accepting it, and by the control plane's hand.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::events;
use super::ids;
use super::objects::{self, Object, found};
use super::records::{Charge, Dispute};
use super::state::{Bounded, Call, Outcome, State};

/// Stripe's limit of all texts of one dispute's evidence together.
const EVIDENCE_CHARS_MAX: usize = 150_000;

/// What the cardholder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Fraudulent,
    ProductNotReceived,
    Duplicate,
    General,
    /// A question by the issuer, which moves no money.
    Inquiry,
}

impl Kind {
    const fn reason(self) -> &'static str {
        match self {
            Self::Fraudulent | Self::Inquiry => "fraudulent",
            Self::ProductNotReceived => "product_not_received",
            Self::Duplicate => "duplicate",
            Self::General => "general",
        }
    }
}

/// A dispute is raised; for the whole amount that was taken when none is named.
pub(super) fn open(
    state: &mut State,
    call: &Call<'_>,
    charge_id: &str,
    kind: Kind,
    amount: Option<i64>,
) -> Outcome {
    let charge = found::<Charge>(state, charge_id)?;
    if !charge.is_taken() || charge.dispute.is_some() {
        return Err(Refusal::invalid(
            "Only a captured charge without a dispute can be disputed.",
        ));
    }
    let inquiry = kind == Kind::Inquiry;
    let dispute = Dispute {
        id: ids::new("du_1"),
        created_s: call.now_s(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        amount: amount
            .filter(|amount| *amount > 0 && *amount <= charge.amount_captured)
            .unwrap_or(charge.amount_captured),
        currency: charge.currency.clone(),
        brand: charge.payment_method.card.brand.name(),
        reason: kind.reason(),
        status: if inquiry {
            "warning_needs_response"
        } else {
            "needs_response"
        },
        inquiry,
        evidence: Map::new(),
        metadata: Map::new(),
    };
    let id = dispute.id.clone();
    charge.dispute = Some(id.clone());
    charge.disputed = !inquiry;
    state.disputes.insert(id.clone(), dispute);
    state.made.disputes = state.made.disputes.saturating_add(1);
    let opened = events::about::<Dispute>(state, call, "charge.dispute.created", &id);
    // A question moves no money.
    if !inquiry {
        events::about::<Dispute>(state, call, "charge.dispute.funds_withdrawn", &id);
    }
    Ok(opened)
}

/// The network warns of fraud; there is no dispute yet, and there may never be one.
pub(super) fn warn(state: &mut State, call: &Call<'_>, charge_id: &str) {
    let Some(charge) = state.charges.get(charge_id) else {
        return;
    };
    let data = json!({ "object": {
        "id": ids::new("issfr_1"),
        "object": "radar.early_fraud_warning",
        "actionable": charge.amount_refunded < charge.amount_captured,
        "charge": charge.id,
        "created": call.now_s(),
        "fraud_type": "unauthorized_use_of_card",
        "livemode": false,
        "payment_intent": charge.payment_intent,
    }});
    events::write(state, call, "radar.early_fraud_warning.created", &data);
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["charge", "payment_intent"])?;
    let (charge, intent) = (call.form.get("charge"), call.form.get("payment_intent"));
    objects::page(state, call, "/v1/disputes", |dispute: &Dispute| {
        charge.is_none_or(|id| dispute.charge == id)
            && intent.is_none_or(|id| dispute.payment_intent == id)
    })
}

/// `POST …/{id}`: evidence.
pub(super) fn update(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&["evidence", "metadata", "submit"])?;
    let metadata = call.form.metadata()?;
    let text = call.form.get("evidence[uncategorized_text]");
    let submit = call.form.flag("submit")?.unwrap_or(true);
    let dispute = still_open(state, call.id)?;
    dispute.metadata.extend(metadata);
    let given: Map<String, Value> = call
        .form
        .fields()
        .filter_map(|(name, text)| {
            let name = name.strip_prefix("evidence[")?.strip_suffix(']')?;
            Some((name.to_owned(), text.into()))
        })
        .collect();
    if given.is_empty() {
        return Ok(dispute.show());
    }
    let chars = |text: &Value| text.as_str().map_or(0, |text| text.chars().count());
    if given.values().map(chars).sum::<usize>() > EVIDENCE_CHARS_MAX {
        return Err(Refusal::malformed("The evidence has too many characters.").param("evidence"));
    }
    let before = json!({ "status": dispute.status });
    dispute.evidence.extend(given);
    if submit {
        dispute.status = if dispute.inquiry {
            "warning_under_review"
        } else {
            "under_review"
        };
    }
    let event = "charge.dispute.updated";
    let shown = events::change::<Dispute>(state, call, event, call.id, before);
    match text.filter(|_| submit) {
        Some("winning_evidence") => close(state, call, call.id, true),
        Some("losing_evidence") => close(state, call, call.id, false),
        _ => Ok(shown),
    }
}

/// `POST …/{id}/close`: the merchant gives in.
pub(super) fn accept(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form.only(&[])?;
    close(state, call, call.id, false)
}

/// The issuer has decided.
pub(super) fn close(state: &mut State, call: &Call<'_>, id: &str, won: bool) -> Outcome {
    let dispute = still_open(state, id)?;
    let before = json!({ "status": dispute.status });
    dispute.status = match (dispute.inquiry, won) {
        (true, _) => "warning_closed",
        (false, true) => "won",
        (false, false) => "lost",
    };
    let (charge, returned) = (dispute.charge.clone(), dispute.status == "won");
    let event = "charge.dispute.closed";
    let closed = events::change::<Dispute>(state, call, event, id, before);
    if returned {
        if let Some(charge) = state.charges.get_mut(&charge) {
            charge.disputed = false;
        }
        events::about::<Dispute>(state, call, "charge.dispute.funds_reinstated", id);
    }
    Ok(closed)
}

fn still_open<'a>(state: &'a mut State, id: &str) -> Result<&'a mut Dispute, Refusal> {
    let dispute = found::<Dispute>(state, id)?;
    if matches!(dispute.status, "won" | "lost" | "warning_closed") {
        return Err(Refusal::invalid("This dispute is already closed."));
    }
    Ok(dispute)
}

impl Object for Dispute {
    const NAME: &'static str = "dispute";

    fn all(state: &State) -> &Bounded<Self> {
        &state.disputes
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.disputes
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        json!({
            "id": self.id,
            "object": Self::NAME,
            "amount": self.amount,
            "balance_transactions": [],
            "charge": self.charge,
            "created": self.created_s,
            "currency": self.currency,
            "enhanced_eligibility_types": [],
            "evidence": self.evidence,
            "evidence_details": {
                "due_by": self.created_s.saturating_add(7 * 24 * 60 * 60),
                "has_evidence": !self.evidence.is_empty(),
                "past_due": false,
                "submission_count": i32::from(!self.evidence.is_empty()),
            },
            "is_charge_refundable": self.inquiry,
            "livemode": false,
            "metadata": self.metadata,
            "payment_intent": self.payment_intent,
            "payment_method_details": {
                "card": {
                    "brand": self.brand,
                    "case_type": if self.inquiry { "inquiry" } else { "chargeback" },
                    "network_reason_code": "83",
                },
                "type": "card",
            },
            "reason": self.reason,
            "status": self.status,
        })
    }
}
