//! The workload's own tests, and the promise about its figures. Cargo runs no tests of a benchmark
//! that has its own `main`, so it is compiled here once more, as a test.

#![cfg(test)]

#[path = "main.rs"]
#[expect(dead_code, reason = "its main function is for cargo bench")]
mod card_testing;

mod tests {
    use super::card_testing::{TUNING_SEEDS_END, traffic, trial};
    use traffic::Who;

    /// Not used to set a threshold.
    const SEED: u64 = 7_001;
    const _: () = assert!(SEED >= TUNING_SEEDS_END);

    #[test]
    fn a_seed_makes_the_same_day_again_and_another_seed_another() {
        let day = |seed| format!("{:?}", &traffic::day(seed, &Who::ATTACKS)[..2_000]);
        assert_eq!(day(SEED), day(SEED));
        assert_ne!(day(SEED), day(SEED + 1));
        let sessions: std::collections::BTreeSet<_> = traffic::day(SEED, &[])
            .iter()
            .map(|attempt| attempt.session)
            .collect();
        assert_eq!(u32::try_from(sessions.len()), Ok(traffic::SESSIONS));
    }

    #[test]
    fn honest_shoppers_alone_are_hardly_touched_and_billing_is_not_cut_off() {
        let day = trial::run(SEED, &[], trial::shipped());
        assert!(day.lost.len() <= 20, "{} sessions lost", day.lost.len());
        assert!(
            day.challenged.len() <= 200,
            "{} challenged",
            day.challenged.len()
        );
        assert!(!day.billing_cut_off);
    }

    #[test]
    fn each_attack_is_stopped_to_its_bound_and_fewer_honest_shoppers_are_lost_than_by_address_limits()
     {
        for (attack, recall_min) in [
            (Who::OneAddressFast, 95.0),
            (Who::RotatingAddressesFast, 70.0),
            (Who::SlowAndLow, 30.0),
            (Who::StolenList, 45.0),
            (Who::RangeEnumeration, 75.0),
        ] {
            let ours = trial::run(SEED, &[attack], trial::shipped());
            let limits = trial::run(SEED, &[attack], trial::per_address_limit());
            let recall = |day: &trial::Outcome| day.of[&attack].recall_per_cent();
            let (ours_stop, limits_stop) = (recall(&ours), recall(&limits));
            let told = format!(
                "{}: {ours_stop:.1} % against {limits_stop:.1} %",
                attack.name()
            );
            assert!(ours_stop >= recall_min, "{told}");
            // One address is what such limits are made for.
            assert!(ours_stop >= limits_stop - 1.0, "{told}");
            assert!(
                ours.lost.len() <= limits.lost.len(),
                "{told}: {} lost",
                ours.lost.len()
            );
        }
    }
}
