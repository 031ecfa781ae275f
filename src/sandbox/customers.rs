//! `/v1/customers`. A customer that an earlier life made is taken at its word.

use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::events;
use super::ids;
use super::objects::{self, Object};
use super::records::Customer;
use super::state::{Bounded, Call, Outcome, State};

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
    let id = customer.id.clone();
    state.customers.insert(id.clone(), customer);
    let made = events::about::<Customer>(state, call, "customer.created", &id);
    Ok(made)
}

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Outcome {
    if let Some(customer) = state.customers.get(call.id) {
        return Ok(customer.show());
    }
    if !ids::is_customer(call.id) {
        return Err(Refusal::missing("customer"));
    }
    let told = Customer {
        id: call.id.to_owned(),
        created_s: call.now_s(),
        fields: FIELDS
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect(),
        metadata: Map::new(),
    };
    Ok(told.show())
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &["email"])?;
    let email = call.form.get("email");
    objects::page(state, call, "/v1/customers", |customer: &Customer| {
        email.is_none() || customer.fields.get("email").and_then(Value::as_str) == email
    })
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

impl Object for Customer {
    const NAME: &'static str = "customer";

    fn all(state: &State) -> &Bounded<Self> {
        &state.customers
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.customers
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
            "object": "customer",
            "address": null,
            "balance": 0,
            "created": self.created_s,
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
            "metadata": self.metadata,
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "shipping": null,
            "tax_exempt": "none",
            "test_clock": null,
        });
        if let Some(object) = shown.as_object_mut() {
            object.extend(self.fields.clone());
        }
        shown
    }
}
