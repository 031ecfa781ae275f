//! `cloakroom audit export`: events for a SIEM.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::{Failure, exit};
use super::{Log, unavailable};
use crate::audit::Actor;
use crate::audit::leaf::Line;
use crate::clock::Timestamp;

/// API activity, of the category application activity.
const CLASS: u32 = 6_003;
/// How the service is named as an endpoint and as an actor.
const SERVICE: &str = "cloakroom";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration whose store is read.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How each event is written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Events of that moment and later, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Events before that moment, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Events of that act only: `token.opened`; may be repeated.
    #[arg(long)]
    action: Vec<String>,
    /// Go on behind that place of the log.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The lines that the log is made of, byte for byte.
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.3, class 6003 (API activity).
    Ocsf,
}

/// RFC 3339, as the log writes it and as people do.
pub(in crate::cli) fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "expected 2026-11-23T00:00:00Z".to_owned())
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = Log::open(&arguments.config, "export").await?;
    let broken = |error: std::io::Error| Failure::new(exit::SOFTWARE, error);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut from = arguments.after.map_or(0, |after| after.saturating_add(1));
    loop {
        let page = log.store.log(from, super::PAGE_ROWS_MAX).await;
        let page = page.map_err(unavailable)?;
        let Some(last) = page.last() else { break };
        from = last.seq.saturating_add(1);
        for entry in &page {
            if let Some(line) = entry.line.as_ref().filter(|line| arguments.wants(line)) {
                match arguments.format {
                    Format::Jsonl => writeln!(out, "{}", line.text()),
                    Format::Ocsf => writeln!(out, "{}", ocsf(line, entry.seq)),
                }
                .map_err(broken)?;
            }
        }
    }
    out.flush().map_err(broken)?;
    drop(out);
    log.store.close().await.map_err(unavailable)
}

impl Arguments {
    fn wants(&self, line: &Line<'_>) -> bool {
        let since = self.since.is_none_or(|since| line.at_ms >= since.unix_ms());
        let until = self.until.is_none_or(|until| line.at_ms < until.unix_ms());
        let act = self.action.is_empty() || self.action.iter().any(|act| *act == line.action);
        since && until && act
    }
}

/// An event as OCSF's API activity, without a profile:
/// <https://schema.ocsf.io/1.3.0/classes/api_activity>. What an event has not is left out.
fn ocsf(line: &Line<'_>, seq: u64) -> Value {
    // 1 create, 2 read, 3 update, 4 delete, 99 other.
    let verb = line.action.rsplit('.').next().unwrap_or_default();
    let activity: u32 = match verb {
        "created" | "requested" | "canary_made" => 1,
        "read" | "listed" | "opened" => 2,
        "updated" | "activated" | "settled" | "resealed" | "reloaded" => 3,
        "deleted" | "detached" => 4,
        _ => 99,
    };
    // 1 success, 2 failure.
    let status = if line.outcome == "success" { 1 } else { 2 };
    let mut event = json!({
        "metadata": {
            "version": "1.3.0",
            "uid": line.id,
            "sequence": seq,
            "product": { "name": "Cloakroom", "vendor_name": "Cloakroom" },
        },
        "category_uid": 6,
        "class_uid": CLASS,
        "activity_id": activity,
        "type_uid": CLASS.saturating_mul(100).saturating_add(activity),
        "severity_id": if line.outcome == "refused" { 3 } else { 1 },
        "status_id": status,
        "status_detail": line.outcome,
        "time": line.at_ms,
        "actor": actor(line),
        "api": { "operation": line.action },
        // The process itself has no address.
        "src_endpoint": match line.origin.as_ref() {
            "-" => json!({ "svc_name": SERVICE }),
            ip => json!({ "ip": ip }),
        },
        "dst_endpoint": { "svc_name": SERVICE, "name": line.node },
    });
    let rest = [
        (
            "/metadata",
            "tenant_uid",
            line.account.as_deref().map(Value::from),
        ),
        (
            "/api",
            "request",
            line.request_id.as_deref().map(|uid| json!({ "uid": uid })),
        ),
        (
            "",
            "resources",
            line.subject.as_deref().map(|uid| json!([{ "uid": uid }])),
        ),
    ];
    for (place, name, value) in rest {
        if let (Some(Value::Object(object)), Some(value)) = (event.pointer_mut(place), value) {
            object.insert(name.to_owned(), value);
        }
    }
    event
}

/// Who acted: a user by the kind that the log knows (99: a type of the source's own), or ourselves.
fn actor(line: &Line<'_>) -> Value {
    let kind = line.actor_kind.as_ref();
    match line.actor.as_deref() {
        Some(name) => json!({ "user": { "name": name, "type": kind, "type_id": 99 } }),
        None if kind == Actor::Process.kind() => json!({ "app_name": SERVICE }),
        None => json!({ "user": { "name": kind, "type": kind, "type_id": 0 } }),
    }
}
