//! Allowance: what a client may still do before a rule stops it, for that client alone.

use super::Watch;
use super::judgement::span;
use super::rules::{Action, Rule};
use super::subject::{Subject, SubjectKind};
use super::windows::first;
use crate::clock::Timestamp;

/// What is left to a client under one rule, as `RateLimit` fields tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The name of the policy: `opens`, `sessions`.
    pub policy: &'static str,
    /// What is allowed within the window.
    pub quota: u32,
    /// Seconds of the window.
    pub window_s: u32,
    /// What is left of it.
    pub remaining: u32,
    /// Seconds until there is more.
    pub reset_s: u32,
}

impl Watch {
    /// The rules that stop clients and of which this one has used up four fifths, or all.
    #[must_use]
    pub fn allowances(&self, client: &Subject, now: Timestamp) -> Vec<Allowance> {
        if !self.settings.enforces {
            return Vec::new();
        }
        let rules = self.settings.rules.iter();
        let stopping =
            rules.filter(|rule| rule.by == SubjectKind::Client && rule.action > Action::Challenge);
        stopping
            .filter_map(|rule| self.allowance(rule, client, now))
            .collect()
    }

    fn allowance(&self, rule: &Rule, client: &Subject, now: Timestamp) -> Option<Allowance> {
        let window = self.windows.get(&(rule.name, client.clone()));
        let (bucket_ms, bucket) = span(rule, now);
        let blocks = self.blocks.get(client).into_iter().flatten();
        let stopped_s = blocks
            .filter(|block| block.rule == Some(rule.name) && block.holds(now))
            .map(|block| {
                block
                    .ends_at
                    .map_or(super::RETRY_AFTER_S_MAX, |end| super::seconds(end, now))
            })
            .max();
        let quota = window.map_or(rule.hits_max, |window| {
            self.hits_max(rule, client, window, now)
        });
        let hits = window.map_or(0, |window| window.sum(bucket, bucket_ms).hits);
        let bounded = Rule {
            hits_max: quota,
            ..*rule
        };
        if stopped_s.is_none() && !bounded.has_hits_to_warn(hits) {
            return None;
        }
        let oldest = window.and_then(|window| window.oldest_hit(bucket, bucket_ms));
        // The window ends with the bucket of now, and its oldest leaves when that one is over.
        let leaves = oldest.map(|oldest| {
            let behind = oldest.saturating_sub(first(bucket, bucket_ms));
            let at = bucket.saturating_add(bucket_ms).saturating_add(behind);
            super::seconds(Timestamp::from_unix_ms(at), now)
        });
        Some(Allowance {
            policy: rule
                .name
                .name()
                .strip_prefix("client_")
                .unwrap_or(rule.name.name()),
            quota,
            window_s: rule.window_s,
            remaining: if stopped_s.is_some() {
                0
            } else {
                quota.saturating_sub(hits)
            },
            reset_s: stopped_s.or(leaves).unwrap_or(rule.window_s),
        })
    }
}
