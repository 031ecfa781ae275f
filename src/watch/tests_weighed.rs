//! Rules against honest traffic, and against attacks beside it.

use std::collections::HashMap;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn engine() -> Watch {
    Watch::new(Settings {
        rules: RULES.to_vec(),
        enforces: true,
        windows_max: 10_000,
        opens_per_s: HashMap::from([(billing(), 50)]),
    })
}

fn billing() -> Subject {
    Subject::client("spiffe://corp.example/billing")
}

fn shop() -> Subject {
    Subject::shop("default", "https://shop.example")
}

fn guest() -> Subject {
    Subject::customer("default", "guest")
}

/// A card from that address of that network, about somebody.
fn card(watch: &mut Watch, seen: Seen, (network, host): (u8, u8), who: &Subject, now: Timestamp) {
    let ip = [198, 51, network, host].into();
    let subjects = [Subject::address(ip), Subject::network(ip), who.clone()];
    watch.see(seen, &subjects, now);
}

fn name_of(network: u8) -> String {
    format!("198.51.{network}.0/24")
}

fn is_welcome(watch: &Watch, who: &Subject, now: Timestamp) -> bool {
    watch.admit(std::slice::from_ref(who), false, now) == Verdict::Welcome
}

#[test]
fn mistyped_numbers_of_four_addresses_do_not_challenge_a_small_shop() {
    let mut watch = engine();
    for sale in 0..8 {
        card(&mut watch, Seen::Accepted, (100 + sale, 1), &shop(), NOW);
    }
    for mistake in 0..24_u8 {
        let from = (mistake % 4, 1);
        let now = NOW.plus_s(u32::from(mistake) * 10);
        card(&mut watch, Seen::InvalidNumber, from, &shop(), now);
    }
    let now = NOW.plus_s(300);
    assert!(is_welcome(&watch, &shop(), now));
    assert_eq!(watch.take_decisions(), []);

    // The same failures and more, from many networks, are an attack, also on a shop with sales.
    for mistake in 0..18_u8 {
        let from = (20 + mistake % 9, 1);
        card(&mut watch, Seen::InvalidNumber, from, &shop(), now);
    }
    assert!(!is_welcome(&watch, &shop(), now));
    let decided = watch.take_decisions();
    assert!(
        decided.iter().all(|one| one.subject == Some(shop())),
        "{decided:?}"
    );
}

#[test]
fn networks_are_told_to_the_other_processes() {
    let (mut one, mut two) = (engine(), engine());
    for mistake in 0..12_u8 {
        card(&mut one, Seen::Declined, (mistake, 1), &shop(), NOW);
        card(&mut two, Seen::Declined, (100 + mistake, 1), &shop(), NOW);
    }
    for bucket in one.take_new() {
        two.hear("one", bucket);
    }
    assert!(is_welcome(&two, &shop(), NOW));
    card(&mut two, Seen::Declined, (200, 1), &shop(), NOW);
    assert!(!is_welcome(&two, &shop(), NOW));
    let decided = two.take_decisions();
    assert!(
        decided.iter().any(|one| one.count.hits == 25),
        "{decided:?}"
    );
}

#[test]
fn behind_a_proxy_of_ours_every_failure_counts_for_itself() {
    let mut watch = engine();
    for _ in 0..=20 {
        watch.see(Seen::InvalidNumber, &[shop()], NOW);
    }
    assert!(!is_welcome(&watch, &shop(), NOW));
}

#[test]
fn mistakes_under_a_name_that_guests_share_stop_their_network_alone() {
    let mut watch = engine();
    for network in 0..3 {
        card(&mut watch, Seen::Accepted, (network, 1), &guest(), NOW);
    }
    for host in 0..9 {
        card(
            &mut watch,
            Seen::Declined,
            (9, host),
            &guest(),
            NOW.plus_s(1),
        );
    }
    let now = NOW.plus_s(2);
    assert!(is_welcome(&watch, &guest(), now), "the other guests");
    let within = |network| guest().within(&name_of(network)).unwrap();
    assert!(!is_welcome(&watch, &within(9), now));
    assert!(is_welcome(&watch, &within(2), now));
    let blocks: Vec<_> = watch
        .take_decisions()
        .iter()
        .filter_map(Decision::block)
        .collect();
    let block = blocks.iter().find(|block| block.subject == within(9));
    assert_eq!(block.unwrap().ends_at, Some(NOW.plus_s(1 + 900)));

    // Another process obeys it, and has it forgotten with the lift.
    let mut other = engine();
    other.set_blocks(blocks.clone());
    assert!(!is_welcome(&other, &within(9), now));
    let lifted = blocks.into_iter().map(|block| Block {
        lifted_at: Some(now),
        ..block
    });
    watch.set_blocks(lifted.collect());
    card(&mut watch, Seen::Declined, (9, 30), &guest(), NOW.plus_s(3));
    assert!(is_welcome(&watch, &within(9), NOW.plus_s(4)));
}

#[test]
fn a_shared_name_that_fails_from_everywhere_is_challenged_and_not_blocked() {
    let mut watch = engine();
    for network in 0..3 {
        card(&mut watch, Seen::Accepted, (network, 1), &guest(), NOW);
    }
    for network in 20..32 {
        card(&mut watch, Seen::Declined, (network, 1), &guest(), NOW);
    }
    let verdict = watch.admit(&[guest()], false, NOW);
    assert_eq!(verdict, Verdict::Challenge);
    assert_eq!(watch.admit(&[guest()], true, NOW), Verdict::Welcome);
}

