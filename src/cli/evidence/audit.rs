//! The audit log: whether it is what was signed, where its copies are, and how far it goes back.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::audit::Log;
use super::scene::Scene;
use crate::audit::verify::Report;
use crate::clock::Timestamp;
use crate::config::{AuditSettings, RelativePathBuf, SinkSettings, StoreSettings};
use crate::directory;
use crate::evidence::{Bundle, Look, Verdict};
use crate::service::sinks;
use crate::store::Store;

const VERIFICATION: &str = "audit/verification.json";
const COPIES: &str = "audit/copies.json";
/// PCI DSS 10.3.3 and the log's own design: one copy can be lost together with the database.
const SINKS_MIN: usize = 2;
/// Checkpoints that are read together.
const PAGE_ROWS_MAX: u32 = 1_000;
const DAY_MS: u64 = 86_400_000;
/// PCI DSS 10.5.1: twelve months of audit log history.
const KEPT_DAYS_MIN: u64 = 365;

/// What going through the log came to.
struct Gone {
    report: Report,
    first: Option<(u64, Timestamp)>,
    waiting: u64,
    unwitnessed_ms: u64,
    newest: u64,
}

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "audit_log",
        "every event is the one that was written, in its place, under a signed checkpoint",
        &["10.2.1", "10.2.2", "10.3.4"],
    );
    let gone = match through(scene).await {
        Ok(gone) => Some(gone),
        Err(why) => {
            look.must(false, why);
            None
        }
    };
    if let Some(gone) = &gone {
        for finding in &gone.report.findings {
            look.must(false, finding);
        }
        let report = &gone.report;
        look.must(
            report.found == 0 && (report.signed > 0 || report.events == 0),
            format_args!(
                "{} events, {} of them under a checkpoint that holds, {} checkpoints compared, {} \
                 wait for their place",
                report.events, report.signed, report.checkpoints, gone.waiting
            ),
        );
    }
    look.again(format!(
        "cloakroom audit verify --config {}",
        scene.auditor.display()
    ));
    look.shown_in(VERIFICATION);
    look.shown_in("documents/logging.md");
    bundle.json(VERIFICATION, &gone.as_ref().map(shown));
    bundle.check(look.done());
    copies(scene, gone.as_ref(), bundle);
    retention(scene, gone.as_ref(), bundle);
}

fn shown(gone: &Gone) -> Value {
    let report = &gone.report;
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    json!({
        "events": report.events,
        "signed": report.signed,
        "checkpoints": report.checkpoints,
        "waiting": gone.waiting,
        "unwitnessed_ms": gone.unwitnessed_ms,
        "findings": findings,
        "findings_count": report.found,
    })
}

/// The settings of whoever signs.
fn settings(scene: &Scene) -> Option<&AuditSettings> {
    scene
        .internal()
        .and_then(|process| process.config.audit.as_ref())
}

async fn through(scene: &Scene) -> Result<Gone, String> {
    let log = Log::open(&scene.auditor, "evidence")
        .await
        .map_err(|failure| failure.message)?;
    let gone = read(scene, &log).await;
    let _closed = log.store.close().await;
    gone
}

async fn read(scene: &Scene, log: &Log) -> Result<Gone, String> {
    let told = |failure: crate::store::Failure| failure.to_string();
    let mut first = None;
    // The auditor's configuration need not name the places of copies; the internal plane's does.
    let given: Vec<PathBuf> = settings(scene)
        .into_iter()
        .flat_map(|audit| &audit.sinks)
        .filter_map(|sink| sink.file.as_ref().map(RelativePathBuf::relative))
        .filter(|file| file.exists())
        .collect();
    let report = log
        .verified(&given, true, |entry| {
            let at = entry
                .line
                .as_ref()
                .map(|line| Timestamp::from_unix_ms(line.at_ms));
            first = first.or_else(|| at.map(|at| (entry.seq, at)));
            Ok(())
        })
        .await
        .map_err(|failure| failure.message)?;
    let oldest = log.store.oldest_unwitnessed().await.map_err(told)?;
    Ok(Gone {
        report,
        first,
        waiting: log.store.log_length().await.map_err(told)?.waiting,
        unwitnessed_ms: oldest.map_or(0, |oldest| scene.now().ms_since(oldest)),
        newest: newest(scene, &log.store).await.map_err(told)?,
    })
}

