//! Refused attempts, counted: nobody without a right can fill the log.
//!
//! PCI DSS 10.2.1.4 wants each invalid attempt in the log, and a log that nothing deletes from is no
//! place for what anybody can send a hundred times a second. The first attempt of a subject for a
//! reason from a network is an event at once; those that follow within the minute are one more
//! event, with their count, when the minute is over.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use super::{Common, Witness};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Timestamp;
use crate::store::Failure;

const MINUTE_MS: i64 = 60_000;
/// Different attempts that are kept apart within a minute; what comes on top is counted together.
const KEPT_MAX: usize = 4_096;
/// Whence attempts come that are counted together.
const ANYWHERE: &str = "-";
/// Characters of what a caller presents that are kept.
const PRESENTED_CHARS_MAX: usize = 250;

/// What was refused, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who tried, as far as it is proven.
    pub actor: Actor,
    /// What kind of attempt.
    pub action: Action,
    /// Why it was refused, and what was asked for or presented.
    pub reason: String,
    /// The peer's address.
    pub address: String,
    /// The request it belongs to, where there was one.
    pub request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    actor: (&'static str, Option<String>),
    action: &'static str,
    reason: String,
    network: String,
}

#[derive(Debug)]
struct Tally {
    attempt: Attempt,
    since_ms: i64,
    more: u64,
}

/// Attempts of the minutes that are not over.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Key, Tally>>);

impl Refusals {
    /// Counts an attempt, and answers it where it is the first of its kind in a minute.
    fn count(&self, mut attempt: Attempt, now: Timestamp) -> Option<Attempt> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key_of(&attempt);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            ANYWHERE.clone_into(&mut attempt.address);
            attempt.reason = first_word(&attempt.reason);
            attempt.request_id = None;
            key = key_of(&attempt);
        }
        match kept.entry(key) {
            Entry::Occupied(mut tally) => {
                let tally = tally.get_mut();
                tally.more = tally.more.saturating_add(1);
                None
            }
            Entry::Vacant(place) => {
                place.insert(Tally {
                    attempt: attempt.clone(),
                    since_ms: now.unix_ms(),
                    more: 0,
                });
                Some(attempt)
            }
        }
    }

    /// Takes out what is older than a minute, or everything: each with how many followed the first.
    fn over(&self, now: Option<Timestamp>) -> Vec<(Attempt, u64)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |tally: &Tally| {
            now.is_none_or(|now| now.unix_ms().saturating_sub(tally.since_ms) >= MINUTE_MS)
        };
        kept.extract_if(|_, tally| is_over(tally))
            .filter(|(_, tally)| tally.more > 0)
            .map(|(key, tally)| {
                let attempt = Attempt {
                    address: key.network,
                    request_id: None,
                    ..tally.attempt
                };
                (attempt, tally.more)
            })
            .collect()
    }
}

fn key_of(attempt: &Attempt) -> Key {
    Key {
        actor: (
            attempt.actor.kind(),
            attempt.actor.name().map(str::to_owned),
        ),
        action: attempt.action.name(),
        reason: attempt.reason.clone(),
        network: network(&attempt.address),
    }
}

/// The address, or the /64 that one household has.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => ANYWHERE.to_owned(),
    }
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What a caller presents, fit for a log: without control characters, and not without end.
#[must_use]
pub fn presented(text: &str) -> String {
    let printable = text.chars().filter(|letter| !letter.is_control());
    printable.take(PRESENTED_CHARS_MAX).collect()
}

impl Common {
    /// Records a refused attempt, or counts it to those of this minute.
    ///
    /// # Errors
    /// When the store cannot write it.
    pub async fn refused(&self, attempt: Attempt) -> Result<(), Failure> {
        match self.refusals.count(attempt, self.now()) {
            Some(first) => {
                let reason = first.reason.clone();
                self.store.record(self.refusal(first, reason)).await
            }
            None => Ok(()),
        }
    }

