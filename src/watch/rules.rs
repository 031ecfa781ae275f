//! The rules, as data: what is counted about whom, in which window, past which threshold, and what
//! is then done. The defaults were set on workloads whose seeds are not those that are reported
//! (`benches/README.md`).

use schemars::JsonSchema;
use serde::Deserialize;

use super::subject::SubjectKind;
use crate::alerts::AlertName;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A card number that cannot be one, or that the issuer does not know.
    InvalidNumber,
    /// A wrong code or expiry.
    WrongDetails,
    /// A card that the issuer or the processor declined.
    Declined,
    /// A card that became a token.
    Accepted,
    /// A capture session was made.
    SessionMade,
    /// A sealed value was opened for a client.
    Opened,
    /// A charge was made and not declined.
    Charged,
    /// A charge was declined.
    ChargeDeclined,
    /// Somebody was refused at the door.
    Refused,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The operator is told, and nothing else.
    Alert,
    /// Only sessions whose shopper the merchant has verified anew are let in.
    Challenge,
    /// Nothing more is taken for a while.
    Throttle,
    /// Nothing more is taken until its end, or until it is lifted.
    Block,
}

impl Action {
    /// The name in the configuration and in rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Challenge => "challenge",
            Self::Throttle => "throttle",
            Self::Block => "block",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Alert, Self::Challenge, Self::Throttle, Self::Block]
            .into_iter()
            .find(|action| action.name() == name)
    }
}

/// One rule. It trips when in its window more than `hits_max` of `of` are `hits`, they are more than
/// `per_cent_max` of them and of the good traffic that is usual (`judgement`), and they come from
/// `networks_min` networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which one.
    pub name: RuleName,
    /// About whom.
    pub by: SubjectKind,
    /// What speaks against them.
    pub hits: &'static [Seen],
    /// What is counted in all.
    pub of: &'static [Seen],
    /// Seconds of the sliding window.
    pub window_s: u32,
    /// Hits that are still nothing.
    pub hits_max: u32,
    /// The share of hits that is still nothing.
    pub per_cent_max: u32,
    /// Networks with failures that it takes; 0 where they are not counted. Of a customer: where
    /// several networks have had cards accepted under its name.
    pub networks_min: u32,
    /// What is done.
    pub action: Action,
    /// Seconds for which it is done the first time; each further time within a day twice as long.
    pub first_s: u32,
    /// Seconds for which it is done at most; 0: until it is lifted.
    pub lasts_s: u32,
    /// What the operator is told.
    pub alert: AlertName,
}

const FAILURES: &[Seen] = &[Seen::InvalidNumber, Seen::WrongDetails, Seen::Declined];
const GUESSES: &[Seen] = &[Seen::InvalidNumber, Seen::WrongDetails];
const CARDS: &[Seen] = &[
    Seen::InvalidNumber,
    Seen::WrongDetails,
    Seen::Declined,
    Seen::Accepted,
];
const SESSIONS: &[Seen] = &[Seen::SessionMade];
const OPENS: &[Seen] = &[Seen::Opened];
const CHARGES: &[Seen] = &[Seen::Charged, Seen::ChargeDeclined];
const DECLINED_CHARGES: &[Seen] = &[Seen::ChargeDeclined];
const REFUSALS: &[Seen] = &[Seen::Refused];

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $by:ident, $hits:ident of $of:ident,
       $window_s:literal s, > $hits_max:literal, > $per_cent_max:literal %, $networks_min:literal networks, $action:ident $first_s:literal to $lasts_s:literal s, $alert:ident;)+) => {
        /// Which rule. The names are those of `[watch.rules]`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RuleName {
            $($(#[$doc])* $name,)+
        }

        impl RuleName {
            /// The name in the configuration and in rows.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The rule of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)+ _ => None }
            }
        }

        /// Every rule with its defaults.
        pub const RULES: &[Rule] = &[$(Rule {
            name: RuleName::$name,
            by: SubjectKind::$by,
            hits: $hits,
            of: $of,
            window_s: $window_s,
            hits_max: $hits_max,
            per_cent_max: $per_cent_max,
            networks_min: $networks_min,
            action: Action::$action,
            first_s: $first_s,
            lasts_s: $lasts_s,
            alert: AlertName::$alert,
        },)+];
    };
}

