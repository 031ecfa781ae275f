//! Everything the sandbox remembers, all of it bounded, none of it a card number.
//!
//! One mutex guards it; every endpoint is a plain function over it, so a request executes as a
//! whole or not at all. Each change of a payment passes through `payment_intents::settle` or one
//! of its neighbours: whoever sends events one day watches there.

use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::hmac;
use serde_json::{Map, Value};

use super::errors::Refusal;
use super::faults::Faults;
use super::form::Form;
use super::idempotency::Keys;
use super::ids::Card;
use crate::clock::Timestamp;

const CUSTOMERS_MAX: usize = 50_000;
const PAYMENT_METHODS_MAX: usize = 50_000;
const SETUP_INTENTS_MAX: usize = 50_000;
const PAYMENT_INTENTS_MAX: usize = 100_000;
const CHARGES_MAX: usize = 100_000;
const REFUNDS_MAX: usize = 50_000;

/// A map that forgets its oldest entry when it is full.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    entries: BTreeMap<String, (u64, T)>,
    order: VecDeque<(u64, String)>,
    next: u64,
    max: usize,
    /// How many entries gave way.
    pub(super) evicted: u64,
}

impl<T> Bounded<T> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            next: 0,
            max,
            evicted: 0,
        }
    }

    pub(super) fn insert(&mut self, id: String, value: T) {
        // A removed or replaced entry leaves its place in the order behind; it is passed over.
        while self.order.len() >= self.max {
            let Some((place, oldest)) = self.order.pop_front() else {
                break;
            };
            if self
                .entries
                .get(&oldest)
                .is_some_and(|(at, _)| *at == place)
            {
                self.entries.remove(&oldest);
                self.evicted = self.evicted.saturating_add(1);
            }
        }
        self.order.push_back((self.next, id.clone()));
        self.entries.insert(id, (self.next, value));
        self.next = self.next.saturating_add(1);
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.entries.get(id).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.entries.get_mut(id).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.entries.remove(id);
    }

    /// Newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &T> {
        self.order.iter().rev().filter_map(|(place, id)| {
            let (at, value) = self.entries.get(id)?;
            (at == place).then_some(value)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[derive(Debug)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) fields: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub(super) struct PaymentMethod {
    pub(super) id: String,
    pub(super) card: Card,
    pub(super) created_s: i64,
    pub(super) billing_details: Value,
    pub(super) metadata: Map<String, Value>,
    pub(super) customer: Option<String>,
    pub(super) set_up: bool,
    pub(super) standing: Standing,
}

/// Whether a `PaymentMethod` may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Usable,
    /// Told by its id after a restart: it belongs to whoever first presents it.
    Rebuilt,
    Detached,
    /// Charged without a customer: never again, says Stripe.
    Spent,
}

#[derive(Debug)]
pub(super) struct SetupIntent {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) client_secret: String,
    pub(super) customer: Option<String>,
    pub(super) payment_method: Option<String>,
    pub(super) status: &'static str,
    pub(super) usage: &'static str,
    pub(super) metadata: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) return_url: Option<String>,
    pub(super) last_setup_error: Option<Value>,
    pub(super) cancellation_reason: Option<&'static str>,
    pub(super) authenticate_url: String,
}

#[derive(Debug)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) client_secret: String,
    pub(super) amount: i64,
    pub(super) amount_received: i64,
    pub(super) currency: String,
    pub(super) manual_capture: bool,
    pub(super) customer: Option<String>,
    pub(super) payment_method: Option<String>,
    pub(super) status: &'static str,
    pub(super) setup_future_usage: Option<&'static str>,
    pub(super) metadata: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) statement_descriptor_suffix: Option<String>,
    pub(super) return_url: Option<String>,
    pub(super) latest_charge: Option<String>,
    pub(super) last_payment_error: Option<Value>,
    pub(super) canceled_s: Option<i64>,
    pub(super) cancellation_reason: Option<&'static str>,
    pub(super) authenticate_url: String,
}

#[derive(Debug)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) payment_intent: String,
    pub(super) customer: Option<String>,
    pub(super) payment_method: PaymentMethod,
    pub(super) amount: i64,
    pub(super) amount_captured: i64,
    pub(super) amount_refunded: i64,
    pub(super) captured: bool,
    pub(super) released: bool,
    pub(super) currency: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) statement_descriptor_suffix: Option<String>,
    pub(super) failure: Option<&'static super::declines::Decline>,
}