    /// Records how many followed in the minutes that are over; at the stop, in all.
    pub async fn record_refusals(&self, is_stopping: bool) {
        let now = (!is_stopping).then(|| self.now());
        for (attempt, more) in self.refusals.over(now) {
            let reason = format!("{} x{more}", attempt.reason);
            if let Err(failure) = self.store.record(self.refusal(attempt, reason)).await {
                tracing::error!(%failure, "refused attempts could not be recorded");
            }
        }
    }

    fn refusal(&self, attempt: Attempt, subject: String) -> Event {
        let witness = Witness {
            actor: attempt.actor,
            account: None,
            origin: attempt.address,
            request_id: attempt.request_id,
        };
        self.event(&witness, attempt.action, Outcome::Refused, Some(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(reason: &str, address: &str) -> Attempt {
        Attempt {
            actor: Actor::Unidentified,
            action: Action::GrantRefused,
            reason: reason.to_owned(),
            address: address.to_owned(),
            request_id: Some("req_1".to_owned()),
        }
    }

    #[test]
    fn thousands_of_attempts_in_a_minute_are_two_events_with_their_count() {
        let refusals = Refusals::default();
        let at = Timestamp::from_unix_ms;
        let first = refusals.count(attempt("unauthenticated", "192.0.2.1"), at(0));
        assert_eq!(first, Some(attempt("unauthenticated", "192.0.2.1")));
        for number in 1..4_000 {
            let again = refusals.count(attempt("unauthenticated", "192.0.2.1"), at(number));
            assert_eq!(again, None);
        }
        assert_eq!(refusals.over(Some(at(MINUTE_MS - 1))), []);
        let over = refusals.over(Some(at(MINUTE_MS)));
        let counted = Attempt {
            request_id: None,
            ..attempt("unauthenticated", "192.0.2.1")
        };
        assert_eq!(over, [(counted, 3_999)]);
        // The next minute begins with an event again; one alone needs no count.
        let first = refusals.count(attempt("unauthenticated", "192.0.2.1"), at(MINUTE_MS));
        assert!(first.is_some());
        assert_eq!(refusals.over(None), []);
    }

    #[test]
    fn a_household_is_one_and_reasons_and_subjects_are_apart() {
        let refusals = Refusals::default();
        let now = Timestamp::from_unix_ms(0);
        let count = |attempt| refusals.count(attempt, now).is_some();
        assert!(count(attempt("a", "2001:db8:1:2::3")));
        assert!(!count(attempt("a", "2001:db8:1:2:9::")));
        assert!(count(attempt("a", "2001:db8:1:3::")));
        assert!(count(attempt("b", "2001:db8:1:2::3")));
        assert!(count(Attempt {
            actor: Actor::Client("billing".to_owned()),
            ..attempt("a", "2001:db8:1:2::3")
        }));
        assert!(count(attempt("a", "::ffff:192.0.2.1")));
        assert!(!count(attempt("a", "192.0.2.1")));
        let over = refusals.over(None);
        let of_household = over
            .iter()
            .find(|(attempt, _)| attempt.address == "2001:db8:1:2::/64");
        assert_eq!(of_household.unwrap().1, 1);
    }

    #[test]
    fn from_everywhere_at_once_they_are_counted_together() {
        let refusals = Refusals::default();
        let now = Timestamp::from_unix_ms(0);
        let firsts = (0..20_000_u32)
            .filter(|number| {
                let address = std::net::Ipv4Addr::from_bits(*number).to_string();
                let reason = format!("unauthenticated POST {number}");
                refusals.count(attempt(&reason, &address), now).is_some()
            })
            .count();
        assert_eq!(firsts, KEPT_MAX + 1);
        let over = refusals.over(None);
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].0.address, ANYWHERE);
        assert_eq!(over[0].1, 20_000 - 4_097);
    }
}
