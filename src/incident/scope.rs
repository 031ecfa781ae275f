//! Whom an incident touched: verified events are gathered first, then each token is asked about.
//!
//! Where it cannot be said exactly it is said too widely: whoever listed an account's charges has
//! touched each of its tokens. An act that was refused touched nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::audit::leaf::Line;
use crate::clock::Timestamp;

/// What is looked for; what is not said is not asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Criteria {
    /// Acts of the client whose certificate has that name.
    pub client: Option<String>,
    /// Acts that one of the processes saw.
    pub node: Option<String>,
    /// Not what was done, but what was sealed under that data key or key-encryption key.
    pub key: Option<String>,
    /// Tokens from that id on.
    pub token_from: Option<String>,
    /// Tokens up to that id.
    pub token_to: Option<String>,
    /// From that moment on, ms since 1970.
    pub since_ms: Option<i64>,
    /// Before that moment, ms since 1970.
    pub until_ms: Option<i64>,
}

impl Criteria {
    fn acts(&self, line: &Line<'_>) -> bool {
        let client = self.client.as_ref().is_none_or(|client| {
            line.actor_kind == "client" && line.actor.as_deref() == Some(client)
        });
        let node = self.node.as_ref().is_none_or(|node| line.node == *node);
        let since = self.since_ms.is_none_or(|since| line.at_ms >= since);
        let until = self.until_ms.is_none_or(|until| line.at_ms < until);
        client && node && since && until && line.outcome != "refused"
    }

    fn ranges(&self, token: &str) -> bool {
        let from = self.token_from.as_ref().is_none_or(|from| *token >= **from);
        from && self.token_to.as_ref().is_none_or(|to| *token <= **to)
    }
}

/// What was done to a token, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Touch {
    /// The acts' names.
    pub acts: BTreeSet<String>,
    /// How many events.
    pub events: u64,
    /// The first one's time, ms since 1970.
    pub first_ms: i64,
    /// The last one's.
    pub last_ms: i64,
}

