//! A day of cards: what honest shoppers post, and what each of five attackers does.
//!
//! Everything that is assumed about people stands in this file as a number with a name.

use std::net::{IpAddr, Ipv4Addr};

use cloakroom::watch::Seen;

use super::chance::Chance;

const SECOND_MS: i64 = 1_000;
pub(crate) const DAY_MS: i64 = 86_400 * SECOND_MS;

/// Honest sessions of a day.
pub(crate) const SESSIONS: u32 = 20_000;
/// Of a hundred honest sessions: behind a carrier's shared address.
const CARRIER_PER_MILLE: u32 = 350;
/// Shared addresses of the carriers, in a few networks.
const CARRIER_ADDRESSES: u32 = 200;
/// Behind the shared address of a university or a company.
const OFFICE_PER_MILLE: u32 = 75;
const OFFICES: u32 = 5;
/// Customers who have a name at the shop; the others are guests.
const NAMED_PER_MILLE: u32 = 600;
const CUSTOMERS: u32 = 15_000;
/// How an honest first attempt ends, in a thousand: the rest is accepted.
const DECLINED: u32 = 60;
const TYPO_IN_DETAILS: u32 = 50;
const TYPO_IN_NUMBER: u32 = 30;
/// Whether a shopper tries again, and how a second attempt ends.
const TRIES_AGAIN: u32 = 700;
const DECLINED_AGAIN: u32 = 450;
const TYPO_AGAIN: u32 = 80;
/// Sessions of people whose every card is declined, up to the session's budget of five.
const HOPELESS: u32 = 5;
/// Where a shop's shoppers are: shops by their share of a thousand.
const SHOPS: [u32; 4] = [500, 300, 150, 50];
/// Ranges of honest cards; the first are the most common.
pub(crate) const RANGES: u32 = 300;
/// Charges of the nightly run of subscriptions, and of a thousand how many are declined.
pub(crate) const SUBSCRIPTIONS: u32 = 5_000;
pub(crate) const SUBSCRIPTIONS_DECLINED: u32 = 120;

/// Who posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Honest,
    OneAddressFast,
    RotatingAddressesFast,
    SlowAndLow,
    StolenList,
    RangeEnumeration,
}

impl Who {
    pub(crate) const ATTACKS: [Self; 5] = [
        Self::OneAddressFast,
        Self::RotatingAddressesFast,
        Self::SlowAndLow,
        Self::StolenList,
        Self::RangeEnumeration,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::OneAddressFast => "one address, fast",
            Self::RotatingAddressesFast => "rotating addresses, fast",
            Self::SlowAndLow => "slow and low",
            Self::StolenList => "stolen list",
            Self::RangeEnumeration => "range enumeration",
        }
    }
}

/// One card that is posted.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) at_ms: i64,
    pub(crate) who: Who,
    pub(crate) session: u32,
    pub(crate) address: IpAddr,
    pub(crate) shop: usize,
    pub(crate) customer: Option<u32>,
    /// Which range its card is of; nothing where the number cannot be one.
    pub(crate) range: Option<u32>,
    pub(crate) ends: Seen,
}

/// How one attacker works.
struct Attack {
    who: Who,
    cards: u32,
    /// From its first card to its last.
    lasts_ms: i64,
    addresses: u32,
    /// Addresses that share a network.
    per_network: u32,
    cards_per_session: u32,
    shop: usize,
    /// Of a thousand of its cards.
    good: u32,
    impossible: u32,
    wrong_details: u32,
    /// All of one range, or spread.
    one_range: bool,
}

const ATTACKS: [Attack; 5] = [
    Attack {
        who: Who::OneAddressFast,
        cards: 600,
        lasts_ms: 20 * 60 * SECOND_MS,
        addresses: 1,
        per_network: 1,
        cards_per_session: 4,
        shop: 1,
        good: 80,
        impossible: 50,
        wrong_details: 150,
        one_range: false,
    },
    Attack {
        who: Who::RotatingAddressesFast,
        cards: 2_000,
        lasts_ms: 30 * 60 * SECOND_MS,
        addresses: 500,
        per_network: 1,
        cards_per_session: 4,
        shop: 0,
        good: 100,
        impossible: 30,
        wrong_details: 150,
        one_range: false,
    },
    Attack {
        who: Who::SlowAndLow,
        cards: 300,
        lasts_ms: DAY_MS,
        addresses: 25,
        per_network: 5,
        cards_per_session: 1,
        shop: 0,
        good: 200,
        impossible: 0,
        wrong_details: 200,
        one_range: false,
    },
    Attack {
        who: Who::StolenList,
        cards: 800,
        lasts_ms: 4 * 3_600 * SECOND_MS,
        addresses: 60,
        per_network: 1,
        cards_per_session: 2,
        shop: 2,
        good: 450,
        impossible: 0,
        wrong_details: 100,
        one_range: false,
    },
    Attack {
        who: Who::RangeEnumeration,
        cards: 3_000,
        lasts_ms: 2 * 3_600 * SECOND_MS,
        addresses: 300,
        per_network: 1,
        cards_per_session: 5,
        shop: 0,
        good: 20,
        impossible: 0,
        wrong_details: 80,
        one_range: true,
    },
];

/// A day of honest shoppers, with the attackers of `with` among them, in the order of time.
pub(crate) fn day(seed: u64, with: &[Who]) -> Vec<Attempt> {
    let mut chance = Chance::new(seed);
    let mut attempts = Vec::new();
    for session in 0..SESSIONS {
        honest(&mut chance, session, &mut attempts);
    }
    let mut session = SESSIONS;
    for attack in ATTACKS.iter().filter(|attack| with.contains(&attack.who)) {
        // Of its own seed, so that an attack is the same alone and among others.
        let mut chance = Chance::new(seed ^ (attack.who as u64 + 1).wrapping_mul(0x5851_f42d));
        session = attacking(attack, &mut chance, session, &mut attempts);
    }
    attempts.sort_by_key(|attempt| (attempt.at_ms, attempt.session));
    attempts
}