#[derive(Debug)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) created_s: i64,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) charge: String,
    pub(super) payment_intent: String,
    pub(super) reason: Option<&'static str>,
    pub(super) metadata: Map<String, Value>,
}

/// What a test may switch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) decline_at_attach: bool,
    pub(super) raw_cards_allowed: bool,
    pub(super) latency_ms: u64,
    pub(super) search_lag_ms: u64,
}

/// What was really made since the start, evicted or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    pub(super) payment_methods: u64,
    pub(super) payment_intents: u64,
    pub(super) charges_succeeded: u64,
    pub(super) charges_failed: u64,
    pub(super) refunds: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) customers: Bounded<Customer>,
    pub(super) payment_methods: Bounded<PaymentMethod>,
    pub(super) setup_intents: Bounded<SetupIntent>,
    pub(super) payment_intents: Bounded<PaymentIntent>,
    pub(super) charges: Bounded<Charge>,
    pub(super) refunds: Bounded<Refund>,
    pub(super) keys: Keys,
    pub(super) faults: Faults,
    pub(super) switches: Switches,
    pub(super) made: Made,
    /// Requests by endpoint; there are only as many endpoints as routes.
    pub(super) seen: BTreeMap<String, u64>,
    /// For fingerprints of numbers that are not published test cards; dies with the process.
    pub(super) fingerprint_key: hmac::Key,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            customers: Bounded::new(CUSTOMERS_MAX),
            payment_methods: Bounded::new(PAYMENT_METHODS_MAX),
            setup_intents: Bounded::new(SETUP_INTENTS_MAX),
            payment_intents: Bounded::new(PAYMENT_INTENTS_MAX),
            charges: Bounded::new(CHARGES_MAX),
            refunds: Bounded::new(REFUNDS_MAX),
            keys: Keys::new(),
            faults: Faults::default(),
            switches: Switches {
                decline_at_attach: false,
                raw_cards_allowed: true,
                latency_ms: 0,
                search_lag_ms: 0,
            },
            made: Made::default(),
            seen: BTreeMap::new(),
            fingerprint_key: new_key(),
        }
    }
}

/// An HMAC key of this process's own.
pub(super) fn new_key() -> hmac::Key {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    crate::random::fill(bytes.as_mut());
    hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref())
}

/// One request, as an endpoint sees it.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The `{id}` of the path; empty where there is none.
    pub(super) id: &'a str,
    pub(super) form: &'a Form,
    pub(super) base_url: &'a str,
    pub(super) now: Timestamp,
}

impl Call<'_> {
    pub(super) fn now_s(&self) -> i64 {
        seconds(self.now)
    }

    /// Where the cardholder meets the issuer's page for that intent.
    pub(super) fn authenticate_url(&self, id: &str) -> String {
        format!("{}/authenticate/{id}", self.base_url)
    }

    /// `limit`, 1 to 100, 10 when absent.
    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.form.integer("limit")?.unwrap_or(10);
        usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=100).contains(limit))
            .ok_or_else(|| Refusal::invalid("This value must be from 1 to 100.").param("limit"))
    }
}

pub(super) fn seconds(moment: Timestamp) -> i64 {
    moment.unix_ms().div_euclid(1_000)
}

/// What an endpoint answers: a 200 with that object, or a refusal.
pub(super) type Outcome = Result<Value, Refusal>;

/// One page of a list, newest first.
pub(super) fn page<'a, T: 'a>(
    call: &Call<'_>,
    url: &str,
    items: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Value,
) -> Outcome {
    let limit = call.limit()?;
    let after = call.form.get("starting_after");
    let mut passed = after.is_none();
    let mut rest = items.filter(|item| {
        let show = passed;
        passed = passed || after == Some(id(item));
        show
    });
    let data: Vec<Value> = rest.by_ref().take(limit).map(show).collect();
    let has_more = rest.next().is_some();
    Ok(serde_json::json!({
        "object": "list", "url": url, "has_more": has_more, "data": data,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_forgets_its_oldest_entry() {
        let mut map = Bounded::new(3);
        for id in ["a", "b", "c"] {
            map.insert(id.into(), id);
        }
        map.remove("a");
        map.insert("d".into(), "d");
        assert_eq!(map.evicted, 0);
        map.insert("e".into(), "e");
        assert_eq!(map.evicted, 1);
        assert!(map.get("b").is_none());
        assert_eq!(map.newest().copied().collect::<Vec<_>>(), ["e", "d", "c"]);
        assert_eq!(map.len(), 3);
    }
}
