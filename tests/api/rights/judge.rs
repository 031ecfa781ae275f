//! What must be so whatever was written: judged by what the processor has really done, what the
//! merchant was really sent, and what the service answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What was asked for one charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    /// The customer who pays.
    pub(crate) customer: String,
    pub(crate) amount: i64,
    /// Taken at most.
    pub(crate) captured: i64,
    /// Given back at most.
    pub(crate) refunded: i64,
}

/// All that entitled clients have asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) charges: BTreeMap<String, Paid>,
    pub(crate) refunds: BTreeMap<String, i64>,
    /// Whose a customer of the processor is.
    pub(crate) customers: BTreeMap<String, String>,
    /// How those are called whose cards may be detached.
    pub(crate) detachable: Vec<String>,
    /// The cards at the processor before anybody wrote, each with whose it is.
    pub(crate) attached: BTreeMap<String, String>,
}

fn number(value: &Value, name: &str) -> i64 {
    let number = value[name].as_i64();
    number.unwrap_or_else(|| panic!("no {name} in {value}"))
}

impl Truth {
    /// What the processor has done and nobody asked for.
    pub(crate) fn money_moved(&self, ledger: &Value) -> Vec<String> {
        let mut moved = Vec::new();
        for intent in ledger["payment_intents"].as_array().unwrap() {
            let charge = intent["metadata"]["cloakroom_charge"]
                .as_str()
                .unwrap_or("none");
            let Some(paid) = self.charges.get(charge) else {
                moved.push(format!("a payment for {charge}, which nobody ordered"));
                continue;
            };
            let customer = intent["customer"].as_str().unwrap_or("none");
            if self.customers.get(customer) != Some(&paid.customer) {
                moved.push(format!("{charge}: {customer} pays for {}", paid.customer));
            }
            if number(intent, "amount") != paid.amount {
                moved.push(format!("{charge}: {} of {}", intent["amount"], paid.amount));
            }
        }
        for (charge, sums) in ledger["by_charge"].as_object().unwrap() {
            let Some(paid) = self.charges.get(charge) else {
                continue;
            };
            if number(sums, "paid") > 1 {
                moved.push(format!("{charge} is paid {} times", sums["paid"]));
            }
            if number(sums, "amount_captured") > paid.captured {
                moved.push(format!("{charge}: {} captured", sums["amount_captured"]));
            }
            if number(sums, "canceled") > 0 {
                moved.push(format!("{charge} is canceled"));
            }
            if number(sums, "amount_refunded") > paid.refunded {
                moved.push(format!(
                    "{charge}: {} of {} given back",
                    sums["amount_refunded"], paid.refunded
                ));
            }
        }
        for (refund, sums) in ledger["by_refund"].as_object().unwrap() {
            if self.refunds.get(refund) != Some(&number(sums, "amount"))
                || number(sums, "refunds") > 1
            {
                moved.push(format!(
                    "{refund} gives back {} in {}",
                    sums["amount"], sums["refunds"]
                ));
            }
        }
        moved
    }

    /// Cards that the processor has let go of, and nobody asked for it.
    pub(crate) fn detached(&self, ledger: &Value) -> Vec<String> {
        let methods = ledger["payment_methods"].as_array().unwrap().iter();
        let gone: BTreeSet<&str> = methods
            .filter(|method| method["detached"] == true)
            .filter_map(|method| method["id"].as_str())
            .collect();
        let lost = self.attached.iter().filter(|(id, customer)| {
            let may = self
                .detachable
                .iter()
                .any(|name| customer.starts_with(name));
            gone.contains(id.as_str()) && !may
        });
        lost.map(|(id, customer)| format!("the card {id} of {customer} is detached"))
            .collect()
    }

    /// Messages that tell what never was. `told` has what each event said when it was written.
    pub(crate) fn impersonated(
        &self,
        sent: &[Value],
        told: &BTreeMap<String, Value>,
    ) -> Vec<String> {
        let wrong = sent.iter().filter_map(|message| {
            let id = message["id"].as_str().unwrap_or("none");
            let data = &message["data"];
            if let Some(before) = told.get(id) {
                return (data != before).then(|| format!("{id} says {data}, not {before}"));
            }
            let charge = data["charge"]
                .as_str()
                .or(data["id"].as_str())
                .unwrap_or("none");
            let paid = self.charges.get(charge)?;
            let more = ["amount", "amount_captured"]
                .iter()
                .any(|name| data["object"] == "charge" && data[*name].as_i64() > Some(paid.amount));
            let back = data["amount_refunded"].as_i64() > Some(paid.refunded);
            (more || back).then(|| format!("{id} says {data} of {paid:?}"))
        });
        wrong.collect()
    }
}
