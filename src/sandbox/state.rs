//! Everything the sandbox remembers, all of it bounded, none of it a card number.
//!
//! One mutex guards it; every endpoint is a plain function over it, so a request executes as a
//! whole or not at all. Whatever changes also says so in `events.rs`.

use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::hmac;
use serde_json::Value;

use super::agenda::Agenda;
use super::cvc_tokens::CvcToken;
use super::errors::Refusal;
use super::events::Event;
use super::faults::Faults;
use super::form::Form;
use super::idempotency::Keys;
use super::journal::Journal;
use super::later::{self, Deed, Later};
use super::mail::Mail;
use super::records::{
    Charge, Customer, Dispute, PaymentIntent, PaymentMethod, Refund, SetupIntent,
};
use super::webhooks::{self, Endpoint};
use crate::clock::Timestamp;

const CUSTOMERS_MAX: usize = 50_000;
const CVC_TOKENS_MAX: usize = 10_000;
const PAYMENT_METHODS_MAX: usize = 50_000;
const SETUP_INTENTS_MAX: usize = 50_000;
const PAYMENT_INTENTS_MAX: usize = 100_000;
const CHARGES_MAX: usize = 100_000;
const REFUNDS_MAX: usize = 50_000;
const DISPUTES_MAX: usize = 10_000;
const EVENTS_MAX: usize = 20_000;

/// A map that forgets its oldest entry when it is full.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    entries: BTreeMap<String, (u64, T)>,
    order: VecDeque<(u64, String)>,
    next: u64,
    max: usize,
    /// How many entries gave way.
    pub(super) evicted: u64,
    /// Those that may have changed since they were written down, where they are.
    changed: Option<Vec<String>>,
}

impl<T> Bounded<T> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            next: 0,
            max,
            evicted: 0,
            changed: None,
        }
    }

    /// From now on it is remembered what changes; all that there is has.
    fn watch(&mut self) {
        self.changed = Some(Vec::new());
    }

    /// Which entries may have changed, each once.
    pub(super) fn take_changed(&mut self) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        let mut changed = self
            .changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        changed.retain(|id| seen.insert(id.clone()));
        changed
    }

    fn note(&mut self, id: &str) {
        if let Some(changed) = &mut self.changed {
            changed.push(id.to_owned());
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
        self.note(&id);
        self.order.push_back((self.next, id.clone()));
        self.entries.insert(id, (self.next, value));
        self.next = self.next.saturating_add(1);
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.entries.get(id).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        if self.entries.contains_key(id) {
            self.note(id);
        }
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

/// What a test may switch.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Switches {
    pub(super) decline_at_attach: bool,
    pub(super) raw_cards_allowed: bool,
    /// Whether an issuer's page can be reached by a redirect, as it is when Stripe is told where to
    /// return.
    pub(super) redirects: bool,
    pub(super) latency_ms: u64,
    pub(super) search_lag_ms: u64,
    /// Whether events are written down and sent at all.
    pub(super) events: bool,
    /// How payments settle that say nothing of it themselves.
    pub(super) payments: Later,
    /// How refunds settle that say nothing of it themselves.
    pub(super) refunds: Later,
    /// After how long that happens which does not happen at once.
    pub(super) later_ms: u64,
}

/// What was really made since the start, evicted or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    pub(super) payment_methods: u64,
    pub(super) payment_intents: u64,
    pub(super) charges_succeeded: u64,
    pub(super) charges_failed: u64,
    pub(super) refunds: u64,
    pub(super) disputes: u64,
    /// Settlements for which the agenda had no room.
    pub(super) deeds_lost: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) customers: Bounded<Customer>,
    pub(super) cvc_tokens: Bounded<CvcToken>,
    pub(super) payment_methods: Bounded<PaymentMethod>,
    pub(super) setup_intents: Bounded<SetupIntent>,
    pub(super) payment_intents: Bounded<PaymentIntent>,
    pub(super) charges: Bounded<Charge>,
    pub(super) refunds: Bounded<Refund>,
    pub(super) disputes: Bounded<Dispute>,
    pub(super) events: Bounded<Event>,
    pub(super) endpoints: Bounded<Endpoint>,
    pub(super) mail: Mail,
    pub(super) deeds: Agenda<Deed>,
    pub(super) keys: Keys,
    /// Where it is written down, where it is.
    pub(super) journal: Option<Journal>,
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
            cvc_tokens: Bounded::new(CVC_TOKENS_MAX),
            payment_methods: Bounded::new(PAYMENT_METHODS_MAX),
            setup_intents: Bounded::new(SETUP_INTENTS_MAX),
            payment_intents: Bounded::new(PAYMENT_INTENTS_MAX),
            charges: Bounded::new(CHARGES_MAX),
            refunds: Bounded::new(REFUNDS_MAX),
            disputes: Bounded::new(DISPUTES_MAX),
            events: Bounded::new(EVENTS_MAX),
            endpoints: Bounded::new(webhooks::ENDPOINTS_MAX),
            mail: Mail::new(),
            deeds: Agenda::new(later::DEEDS_MAX),
            keys: Keys::new(),
            journal: None,
            faults: Faults::default(),
            switches: Switches {
                decline_at_attach: false,
                raw_cards_allowed: true,
                redirects: true,
                latency_ms: 0,
                search_lag_ms: 0,
                events: true,
                payments: Later::AtOnce,
                refunds: Later::AtOnce,
                later_ms: 1_000,
            },
            made: Made::default(),
            seen: BTreeMap::new(),
            fingerprint_key: new_key(),
        }
    }
}

impl State {
    /// From now on what changes is remembered, to be written down.
    pub(super) fn watch(&mut self) {
        self.customers.watch();
        self.payment_methods.watch();
        self.setup_intents.watch();
        self.payment_intents.watch();
        self.charges.watch();
        self.refunds.watch();
        self.disputes.watch();
        self.keys.watch();
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
    /// Empty for what happens by itself, as is the key below.
    pub(super) request_id: &'a str,
    pub(super) idempotency_key: &'a str,
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
