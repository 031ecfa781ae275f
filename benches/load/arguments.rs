//! The command line of the driver.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Drives the real Cloakroom over TLS and reports latencies, throughput, CPU and memory.
///
/// It starts the release binary as `cloakroom dev` with a sandbox in a process of its own, both on
/// free ports and in a directory that is removed afterwards.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo bench --bench load --", max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to measure, with commas between; all of them when not said.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) scenario: Vec<Kind>,
    /// The store's engine.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    pub(crate) engine: Engine,
    /// A PostgreSQL that runs already, as URL, for the yardsticks instead of the temporary cluster.
    #[arg(long, value_name = "URL")]
    pub(crate) postgres_url: Option<String>,
    /// Requests at one time: of the closed loop exactly, of the open loop at most.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: u32,
    /// Open loop: so many requests a second, whatever the service does. Without it the loop is
    /// closed: each client sends its next request when the last is answered.
    #[arg(long, value_name = "PER_S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Length of a run.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Runs of each scenario; the report gives median and spread.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// How long the processor takes for each of its answers. 0 when not said, but for `waiting`,
    /// which has 2000.
    #[arg(long, value_name = "MS")]
    pub(crate) latency_ms: Option<u32>,
    /// Checkouts of the scenario `waiting`.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) checkouts: u32,
    /// A key of the service's configuration: `--set LIMITS__WORKERS=1`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// The binary to measure, instead of the one that cargo has just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_cloakroom"))]
    pub(crate) binary: PathBuf,
    /// Where the databases are made: the disk whose flushes are measured.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where initdb, `pg_ctl` and pgbench are; Debian's newest when not said.
    #[arg(long, value_name = "DIR")]
    pub(crate) postgres_bin: Option<PathBuf>,
    /// Who runs the temporary cluster when the driver is started by root.
    #[arg(long, value_name = "USER", default_value = "postgres")]
    pub(crate) postgres_user: String,
    /// Seconds of each yardstick (pgbench, and SQLite's bare commits); 0 leaves them out.
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) yardstick_seconds: u32,
    /// One JSON document instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `POST /v1/tokens`, each card over a TLS connection of its own.
    Tokenize,
    /// `GET /v1/tokens/{id}` over connections that are kept.
    Read,
    /// `POST /v1/charges`, each with a fresh key, over connections that are kept.
    Charge,
    /// Checkouts that wait for a slow processor, and the memory they take.
    Waiting,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokenize => "tokenize",
            Self::Read => "read",
            Self::Charge => "charge",
            Self::Waiting => "waiting",
        }
    }
}

/// The store's engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// Embedded.
    Sqlite,
    /// A cluster made for the measurement, or the one of `--postgres-url`.
    Postgres,
}

impl Arguments {
    pub(crate) fn scenarios(&self) -> Vec<Kind> {
        if self.scenario.is_empty() {
            Kind::value_variants().to_vec()
        } else {
            self.scenario.clone()
        }
    }

    /// How long the processor takes in a scenario.
    pub(crate) fn latency_ms_in(&self, kind: Kind) -> u32 {
        let default = if kind == Kind::Waiting { 2_000 } else { 0 };
        self.latency_ms.unwrap_or(default)
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((format!("CLOAKROOM__{key}"), value.to_owned()))
}
