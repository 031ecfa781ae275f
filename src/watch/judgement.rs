//! Judgement: what was counted, weighed against the good traffic of the same subject.
//!
//! Three things keep honest people in. The share is taken of the accepted cards of the window or of
//! those that are usual, whichever are more. A shop is challenged only when failures come from many
//! networks, of which each counts with few. And where a customer's name turns out to be many
//! people's, the network that fails is stopped under it and not the name. From four fifths of a
//! threshold on the operator is warned.

use super::decision::Decision;
use super::rules::{Action, Rule, RuleName, Seen};
use super::subject::{Subject, SubjectKind};
use super::windows::{Count, Window, bucket_ms, bucket_of, first};
use super::{DECISIONS_MAX, Watch};
use crate::clock::Timestamp;

/// Of a hundred parts of a threshold, those from which on the operator is warned.
const WARN_PER_CENT: u32 = 80;
/// Networks with accepted cards from which on a customer's name is many people's.
pub const SHARED_NETWORKS_MIN: u32 = 3;
/// One in so many of the day's accepted cards of an address or a network is usual at any time.
const USUAL_PART: u32 = 8;
/// What is done again within this time after its end lasts longer.
const REPEATED_WITHIN_MS: i64 = 86_400_000;
/// Doublings of a duration, which ends elsewhere.
const DOUBLINGS_MAX: u32 = 20;

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed {
    hits: u32,
    good: u32,
    networks: u32,
    /// What the operator is told of it.
    count: Count,
}

impl Weighed {
    /// All that was counted, from wherever.
    pub(super) const fn of(count: Count) -> Self {
        Self {
            hits: count.hits,
            good: count.good(),
            networks: u32::MAX,
            count,
        }
    }

    const fn or_usual(self, usual: u32) -> Self {
        let good = if usual > self.good { usual } else { self.good };
        Self { good, ..self }
    }
}

/// Somebody whom a rule may decide about.
struct Case {
    rule: Rule,
    whom: Subject,
    /// The network of a customer's that it is about.
    network: Option<String>,
    weighed: Weighed,
}

impl Rule {
    /// Whether that is past the threshold.
    pub(super) fn is_past(&self, weighed: &Weighed) -> bool {
        weighed.hits > self.hits_max
            && self.share_is_over(weighed, 100)
            && weighed.networks >= self.networks_min
    }

    /// Whether that is past four fifths of it.
    fn is_near(&self, weighed: &Weighed) -> bool {
        self.has_hits_to_warn(weighed.hits)
            && self.share_is_over(weighed, WARN_PER_CENT)
            && weighed.networks.saturating_mul(100)
                >= self.networks_min.saturating_mul(WARN_PER_CENT)
    }

    /// Whether so many hits are four fifths of those that are nothing.
    pub(super) const fn has_hits_to_warn(&self, hits: u32) -> bool {
        hits.saturating_mul(5) >= self.hits_max.saturating_mul(4)
    }

    fn share_is_over(&self, weighed: &Weighed, per_cent: u32) -> bool {
        let hits = u64::from(weighed.hits);
        let all = hits.saturating_add(u64::from(weighed.good));
        let share = u64::from(self.per_cent_max).saturating_mul(u64::from(per_cent));
        hits.saturating_mul(10_000) > all.saturating_mul(share)
    }
}

impl Watch {
    /// Decides after a hit, or warns.
    pub(super) fn judge(
        &mut self,
        rule: &Rule,
        subject: &Subject,
        network: Option<&str>,
        now: Timestamp,
    ) {
        for case in self.cases(rule, subject, network, now) {
            self.conclude(subject, &case, now);
        }
    }

    fn cases(
        &self,
        rule: &Rule,
        subject: &Subject,
        network: Option<&str>,
        now: Timestamp,
    ) -> Vec<Case> {
        let Some(window) = self.windows.get(&(rule.name, subject.clone())) else {
            return Vec::new();
        };
        let (bucket_ms, bucket) = span(rule, now);
        let count = window.sum(bucket, bucket_ms);
        let rule = Rule {
            hits_max: self.hits_max(rule, subject, window, now),
            ..*rule
        };
        let case = |action: Action, whom: Subject, network: Option<&str>, weighed: Weighed| Case {
            rule: Rule { action, ..rule },
            whom,
            network: network.map(str::to_owned),
            weighed,
        };
        if !rule.has_hits_to_warn(count.hits) {
            return Vec::new();
        }
        let whole = Weighed::of(count).or_usual(self.usual(&rule, subject, now));
        let is_customer = subject.kind() == SubjectKind::Customer;
        if rule.networks_min == 0 || !(is_customer || rule.is_near(&whole)) {
            return vec![case(rule.action, subject.clone(), None, whole)];
        }
        let from = first(bucket, bucket_ms);
        let spread = window.networks.spread(from);
        if is_customer && spread.good < SHARED_NETWORKS_MIN {
            return vec![case(rule.action, subject.clone(), None, whole)];
        }
        // Of who comes over a proxy of ours no network is known, and nothing can be said of it.
        let unknown = count.hits.saturating_sub(spread.known_hits);
        let hits = spread.hits.saturating_add(unknown);
        let spread = Weighed {
            hits,
            good: whole.good,
            networks: spread.unusual.saturating_add(unknown),
            count: Count {
                hits,
                events: hits.saturating_add(count.good()),
            },
        };
        if !is_customer {
            return vec![case(rule.action, subject.clone(), None, spread)];
        }
        let widely = rule.action.min(Action::Challenge);
        let mut cases = vec![case(widely, subject.clone(), None, spread)];
        if let Some((network, within)) = network.zip(network.and_then(|name| subject.within(name)))
        {
            let weighed = Weighed::of(window.networks.of(network, from));
            cases.push(case(rule.action, within, Some(network), weighed));
        }
        cases
    }