rules! {
    /// Cards that fail, fast, from one address. A carrier's address fails no more often than others.
    AddressFailures = "address_failures": Address, FAILURES of CARDS, 600 s, > 10, > 75 %, 0 networks, Block 3600 to 3600 s, CardTesting;
    /// Cards that fail, slowly, from one address. It may be many people's, so they are asked.
    AddressFailuresDay = "address_failures_day": Address, FAILURES of CARDS, 86400 s, > 8, > 65 %, 0 networks, Challenge 86400 to 86400 s, CardTesting;
    /// Numbers, codes and expiries that are guessed from one address.
    AddressGuesses = "address_guesses": Address, GUESSES of CARDS, 3600 s, > 6, > 40 %, 0 networks, Block 3600 to 3600 s, CardTesting;
    /// Cards that fail from one network, an address at a time.
    NetworkFailures = "network_failures": Network, FAILURES of CARDS, 3600 s, > 15, > 65 %, 0 networks, Challenge 3600 to 3600 s, CardTesting;
    /// The same, slowly.
    NetworkFailuresDay = "network_failures_day": Network, FAILURES of CARDS, 86400 s, > 20, > 60 %, 0 networks, Challenge 86400 to 86400 s, CardTesting;
    /// Cards that fail in one shop, from wherever.
    ShopFailures = "shop_failures": Shop, FAILURES of CARDS, 600 s, > 20, > 45 %, 8 networks, Challenge 900 to 900 s, CardTesting;
    /// The same within an hour, for those who are slower.
    ShopFailuresHour = "shop_failures_hour": Shop, FAILURES of CARDS, 3600 s, > 40, > 32 %, 8 networks, Challenge 3600 to 3600 s, CardTesting;
    /// The same over a day, from so many places that no hour shows it. Nobody is stopped.
    ShopFailuresDay = "shop_failures_day": Shop, FAILURES of CARDS, 86400 s, > 100, > 35 %, 0 networks, Alert 86400 to 86400 s, CardTesting;
    /// Numbers, codes and expiries that are guessed in one shop.
    ShopGuesses = "shop_guesses": Shop, GUESSES of CARDS, 1800 s, > 20, > 25 %, 8 networks, Challenge 1800 to 1800 s, CardTesting;
    /// Cards that fail for one customer. Where the name turns out to be many people's, the network
    /// that fails is stopped under it.
    CustomerFailures = "customer_failures": Customer, FAILURES of CARDS, 86400 s, > 8, > 60 %, 8 networks, Block 900 to 86400 s, CardTesting;
    /// Cards of one range that fail: somebody counts through it. In memory only, for minutes.
    CardRangeFailures = "card_range_failures": CardRange, FAILURES of CARDS, 600 s, > 10, > 70 %, 0 networks, Challenge 900 to 900 s, CardTesting;
    /// Far more cards than a shop of any size takes in a minute.
    ShopVelocity = "shop_velocity": Shop, CARDS of CARDS, 60 s, > 600, > 0 %, 0 networks, Alert 600 to 600 s, ShopBusy;
    /// Sessions that one client makes.
    ClientSessions = "client_sessions": Client, SESSIONS of SESSIONS, 60 s, > 6000, > 0 %, 0 networks, Throttle 60 to 60 s, ClientBusy;
    /// Sessions for one customer.
    CustomerSessions = "customer_sessions": Customer, SESSIONS of SESSIONS, 3600 s, > 60, > 0 %, 0 networks, Throttle 900 to 900 s, CardTesting;
    /// Values that are opened for one client: past the budget it is cut off until it is let in again.
    ClientOpens = "client_opens": Client, OPENS of OPENS, 3600 s, > 20000, > 0 %, 0 networks, Block 0 to 0 s, ClientCutOff;
    /// Charges of one client that are declined.
    ClientDeclines = "client_declines": Client, DECLINED_CHARGES of CHARGES, 3600 s, > 100, > 60 %, 0 networks, Alert 3600 to 3600 s, CardTesting;
    /// A client that asks for what it has no right to.
    ClientRefusals = "client_refusals": Client, REFUSALS of REFUSALS, 600 s, > 20, > 0 %, 0 networks, Alert 600 to 600 s, GrantsRefused;
    /// Somebody without a right, from one address.
    AddressRefusals = "address_refusals": Address, REFUSALS of REFUSALS, 600 s, > 50, > 0 %, 0 networks, Alert 600 to 600 s, GrantsRefused;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_page_has_every_rule_as_it_is() {
        let page = include_str!("../../docs/watch.md");
        for rule in RULES {
            let (first_s, lasts_s) = (rule.first_s, rule.lasts_s);
            let lasts = match (rule.action, lasts_s) {
                (Action::Alert, _) => "alert".to_owned(),
                (action, 0) => format!("{} until lifted", action.name()),
                (action, _) if first_s == lasts_s => format!("{} {lasts_s} s", action.name()),
                (action, _) => format!("{} {first_s} s to {lasts_s} s", action.name()),
            };
            let networks = match rule.networks_min {
                0 => "-".to_owned(),
                networks => networks.to_string(),
            };
            let row = format!(
                " | {} s | {} | {} % | {networks} | {lasts} |",
                rule.window_s, rule.hits_max, rule.per_cent_max
            );
            let begins = format!("| `{}` | ", rule.name.name());
            let told = page
                .lines()
                .any(|line| line.starts_with(&begins) && line.ends_with(&row));
            assert!(told, "{begins}…{row}");
        }
    }

    #[test]
    fn every_rule_counts_what_it_can_hit_and_keeps_a_card_range_out_of_rows() {
        for rule in RULES {
            assert!(
                rule.hits.iter().all(|hit| rule.of.contains(hit)),
                "{rule:?}"
            );
            assert!(rule.window_s >= 60 && rule.per_cent_max < 100, "{rule:?}");
            assert!(rule.first_s <= rule.lasts_s, "{rule:?}");
            assert_eq!(RuleName::from_name(rule.name.name()), Some(rule.name));
            if rule.by == SubjectKind::CardRange {
                // A range is honest people's too: they are asked, not shut out.
                assert_eq!(rule.action, Action::Challenge);
                assert!(rule.window_s <= 900 && rule.lasts_s <= 900, "minutes only");
            }
        }
    }
}
