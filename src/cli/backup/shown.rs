//! Backups as people and machines see them.

use serde_json::{Value, json};

use crate::backup::manifest::Manifest;
use crate::backup::{Fault, Listing, Verified};
use crate::service::backup::Proved;

pub(super) fn line(manifest: &Manifest, places: usize) -> String {
    format!(
        "{}  {places} places  {} bytes  schema {}  {} tokens  {} charges  {} events",
        manifest.name,
        manifest.sealed.bytes,
        manifest.schema_version,
        manifest.tokens,
        manifest.charges,
        manifest.audit_size
    )
}

pub(super) fn seen(proved: &Proved) -> String {
    let canary = match &proved.without_keys {
        None => "the canary opens".to_owned(),
        Some(why) => format!("the canary was not opened ({why})"),
    };
    let migrated = match proved.migrated {
        0 => String::new(),
        migrations => format!("; {migrations} migrations applied"),
    };
    format!(
        "the database is whole, {} events of its audit log are as signed, {canary}{migrated}",
        proved.events
    )
}

/// What is wrong, one a line.
fn fault_line(fault: &Fault) -> String {
    format!("  {}: {}", fault.path.display(), fault.why)
}

fn fault_json(fault: &Fault) -> Value {
    json!({ "path": fault.path, "why": fault.why })
}

pub(super) fn lines(
    (verified, strays): (&[Verified], &[&Fault]),
    proved: Option<&(Proved, bool)>,
    recorded: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    for of in verified {
        lines.push(format!("{}: {} copies as signed", of.name, of.whole.len()));
        lines.extend(of.faults.iter().map(fault_line));
    }
    if !strays.is_empty() {
        lines.push("no whole backups:".to_owned());
    }
    lines.extend(strays.iter().map(|fault| fault_line(fault)));
    if let Some((proved, is_noted)) = proved {
        lines.push(format!("opened: {}", seen(proved)));
        if !is_noted {
            lines
                .push("no proof was left in the places: no key to sign it with is here".to_owned());
        }
    }
    if !recorded {
        lines.push("no audit event was written: the database is not on this host".to_owned());
    }
    lines
}

pub(super) fn told(
    (verified, strays): (&[Verified], &[&Fault]),
    proved: Option<&(Proved, bool)>,
    recorded: bool,
) -> Value {
    let one = |of: &Verified| {
        let faults: Vec<Value> = of.faults.iter().map(fault_json).collect();
        json!({ "backup": of.name, "copies": of.whole.len(), "faults": faults })
    };
    let proved = proved.map(|(proved, is_noted)| {
        json!({
            "events": proved.events,
            "canary": proved.without_keys.is_none(),
            "noted": is_noted,
        })
    });
    json!({
        "ok": verified.iter().all(|of| of.faults.is_empty()) && strays.is_empty(),
        "backups": verified.iter().map(one).collect::<Vec<_>>(),
        "faults": strays.iter().map(|fault| fault_json(fault)).collect::<Vec<_>>(),
        "proved": proved,
        "audited": recorded,
    })
}

pub(super) fn listed(listing: &Listing) -> Value {
    let backups = listing.backups.iter();
    let backups: Vec<Value> = backups
        .map(|backup| json!({ "manifest": backup.manifest, "places": backup.places }))
        .collect();
    let faults: Vec<Value> = listing.faults.iter().map(fault_json).collect();
    json!({ "backups": backups, "faults": faults, "proof": listing.proof })
}

pub(super) fn ago(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3_600, seconds % 3_600 / 60);
    format!("{hours} h {minutes} min ago")
}