    /// Hits that are still nothing, of that subject.
    pub(super) fn hits_max(
        &self,
        rule: &Rule,
        subject: &Subject,
        window: &Window,
        now: Timestamp,
    ) -> u32 {
        if rule.name == RuleName::ClientOpens {
            // What the governor lets through in the window, of each process that opens for it.
            let per_s = self.settings.opens_per_s.get(subject).copied();
            let rate = per_s.unwrap_or(0).saturating_mul(rule.window_s);
            return rule.hits_max.max(rate.saturating_mul(window.processes()));
        }
        if rule.name == RuleName::CustomerSessions {
            // A name with sales may have sessions for as many.
            let sales = self.good_of(RuleName::CustomerFailures, subject, now);
            return rule.hits_max.saturating_add(sales);
        }
        rule.hits_max
    }

    /// Accepted cards that are usual in a window of that rule, from what is known of a day.
    fn usual(&self, rule: &Rule, subject: &Subject, now: Timestamp) -> u32 {
        if !rule.of.contains(&Seen::Accepted) {
            return 0;
        }
        let day = match rule.by {
            SubjectKind::Address => RuleName::AddressFailuresDay,
            SubjectKind::Network => RuleName::NetworkFailuresDay,
            SubjectKind::Shop => RuleName::ShopFailuresDay,
            SubjectKind::Customer
            | SubjectKind::CustomerNetwork
            | SubjectKind::Client
            | SubjectKind::CardRange => return 0,
        };
        let day_s = self.rule(day).map_or(0, |rule| rule.window_s);
        let part = if rule.by == SubjectKind::Shop {
            day_s.checked_div(rule.window_s).unwrap_or(1).max(1)
        } else {
            USUAL_PART
        };
        let good = self.good_of(day, subject, now);
        good.checked_div(part).unwrap_or(0)
    }

    fn good_of(&self, name: RuleName, subject: &Subject, now: Timestamp) -> u32 {
        let window = self.windows.get(&(name, subject.clone()));
        let (Some(rule), Some(window)) = (self.rule(name), window) else {
            return 0;
        };
        let (bucket_ms, bucket) = span(rule, now);
        window.good(bucket, bucket_ms)
    }

    fn conclude(&mut self, subject: &Subject, case: &Case, now: Timestamp) {
        let Case { rule, whom, .. } = case;
        let lasts_s = self.lasts_s(rule, whom, now);
        let warns = self.settings.enforces && rule.action != Action::Alert;
        let Some(window) = self.windows.get_mut(&(rule.name, subject.clone())) else {
            return;
        };
        let standing = match &case.network {
            None => &mut window.standing,
            Some(network) => window.networks.standing(network),
        };
        if standing.quiet_until_ms > now.unix_ms() {
            return;
        }
        if rule.is_past(&case.weighed) {
            let quiet_s = if lasts_s == 0 { rule.window_s } else { lasts_s };
            standing.quiet_until_ms = now.plus_s(quiet_s).unix_ms();
            match &case.network {
                None => window.forget_before(now),
                Some(network) => window.forget_network_before(network, now),
            }
            let whom = Some(whom.clone());
            self.decide((*rule, lasts_s), whom, case.weighed.count, now);
        } else if warns
            && rule.is_near(&case.weighed)
            && standing.warned_until_ms <= now.unix_ms()
            && self.warned.len() < DECISIONS_MAX
        {
            standing.warned_until_ms = now.plus_s(rule.window_s).unix_ms();
            self.warned.push(Decision {
                rule: *rule,
                subject: Some(whom.clone()),
                count: case.weighed.count,
                enforced: false,
                at: now,
                ends_at: None,
            });
        }
    }

    /// Seconds for which it is done now: twice as long as the time before, within a day.
    fn lasts_s(&self, rule: &Rule, whom: &Subject, now: Timestamp) -> u32 {
        let since = now.unix_ms().saturating_sub(REPEATED_WITHIN_MS);
        let earlier = self.earlier.get(&(rule.name, whom.clone()));
        let ends = earlier.into_iter().flat_map(|placed| placed.values());
        let times = ends.filter(|end| **end > since).count();
        let times = u32::try_from(times).unwrap_or(DOUBLINGS_MAX);
        let doubled = 2_u32.saturating_pow(times.min(DOUBLINGS_MAX));
        rule.first_s.saturating_mul(doubled).min(rule.lasts_s)
    }

    /// Drops what lies too far back to make anything last longer.
    pub(super) fn sweep_earlier(&mut self, now: Timestamp) {
        let since = now.unix_ms().saturating_sub(REPEATED_WITHIN_MS);
        self.earlier.retain(|_, placed| {
            placed.retain(|_, end| *end > since);
            !placed.is_empty()
        });
    }
}

/// The length of a rule's buckets, and the one that is counted in now.
pub(super) fn span(rule: &Rule, now: Timestamp) -> (i64, i64) {
    let bucket_ms = bucket_ms(rule.window_s);
    (bucket_ms, bucket_of(now, bucket_ms))
}
