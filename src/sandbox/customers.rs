//! `/v1/customers`. A customer that an earlier life made is taken at its word.

use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::ids;
use super::state::{Call, Customer, Outcome, State, page};

const FIELDS: [&str; 4] = ["name", "email", "phone", "description"];

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    call.form
        .only(&["name", "email", "phone", "description", "metadata"])?;
    let fields: Map<String, Value> = FIELDS
        .iter()
        .map(|name| ((*name).to_owned(), call.form.owned(name).into()))
        .collect();
    let customer = Customer {
        id: ids::new_customer(),
        created_s: call.now_s(),
        fields,
        metadata: call.form.metadata()?,
    };
    let shown = show(&customer);
    state.customers.insert(customer.id.clone(), customer);
    Ok(shown)
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    if let Some(customer) = state.customers.get(call.id) {
        return Ok(show(customer));
    }
    if !ids::is_customer(call.id) {
        return Err(Refusal::missing("customer"));
    }
    Ok(show(&Customer {
        id: call.id.to_owned(),
        created_s: call.now_s(),
        fields: FIELDS
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect(),
        metadata: Map::new(),
    }))
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    let customers = state.customers.newest();
    page(call, "/v1/customers", customers, |c| &c.id, show)
}

/// The `customer` parameter, if there is one, and somebody's.
pub(super) fn named(state: &State, call: &Call<'_>) -> Result<Option<String>, Refusal> {
    match call.form.get("customer") {
        None => Ok(None),
        Some(id) if state.customers.get(id).is_some() || ids::is_customer(id) => {
            Ok(Some(id.to_owned()))
        }
        Some(_) => Err(Refusal::missing_parameter("customer", "customer")),
    }
}

fn show(customer: &Customer) -> Value {
    let mut shown = json!({
        "id": customer.id,
        "object": "customer",
        "address": null,
        "balance": 0,
        "created": customer.created_s,
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "discount": null,
        "invoice_prefix": "SANDBOX",
        "invoice_settings": {
            "custom_fields": null,
            "default_payment_method": null,
            "footer": null,
            "rendering_options": null,
        },
        "livemode": false,
        "metadata": customer.metadata,
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    if let Some(object) = shown.as_object_mut() {
        object.extend(customer.fields.clone());
    }
    shown
}
