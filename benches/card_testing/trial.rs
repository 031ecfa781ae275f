//! One day against one set of rules: the product's own engine, under a clock that jumps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cloakroom::alerts::AlertName;
use cloakroom::card::Pan;
use cloakroom::clock::Timestamp;
use cloakroom::watch::{
    Action, CardRange, RULES, Rule, RuleName, Seen, Settings, Subject, SubjectKind, Verdict, Watch,
};

use super::chance::Chance;
use super::traffic::{self, Attempt, RANGES, Who};

/// 2026-11-23T00:00:00Z.
const MIDNIGHT_MS: i64 = 1_795_392_000_000;
/// Of a thousand who are asked to show that they are people: those who do. An honest shopper mostly
/// manages; of attackers' programs some have people in their pay.
const PASSES_HONEST: u32 = 950;
const PASSES_ATTACKER: u32 = 100;
const BILLING: &str = "spiffe://corp.example/billing";

/// What became of one party's cards.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cards: u32,
    pub(crate) stopped: u32,
    /// From the first card to the first that was stopped, ms.
    pub(crate) seen_after_ms: Option<i64>,
    /// Cards that were looked at before that.
    pub(crate) cards_before: u32,
    /// Good cards that the attacker has learnt of.
    pub(crate) good_learnt: u32,
    pub(crate) good: u32,
    first_ms: i64,
}

impl Tally {
    /// Of a hundred cards, those that were stopped.
    pub(crate) fn recall_per_cent(&self) -> f64 {
        100.0 * f64::from(self.stopped) / f64::from(self.cards.max(1))
    }
}

/// What came of a day.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) of: BTreeMap<Who, Tally>,
    /// Honest sessions that were asked to verify their shopper.
    pub(crate) challenged: BTreeSet<u32>,
    /// Honest sessions that lost at least one card to a block, or to a challenge that failed.
    pub(crate) lost: BTreeSet<u32>,
    /// How often each rule decided.
    pub(crate) decisions: BTreeMap<&'static str, u32>,
    /// Warnings that somebody is near a threshold.
    pub(crate) warnings: u32,
    /// Whether the nightly run of subscriptions went through.
    pub(crate) billing_cut_off: bool,
}

/// The product's rules as they ship.
pub(crate) fn shipped() -> Vec<Rule> {
    RULES.to_vec()
}

/// One of them alone.
pub(crate) fn alone(name: RuleName) -> Vec<Rule> {
    RULES
        .iter()
        .filter(|rule| rule.name == name)
        .copied()
        .collect()
}

/// What is mostly done instead: ten cards from an address in ten minutes, then an hour's block.
pub(crate) fn per_address_limit() -> Vec<Rule> {
    const CARDS: &[Seen] = &[
        Seen::InvalidNumber,
        Seen::WrongDetails,
        Seen::Declined,
        Seen::Accepted,
    ];
    vec![Rule {
        name: RuleName::AddressFailures,
        by: SubjectKind::Address,
        hits: CARDS,
        of: CARDS,
        window_s: 600,
        hits_max: 10,
        per_cent_max: 0,
        networks_min: 0,
        action: Action::Block,
        first_s: 3_600,
        lasts_s: 3_600,
        alert: AlertName::CardTesting,
    }]
}

/// A number of each range, made up: digits that no issuer was asked for, with their check digit.
fn numbers() -> Vec<Pan> {
    (0..RANGES)
        .filter_map(|range| {
            let body = format!("4{:07}0000000", range * 31);
            // One of the ten check digits fits.
            (0..10).find_map(|digit| Pan::parse(&format!("{body}{digit}")).ok())
        })
        .collect()
}

/// Runs the day of `seed` with those attackers against those rules.
pub(crate) fn run(seed: u64, with: &[Who], rules: Vec<Rule>) -> Outcome {
    let mut trial = Trial {
        watch: Watch::new(Settings {
            rules,
            enforces: true,
            windows_max: 200_000,
            opens_per_s: HashMap::new(),
        }),
        numbers: numbers(),
        chance: Chance::new(seed.rotate_left(17)),
        verified: BTreeMap::new(),
        outcome: Outcome::default(),
    };
    let mut swept_ms = 0;
    trial.subscriptions();
    for attempt in traffic::day(seed, with) {
        if attempt.at_ms - swept_ms > 3_600_000 {
            swept_ms = attempt.at_ms;
            trial.watch.sweep(at(attempt.at_ms));
            trial.watch.sweep_ranges(at(attempt.at_ms));
        }
        trial.post(&attempt);
    }
    trial.outcome
}

