//! Watch: who tries cards, who asks for more than usual, and what is done about it.
//!
//! [`Watch`] is the whole engine and does nothing but count and decide: it has no clock, no thread
//! and no database, so that the workload of `benches/card_testing` drives the very rules that serve.
//! [`rules`] is the table; [`Subject`] is whom it counts; `windows` are the sliding windows, and
//! [`CardRange`] the one thing that is in memory only. What is decided holds at once in the process
//! that decides it, and on the others when they have read it from the store, a second later
//! ([`crate::vault::watch`]). It fails open: a process that cannot share what it counts still counts
//! for itself.

mod card_range;
pub mod rules;
mod subject;
mod windows;

use std::collections::HashMap;

pub use card_range::CardRange;
pub use rules::{Action, RULES, Rule, RuleName, Seen};
pub use subject::{Subject, SubjectKind};
pub use windows::Count;

use crate::clock::Timestamp;
use card_range::Ranges;
use windows::{Window, bucket_ms, bucket_of};

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

/// What a rule decided, to be written down and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which rule.
    pub rule: Rule,
    /// About whom; nothing where it is a card range, which has no text.
    pub subject: Option<Subject>,
    /// What was counted.
    pub count: Count,
    /// Whether it is done, or only told.
    pub enforced: bool,
    /// When.
    pub at: Timestamp,
    /// Till when; nothing where it lasts until it is lifted.
    pub ends_at: Option<Timestamp>,
}

/// What is done to somebody, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// To whom.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// From when on.
    pub placed_at: Timestamp,
    /// Till when; nothing where it lasts until it is lifted.
    pub ends_at: Option<Timestamp>,
    /// When it was lifted.
    pub lifted_at: Option<Timestamp>,
}

impl Block {
    fn holds(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none() && self.ends_at.is_none_or(|end| end > now)
    }
}

/// A bucket of a window, as it is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Of which rule.
    pub rule: RuleName,
    /// About whom.
    pub subject: Subject,
    /// When it begins.
    pub bucket_ms: i64,
    /// What was counted in it.
    pub count: Count,
}

/// The engine.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    windows: HashMap<(RuleName, Subject), Window>,
    ranges: Ranges,
    blocks: HashMap<Subject, Vec<Block>>,
    decided: Vec<Decision>,
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

    /// Counts what was seen about each of `subjects`, and decides.
    pub fn see(&mut self, seen: Seen, subjects: &[Subject], now: Timestamp) {
        for subject in subjects {
            for index in 0..self.settings.rules.len() {
                if let Some(rule) = self.settings.rules.get(index).copied()
                    && rule.by == subject.kind()
                    && rule.of.contains(&seen)
                {
                    self.count(&rule, subject, rule.hits.contains(&seen), now);
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
            self.decide(rule, None, count, now);
        }
    }

    fn range_rule(&self) -> Option<Rule> {
        let mut rules = self.settings.rules.iter();
        rules
            .find(|rule| rule.by == SubjectKind::CardRange)
            .copied()
    }

    fn count(&mut self, rule: &Rule, subject: &Subject, hit: bool, now: Timestamp) {
        if self.windows.len() >= self.settings.windows_max {
            self.make_room();
        }
        let bucket_ms = bucket_ms(rule.window_s);
        let bucket = bucket_of(now, bucket_ms);
        let window = self
            .windows
            .entry((rule.name, subject.clone()))
            .or_default();
        window.add(bucket, hit);
        if !window.is_touched {
            window.is_touched = true;
            self.touched.push((rule.name, subject.clone()));
        }
        if !hit || window.quiet_until_ms > now.unix_ms() {
            return;
        }
        let count = window.sum(bucket, bucket_ms);
        if rule.is_past(count) {
            let quiet_s = if rule.lasts_s == 0 {
                rule.window_s
            } else {
                rule.lasts_s
            };
            window.quiet_until_ms = now.plus_s(quiet_s).unix_ms();
            window.forget_before(now);
            self.decide(*rule, Some(subject.clone()), count, now);
        }
    }

    fn decide(&mut self, rule: Rule, subject: Option<Subject>, count: Count, now: Timestamp) {
        let ends_at = (rule.lasts_s > 0).then(|| now.plus_s(rule.lasts_s));
        let enforced = self.settings.enforces && rule.action != Action::Alert;
        if let (true, Some(subject)) = (enforced, &subject) {
            self.place(Block {
                subject: subject.clone(),
                action: rule.action,
                placed_at: now,
                ends_at,
                lifted_at: None,
            });
        }
        if self.decided.len() < DECISIONS_MAX {
            self.decided.push(Decision {
                rule,
                subject,
                count,
                enforced,
                at: now,
                ends_at,
            });
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
            let buckets = window.take_new().into_iter();
            new.extend(buckets.map(|(bucket_ms, count)| Bucket {
                rule,
                subject: subject.clone(),
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
        window.hear(process, bucket.bucket_ms, bucket.count);
    }

    /// What the store says is done to whom, in place of all that was known. What was lifted counts
    /// anew from then on; so does what was decided elsewhere. Decisions of this process that the
    /// store cannot know yet stay.
    pub fn set_blocks(&mut self, blocks: Vec<Block>) {
        let mut known: HashMap<&Subject, Vec<&Block>> = HashMap::new();
        for block in &blocks {
            known.entry(&block.subject).or_default().push(block);
        }
        for ((_, subject), window) in &mut self.windows {
            for block in known.get(subject).into_iter().flatten() {
                window.forget_before(block.lifted_at.unwrap_or(block.placed_at));
                if block.lifted_at.is_some() {
                    window.quiet_until_ms = 0;
                }
            }
        }
        self.blocks.clear();
        let waiting: Vec<Block> = self.decided.iter().filter_map(Decision::block).collect();
        for block in blocks.into_iter().chain(waiting) {
            self.place(block);
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
                    let bucket_ms = bucket_ms(rule.window_s);
                    window.sweep(bucket_of(now, bucket_ms), bucket_ms)
                })
        });
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

impl Decision {
    /// What is done, where anything is and somebody is named.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let subject = self.subject.clone().filter(|_| self.enforced)?;
        Some(Block {
            subject,
            action: self.rule.action,
            placed_at: self.at,
            ends_at: self.ends_at,
            lifted_at: None,
        })
    }
}

impl Rule {
    /// Whether that is past the threshold.
    #[must_use]
    pub const fn is_past(&self, count: Count) -> bool {
        count.hits > self.hits_max
            && count.hits.saturating_mul(100) > count.events.saturating_mul(self.per_cent_max)
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
