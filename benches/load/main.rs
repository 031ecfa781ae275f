//! The load driver: what the real binary does over TLS, and what it costs.
//!
//! `cargo bench --bench load -- --help`; how to read the report stands in `benches/README.md`.
//! Read `scenario` for what is sent, `pace` for when, `stage` for what is started, `measure` for
//! what is counted, `yardstick` for what it is compared with.

pub(crate) mod arguments;
pub(crate) mod cluster;
mod measure;
pub(crate) mod pace;
pub(crate) mod process;
pub(crate) mod report;
mod scenario;
mod stage;
pub(crate) mod tally;
pub(crate) mod wire;
pub(crate) mod yardstick;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use arguments::{Arguments, Engine, Kind};
use cluster::{Cluster, Database, Programs};
use report::{Measured, Report};
use stage::Stage;
use yardstick::Yardstick;

/// What may go wrong here is for people to read, and ends the run.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long a service is left alone before its memory is called idle.
const REST: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measured(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done when the terminal is gone.
            let _printed = writeln!(std::io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measured(arguments: &Arguments) -> Outcome<()> {
    open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(everything(arguments))?;
    let mut terminal = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut terminal, &report)?;
        writeln!(terminal)?;
    } else {
        write!(terminal, "\r\x1b[K{report}")?;
    }
    Ok(())
}

/// Thousands of connections need thousands of files, here and in what is started from here.
fn open_files() -> Outcome<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

pub(crate) async fn everything(arguments: &Arguments) -> Outcome<Report> {
    let load_average = std::fs::read_to_string("/proc/loadavg")?;
    let load_average = load_average.split(' ').take(3).collect::<Vec<_>>();
    let database = database(arguments)?;
    let yardsticks = yardsticks(arguments, database.as_ref()).await?;
    let mut scenarios = Vec::new();
    for kind in arguments.scenarios() {
        let mut measured = scenario(kind, arguments, database.as_ref()).await?;
        measured.compare(&yardsticks);
        scenarios.push(measured);
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        engine: arguments.engine,
        cores: std::thread::available_parallelism()?.get(),
        load_average: load_average.join(" "),
        yardsticks,
        scenarios,
    })
}

/// A PostgreSQL, where one is measured or can be a yardstick.
fn database(arguments: &Arguments) -> Outcome<Option<(Option<Programs>, Database)>> {
    let programs = Programs::find(arguments)?;
    let needed = arguments.engine == Engine::Postgres || arguments.yardstick_seconds > 0;
    let served = arguments.engine == Engine::Postgres;
    Ok(match (&arguments.postgres_url, programs) {
        (Some(url), programs) if !served => Some((programs, Database::Given(url.clone()))),
        (_, Some(programs)) if needed => {
            let cluster = Cluster::start(&programs, arguments)?;
            Some((Some(programs), Database::Temporary(cluster)))
        }
        _ if served => return Err("PostgreSQL is not installed; see --postgres-bin".into()),
        _ => None,
    })
}

async fn yardsticks(
    arguments: &Arguments,
    database: Option<&(Option<Programs>, Database)>,
) -> Outcome<Vec<Yardstick>> {
    let seconds = arguments.yardstick_seconds;
    if seconds == 0 {
        return Ok(Vec::new());
    }
    let dir = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let mut all = yardstick::sqlite(dir.path(), seconds).await?;
    if let Some((Some(programs), database)) = database {
        all.extend(yardstick::postgres(programs, database, seconds)?);
    }
    Ok(all)
}

/// Each scenario has a service of its own, so that none finds what another left behind.
async fn scenario(
    kind: Kind,
    arguments: &Arguments,
    database: Option<&(Option<Programs>, Database)>,
) -> Outcome<Measured> {
    let store = match (arguments.engine, database) {
        (Engine::Postgres, Some((Some(programs), Database::Temporary(cluster)))) => {
            Some(cluster.database(programs, kind)?)
        }
        _ => None,
    };
    let stage = Stage::start(arguments, store.as_deref()).await?;
    tokio::time::sleep(REST).await;
    let idle = stage.memory()?.resident_mib;
    let runs = scenario::run(kind, arguments, &stage).await?;
    tokio::time::sleep(REST).await;
    let afterwards = stage.memory()?.resident_mib;
    Ok(Measured::new(kind, arguments, runs, (idle, afterwards)))
}
