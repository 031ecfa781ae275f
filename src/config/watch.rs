//! The watch: `[watch]`. The rules have defaults; `[watch.rules.NAME]` changes one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ProcessorSettings, Refused};
use crate::watch::{Action, RULES, Rule, RuleName, Settings, Subject, SubjectKind};

const WINDOW_S_MAX: u32 = 86_400;
const LASTS_S_MAX: u32 = 2_592_000;
/// More networks than this at one time are no condition that anybody meets.
const NETWORKS_MAX: u32 = 1_000;
/// What is known of a card range is gone within a quarter of an hour.
const CARD_RANGE_S_MAX: u32 = 900;

/// Whether rules act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// Rules act and tell.
    #[default]
    Enforce,
    /// Rules tell what they would do, and nobody is stopped.
    Observe,
}

/// The watch.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchSettings {
    /// `enforce`, or `observe` while you tune thresholds: rules report and stop nobody.
    pub mode: WatchMode,
    /// Addresses of your own proxies that terminate TCP: all shoppers come from them, so no rule
    /// counts by them.
    pub shared_addresses: Vec<IpAddr>,
    /// Windows kept in memory at one time; those quiet for longest are dropped first.
    pub windows_max: usize,
    /// Milliseconds between two exchanges of counts with the other processes, through the store.
    pub share_interval_ms: u64,
    /// Overrides by rule.
    pub rules: BTreeMap<RuleName, RuleSettings>,
}

/// What is otherwise than by default in one rule; see `src/watch/rules.rs`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSettings {
    /// Seconds of the sliding window.
    #[schemars(extend("x-default" = "the rule's"))]
    pub window_s: Option<u32>,
    /// Hits in the window up to which the rule does not trip.
    #[schemars(extend("x-default" = "the rule's"))]
    pub hits_max: Option<u32>,
    /// Share of hits, in per cent, up to which the rule does not trip; 0 to 99.
    #[schemars(extend("x-default" = "the rule's"))]
    pub per_cent_max: Option<u32>,
    /// Networks with failures that it takes for the rule to trip, of a shop or of a customer whose
    /// name turns out to be many people's; 0: networks are not counted.
    #[schemars(extend("x-default" = "the rule's"))]
    pub networks_min: Option<u32>,
    /// `alert`, `challenge`, `throttle` or `block`.
    #[schemars(extend("x-default" = "the rule's"))]
    pub action: Option<Action>,
    /// Seconds for which the action lasts the first time; twice as long each further time within a
    /// day, up to `lasts_s`.
    #[schemars(extend("x-default" = "the rule's"))]
    pub first_s: Option<u32>,
    /// Seconds for which the action lasts at most; 0: until it is lifted.
    #[schemars(extend("x-default" = "the rule's"))]
    pub lasts_s: Option<u32>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            mode: WatchMode::Enforce,
            shared_addresses: Vec::new(),
            windows_max: 200_000,
            share_interval_ms: 1_000,
            rules: BTreeMap::new(),
        }
    }
}

impl WatchSettings {
    /// The engine's settings.
    #[must_use]
    pub fn engine(&self) -> Settings {
        Settings {
            rules: RULES.iter().map(|rule| self.changed(rule)).collect(),
            enforces: self.mode == WatchMode::Enforce,
            windows_max: self.windows_max,
            opens_per_s: HashMap::new(),
        }
    }

    /// Whether the operator has set the budget of opens.
    fn sets_budget_of_opens(&self) -> bool {
        let opens = self.rules.get(&RuleName::ClientOpens);
        opens.is_some_and(|rule| rule.hits_max.is_some())
    }

    fn changed(&self, rule: &Rule) -> Rule {
        let other = self.rules.get(&rule.name).copied().unwrap_or_default();
        let lasts_s = other.lasts_s.unwrap_or(rule.lasts_s);
        // Who says how long it lasts, and nothing else, means each time.
        let first_s = match other.lasts_s {
            Some(_) if rule.first_s == rule.lasts_s => lasts_s,
            _ => rule.first_s.min(lasts_s),
        };
        Rule {
            window_s: other.window_s.unwrap_or(rule.window_s),
            hits_max: other.hits_max.unwrap_or(rule.hits_max),
            per_cent_max: other.per_cent_max.unwrap_or(rule.per_cent_max),
            networks_min: other.networks_min.unwrap_or(rule.networks_min),
            action: other.action.unwrap_or(rule.action),
            first_s: other.first_s.unwrap_or(first_s),
            lasts_s,
            ..*rule
        }
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        let wrong = |name: &str, why: &str| {
            Err(Refused::Inconsistent(format!("watch.rules.{name}: {why}")))
        };
        if !(1_000..=10_000_000).contains(&self.windows_max) {
            return wrong("*", "watch.windows_max is 1000 to 10000000");
        }
        if !(100..=60_000).contains(&self.share_interval_ms) {
            return wrong("*", "watch.share_interval_ms is 100 to 60000");
        }
        for rule in self.engine().rules {
            let name = rule.name.name();
            if !(60..=WINDOW_S_MAX).contains(&rule.window_s) {
                return wrong(name, "window_s is 60 to 86400");
            }
            if rule.per_cent_max >= 100 {
                return wrong(name, "per_cent_max is 0 to 99");
            }
            if rule.lasts_s > LASTS_S_MAX {
                return wrong(name, "lasts_s is at most 2592000");
            }
            if rule.first_s > rule.lasts_s || (rule.first_s == 0 && rule.lasts_s > 0) {
                return wrong(name, "first_s is 1 to lasts_s");
            }
            let has_networks = matches!(rule.by, SubjectKind::Shop | SubjectKind::Customer);
            if rule.networks_min > if has_networks { NETWORKS_MAX } else { 0 } {
                return wrong(
                    name,
                    "networks_min is 0 to 1000 of a shop or a customer, and 0 of others",
                );
            }
            let longest = rule.window_s.max(rule.lasts_s);
            if rule.by == SubjectKind::CardRange
                && (longest > CARD_RANGE_S_MAX
                    || rule.lasts_s == 0
                    || rule.action > Action::Challenge)
            {
                return wrong(
                    name,
                    "a card range is known for 900 s at most, and challenged at most",
                );
            }
        }
        Ok(())
    }
}