#[test]
fn a_block_of_one_customer_is_short_and_doubles_with_each_repetition() {
    let mut watch = engine();
    let who = [Subject::customer("default", "anna")];
    let mut now = NOW;
    for lasts_s in [900, 1_800, 3_600, 7_200] {
        for _ in 0..9 {
            watch.see(Seen::Declined, &who, now);
        }
        let decided = watch.take_decisions();
        assert_eq!(decided.len(), 1);
        assert_eq!(decided[0].ends_at, Some(now.plus_s(lasts_s)));
        assert!(!is_welcome(&watch, &who[0], now.plus_s(lasts_s - 1)));
        now = now.plus_s(lasts_s);
        assert!(is_welcome(&watch, &who[0], now));
    }
    // A day without one, and it begins anew.
    let now = now.plus_s(2 * 86_400);
    watch.sweep(now);
    for _ in 0..9 {
        watch.see(Seen::Declined, &who, now);
    }
    assert_eq!(watch.take_decisions()[0].ends_at, Some(now.plus_s(900)));
}

#[test]
fn an_office_with_a_days_sales_is_not_blocked_for_one_shoppers_mistakes() {
    let mut watch = engine();
    let office = [Subject::address([192, 0, 2, 7].into())];
    for sale in 0..200_u32 {
        watch.see(Seen::Accepted, &office, NOW.plus_s(sale * 150));
    }
    let now = NOW.plus_s(200 * 150 + 3_600);
    for _ in 0..12 {
        watch.see(Seen::InvalidNumber, &office, now);
    }
    assert!(is_welcome(&watch, &office[0], now));
    let mut watch = engine();
    for _ in 0..12 {
        watch.see(Seen::InvalidNumber, &office, now);
    }
    assert!(!is_welcome(&watch, &office[0], now), "without the sales");
}

#[test]
fn a_billing_run_at_the_governors_rate_is_not_cut_off_and_one_far_beyond_it_is() {
    let mut watch = engine();
    let who = [billing()];
    // Twenty minutes, and a whole hour of it.
    for second in 0..3_600_u32 {
        for _ in 0..50 {
            watch.see(Seen::Opened, &who, NOW.plus_s(second));
        }
    }
    assert!(is_welcome(&watch, &billing(), NOW.plus_s(1_200)));
    assert!(is_welcome(&watch, &billing(), NOW.plus_s(3_600)));
    assert_eq!(watch.take_decisions(), []);
    for _ in 0..=50 {
        watch.see(Seen::Opened, &who, NOW.plus_s(3_599));
    }
    assert!(!is_welcome(&watch, &billing(), NOW.plus_s(3_600)));

    // Two processes have a governor each.
    let (mut one, mut two) = (engine(), engine());
    for _ in 0..100_000 {
        one.see(Seen::Opened, &who, NOW);
        two.see(Seen::Opened, &who, NOW);
    }
    for bucket in one.take_new() {
        two.hear("one", bucket);
    }
    two.see(Seen::Opened, &who, NOW);
    assert!(is_welcome(&two, &billing(), NOW));
}

#[test]
fn who_comes_near_a_threshold_is_warned_of_once_in_a_window() {
    let mut watch = engine();
    let who = [Subject::client("spiffe://corp.example/checkout")];
    let make = |watch: &mut Watch, sessions: u32, now| {
        for _ in 0..sessions {
            watch.see(Seen::SessionMade, &who, now);
        }
    };
    make(&mut watch, 4_799, NOW);
    assert_eq!(watch.take_warnings(), []);
    assert_eq!(watch.allowances(&who[0], NOW), []);
    make(&mut watch, 101, NOW);
    let warned = watch.take_warnings();
    assert_eq!(warned.len(), 1);
    assert_eq!(warned[0].rule.name, RuleName::ClientSessions);
    assert_eq!((warned[0].count.hits, warned[0].block()), (4_800, None));
    let left = watch.allowances(&who[0], NOW);
    let [allowance] = left.as_slice() else {
        panic!("{left:?}")
    };
    assert_eq!((allowance.policy, allowance.quota), ("sessions", 6_000));
    assert_eq!((allowance.remaining, allowance.window_s), (1_100, 60));
    assert!((1..=60).contains(&allowance.reset_s), "{allowance:?}");
    // In the next window it is worth saying again.
    make(&mut watch, 5_000, NOW.plus_s(120));
    assert_eq!(watch.take_warnings().len(), 1);

    make(&mut watch, 1_001, NOW.plus_s(121));
    assert!(watch.take_warnings().is_empty(), "what trips is decided");
    let stopped = watch.allowances(&who[0], NOW.plus_s(131))[0];
    assert_eq!((stopped.remaining, stopped.reset_s), (0, 50));
}

#[test]
fn nobody_is_warned_of_who_would_not_be_stopped() {
    let mut watch = Watch::new(Settings {
        rules: RULES.to_vec(),
        enforces: false,
        windows_max: 1_000,
        opens_per_s: HashMap::new(),
    });
    let who = [Subject::client("spiffe://corp.example/checkout")];
    for _ in 0..5_000 {
        watch.see(Seen::SessionMade, &who, NOW);
    }
    assert_eq!(watch.take_warnings(), []);
    assert_eq!(watch.allowances(&who[0], NOW), []);
    // Refusals stop nobody.
    let mut watch = engine();
    for _ in 0..19 {
        watch.see(Seen::Refused, &who, NOW);
    }
    assert_eq!(watch.take_warnings(), []);
}
