//! One run, with what it cost: latencies, CPU of each process, memory, the store's commits.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Outcome;
use super::arguments::Kind;
use super::pace::{self, Client, Plan, Ran};
use super::process;
use super::stage::{Stage, StoreCounts};
use super::tally::Percentiles;

/// Between two looks at the service's memory.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Of a service's threads most have nothing to do.
const THREADS_SHOWN: usize = 4;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) elapsed_s: f64,
    /// Requests by status, and by what broke those without one.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Due in the open loop, and never sent.
    pub(crate) missed: u64,
    /// Successes only.
    pub(crate) throughput_per_s: f64,
    /// Successes only; from the intended start.
    pub(crate) latency: Percentiles,
    /// How late requests were sent.
    pub(crate) lag: Percentiles,
    pub(crate) cpu: Cpu,
    /// The service's busiest threads.
    pub(crate) threads: Vec<Thread>,
    pub(crate) store: StoreWork,
    /// The most resident memory of the service that was seen.
    pub(crate) peak_mib: f64,
}

/// Milliseconds of CPU for each success, by process; and how much of the machine that was.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) server_ms: f64,
    pub(crate) sandbox_ms: f64,
    pub(crate) driver_ms: f64,
    pub(crate) server_cores: f64,
    pub(crate) sandbox_cores: f64,
    pub(crate) driver_cores: f64,
}

/// A thread of the service, and how much of a core it took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Thread {
    pub(crate) name: String,
    pub(crate) cores: f64,
}

/// What the service's store says of itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StoreWork {
    pub(crate) commits_per_s: f64,
    pub(crate) commit_ms: f64,
    pub(crate) operations_per_commit: f64,
    pub(crate) operations_per_success: f64,
    /// The share of the time in which the one writer had a transaction open.
    pub(crate) busy: f64,
}

/// Measures runs of one scenario.
pub(crate) struct Meter<'a> {
    kind: Kind,
    stage: &'a Stage,
}

struct Reading {
    server_s: f64,
    sandbox_s: f64,
    driver_s: f64,
    store: StoreCounts,
    threads: BTreeMap<String, (String, f64)>,
}

impl<'a> Meter<'a> {
    pub(crate) const fn new(kind: Kind, stage: &'a Stage) -> Self {
        Self { kind, stage }
    }

    pub(crate) async fn measure<C: Client>(&self, plan: &Plan, clients: Vec<C>) -> Outcome<Run> {
        let before = self.read().await?;
        let peak_kib = Arc::new(AtomicU64::new(0));
        let looking = tokio::spawn(look(
            self.kind,
            self.stage.server(),
            Arc::clone(&peak_kib),
            Arc::clone(&plan.answered),
        ));
        let ran = pace::run(plan, clients).await;
        looking.abort();
        let after = self.read().await?;
        let mut run = summary(ran?, &before, &after);
        let peak_kib = u32::try_from(peak_kib.load(Ordering::Relaxed))?;
        run.peak_mib = f64::from(peak_kib) / 1_024.0;
        Ok(run)
    }

    async fn read(&self) -> Outcome<Reading> {
        Ok(Reading {
            server_s: process::cpu_s(self.stage.server())?,
            sandbox_s: process::cpu_s(self.stage.sandbox())?,
            driver_s: process::cpu_s(std::process::id())?,
            store: self.stage.store_counts().await?,
            threads: process::threads(self.stage.server())?,
        })
    }
}

fn summary(ran: Ran, before: &Reading, after: &Reading) -> Run {
    let Ran { mut tally, elapsed } = ran;
    let seconds = elapsed.as_secs_f64();
    let successes = f64::from(u32::try_from(tally.succeeded()).unwrap_or(u32::MAX));
    let (server, sandbox, driver) = (
        after.server_s - before.server_s,
        after.sandbox_s - before.sandbox_s,
        after.driver_s - before.driver_s,
    );
    let commits = after.store.commits - before.store.commits;
    let operations = after.store.operations - before.store.operations;
    let committing_s = after.store.commit_s - before.store.commit_s;
    Run {
        elapsed_s: seconds,
        answers: tally.ends().clone(),
        missed: tally.missed,
        throughput_per_s: ratio(successes, seconds),
        latency: tally.latency(),
        lag: tally.lag(),
        cpu: Cpu {
            server_ms: ratio(server * 1_000.0, successes),
            sandbox_ms: ratio(sandbox * 1_000.0, successes),
            driver_ms: ratio(driver * 1_000.0, successes),
            server_cores: ratio(server, seconds),
            sandbox_cores: ratio(sandbox, seconds),
            driver_cores: ratio(driver, seconds),
        },
        threads: busiest(before, after, seconds),
        store: StoreWork {
            commits_per_s: ratio(commits, seconds),
            commit_ms: ratio(committing_s * 1_000.0, commits),
            operations_per_commit: ratio(operations, commits),
            operations_per_success: ratio(operations, successes),
            busy: ratio(committing_s, seconds),
        },
        peak_mib: 0.0,
    }
}

/// Names repeat, and say enough: actix and sqlx give them to their threads.
fn busiest(before: &Reading, after: &Reading, seconds: f64) -> Vec<Thread> {
    let mut threads: Vec<Thread> = after
        .threads
        .iter()
        .map(|(number, (name, cpu_s))| {
            let earlier = before.threads.get(number).map_or(0.0, |(_, cpu_s)| *cpu_s);
            Thread {
                name: name.clone(),
                cores: ratio(cpu_s - earlier, seconds),
            }
        })
        .collect();
    threads.sort_by(|one, other| other.cores.total_cmp(&one.cores));
    threads.truncate(THREADS_SHOWN);
    threads
}

/// 0 where there is nothing to divide by.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Looks at the service's memory, and says on a terminal how far the run is.
async fn look(kind: Kind, server: u32, peak_kib: Arc<AtomicU64>, answered: Arc<AtomicU64>) {
    let begun = Instant::now();
    let mut terminal = std::io::stderr();
    let shown = terminal.is_terminal();
    loop {
        if let Ok(memory) = process::memory(server) {
            let kib = Duration::from_secs_f64(memory.resident_mib * 1_024.0).as_secs();
            peak_kib.fetch_max(kib, Ordering::Relaxed);
            if shown {
                // A terminal that is gone needs no progress.
                let _shown = write!(
                    terminal,
                    "\r\x1b[K{}: {} s, {} answers, {:.0} MiB",
                    kind.name(),
                    begun.elapsed().as_secs(),
                    answered.load(Ordering::Relaxed),
                    memory.resident_mib
                );
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