/// More by day than by night: two uniform draws around the afternoon, and some at any hour.
fn moment(chance: &mut Chance) -> i64 {
    if chance.is(250) {
        return i64::from(chance.below(86_400_000));
    }
    let hours = 8 * 3_600_000_u32;
    i64::from(7 * 3_600_000 + chance.below(hours) + chance.below(hours))
}

fn honest(chance: &mut Chance, session: u32, attempts: &mut Vec<Attempt>) {
    let mut at_ms = moment(chance);
    let kind = chance.below(1_000);
    let address = if kind < CARRIER_PER_MILLE {
        let one = chance.below(CARRIER_ADDRESSES);
        ip(100, 10, one / 10, one % 10)
    } else if kind < CARRIER_PER_MILLE + OFFICE_PER_MILLE {
        ip(100, 20, chance.below(OFFICES), 1)
    } else {
        home(chance)
    };
    let shop = shop(chance);
    let customer = chance.is(NAMED_PER_MILLE).then(|| chance.below(CUSTOMERS));
    let hopeless = chance.is(HOPELESS);
    for attempt in 0..5 {
        let range = common_range(chance);
        let drawn = chance.below(1_000);
        let ends = match (hopeless, attempt) {
            (true, _) => Seen::Declined,
            (false, 0) if drawn < DECLINED => Seen::Declined,
            (false, 0) if drawn < DECLINED + TYPO_IN_DETAILS => Seen::WrongDetails,
            (false, 0) if drawn < DECLINED + TYPO_IN_DETAILS + TYPO_IN_NUMBER => {
                Seen::InvalidNumber
            }
            (false, 1..) if drawn < TYPO_AGAIN => Seen::WrongDetails,
            (false, 1..) if drawn < TYPO_AGAIN + DECLINED_AGAIN && was_declined(attempts) => {
                Seen::Declined
            }
            _ => Seen::Accepted,
        };
        attempts.push(Attempt {
            at_ms,
            who: Who::Honest,
            session,
            address,
            shop,
            customer,
            range: (ends != Seen::InvalidNumber).then_some(range),
            ends,
        });
        if ends == Seen::Accepted || !(hopeless || chance.is(TRIES_AGAIN)) {
            break;
        }
        at_ms += 8_000 + i64::from(chance.below(40_000));
    }
}

fn was_declined(attempts: &[Attempt]) -> bool {
    attempts
        .last()
        .is_some_and(|last| last.ends == Seen::Declined)
}

/// Its cards, at even distances with some jitter; answers the next session's number.
fn attacking(
    attack: &Attack,
    chance: &mut Chance,
    mut session: u32,
    attempts: &mut Vec<Attempt>,
) -> u32 {
    let latest = u32::try_from(DAY_MS - attack.lasts_ms).unwrap_or(0);
    let begin = i64::from(chance.below(latest.max(1)));
    let step = attack.lasts_ms / i64::from(attack.cards);
    let one_range = chance.below(RANGES);
    let addresses: Vec<IpAddr> = (0..attack.addresses)
        .map(|number| {
            let (network, host) = (number / attack.per_network, number % attack.per_network);
            // Rented machines and homes that are not the shoppers'.
            ip(185 + network / 250, network % 250, 7, 10 + host)
        })
        .collect();
    for card in 0..attack.cards {
        if card > 0 && card % attack.cards_per_session == 0 {
            session += 1;
        }
        let jitter = i64::from(chance.below(u32::try_from(step.max(1)).unwrap_or(1)));
        let drawn = chance.below(1_000);
        let ends = if drawn < attack.good {
            Seen::Accepted
        } else if drawn < attack.good + attack.impossible {
            Seen::InvalidNumber
        } else if drawn < attack.good + attack.impossible + attack.wrong_details {
            Seen::WrongDetails
        } else {
            Seen::Declined
        };
        let range = if attack.one_range {
            one_range
        } else {
            chance.below(RANGES)
        };
        let place = (session % attack.addresses) as usize;
        attempts.push(Attempt {
            at_ms: begin + i64::from(card) * step + jitter,
            who: attack.who,
            session,
            address: addresses
                .get(place)
                .copied()
                .unwrap_or_else(|| ip(185, 0, 7, 10)),
            shop: attack.shop,
            customer: None,
            range: (ends != Seen::InvalidNumber).then_some(range),
            ends,
        });
    }
    session + 1
}

fn shop(chance: &mut Chance) -> usize {
    let mut drawn = chance.below(1_000);
    for (shop, share) in SHOPS.iter().enumerate() {
        if drawn < *share {
            return shop;
        }
        drawn -= share;
    }
    0
}

/// A household's own address.
fn home(chance: &mut Chance) -> IpAddr {
    ip(
        80 + chance.below(16),
        chance.below(250),
        chance.below(250),
        chance.below(250),
    )
}

/// Half of all cards are of a tenth of the ranges.
fn common_range(chance: &mut Chance) -> u32 {
    if chance.is(500) {
        chance.below(RANGES / 10)
    } else {
        chance.below(RANGES)
    }
}

fn ip(a: u32, b: u32, c: u32, d: u32) -> IpAddr {
    let [_, _, _, a] = a.to_be_bytes();
    let [_, _, _, b] = b.to_be_bytes();
    let [_, _, _, c] = c.to_be_bytes();
    let [_, _, _, d] = d.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