/// The newest checkpoint that every place has had the time to take.
async fn newest(scene: &Scene, store: &Store) -> Result<u64, crate::store::Failure> {
    let interval_ms = settings(scene).map_or(0, |audit| u64::from(audit.checkpoint_interval_s));
    let time_ms = interval_ms.saturating_mul(3_000);
    let (mut after, mut newest) = (0, 0);
    loop {
        let page = store.checkpoints(after, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else {
            return Ok(newest);
        };
        after = last.size;
        let due = page
            .iter()
            .filter(|kept| scene.now().ms_since(kept.at) > time_ms);
        newest = due.map(|kept| kept.size).fold(newest, u64::max);
    }
}

fn copies(scene: &Scene, gone: Option<&Gone>, bundle: &mut Bundle) {
    let mut look = Look::at(
        "audit_copies",
        "signed checkpoints are at two places at least outside of the database, and nothing waits \
         for them too long",
        &["10.3.3", "10.7.2"],
    );
    let mut shown = Vec::new();
    if let Some(audit) = settings(scene) {
        let named = sinks(audit).unwrap_or_default();
        look.must(
            named.len() >= SINKS_MIN,
            format_args!("{} places for copies", named.len()),
        );
        for (sink, settings) in named.iter().zip(&audit.sinks) {
            if settings.file.is_none() {
                look.saw(
                    Verdict::NotApplicable,
                    format_args!("{sink} cannot be read back here"),
                );
                continue;
            }
            beside_the_database(scene, settings, &mut look);
            let held = held(scene, sink);
            let newest = gone.map_or(0, |gone| gone.newest);
            match held {
                Ok(size) => {
                    look.must(
                        size >= newest,
                        format_args!(
                            "{sink} goes to {size} events, of {newest} that it has had time for"
                        ),
                    );
                    shown.push(json!({ "sink": sink.to_string(), "size": size, "due": newest }));
                }
                Err(why) => look.must(false, why),
            }
        }
        if let Some(gone) = gone {
            let limit_ms = u64::from(audit.sink_outage_s_max).saturating_mul(1_000);
            let ms = gone.unwitnessed_ms;
            look.must(
                ms < limit_ms,
                format_args!("the oldest event without a copied checkpoint is {ms} ms old"),
            );
        }
    } else {
        look.must(
            false,
            "there is no [audit]: nothing is signed, and nothing copied",
        );
    }
    look.again("tail -n 1 FILE, for each of [[audit.sinks]]");
    look.shown_in(COPIES);
    bundle.json(COPIES, &shown);
    bundle.check(look.done());
}

/// A copy on the device of the embedded database is lost, and rewritten, together with it.
fn beside_the_database(scene: &Scene, sink: &SinkSettings, look: &mut Look) {
    let Some(file) = sink.file.as_ref().map(RelativePathBuf::relative) else {
        return;
    };
    let device = |path: &Path| {
        let metadata = std::fs::metadata(directory::of(path)).ok();
        metadata.map(|metadata| metadata.dev())
    };
    let databases = scene
        .processes
        .iter()
        .filter_map(|process| match &process.config.store {
            StoreSettings::Sqlite { path } => Some(path.relative()),
            StoreSettings::Postgres(_) => None,
        });
    for database in databases {
        if device(&file).is_some() && device(&file) == device(&database) {
            let verdict = if scene.is_live() {
                Verdict::Fail
            } else {
                Verdict::NotApplicable
            };
            let file = file.display();
            look.saw(
                verdict,
                format_args!("{file} is on the device of the database"),
            );
        }
    }
}

/// How many events the last good checkpoint of a place is over.
fn held(scene: &Scene, sink: &crate::audit::sink::Sink) -> Result<u64, String> {
    let key = scene
        .log_key()
        .ok_or("no audit.checkpoint_vkey_file to read copies with")?;
    let notes = sink.held()?;
    let sizes = notes.iter().filter_map(|(_, note)| key.open(note).ok());
    Ok(sizes.map(|checkpoint| checkpoint.size).max().unwrap_or(0))
}

fn retention(scene: &Scene, gone: Option<&Gone>, bundle: &mut Bundle) {
    let mut look = Look::at(
        "audit_retention",
        "events are kept from the first one on; nothing deletes any",
        &["10.5.1"],
    );
    match gone.and_then(|gone| gone.first) {
        Some((seq, at)) => {
            let days = scene.now().ms_since(at) / DAY_MS;
            look.must(
                seq == 0,
                format_args!(
                    "the first good event has the place {seq} and is {days} days old ({})",
                    at.rfc3339()
                ),
            );
            if days < KEPT_DAYS_MIN {
                // A log that was begun anew looks like this, too.
                let stated = scene
                    .installed_at
                    .is_some_and(|installed| at.ms_since(installed) < DAY_MS);
                let verdict = if scene.is_live() && !stated {
                    Verdict::NotSeen
                } else {
                    Verdict::NotApplicable
                };
                look.saw(
                    verdict,
                    format_args!(
                        "{days} of {KEPT_DAYS_MIN} days can be shown: state since when it runs \
                         (--installed TIME), and show earlier bundles"
                    ),
                );
            }
        }
        None => look.must(false, "no event could be read"),
    }
    look.again(format!(
        "cloakroom audit export --config {} | head -n 1",
        scene.auditor.display()
    ));
    bundle.check(look.done());
}
