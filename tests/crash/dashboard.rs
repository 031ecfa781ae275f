//! The processor's dashboard: somebody gives money back there and answers disputes, without a word
//! to the service but the processor's webhooks.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::merchant::Merchant;
use crate::processor::Processor;

/// The pause between two acts.
const PAUSE_MS: (u64, u64) = (200, 1_200);
/// The newest payments are chosen from: the service may not know of them yet.
const PAYMENTS: usize = 12;

/// Uses the dashboard until the load stops.
pub(crate) async fn used(processor: &Processor, merchant: &Merchant, mut chance: Chance) {
    while merchant.stopped().is_none() {
        let (least, most) = PAUSE_MS;
        tokio::time::sleep(Duration::from_millis(chance.between(least, most))).await;
        let began = Instant::now();
        // A fault that meets the dashboard leaves the act undone, or done and unseen.
        if let Some(act) = act(processor, &mut chance).await {
            merchant.line(began, &format!("dashboard {act}"));
            merchant.note(|journal| journal.dashboard_acts += 1);
        }
    }
}

async fn act(processor: &Processor, chance: &mut Chance) -> Option<String> {
    if chance.percent(25) {
        return close(processor, chance).await;
    }
    let payments = format!("/v1/payment_intents?limit={PAYMENTS}");
    let payments = processor.dashboard(Method::GET, &payments, "").await?;
    let paid = |payment: &&Value| payment["status"] == "succeeded";
    let paid: Vec<&Value> = payments["data"].as_array()?.iter().filter(paid).collect();
    if paid.is_empty() {
        return None;
    }
    let payment = *chance.pick(&paid);
    let (id, charge) = (payment["id"].as_str()?, payment["latest_charge"].as_str()?);
    let ours = payment["metadata"]["cloakroom_charge"].as_str()?;
    if chance.percent(30) {
        let complaint = json!({ "kind": "fraudulent" });
        let path = format!("/_sandbox/charges/{charge}/dispute");
        // One that is disputed already is not disputed again.
        let opened = processor
            .dashboard(Method::POST, &path, &complaint.to_string())
            .await?;
        return Some(format!("dispute {} of {ours}", opened["id"]));
    }
    let amount = payment["amount_received"].as_i64()?;
    let part = chance.amount(1, amount.max(1));
    let form = if chance.percent(40) {
        format!("payment_intent={id}")
    } else {
        format!("payment_intent={id}&amount={part}")
    };
    let made = processor
        .dashboard(Method::POST, "/v1/refunds", &form)
        .await?;
    let (refund, amount) = (&made["id"], &made["amount"]);
    Some(format!("refund {refund} of {amount} of {ours}"))
}

/// A dispute comes to its end.
async fn close(processor: &Processor, chance: &mut Chance) -> Option<String> {
    let disputes = processor
        .dashboard(Method::GET, "/v1/disputes?limit=10", "")
        .await?;
    let disputes = disputes["data"].as_array()?;
    let open = |dispute: &&Value| dispute["status"] == "needs_response";
    let open: Vec<&Value> = disputes.iter().filter(open).collect();
    if open.is_empty() {
        return None;
    }
    let id = chance.pick(&open)["id"].as_str()?;
    let outcome = *chance.pick(&["won", "won", "lost"]);
    let path = format!("/_sandbox/disputes/{id}/close");
    let decision = json!({ "outcome": outcome });
    processor
        .dashboard(Method::POST, &path, &decision.to_string())
        .await?;
    Some(format!("{id} {outcome}"))
}

/// What was lost of the dashboard's acts comes after all, the newest first: the processor repeats
/// an event for days. Of what the service did itself nothing comes again.
pub(crate) async fn catch_up(processor: &Processor) {
    for event in processor.list("/v1/events").await {
        let kind = event["type"].as_str().unwrap();
        let object = &event["data"]["object"];
        let dispute = kind.starts_with("charge.dispute.");
        let refund =
            object["object"] == "refund" && object["metadata"]["cloakroom_refund"].is_null();
        if dispute || refund {
            processor.resend(event["id"].as_str().unwrap()).await;
        }
    }
}
