//! The crash laboratory: the real service under load, killed with -9 again and again, and a
//! processor that has counted what it really did. README.md beside this file says how to run it.

#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong fails"
)]

mod asking;
mod book;
mod chance;
mod evidence;
mod judge;
mod load;
mod moments;
mod node;
mod processor;
mod round;
mod store;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests/api, which uses all of it")]
mod support;

use judge::Finding;
use moments::Moment;
use round::{Moments, Plan, round};
use store::Engine;

/// Kills of one round: then the judge is heard, and the next one starts from nothing.
const KILLS_OF_A_ROUND: usize = 32;
/// Kills at random moments of each test, where the environment does not say otherwise.
const KILLS_AT_RANDOM: usize = 14;

/// What the environment asks for: more kills, or one round again.
fn asked(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no configuration file"
    )]
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

async fn run(name: &'static str, (engine, nodes): (Engine, usize), moments: Moments, seed: u64) {
    let default = match moments {
        Moments::Numbered => moments::numbered().len(),
        Moments::Random | Moments::Only(_) => KILLS_AT_RANDOM,
    };
    let kills = asked("CLOAKROOM_CRASH_KILLS");
    let kills = kills.map_or(default, |kills| usize::try_from(kills).unwrap());
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
        };
        // Numbered moments go on where the round before has ended.
        let verdict = round(&plan, done).await;
        assert!(
            verdict.findings.is_empty(),
            "CLOAKROOM_CRASH_SEED={seed} CLOAKROOM_CRASH_KILLS={} replays {name}; logs in {:?}; {:#?}",
            plan.kills,
            verdict.logs,
            verdict.findings,
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
    };
    let verdict = round(&plan, 0).await;
    let doubled = |finding: &&Finding| matches!(finding, Finding::Double(_));
    let doubled = verdict.findings.iter().filter(doubled).count();
    assert!(doubled > 0, "{:#?}", verdict.findings);
    if let Some(logs) = verdict.logs {
        std::fs::remove_dir_all(logs).unwrap();
    }
}
