//! The report: a table for people, one JSON document for machines.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::arguments::{Arguments, Engine, Kind};
use super::measure::{Run, ratio};
use super::tally::Spread;
use super::yardstick::Yardstick;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) engine: Engine,
    pub(crate) cores: usize,
    /// Of the machine before anything was started: what else runs on it.
    pub(crate) load_average: String,
    pub(crate) yardsticks: Vec<Yardstick>,
    pub(crate) scenarios: Vec<Measured>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) scenario: Kind,
    pub(crate) clients: u32,
    /// Nothing in the closed loop.
    pub(crate) rate_per_s: Option<u32>,
    pub(crate) processor_latency_ms: u32,
    pub(crate) throughput_per_s: Spread,
    /// Throughput, in parts of each yardstick.
    pub(crate) ratios: BTreeMap<&'static str, f64>,
    pub(crate) memory: MemoryMib,
    pub(crate) runs: Vec<Run>,
}

/// Resident memory of the service.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct MemoryMib {
    /// Just started.
    pub(crate) idle: f64,
    /// The most during a run.
    pub(crate) peak: f64,
    /// Some seconds after the last run.
    pub(crate) afterwards: f64,
}

impl Measured {
    pub(crate) fn new(
        kind: Kind,
        arguments: &Arguments,
        runs: Vec<Run>,
        (idle, afterwards): (f64, f64),
    ) -> Self {
        let waiting = kind == Kind::Waiting;
        Self {
            scenario: kind,
            clients: if waiting {
                arguments.checkouts
            } else {
                arguments.concurrency
            },
            rate_per_s: arguments.rate.filter(|_| !waiting),
            processor_latency_ms: arguments.latency_ms_in(kind),
            throughput_per_s: Spread::of(runs.iter().map(|run| run.throughput_per_s)),
            ratios: BTreeMap::new(),
            memory: MemoryMib {
                idle,
                peak: runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max),
                afterwards,
            },
            runs,
        }
    }

    /// Compares it with the yardsticks.
    pub(crate) fn compare(&mut self, yardsticks: &[Yardstick]) {
        let throughput = self.throughput_per_s.median;
        self.ratios = yardsticks
            .iter()
            .map(|yardstick| (yardstick.name, ratio(throughput, yardstick.per_s)))
            .collect();
    }

    fn spread(&self, of: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(of))
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.spread(of).median
    }

    fn threads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(run) = self.runs.last() else {
            return Ok(());
        };
        write!(f, "  threads    ")?;
        for thread in &run.threads {
            write!(f, " {} {:.2}", thread.name, thread.cores)?;
        }
        writeln!(f)
    }

    fn answers(&self) -> String {
        let mut all: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in self.runs.iter().flat_map(|run| &run.answers) {
            let sum = all.entry(name).or_default();
            *sum = sum.saturating_add(*count);
        }
        let missed = self.runs.iter().map(|run| run.missed);
        let missed = missed.fold(0, u64::saturating_add);
        let mut text = String::new();
        for (name, count) in all.iter().chain([(&"never sent", &missed)]) {
            if *count > 0 {
                // Writing to a String cannot fail.
                let _infallible = write!(text, "{name}: {count}  ");
            }
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Cloakroom {}, {:?}, {} cores, load average before {}. TLS 1.3 with full handshakes; every figure is the median of the runs (and least to most).",
            self.version, self.engine, self.cores, self.load_average
        )?;
        for yardstick in &self.yardsticks {
            writeln!(
                f,
                "  {:<16} {:>8.0}/s  {}",
                yardstick.name, yardstick.per_s, yardstick.how
            )?;
        }
        self.scenarios.iter().try_for_each(|one| write!(f, "{one}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = match self.rate_per_s {
            Some(rate) => format!("open loop at {rate}/s, at most"),
            None => "closed loop,".to_owned(),
        };
        writeln!(
            f,
            "\n{}: {pace} {} clients, processor takes {} ms, {} runs",
            self.scenario.name(),
            self.clients,
            self.processor_latency_ms,
            self.runs.len()
        )?;
        let done = self.throughput_per_s;
        writeln!(
            f,
            "  throughput  {:.0}/s ({:.0} to {:.0})   {}",
            done.median,
            done.min,
            done.max,
            self.answers()
        )?;
        let p99 = self.spread(|run| run.latency.p99_ms);
        writeln!(
            f,
            "  latency ms  p50 {:.2}  p90 {:.2}  p99 {:.2} ({:.2} to {:.2})  p99.9 {:.2}  max {:.2}   sent late p99 {:.2}",
            self.median(|run| run.latency.p50_ms),
            self.median(|run| run.latency.p90_ms),
            p99.median,
            p99.min,
            p99.max,
            self.median(|run| run.latency.p999_ms),
            self.median(|run| run.latency.max_ms),
            self.median(|run| run.lag.p99_ms),
        )?;
        writeln!(
            f,
            "  CPU ms each server {:.3}  sandbox {:.3}  driver {:.3}   cores {:.2} + {:.2} + {:.2}",
            self.median(|run| run.cpu.server_ms),
            self.median(|run| run.cpu.sandbox_ms),
            self.median(|run| run.cpu.driver_ms),
            self.median(|run| run.cpu.server_cores),
            self.median(|run| run.cpu.sandbox_cores),
            self.median(|run| run.cpu.driver_cores),
        )?;
        writeln!(
            f,
            "  store       {:.2} operations each, {:.1} in a commit, {:.0} commits/s of {:.2} ms, writer busy {:.0} %",
            self.median(|run| run.store.operations_per_success),
            self.median(|run| run.store.operations_per_commit),
            self.median(|run| run.store.commits_per_s),
            self.median(|run| run.store.commit_ms),
            self.median(|run| run.store.busy) * 100.0,
        )?;
        self.threads(f)?;
        let memory = self.memory;
        writeln!(
            f,
            "  memory MiB  idle {:.1}  peak {:.1}  afterwards {:.1}",
            memory.idle, memory.peak, memory.afterwards
        )?;
        if self.ratios.is_empty() {
            return Ok(());
        }
        write!(f, "  ratio to   ")?;
        for (name, ratio) in &self.ratios {
            write!(f, " {name} {ratio:.3} ")?;
        }
        writeln!(f)
    }
}