impl Config {
    /// The engine's settings of this process. What a client may open is no less than what the
    /// governor of its account's processor lets through: a billing run at that pace is no theft.
    /// Where the operator has set a budget, that stands.
    #[must_use]
    pub fn watch_engine(&self) -> Settings {
        let mut engine = self.watch.engine();
        if !self.watch.sets_budget_of_opens() {
            let rates = self.clients.iter().filter_map(|client| {
                let account = self.accounts.get(&client.account)?;
                let ProcessorSettings::Stripe(stripe) = &account.processor;
                let per_s = stripe.internal_per_s(self.environment);
                Some((Subject::client(&client.san), per_s))
            });
            engine.opens_per_s = rates.collect();
        }
        engine
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;

    fn read(text: &str) -> Result<WatchSettings, String> {
        let settings: WatchSettings = Figment::from(Toml::string(text))
            .extract()
            .map_err(|error| error.to_string())?;
        settings.check().map_err(|refused| refused.to_string())?;
        Ok(settings)
    }

    #[test]
    fn the_watch_enforces_by_default_and_a_rule_is_changed_where_it_is_named() {
        let engine = read("").unwrap().engine();
        assert!(engine.enforces);
        assert_eq!(engine.rules, RULES);
        let changed = "mode = \"observe\"\n[rules.client_opens]\nhits_max = 7\naction = \"alert\"";
        let engine = read(changed).unwrap().engine();
        assert!(!engine.enforces);
        for (rule, default) in engine.rules.iter().zip(RULES) {
            if rule.name == RuleName::ClientOpens {
                assert_eq!((rule.hits_max, rule.action), (7, Action::Alert));
            } else {
                assert_eq!(rule, default);
            }
        }
    }

    #[test]
    fn who_says_how_long_it_lasts_means_each_time_and_a_longest_shortens_the_first() {
        let engine = |text: &str| read(text).unwrap().engine();
        let rule = |text: &str, name| {
            let rules = engine(text).rules;
            *rules.iter().find(|rule| rule.name == name).unwrap()
        };
        let address = rule(
            "[rules.address_failures]\nlasts_s = 60",
            RuleName::AddressFailures,
        );
        assert_eq!((address.first_s, address.lasts_s), (60, 60));
        let customer = rule(
            "[rules.customer_failures]\nlasts_s = 60",
            RuleName::CustomerFailures,
        );
        assert_eq!((customer.first_s, customer.lasts_s), (60, 60));
        let customer = rule(
            "[rules.customer_failures]\nfirst_s = 300",
            RuleName::CustomerFailures,
        );
        assert_eq!((customer.first_s, customer.lasts_s), (300, 86_400));
        assert!(!read("").unwrap().sets_budget_of_opens());
        let set = read("[rules.client_opens]\nhits_max = 7").unwrap();
        assert!(set.sets_budget_of_opens());
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (text, why) in [
            ("mode = \"off\"", "unknown variant"),
            ("[rules.no_such]\nhits_max = 1", "unknown variant"),
            (
                "[rules.shop_failures]\nwindow_s = 10",
                "shop_failures: window_s",
            ),
            ("[rules.shop_failures]\nper_cent_max = 100", "per_cent_max"),
            (
                "[rules.shop_failures]\naction = \"shrug\"",
                "unknown variant",
            ),
            ("[rules.customer_failures]\nfirst_s = 86401", "first_s"),
            (
                "[rules.address_failures]\nnetworks_min = 1",
                "networks_min is",
            ),
            (
                "[rules.card_range_failures]\nlasts_s = 901",
                "900 s at most",
            ),
            (
                "[rules.card_range_failures]\naction = \"block\"",
                "challenged at most",
            ),
            ("shared_addresses = [\"everywhere\"]", "address"),
            ("windows_max = 1", "windows_max"),
        ] {
            let refused = read(text).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
