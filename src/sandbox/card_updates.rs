//! A card that changes: because the merchant says so (`POST /v1/payment_methods/{id}`), or because
//! the network told Stripe that the issuer has sent a new one
//! (<https://docs.stripe.com/payments/cards/overview#automatic-card-updates>).
//!
//! An id goes on saying what its card was when it was made; a sandbox that has been restarted has
//! forgotten the change.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cards::Brand;
use super::errors::Refusal;
use super::events;
use super::objects::Object;
use super::payment_methods::{billing_details, check_expiry, remembered};
use super::records::PaymentMethod;
use super::state::{Call, Outcome, State};

/// What the network says of the new card.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct News {
    exp_month: u8,
    exp_year: u16,
    #[serde(default)]
    last4: Option<String>,
    #[serde(default)]
    brand: Option<String>,
}

/// By the merchant's hand. Stripe changes only what belongs to a customer.
pub(super) fn by_hand(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&["card", "billing_details", "metadata", "allow_redisplay"])?;
    let metadata = form.metadata()?;
    let method = attached(state, call)?;
    let was = method.show();
    let asked = |name: &str, old: String| form.owned(name).unwrap_or(old);
    let month = asked("card[exp_month]", method.card.exp_month.to_string());
    let year = asked("card[exp_year]", method.card.exp_year.to_string());
    let touched = form.get("card[exp_month]").is_some() || form.get("card[exp_year]").is_some();
    if touched {
        let (month, year) = check_expiry(&month, &year, call.now)?;
        method.card.exp_month = month;
        method.card.exp_year = year;
    }
    merge(&mut method.billing_details, billing_details(form));
    method.metadata.extend(metadata);
    Ok(tell(state, call, "payment_method.updated", &was))
}

/// By the network's.
pub(super) fn by_network(state: &mut State, call: &Call<'_>, news: News) -> Outcome {
    let method = attached(state, call)?;
    let was = method.show();
    let (month, year) = (news.exp_month.to_string(), news.exp_year.to_string());
    let (month, year) = check_expiry(&month, &year, call.now)?;
    let brand = match news.brand {
        None => method.card.brand,
        Some(name) => Brand::ALL
            .into_iter()
            .find(|brand| brand.name() == name)
            .ok_or_else(|| Refusal::invalid("No such brand.").param("brand"))?,
    };
    if let Some(last4) = news.last4 {
        if last4.len() != 4 || !last4.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::invalid("last4 has four digits.").param("last4"));
        }
        if last4 != method.card.last4 {
            method.card.renumber(last4);
        }
    }
    method.card.exp_month = month;
    method.card.exp_year = year;
    method.card.brand = brand;
    let kind = "payment_method.automatically_updated";
    Ok(tell(state, call, kind, &was))
}

fn attached<'a>(state: &'a mut State, call: &Call<'_>) -> Result<&'a mut PaymentMethod, Refusal> {
    let method =
        remembered(state, call.id, call.now).ok_or_else(|| Refusal::missing("payment_method"))?;
    if method.customer.is_none() {
        return Err(Refusal::invalid(
            "You must save this PaymentMethod to a customer before you can update it.",
        ));
    }
    Ok(method)
}

fn tell(state: &mut State, call: &Call<'_>, kind: &'static str, was: &Value) -> Value {
    let is = state
        .payment_methods
        .get(call.id)
        .map_or(Value::Null, PaymentMethod::show);
    let before = difference(was, &is);
    events::change::<PaymentMethod>(state, call, kind, call.id, before)
}

/// What the fields that differ were before; of objects, only the fields in them that differ.
fn difference(was: &Value, is: &Value) -> Value {
    let (Some(old), Some(new)) = (was.as_object(), is.as_object()) else {
        return was.clone();
    };
    let absent = &Value::Null;
    // A new metadata key was null before, says Stripe.
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    let changed: Map<String, Value> = names
        .map(|name| {
            let value = |of: &'_ Map<String, Value>| of.get(name).unwrap_or(absent).clone();
            (name, value(old), value(new))
        })
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| (name.clone(), difference(&old, &new)))
        .collect();
    changed.into()
}

/// Takes over what is there, and leaves alone what is not.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(json!(null)), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_what_was_and_nothing_that_stayed() {
        let was = json!({"a": 1, "card": {"exp": 1, "last4": "1"}, "metadata": {"x": "1"}});
        let is =
            json!({"a": 1, "card": {"exp": 2, "last4": "1"}, "metadata": {"x": "1", "y": "2"}});
        assert_eq!(
            difference(&was, &is),
            json!({"card": {"exp": 1}, "metadata": {"y": null}})
        );
        assert_eq!(difference(&was, &was), json!({}));
    }

    #[test]
    fn what_is_not_said_stays() {
        let mut details = json!({"name": "Ada", "address": {"city": "Ulm", "line1": null}});
        merge(
            &mut details,
            json!({"name": null, "address": {"city": null, "line1": "Gasse 1"}}),
        );
        let merged = json!({"name": "Ada", "address": {"city": "Ulm", "line1": "Gasse 1"}});
        assert_eq!(details, merged);
    }
}
