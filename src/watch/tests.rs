use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn engine() -> Watch {
    with(true)
}

fn with(enforces: bool) -> Watch {
    Watch::new(Settings {
        rules: RULES.to_vec(),
        enforces,
        windows_max: 1_000,
        opens_per_s: HashMap::new(),
    })
}

fn address(last: u8) -> Subject {
    Subject::address([192, 0, 2, last].into())
}

/// Seconds apart.
fn fail(watch: &mut Watch, times: u32, who: &Subject) {
    for second in 0..times {
        watch.see(
            Seen::Declined,
            std::slice::from_ref(who),
            NOW.plus_s(second),
        );
    }
}

#[test]
fn an_address_that_fails_is_blocked_until_its_time_is_over_and_nobody_else_is() {
    let mut watch = engine();
    let who = address(7);
    fail(&mut watch, 10, &who);
    assert_eq!(
        watch.admit(std::slice::from_ref(&who), true, NOW.plus_s(10)),
        Verdict::Welcome
    );
    fail(&mut watch, 1, &who);
    let decided = watch.take_decisions();
    let names: Vec<_> = decided.iter().map(|one| one.rule.name).collect();
    assert!(names.contains(&RuleName::AddressFailures), "{names:?}");
    assert!(matches!(
        watch.admit(std::slice::from_ref(&who), true, NOW.plus_s(20)),
        Verdict::Later { .. }
    ));
    assert_eq!(
        watch.admit(&[address(8)], false, NOW.plus_s(9)),
        Verdict::Welcome
    );
    let over = NOW.plus_s(86_400 + 10);
    assert_eq!(watch.admit(&[who], false, over), Verdict::Welcome);
}

#[test]
fn a_carriers_address_with_many_honest_cards_is_not_touched() {
    let mut watch = engine();
    let who = address(7);
    for card in 0..2_000_u32 {
        let seen = if card % 8 == 0 {
            Seen::Declined
        } else {
            Seen::Accepted
        };
        watch.see(seen, std::slice::from_ref(&who), NOW.plus_s(card));
    }
    assert_eq!(watch.take_decisions(), []);
}

#[test]
fn a_challenge_lets_in_whom_the_merchant_has_verified() {
    let mut watch = engine();
    let shop = Subject::shop("default", "https://shop.example");
    fail(&mut watch, 21, &shop);
    let now = NOW.plus_s(30);
    assert_eq!(
        watch.admit(std::slice::from_ref(&shop), false, now),
        Verdict::Challenge
    );
    assert_eq!(watch.admit(&[shop], true, now), Verdict::Welcome);
}

#[test]
fn a_client_past_its_budget_is_out_until_it_is_lifted_and_counts_anew_then() {
    let mut watch = engine();
    let client = Subject::client("spiffe://corp.example/billing");
    let who = std::slice::from_ref(&client);
    for _ in 0..=20_000 {
        watch.see(Seen::Opened, who, NOW);
    }
    let decided = watch.take_decisions();
    assert_eq!((decided.len(), decided[0].ends_at), (1, None));
    let years = NOW.plus_s(u32::MAX);
    assert!(matches!(
        watch.admit(who, true, years),
        Verdict::Later {
            retry_after_s: 3_600
        }
    ));

    let mut lifted = decided[0].block().unwrap();
    lifted.lifted_at = Some(NOW.plus_s(600));
    watch.set_blocks(vec![lifted]);
    assert_eq!(watch.admit(who, false, NOW.plus_s(601)), Verdict::Welcome);
    watch.see(Seen::Opened, who, NOW.plus_s(3_599));
    assert_eq!(
        watch.take_decisions(),
        [],
        "what was before the lifting is forgiven"
    );
}

#[test]
fn what_two_processes_count_is_added_and_what_one_decides_holds_on_both() {
    let (mut one, mut two) = (engine(), engine());
    let who = address(7);
    fail(&mut one, 6, &who);
    fail(&mut two, 6, &who);
    assert!(one.take_decisions().is_empty() && two.take_decisions().is_empty());
    let new = one.take_new();
    assert!(!new.is_empty());
    for bucket in new.iter().chain(&new) {
        two.hear("one", bucket.clone());
    }
    two.see(Seen::Accepted, std::slice::from_ref(&who), NOW.plus_s(7));
    assert!(
        two.take_decisions().is_empty(),
        "what is no hit decides nothing"
    );
    fail(&mut two, 1, &who);
    let decided = two.take_decisions();
    let first = decided
        .iter()
        .find(|one| one.rule.name == RuleName::AddressFailures);
    assert_eq!(first.unwrap().count.hits, 13);
    one.set_blocks(decided.iter().filter_map(Decision::block).collect());
    assert!(matches!(
        one.admit(&[who], true, NOW.plus_s(9)),
        Verdict::Later { .. }
    ));
}

#[test]
fn a_decision_that_is_not_written_down_yet_survives_a_look_at_the_store() {
    let mut watch = engine();
    let who = address(7);
    fail(&mut watch, 11, &who);
    watch.set_blocks(Vec::new());
    assert!(matches!(
        watch.admit(std::slice::from_ref(&who), true, NOW.plus_s(20)),
        Verdict::Later { .. }
    ));
    let decisions = watch.take_decisions();
    watch.put_back(decisions.clone());
    assert_eq!(watch.take_decisions(), decisions);
}

#[test]
fn an_observing_engine_tells_and_stops_nobody() {
    let mut watch = with(false);
    let who = address(7);
    fail(&mut watch, 30, &who);
    let decided = watch.take_decisions();
    assert!(
        decided
            .iter()
            .all(|one| !one.enforced && one.block().is_none())
    );
    let names: std::collections::BTreeSet<_> = decided.iter().map(|one| one.rule.name).collect();
    assert_eq!(names.len(), decided.len(), "each rule tells once");
    assert_eq!(watch.admit(&[who], false, NOW.plus_s(31)), Verdict::Welcome);
}

#[test]
fn windows_are_bounded_and_swept() {
    let mut watch = Watch::new(Settings {
        rules: RULES.to_vec(),
        enforces: true,
        windows_max: 100,
        opens_per_s: HashMap::new(),
    });
    for second in 0..500_u32 {
        let [.., a, b] = second.to_be_bytes();
        let who = Subject::address([198, 51, a, b].into());
        watch.see(Seen::Declined, &[who], NOW.plus_s(second * 60));
        assert!(watch.windows.len() <= 104, "{}", watch.windows.len());
    }
    watch.sweep(NOW.plus_s(500 * 60 + 2 * 86_400));
    assert_eq!(watch.windows.len(), 0);
}
