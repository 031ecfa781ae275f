//! Card testing: how much of five attacks the watch's rules stop, and whom they touch of honest
//! shoppers.
//!
//! `cargo bench --bench card_testing -- --seeds 1001,1002,1003`. The rules are the product's own
//! (`cloakroom::watch`), the day is `traffic`, the judge is `trial`. Seeds below 1000 are for setting
//! thresholds, those from 1000 on are for reporting; a run may not mix them.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a workload that goes wrong ends"
)]
mod chance;
pub(crate) mod traffic;
pub(crate) mod trial;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use cloakroom::watch::{RULES, Rule};

use traffic::{SESSIONS, Who};
use trial::Outcome;

/// Seeds that thresholds may be set on.
pub(crate) const TUNING_SEEDS_END: u64 = 1_000;

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Days that are made; figures are means over them.
    #[arg(long, value_delimiter = ',', default_values_t = [1001, 1002, 1003, 1004, 1005])]
    seeds: Vec<u64>,
    /// Also each rule alone.
    #[arg(long)]
    each: bool,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let tuning = arguments
        .seeds
        .iter()
        .filter(|seed| **seed < TUNING_SEEDS_END);
    if ![0, arguments.seeds.len()].contains(&tuning.count()) {
        say("seeds below 1000 are for setting thresholds; do not mix them with others");
        return ExitCode::from(64);
    }
    say(&format!(
        "seeds {:?}, {SESSIONS} honest sessions a day",
        arguments.seeds
    ));
    say(
        "| rules | honest sessions challenged | lost | attack | cards stopped | first stopped after | cards before that | good cards learnt |",
    );
    say("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let row = |name: &str, rules: &[Rule]| report(name, rules, &arguments.seeds);
    row("all", &trial::shipped());
    row(
        "10 cards an address in 10 minutes",
        &trial::per_address_limit(),
    );
    if arguments.each {
        for rule in RULES {
            row(rule.name.name(), &trial::alone(rule.name));
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    // Nothing can be done when the terminal is gone.
    let _said = writeln!(std::io::stdout().lock(), "{line}");
}

fn report(name: &str, rules: &[Rule], seeds: &[u64]) {
    let days = |with: &[Who]| -> Vec<Outcome> {
        let run = |seed: &u64| trial::run(*seed, with, rules.to_vec());
        seeds.iter().map(run).collect()
    };
    let quiet = days(&[]);
    line(name, "none", &quiet, None);
    for attack in Who::ATTACKS {
        line("", attack.name(), &days(&[attack]), Some(attack));
    }
    line("", "all five", &days(&Who::ATTACKS), None);
}

fn line(name: &str, with: &str, days: &[Outcome], attack: Option<Who>) {
    let mean = |of: &dyn Fn(&Outcome) -> f64| {
        let count = u32::try_from(days.len()).unwrap_or(1);
        days.iter().map(of).fold(0.0, |sum, one| sum + one) / f64::from(count)
    };
    let size = |set: usize| f64::from(u32::try_from(set).unwrap_or(u32::MAX));
    let challenged = mean(&|day| size(day.challenged.len()));
    let lost = mean(&|day| size(day.lost.len()));
    let Some(attack) = attack else {
        say(&format!(
            "| {name} | {challenged:.1} | {lost:.1} | {with} | | | | |"
        ));
        return;
    };
    let of = |day: &Outcome| day.of.get(&attack).copied().unwrap_or_default();
    let recall = mean(&|day| of(day).recall_per_cent());
    let before = mean(&|day| f64::from(of(day).cards_before));
    let learnt = mean(&|day| f64::from(of(day).good_learnt));
    let good = mean(&|day| f64::from(of(day).good));
    let after: Vec<i64> = days
        .iter()
        .filter_map(|day| of(day).seen_after_ms)
        .collect();
    let after = if after.len() < days.len() {
        format!(
            "never on {} of {} days",
            days.len() - after.len(),
            days.len()
        )
    } else {
        let mut after = after;
        after.sort_unstable();
        format!(
            "{} s",
            after.get(after.len() / 2).map_or(0, |ms| ms / 1_000)
        )
    };
    say(&format!(
        "| {name} | {challenged:.1} | {lost:.1} | {with} | {recall:.1} % | {after} | {before:.0} | {learnt:.0} of {good:.0} |"
    ));
}
