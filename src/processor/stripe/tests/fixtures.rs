//! Stripe's own fixtures (github.com/stripe/openapi, MIT), where they lie beside the repository.

use std::path::Path;

use crate::processor::Failure;
use crate::processor::stripe::answers::{self, Object, PaymentIntent, PaymentMethod, SetupIntent};

fn resources() -> Option<serde_json::Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["..", "../.."].map(|up| root.join(up).join("shared/stripe/fixtures3.json"));
    let Some(bytes) = places.iter().find_map(|place| std::fs::read(place).ok()) else {
        println!("Stripe's fixtures are not present beside the repository: not run");
        return None;
    };
    let mut fixtures: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    Some(fixtures["resources"].take())
}

fn resource(name: &str) -> Option<Vec<u8>> {
    let resources = resources()?;
    assert!(!resources[name].is_null(), "no {name} among the fixtures");
    Some(serde_json::to_vec(&resources[name]).unwrap())
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    resource(name).map(|body| answers::read(&body).unwrap())
}

#[test]
fn stripes_own_payment_method_is_read() {
    if let Some(method) = read::<PaymentMethod>("payment_method") {
        assert!(method.customer.is_none());
        let (id, summary, _) = method.into_parts().unwrap();
        assert!(id.starts_with("pm_"));
        assert_eq!(
            (summary.brand.as_str(), summary.last4.as_str()),
            ("visa", "4242")
        );
        assert_eq!((summary.exp_month, summary.exp_year), (8, 2030));
    }
}

#[test]
fn stripes_own_intents_are_read() {
    if let Some(intent) = read::<PaymentIntent>("payment_intent") {
        assert!(intent.id().unwrap().starts_with("pi_"));
        assert_eq!(intent.status, "requires_payment_method");
        assert!(intent.last_payment_error.is_some());
        assert_eq!(intent.redirect_url(), Err(Failure::OutcomeUnknown));
    }
    if let Some(intent) = read::<SetupIntent>("setup_intent") {
        assert!(intent.id().unwrap().starts_with("seti_"));
        assert_eq!(intent.status, "requires_payment_method");
        assert!(intent.last_setup_error.is_some());
    }
}

#[test]
fn stripes_own_customer_is_read() {
    if let Some(customer) = read::<Object>("customer") {
        assert!(customer.id("cus_").is_ok());
    }
}

/// Wherever an object of a kind that we read stands, also within another, its reader reads it.
#[test]
fn every_fixture_that_a_reader_can_meet_is_read() {
    fn walk(value: &serde_json::Value, seen: &mut std::collections::BTreeMap<String, usize>) {
        if let Some(kind) = value.get("object").and_then(serde_json::Value::as_str) {
            let body = serde_json::to_vec(value).unwrap();
            let read = match kind {
                "payment_method" => answers::read::<PaymentMethod>(&body).is_ok(),
                "payment_intent" => answers::read::<PaymentIntent>(&body).is_ok(),
                "setup_intent" => answers::read::<SetupIntent>(&body).is_ok(),
                "refund" => {
                    let refund = answers::read::<answers::Refund>(&body);
                    refund.is_ok_and(|refund| refund.id().is_ok() && refund.amount().is_ok())
                }
                "customer" | "charge" => answers::read::<Object>(&body).is_ok(),
                _ => true,
            };
            assert!(read, "a {kind} is not read");
            let count = seen.entry(kind.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        let items = value.as_array().into_iter().flatten();
        let members = value
            .as_object()
            .into_iter()
            .flat_map(|members| members.values());
        for part in items.chain(members) {
            walk(part, seen);
        }
    }
    let Some(resources) = resources() else { return };
    let mut seen = std::collections::BTreeMap::new();
    walk(&resources, &mut seen);
    println!("{seen:?}");
    for kind in [
        "payment_method",
        "payment_intent",
        "setup_intent",
        "customer",
        "refund",
    ] {
        assert!(seen.contains_key(kind), "no {kind} among the fixtures");
    }
}