struct Trial {
    watch: Watch,
    numbers: Vec<Pan>,
    chance: Chance,
    /// Sessions that were challenged, and whether their shopper passed.
    verified: BTreeMap<u32, bool>,
    outcome: Outcome,
}

impl Trial {
    fn post(&mut self, attempt: &Attempt) {
        let now = at(attempt.at_ms);
        let shop = format!("https://shop-{}.example", attempt.shop);
        let mut subjects = vec![
            Subject::address(attempt.address),
            Subject::network(attempt.address),
            Subject::shop("default", &shop),
        ];
        let customer = attempt
            .customer
            .map(|customer| format!("customer-{customer}"));
        let customer = customer.map(|name| Subject::customer("default", &name));
        subjects.extend(customer.clone());
        let range = attempt
            .range
            .and_then(|range| self.numbers.get(range as usize));
        let range = range.map(CardRange::of);

        let networks = customer.and_then(|customer| customer.within(subjects.get(1)?.name()));
        let mut stoppable = subjects.clone();
        stoppable.extend(networks);
        let admitted = self.is_admitted(attempt, &stoppable, range.as_ref(), now);
        let tally = self.outcome.of.entry(attempt.who).or_default();
        if tally.cards == 0 {
            tally.first_ms = attempt.at_ms;
        }
        tally.cards += 1;
        let good = u32::from(attempt.ends == Seen::Accepted);
        tally.good += good;
        if !admitted {
            tally.stopped += 1;
            let after_ms = attempt.at_ms - tally.first_ms;
            tally.seen_after_ms.get_or_insert(after_ms);
            return;
        }
        tally.good_learnt += good;
        if tally.seen_after_ms.is_none() {
            tally.cards_before += 1;
        }
        self.watch.see(attempt.ends, &subjects, now);
        if let Some(range) = &range {
            self.watch.see_range(attempt.ends, range, now);
        }
        let warned = self.watch.take_warnings().len();
        self.outcome.warnings += u32::try_from(warned).unwrap_or(u32::MAX);
        for decision in self.watch.take_decisions() {
            let name = decision.rule.name.name();
            *self.outcome.decisions.entry(name).or_default() += 1;
        }
    }

    fn is_admitted(
        &mut self,
        attempt: &Attempt,
        subjects: &[Subject],
        range: Option<&CardRange>,
        now: Timestamp,
    ) -> bool {
        let verified = self.verified.get(&attempt.session) == Some(&true);
        let mut verdict = self.watch.admit(subjects, verified, now);
        if let (Verdict::Welcome, Some(range)) = (verdict, range) {
            verdict = self.watch.admit_range(range, verified, now);
        }
        let honest = attempt.who == Who::Honest;
        let passes = match verdict {
            Verdict::Welcome => return true,
            Verdict::Later { .. } => false,
            Verdict::Challenge => {
                if honest {
                    self.outcome.challenged.insert(attempt.session);
                }
                let likely = if honest {
                    PASSES_HONEST
                } else {
                    PASSES_ATTACKER
                };
                // Nobody is asked twice: who failed once has left.
                let drawn = self.chance.is(likely);
                *self.verified.entry(attempt.session).or_insert(drawn)
            }
        };
        if honest && !passes {
            self.outcome.lost.insert(attempt.session);
        }
        passes
    }

    /// The night's charges, by one client, within an hour.
    fn subscriptions(&mut self) {
        let billing = [Subject::client(BILLING)];
        for charge in 0..traffic::SUBSCRIPTIONS {
            let now = at(3 * 3_600_000 + i64::from(charge) * 700);
            let declined = self.chance.is(traffic::SUBSCRIPTIONS_DECLINED);
            let ends = if declined {
                Seen::ChargeDeclined
            } else {
                Seen::Charged
            };
            for seen in [Seen::Opened, ends] {
                self.watch.see(seen, &billing, now);
            }
        }
        let end = at(5 * 3_600_000);
        self.outcome.billing_cut_off = self.watch.admit(&billing, false, end) != Verdict::Welcome;
        for decision in self.watch.take_decisions() {
            let name = decision.rule.name.name();
            *self.outcome.decisions.entry(name).or_default() += 1;
        }
    }
}

const fn at(of_day_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(MIDNIGHT_MS + of_day_ms)
}
