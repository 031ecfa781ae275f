//! `cloakroom evidence collect`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use clap::Args;
use serde_json::json;

use super::super::audit::export::moment;
use super::super::{Failure, exit, operator, print};
use super::scene::{Process, Scene};
use super::{access, audit, backups, database, keys, listeners, papers, process, running};
use crate::audit::note::LogKey;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, RelativePathBuf};
use crate::evidence::{Bundle, Check, Made, PAPERS, Verdict};
use crate::seal::hex;
use crate::seal::signing::SigningKey;

/// Bytes of the program that are hashed at once.
const CHUNK_BYTES: usize = 1 << 16;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration of a process; once for each where the planes run apart.
    #[arg(long, value_name = "FILE", default_values = [".cloakroom/cloakroom.toml"])]
    config: Vec<PathBuf>,
    /// A configuration whose database login is a member of `cloakroom_audit` and reads the log. The
    /// embedded database needs none.
    #[arg(long, value_name = "FILE")]
    auditor: Option<PathBuf>,
    /// A node that does not run on this host and whose bundle is collected on its own; may be
    /// repeated. What it alone could show is not applicable here, and not unseen.
    #[arg(long, value_name = "NODE")]
    elsewhere: Vec<String>,
    /// When the installation began (RFC 3339): a log that begins with it is whole although it does
    /// not go back for twelve months.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    installed: Option<Timestamp>,
    /// A file of the service's log, to be searched for card numbers and secrets; may be repeated.
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// The Ed25519 key that signs the manifest (PKCS#8, PEM), instead of the configuration's
    /// `audit.checkpoint_key_file`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The directory, which is made, or is empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    let clock = Clock::system();
    let processes = processes(&arguments.config)?;
    let key = signing_key(arguments.key.as_deref(), &processes)?;
    let first = arguments.config.first().cloned().unwrap_or_default();
    let scene = Scene {
        processes,
        auditor: arguments.auditor.clone().unwrap_or(first),
        logs: arguments.log.clone(),
        elsewhere: arguments.elsewhere.clone(),
        installed_at: arguments.installed,
        clock,
    };
    if let Some(unknown) = scene.unknown_elsewhere() {
        return Err(Failure::new(
            exit::USAGE,
            format_args!("--elsewhere {unknown}: no configuration here is of that node"),
        ));
    }
    let made = Made {
        at: scene.now().rfc3339(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program_sha256: std::env::current_exe()
            .and_then(|program| sha256_of(&program))
            .map_err(|error| Failure::new(exit::SOFTWARE, error))?,
        environment: scene.environment().name().to_owned(),
        nodes: scene
            .processes
            .iter()
            .map(|process| process.config.node.clone())
            .collect(),
        by: operator(),
    };
    let bundle = look(&scene, &made.program_sha256).await;
    let checks = bundle.checks().to_vec();
    bundle.write(&arguments.out, made, &key)?;
    report(
        &arguments,
        &checks,
        &LogKey::of(&key),
        began.elapsed().as_secs_f64(),
    )
}

fn processes(configs: &[PathBuf]) -> Result<Vec<Process>, Failure> {
    let read = |path: &PathBuf| {
        let config = Config::read(path)?;
        Ok(Process {
            path: path.clone(),
            config,
        })
    };
    let processes = configs
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, Failure>>()?;
    let environment = processes.first().map(|process| process.config.environment);
    if processes
        .iter()
        .any(|process| Some(process.config.environment) != environment)
    {
        return Err(Failure::new(
            exit::USAGE,
            "the configurations are of two environments",
        ));
    }
    Ok(processes)
}

fn signing_key(given: Option<&Path>, processes: &[Process]) -> Result<SigningKey, Failure> {
    let configured = || {
        let mut audits = processes
            .iter()
            .filter_map(|process| process.config.audit.as_ref());
        audits
            .find_map(|audit| audit.checkpoint_key_file.as_ref())
            .map(RelativePathBuf::relative)
    };
    let path = given
        .map(Path::to_owned)
        .or_else(configured)
        .ok_or_else(|| {
            let mend =
                "no configuration names an audit.checkpoint_key_file to sign with: give --key FILE";
            Failure::new(exit::USAGE, mend)
        })?;
    SigningKey::read(&path).map_err(|refused| Failure::new(exit::CONFIG, refused))
}

/// SHA-256 of a file.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut file = fs::File::open(path)?;
    let (mut hash, mut chunk) = (Context::new(&SHA256), vec![0_u8; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex(hash.finish().as_ref()));
        };
        hash.update(bytes);
    }
}

/// Every look, in the order of the summary. None depends on another; the last searches what the
/// others have written down.
async fn look(scene: &Scene, own_sha256: &str) -> Bundle {
    let mut bundle = Bundle::default();
    for paper in PAPERS {
        bundle.file(paper.path, paper.text);
    }
    // Before anything opens the embedded database, which mends the mode of its file.
    database::files(scene, &mut bundle);
    keys::look(scene, &mut bundle).await;
    access::look(scene, &mut bundle);
    listeners::look(scene, &mut bundle).await;
    running::look(scene, &mut bundle).await;
    process::look(scene, own_sha256, &mut bundle);
    database::look(scene, &mut bundle).await;
    audit::look(scene, &mut bundle).await;
    backups::look(scene, &mut bundle);
    papers::look(scene, &mut bundle);
    database::search(scene, &mut bundle).await;
    bundle
}

fn report(
    arguments: &Arguments,
    checks: &[Check],
    key: &LogKey,
    seconds: f64,
) -> Result<(), Failure> {
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    let (failed, passed) = (count(Verdict::Fail), count(Verdict::Pass));
    let unseen = count(Verdict::NotSeen);
    if arguments.json {
        let verdicts: Vec<_> = checks
            .iter()
            .map(|check| json!({ "id": check.id, "verdict": check.verdict, "observations": check.observations }))
            .collect();
        print(json!({
            "out": arguments.out,
            "checks": verdicts,
            "failed": failed,
            "not_seen": unseen,
            "vkey": key.text(),
            "seconds": seconds,
        }))?;
    } else {
        for check in checks {
            print(format_args!(
                "{:<14} {:<24} {}",
                check.verdict.name(),
                check.id,
                check.title
            ))?;
            let failed = check
                .observations
                .iter()
                .filter(|seen| seen.starts_with("fail") || seen.starts_with("not_seen"));
            for seen in failed {
                print(format_args!("               {seen}"))?;
            }
        }
        print(format_args!(
            "{passed} pass, {failed} fail, {unseen} not seen, {} not applicable, in {seconds:.1} s; {} is signed; its \
             verifier key is\n{}",
            count(Verdict::NotApplicable),
            arguments.out.display(),
            key.text()
        ))?;
    }
    match failed.saturating_add(unseen) {
        0 => Ok(()),
        _ => Err(Failure::new(
            exit::DATA,
            format_args!(
                "of {} checks {failed} fail and {unseen} could not be seen",
                checks.len()
            ),
        )),
    }
}
