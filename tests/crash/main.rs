//! The crash laboratory: the real service under load, killed with -9 again and again, and a
//! processor that has counted what it really did. README.md beside this file says how to run it.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong fails"
)]

mod call;
mod chance;
mod client;
mod dashboard;
mod evidence;
mod faults;
mod journal;
mod judge;
mod laboratory;
mod merchant;
mod moments;
mod node;
mod processor;
mod round;
mod store;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests/api, which uses all of it")]
mod support;
mod tables;
mod tally;

use judge::Finding;
use moments::Moment;
use round::{Moments, Plan, round};
use store::Engine;
use tally::Tally;

/// Kills of one round: then the judge is heard, and the next one starts from nothing.
const KILLS_OF_A_ROUND: usize = 32;
/// Kills at random moments of each test, where the environment does not say otherwise.
const KILLS_AT_RANDOM: usize = 9;
/// What is asked for in a round at random moments, at least.
const MONEY_OPERATIONS: usize = 180;
/// Seeds of the long run, and its kills.
const SEEDS: u64 = 10;
const KILLS: usize = 360;
/// Engines and nodes of the long run.
const SETUPS: [(Engine, usize); 3] = [
    (Engine::Sqlite, 1),
    (Engine::Postgres, 1),
    (Engine::Postgres, 2),
];

/// What the environment asks for: more kills, or one round again.
fn asked(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no configuration file"
    )]
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

fn kills_asked() -> Option<usize> {
    asked("CLOAKROOM_CRASH_KILLS").map(|kills| usize::try_from(kills).unwrap())
}

async fn run(name: &'static str, (engine, nodes): (Engine, usize), moments: Moments, seed: u64) {
    let default = match moments {
        Moments::Numbered => moments::numbered().len(),
        Moments::Random | Moments::Only(_) => KILLS_AT_RANDOM,
    };
    let kills = kills_asked().unwrap_or(default);
    let mut done = 0;
    for seed in asked("CLOAKROOM_CRASH_SEED").unwrap_or(seed).. {
        let plan = Plan {
            name,
            engine,
            nodes,
            moments,
            processor_keeps_keys: true,
            seed,
            kills: KILLS_OF_A_ROUND.min(kills - done),
            money_operations: match moments {
                Moments::Random => MONEY_OPERATIONS,
                Moments::Numbered | Moments::Only(_) => 0,
            },
        };
        // Numbered moments go on where the round before has ended.
        let verdict = round(&plan, done).await;
        assert!(
            verdict.findings.is_empty(),
            "CLOAKROOM_CRASH_SEED={seed} CLOAKROOM_CRASH_KILLS={} replays {name}; logs in {:?}\n{}",
            plan.kills,
            verdict.logs,
            verdict.timelines.join("\n"),
        );
        done += plan.kills;
        if done >= kills {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_at_random_on_sqlite() {
    let name = "killed_at_random_on_sqlite";
    run(name, (Engine::Sqlite, 1), Moments::Random, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_at_random_on_postgresql_which_is_killed_too() {
    let name = "killed_at_random_on_postgresql_which_is_killed_too";
    run(name, (Engine::Postgres, 1), Moments::Random, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_of_two_nodes_killed_is_the_others_work() {
    let name = "one_of_two_nodes_killed_is_the_others_work";
    run(name, (Engine::Postgres, 2), Moments::Random, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_at_each_numbered_step_on_sqlite() {
    let name = "killed_at_each_numbered_step_on_sqlite";
    run(name, (Engine::Sqlite, 1), Moments::Numbered, 4_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_at_each_numbered_step_on_postgresql() {
    let name = "killed_at_each_numbered_step_on_postgresql";
    run(name, (Engine::Postgres, 1), Moments::Numbered, 5_000).await;
}

/// Does not stop at the first finding, so that it can also be shown what another build does wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "takes half an hour; README.md beside this file says how to run it"]
async fn killed_at_random_with_many_seeds_on_both_engines() {
    let first = asked("CLOAKROOM_CRASH_SEED").unwrap_or(1);
    let rounds = SETUPS.len() * usize::try_from(SEEDS).unwrap();
    let kills = kills_asked().unwrap_or(KILLS).div_ceil(rounds);
    let mut tally = Tally::default();
    for seed in first..first + SEEDS {
        for (engine, nodes) in SETUPS {
            let plan = Plan {
                name: "killed_at_random_with_many_seeds_on_both_engines",
                engine,
                nodes,
                moments: Moments::Random,
                processor_keeps_keys: true,
                seed,
                kills,
                money_operations: MONEY_OPERATIONS,
            };
            let verdict = round(&plan, 0).await;
            tally.add(&plan, &verdict);
            if let Some(logs) = &verdict.logs {
                println!("logs in {logs:?}\n{}", verdict.timelines.join("\n"));
            }
        }
        println!("{tally}");
    }
    assert_eq!(tally.findings(), 0, "\n{tally}");
}

/// The negative control of the whole laboratory: whoever repeats a question after a crash leans on
/// the processor's memory of its key, and one that has none is paid twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_processor_without_memory_is_found_to_have_been_paid_twice() {
    let plan = Plan {
        name: "a_processor_without_memory_is_found_to_have_been_paid_twice",
        engine: Engine::Sqlite,
        nodes: 1,
        moments: Moments::Only(Moment::Done("/v1/payment_intents")),
        processor_keeps_keys: false,
        seed: 6_000,
        kills: 5,
        money_operations: 0,
    };
    let verdict = round(&plan, 0).await;
    let twice = |finding: &&Finding| matches!(finding, Finding::Twice(_));
    let twice = verdict.findings.iter().filter(twice).count();
    assert!(twice > 0, "{:#?}", verdict.findings);
    if let Some(logs) = verdict.logs {
        std::fs::remove_dir_all(logs).unwrap();
    }
}
