//! Watch: who tries cards, who asks for more than usual, and what is done about it.
//!
//! [`Watch`] is the whole engine and does nothing but count and decide: it has no clock, no thread
//! and no database, so that the workload of `benches/card_testing` drives the very rules that serve.
//! [`rules`] is the table; [`Subject`] is whom it counts; `windows` are the sliding windows, in which
//! `networks` are told apart; `judgement` weighs them, and `allowance` is what clients are told.
//! [`CardRange`] is the one thing that is in memory only. What is decided holds at once in the process
//! that decides it, and on the others when they have read it from the store, a second later
//! ([`crate::vault::watch`]). It fails open: a process that cannot share what it counts still counts
//! for itself.

mod allowance;
mod card_range;
mod decision;
mod judgement;
mod networks;
pub mod rules;
mod subject;
mod windows;

use std::collections::{BTreeMap, HashMap};

pub use allowance::Allowance;
pub use card_range::CardRange;
pub use decision::{Block, Bucket, Decision};
pub use judgement::SHARED_NETWORKS_MIN;
pub use networks::NETWORK_HITS_MAX;
pub use rules::{Action, RULES, Rule, RuleName, Seen};
pub use subject::{Subject, SubjectKind};
pub use windows::Count;

use crate::clock::Timestamp;
use card_range::Ranges;
use windows::Window;

/// Decisions that wait to be written down; more are made and not told.
const DECISIONS_MAX: usize = 1_000;
/// What a caller is told at most about when to come back.
const RETRY_AFTER_S_MAX: u32 = 3_600;

/// How the engine is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// Whether anybody is stopped; if not, the operator is told all the same.
    pub enforces: bool,
    /// Windows that are kept at one time; the longest quiet make room.
    pub windows_max: usize,
    /// Values that the processor's governor lets this process open in a second, of each client whose
    /// budget nobody has set.
    pub opens_per_s: HashMap<Subject, u32>,
}

/// What somebody who comes is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Welcome,
    /// Only with a shopper whom the merchant has verified anew.
    Challenge,
    /// Not now.
    Later {
        /// Come back after so many seconds.
        retry_after_s: u32,
    },
}

/// The engine.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    windows: HashMap<(RuleName, Subject), Window>,
    ranges: Ranges,
    blocks: HashMap<Subject, Vec<Block>>,
    decided: Vec<Decision>,
    /// What was near a threshold, to be told.
    warned: Vec<Decision>,
    /// Till when something was done to somebody, by the moment from which on it was.
    earlier: HashMap<(RuleName, Subject), BTreeMap<i64, i64>>,
    /// Windows in which something was counted since the last sharing.
    touched: Vec<(RuleName, Subject)>,
}