impl Touch {
    fn by(&mut self, other: &Self) {
        if self.events == 0 {
            *self = other.clone();
            return;
        }
        self.acts.extend(other.acts.iter().cloned());
        self.events = self.events.saturating_add(other.events);
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

/// A token that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The token.
    pub token: &'a str,
    /// Whose.
    pub account: &'a str,
    /// Of which customer.
    pub customer: Option<&'a str>,
    /// From which session.
    pub session: Option<&'a str>,
    /// What it is sealed under: the data key, and the key-encryption key of that.
    pub keys: [&'a str; 2],
    /// When it was made.
    pub created_at: Timestamp,
}

/// Gathers what events touched.
#[derive(Debug)]
pub struct Scope {
    criteria: Criteria,
    /// Tokens, sessions, charges and refunds, by id.
    things: HashMap<String, Touch>,
    /// Customers whose tokens were listed, by account and name.
    customers: BTreeMap<(String, String), Touch>,
    /// Accounts all of whose tokens were listed.
    accounts: BTreeMap<String, Touch>,
    /// Tokens that were sealed anew, and when data keys were last wrapped anew.
    resealed: BTreeSet<String>,
    rewrapped_ms: Option<i64>,
}

impl Scope {
    /// For those criteria.
    #[must_use]
    pub fn of(criteria: Criteria) -> Self {
        Self {
            criteria,
            things: HashMap::new(),
            customers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            resealed: BTreeSet::new(),
            rewrapped_ms: None,
        }
    }

    /// The next verified event.
    pub fn push(&mut self, line: &Line<'_>) {
        if line.outcome == "success" {
            match line.action.as_ref() {
                "token.resealed" => self
                    .resealed
                    .extend(line.subject.as_deref().map(Into::into)),
                "keys.rewrapped" => self.rewrapped_ms = self.rewrapped_ms.max(Some(line.at_ms)),
                _ => {}
            }
        }
        if self.criteria.key.is_some() || !self.criteria.acts(line) {
            return;
        }
        let touch = Touch {
            acts: BTreeSet::from([line.action.to_string()]),
            events: 1,
            first_ms: line.at_ms,
            last_ms: line.at_ms,
        };
        let account = || line.account.as_deref().unwrap_or_default().to_owned();
        let subject = line.subject.as_deref().unwrap_or("*").to_owned();
        match (line.action.as_ref(), subject.as_str()) {
            ("events.read", _) | ("charge.listed", "*") => {
                self.accounts.entry(account()).or_default().by(&touch);
            }
            ("token.listed", _) => {
                let customer = self.customers.entry((account(), subject));
                customer.or_default().by(&touch);
            }
            (_, "*") => {}
            _ => self.things.entry(subject).or_default().by(&touch),
        }
    }

    /// Whether charges or refunds were touched, whose tokens are not known yet.
    #[must_use]
    pub fn has_payments(&self) -> bool {
        self.things
            .keys()
            .any(|id| is_of(id, "chg_") || is_of(id, "ref_"))
    }

    /// A charge or a refund is of that token.
    pub fn payment(&mut self, payment: &str, token: &str) {
        if let Some(touch) = self.things.get(payment).cloned() {
            self.things.entry(token.to_owned()).or_default().by(&touch);
        }
    }

    /// What was done to a token; nothing where it is untouched.
    #[must_use]
    pub fn touched(&self, candidate: &Candidate<'_>) -> Option<Touch> {
        if !self.criteria.ranges(candidate.token) {
            return None;
        }
        if let Some(key) = &self.criteria.key {
            return self.was_under(key, candidate).then(Touch::default);
        }
        let made_ms = candidate.created_at.unix_ms();
        let mut touch = Touch::default();
        let of_session = candidate.session.and_then(|id| self.things.get(id));
        for found in self
            .things
            .get(candidate.token)
            .into_iter()
            .chain(of_session)
        {
            touch.by(found);
        }
        let customer = candidate.customer.and_then(|customer| {
            let name = (candidate.account.to_owned(), customer.to_owned());
            self.customers.get(&name)
        });
        let listed = customer
            .into_iter()
            .chain(self.accounts.get(candidate.account));
        for found in listed.filter(|found| found.last_ms >= made_ms) {
            touch.by(found);
        }
        (touch.events > 0).then_some(touch)
    }

    /// Whether a value is, or may once have been, under that key. What was moved since cannot be
    /// told from its row any more, so each value that may have been moved counts.
    fn was_under(&self, key: &str, candidate: &Candidate<'_>) -> bool {
        let made_ms = candidate.created_at.unix_ms();
        let is_in_time = self.criteria.until_ms.is_none_or(|until| made_ms < until);
        let may_have_been = self.resealed.contains(candidate.token)
            || self.rewrapped_ms.is_some_and(|moved| made_ms <= moved);
        is_in_time && (candidate.keys.contains(&key) || may_have_been)
    }
}

/// Whether an id, of either environment, has that prefix.
fn is_of(id: &str, prefix: &str) -> bool {
    id.strip_prefix("test_").unwrap_or(id).starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::leaf::Columns;

    fn line(at_ms: i64, who: &str, what: (&str, &str), subject: &str) -> Line<'static> {
        let columns = Columns {
            at_ms,
            actor: ("client".into(), Some(who.into())),
            act: (what.0.into(), what.1.into()),
            data: (Some("shop".into()), Some(subject.into())),
            place: ("-".into(), "pay-1".into(), None),
            writer: Some("internal".into()),
        };
        Line::of_columns(format!("evt_{at_ms}"), columns)
    }

    fn token<'a>(id: &'a str, customer: &'a str, made_ms: i64) -> Candidate<'a> {
        Candidate {
            token: id,
            account: "shop",
            customer: Some(customer),
            session: None,
            keys: ["dek_1", "kek_1"],
            created_at: Timestamp::from_unix_ms(made_ms),
        }
    }

    fn found(criteria: Criteria, lines: &[Line<'_>], tokens: &[Candidate<'_>]) -> Vec<String> {
        let mut scope = Scope::of(criteria);
        for line in lines {
            scope.push(line);
        }
        scope.payment("chg_1", "tok_c");
        let touched = tokens.iter().filter(|token| scope.touched(token).is_some());
        touched.map(|token| token.token.to_owned()).collect()
    }

    #[test]
    fn what_the_intruder_did_is_found_and_nothing_that_others_did_or_it_was_refused() {
        let ok = |action| (action, "success");
        let lines = [
            line(10, "thief", ok("token.read"), "tok_a"),
            line(20, "honest", ok("token.read"), "tok_b"),
            line(30, "thief", ("token.read", "refused"), "tok_b"),
            line(40, "thief", ok("charge.read"), "chg_1"),
            line(50, "thief", ok("token.listed"), "bob"),
            line(60, "thief", ("token.opened", "failed"), "tok_f"),
        ];
        let tokens = [
            token("tok_a", "ann", 1),
            token("tok_b", "ann", 1),
            token("tok_c", "cid", 1),
            token("tok_d", "bob", 1),
            // Made after the list was read.
            token("tok_e", "bob", 51),
            token("tok_f", "fay", 1),
        ];
        let thief = Criteria {
            client: Some("thief".into()),
            ..Criteria::default()
        };
        let all = found(thief.clone(), &lines, &tokens);
        assert_eq!(all, ["tok_a", "tok_c", "tok_d", "tok_f"]);
        let window = Criteria {
            since_ms: Some(10),
            until_ms: Some(40),
            ..thief.clone()
        };
        assert_eq!(found(window, &lines, &tokens), ["tok_a"]);
        let range = Criteria {
            token_from: Some("tok_b".into()),
            token_to: Some("tok_c".into()),
            ..thief
        };
        assert_eq!(found(range, &lines, &tokens), ["tok_c"]);
    }

    #[test]
    fn a_feed_that_was_read_touches_the_account_up_to_then() {
        let lines = [line(50, "thief", ("events.read", "success"), "*")];
        let tokens = [token("tok_a", "ann", 1), token("tok_b", "bob", 51)];
        assert_eq!(found(Criteria::default(), &lines, &tokens), ["tok_a"]);
    }

    #[test]
    fn a_key_touches_what_is_under_it_and_what_may_have_been() {
        let of = |key: &str| Criteria {
            key: Some(key.into()),
            ..Criteria::default()
        };
        let tokens = [token("tok_a", "ann", 1), token("tok_b", "bob", 90)];
        assert_eq!(found(of("kek_1"), &[], &tokens).len(), 2);
        assert_eq!(found(of("dek_1"), &[], &tokens).len(), 2);
        assert!(found(of("kek_0"), &[], &tokens).is_empty());
        let moved = [line(50, "-", ("keys.rewrapped", "success"), "kek_1")];
        assert_eq!(found(of("kek_0"), &moved, &tokens), ["tok_a"]);
        let resealed = [line(95, "-", ("token.resealed", "success"), "tok_b")];
        assert_eq!(found(of("dek_0"), &resealed, &tokens), ["tok_b"]);
    }
}
