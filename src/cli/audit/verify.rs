//! `cloakroom audit verify`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::super::{Failure, exit, print};
use super::{Log, unavailable};
use crate::audit::verify::{Report, Rollback};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration whose store is read; its `[audit]` names the key, and sinks to compare.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A file of checkpoints from elsewhere: a sink's file, or one signed note; may be repeated.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// For machines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = Log::open(&arguments.config, "verify").await?;
    let began = Instant::now();
    let report = log
        .verified(&arguments.checkpoint, arguments.json, |_| Ok(()))
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    let waiting = log.store.log_length().await.map_err(unavailable)?.waiting;
    let oldest = log.store.oldest_unwitnessed().await.map_err(unavailable)?;
    let unwitnessed_ms = oldest.map(|oldest| log.clock.now().ms_since(oldest));
    log.store.close().await.map_err(unavailable)?;
    if arguments.json {
        print(machines(&report, (waiting, unwitnessed_ms), seconds))?;
    } else {
        print(people(&report, waiting, seconds))?;
    }
    if report.found > 0 {
        let why = format!(
            "{} findings: the audit log is not what was signed",
            report.found
        );
        return Err(Failure::new(exit::DATA, why));
    }
    if report.outside == 0 {
        let why = "the audit log was compared with nothing outside of the database: name a file \
                   in [[audit.sinks]], or give a copy of its checkpoints with --checkpoint";
        return Err(Failure::new(exit::NO_INPUT, why));
    }
    Ok(())
}

fn machines(report: &Report, (waiting, unwitnessed_ms): (u64, Option<u64>), seconds: f64) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| json!({ "finding": finding.name(), "detail": finding.to_string() }))
        .collect();
    json!({
        "ok": report.found == 0 && report.outside > 0,
        "events": report.events,
        "signed": report.signed,
        "checkpoints": report.checkpoints,
        "checkpoints_outside": report.outside,
        "rollbacks": report.rollbacks.iter().map(rollback).collect::<Vec<_>>(),
        "waiting": waiting,
        "unwitnessed_ms": unwitnessed_ms,
        "findings": findings,
        "findings_count": report.found,
        "seconds": seconds,
    })
}

fn rollback(rollback: &Rollback) -> Value {
    json!({
        "epoch": rollback.epoch.number,
        "begins_at": rollback.epoch.begins_at,
        "signed_before": rollback.signed_before,
    })
}

fn people(report: &Report, waiting: u64, seconds: f64) -> String {
    let rollbacks = report.rollbacks.iter().map(ToString::to_string);
    let findings = report.findings.iter().map(ToString::to_string);
    let mut lines: Vec<String> = rollbacks.chain(findings).collect();
    lines.push(format!(
        "{} events in the log, {} of them under a checkpoint that holds; {} checkpoints compared, \
         {} of them from outside of the database; {waiting} events wait for their place; \
         {seconds:.1} s",
        report.events, report.signed, report.checkpoints, report.outside
    ));
    lines.join("\n")
}