impl Watch {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            windows: HashMap::new(),
            ranges: Ranges::new(),
            blocks: HashMap::new(),
            decided: Vec::new(),
            warned: Vec::new(),
            earlier: HashMap::new(),
            touched: Vec::new(),
        }
    }

    /// Whether a card, or a client, may come in; `verified` is the merchant's word for the shopper.
    #[must_use]
    pub fn admit(&self, subjects: &[Subject], verified: bool, now: Timestamp) -> Verdict {
        let blocks = subjects.iter().filter_map(|who| self.blocks.get(who));
        let holding = blocks.flatten().filter(|block| block.holds(now));
        let strongest = holding.max_by_key(|block| (block.action, block.ends_at.is_none()));
        match strongest {
            Some(block) if block.action >= Action::Throttle => Verdict::Later {
                retry_after_s: block
                    .ends_at
                    .map_or(RETRY_AFTER_S_MAX, |end| seconds(end, now)),
            },
            Some(block) if block.action == Action::Challenge && !verified => Verdict::Challenge,
            _ => Verdict::Welcome,
        }
    }

    /// The same for a card's range, which only this process knows.
    #[must_use]
    pub fn admit_range(&self, range: &CardRange, verified: bool, now: Timestamp) -> Verdict {
        if self.settings.enforces && !verified && self.ranges.is_stopped(range, now) {
            Verdict::Challenge
        } else {
            Verdict::Welcome
        }
    }

    /// Whether a subject is out until its time is over or it is lifted.
    #[must_use]
    pub fn is_blocked(&self, subject: &Subject, now: Timestamp) -> bool {
        let mut blocks = self.blocks.get(subject).into_iter().flatten();
        blocks.any(|block| block.action == Action::Block && block.holds(now))
    }

    /// Counts what was seen about each of `subjects`, and decides. The network among them is where
    /// it comes from.
    pub fn see(&mut self, seen: Seen, subjects: &[Subject], now: Timestamp) {
        let mut networks = subjects.iter();
        let network = networks.find(|subject| subject.kind() == SubjectKind::Network);
        let network = network.map(Subject::name);
        for subject in subjects {
            for index in 0..self.settings.rules.len() {
                if let Some(rule) = self.settings.rules.get(index).copied()
                    && rule.by == subject.kind()
                    && rule.of.contains(&seen)
                {
                    let hit = rule.hits.contains(&seen);
                    self.count(&rule, (subject, network), hit, now);
                }
            }
        }
    }

    /// Counts what was seen of a card about its range, in this process alone.
    pub fn see_range(&mut self, seen: Seen, range: &CardRange, now: Timestamp) {
        if let Some(rule) = self.range_rule()
            && rule.of.contains(&seen)
            && let Some(count) = self
                .ranges
                .count(range, rule.hits.contains(&seen), &rule, now)
        {
            self.decide((rule, rule.lasts_s), None, count, now);
        }
    }

    fn range_rule(&self) -> Option<Rule> {
        let mut rules = self.settings.rules.iter();
        rules
            .find(|rule| rule.by == SubjectKind::CardRange)
            .copied()
    }

    fn rule(&self, name: RuleName) -> Option<&Rule> {
        self.settings.rules.iter().find(|rule| rule.name == name)
    }

    fn count(
        &mut self,
        rule: &Rule,
        (subject, network): (&Subject, Option<&str>),
        hit: bool,
        now: Timestamp,
    ) {
        if self.windows.len() >= self.settings.windows_max {
            self.make_room();
        }
        let (_, bucket) = judgement::span(rule, now);
        let window = self
            .windows
            .entry((rule.name, subject.clone()))
            .or_default();
        window.add(bucket, hit, network.filter(|_| rule.networks_min > 0));
        if !window.is_touched {
            window.is_touched = true;
            self.touched.push((rule.name, subject.clone()));
        }
        if hit {
            self.judge(rule, subject, network, now);
        }
    }

    fn decide(
        &mut self,
        (rule, lasts_s): (Rule, u32),
        subject: Option<Subject>,
        count: Count,
        now: Timestamp,
    ) {
        let ends_at = (lasts_s > 0).then(|| now.plus_s(lasts_s));
        let enforced = self.settings.enforces && rule.action != Action::Alert;
        let decision = Decision {
            rule,
            subject,
            count,
            enforced,
            at: now,
            ends_at,
        };
        if let Some(block) = decision.block() {
            self.remember(&block);
            self.place(block);
        }
        if self.decided.len() < DECISIONS_MAX {
            self.decided.push(decision);
        }
    }

    /// What is done again lasts longer, unless an operator has said that it was a mistake.
    fn remember(&mut self, block: &Block) {
        if let (Some(rule), Some(end)) = (block.rule, block.ends_at) {
            let key = (rule, block.subject.clone());
            let placed = block.placed_at.unix_ms();
            if block.lifted_at.is_none() {
                let earlier = self.earlier.entry(key).or_default();
                earlier.insert(placed, end.unix_ms());
            } else if let Some(earlier) = self.earlier.get_mut(&key) {
                earlier.remove(&placed);
            }
        }
    }

    fn place(&mut self, block: Block) {
        self.blocks
            .entry(block.subject.clone())
            .or_default()
            .push(block);
    }

    /// What was decided since the last call, to be written down and told.
    pub fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decided)
    }

    /// What has come near a threshold since the last call, to be told.
    pub fn take_warnings(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.warned)
    }

    /// Puts a warning back that could not be told.
    pub fn put_warning_back(&mut self, warning: Decision) {
        if self.warned.len() < DECISIONS_MAX {
            self.warned.push(warning);
        }
    }

    /// Puts decisions back that could not be written down.
    pub fn put_back(&mut self, decisions: Vec<Decision>) {
        let room = DECISIONS_MAX.saturating_sub(self.decided.len());
        self.decided.extend(decisions.into_iter().take(room));
    }

    /// What this process counted and the others do not know yet.
    pub fn take_new(&mut self) -> Vec<Bucket> {
        let mut new = Vec::new();
        for (rule, subject) in std::mem::take(&mut self.touched) {
            let Some(window) = self.windows.get_mut(&(rule, subject.clone())) else {
                continue;
            };
            window.is_touched = false;
            // Whether a customer's name is many people's hangs on where cards are accepted.
            let all = subject.kind() == SubjectKind::Customer;
            let buckets = window.take_new(all).into_iter();
            new.extend(buckets.map(|(bucket_ms, network, count)| Bucket {
                rule,
                subject: subject.clone(),
                network,
                bucket_ms,
                count,
            }));
        }
        new
    }

    /// What another process says that it counted. Saying it twice counts once.
    pub fn hear(&mut self, process: &str, bucket: Bucket) {
        if self.windows.len() >= self.settings.windows_max {
            self.make_room();
        }
        let window = self
            .windows
            .entry((bucket.rule, bucket.subject))
            .or_default();
        let network = bucket.network.as_deref();
        window.hear(process, bucket.bucket_ms, network, bucket.count);
    }

    /// What the store says is done to whom, in place of all that was known. What was lifted counts
    /// anew from then on; so does what was decided elsewhere. Decisions of this process that the
    /// store cannot know yet stay.
    pub fn set_blocks(&mut self, blocks: Vec<Block>) {
        let mut known: HashMap<&Subject, Vec<&Block>> = HashMap::new();
        for block in &blocks {
            known.entry(&block.subject).or_default().push(block);
            self.remember(block);
            self.forgive_network(block);
        }
        for ((_, subject), window) in &mut self.windows {
            for block in known.get(subject).into_iter().flatten() {
                window.forget_before(block.lifted_at.unwrap_or(block.placed_at));
                if block.lifted_at.is_some() {
                    window.standing.quiet_until_ms = 0;
                }
            }
        }
        self.blocks.clear();
        let waiting: Vec<Block> = self.decided.iter().filter_map(Decision::block).collect();
        for block in blocks.into_iter().chain(waiting) {
            self.place(block);
        }
    }

    /// The same for a customer in one network, which has no window of its own.
    fn forgive_network(&mut self, block: &Block) {
        let Some(((customer, network), rule)) = block.subject.parts().zip(block.rule) else {
            return;
        };
        if let Some(window) = self.windows.get_mut(&(rule, customer)) {
            let from = block.lifted_at.unwrap_or(block.placed_at);
            window.forget_network_before(network, from);
            if block.lifted_at.is_some() {
                window.networks.standing(network).quiet_until_ms = 0;
            }
        }
    }

    /// Wipes card ranges whose time is over.
    pub fn sweep_ranges(&mut self, now: Timestamp) {
        if let Some(rule) = self.range_rule() {
            self.ranges.sweep(&rule, now);
        }
    }

    /// Drops what is out of every window.
    pub fn sweep(&mut self, now: Timestamp) {
        let rules = &self.settings.rules;
        self.windows.retain(|(name, _), window| {
            rules
                .iter()
                .find(|rule| rule.name == *name)
                .is_some_and(|rule| {
                    let (bucket_ms, bucket) = judgement::span(rule, now);
                    window.sweep(bucket, bucket_ms)
                })
        });
        self.sweep_earlier(now);
        self.blocks.retain(|_, blocks| {
            blocks.retain(|block| block.holds(now));
            !blocks.is_empty()
        });
    }

    /// Seconds of the longest window.
    #[must_use]
    pub fn longest_window_s(&self) -> u32 {
        let windows = self.settings.rules.iter().map(|rule| rule.window_s);
        windows.max().unwrap_or(0)
    }

    /// Drops the tenth that was quiet for longest.
    fn make_room(&mut self) {
        let mut last: Vec<i64> = self.windows.values().map(Window::last).collect();
        let tenth = last.len().saturating_div(10);
        if tenth < last.len() {
            let (_, oldest, _) = last.select_nth_unstable(tenth);
            let oldest = *oldest;
            self.windows.retain(|_, window| window.last() > oldest);
        }
    }
}

/// Whole seconds until `end`, at least one and at most an hour.
fn seconds(end: Timestamp, now: Timestamp) -> u32 {
    let seconds = end.ms_since(now).div_ceil(1_000);
    u32::try_from(seconds)
        .unwrap_or(RETRY_AFTER_S_MAX)
        .clamp(1, RETRY_AFTER_S_MAX)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_weighed;
