//! Backups: whether there are any, and whether one was opened.

use serde_json::json;

use super::scene::{Process, Scene};
use crate::backup::Ages;
use crate::clock::Timestamp;
use crate::evidence::{Bundle, Look, Verdict};
use crate::service::backup as service;
use crate::token::Environment;

const BACKUPS: &str = "database/backups.json";
/// Milliseconds that a backup may be late before it is missing.
const LATE_MS: u64 = 2 * 3_600_000;
/// Milliseconds after which a proof is too old.
const PROOF_AGE_MS_MAX: u64 = 8 * 86_400_000;

pub(super) fn look(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "backups",
        "the database is backed up in every place, and one of the backups was opened",
        &["12.10.1"],
    );
    if let Some(process) = scene.internal() {
        let path = process.path.display();
        look.again(format!("cloakroom backup status --config {path}"));
    }
    match scene.internal() {
        Some(process) if process.is_postgres() => look.saw(
            Verdict::NotApplicable,
            "PostgreSQL is backed up by another program: see `cloakroom backup status`",
        ),
        Some(process) if process.config.backup.is_some() => seen(scene, process, &mut look, bundle),
        Some(process) if process.config.environment == Environment::Live => {
            look.must(false, "[backup] is not configured");
        }
        Some(_) | None => look.saw(Verdict::NotApplicable, "[backup] is not configured"),
    }
    bundle.check(look.done());
}

fn seen(scene: &Scene, process: &Process, look: &mut Look, bundle: &mut Bundle) {
    let archive = match service::archive(&process.config) {
        Ok(archive) => archive,
        Err(refused) => {
            look.must(false, refused);
            return;
        }
    };
    let listing = archive.list();
    let ages = Ages::of(&listing, &archive.places, scene.now());
    let settings = process.config.backup.as_ref();
    let interval_s = settings.map_or(0, |settings| settings.interval_s);
    let late_ms = u64::from(interval_s).saturating_mul(1_000);
    let is_younger = |at: Option<Timestamp>, age_ms_max: u64| {
        at.is_some_and(|at| scene.now().ms_since(at) <= age_ms_max)
    };
    let when = |at: Option<Timestamp>| at.map_or("never".to_owned(), Timestamp::rfc3339);
    look.must(
        is_younger(ages.everywhere_at, late_ms.saturating_add(LATE_MS)),
        format_args!(
            "{} backups are kept; the newest that every place has was made: {}",
            listing.backups.len(),
            when(ages.everywhere_at)
        ),
    );
    look.must(
        is_younger(ages.proved_at, PROOF_AGE_MS_MAX),
        format_args!("one was last opened and proved: {}", when(ages.proved_at)),
    );
    for fault in &listing.faults {
        look.must(
            false,
            format_args!("{}: {}", fault.path.display(), fault.why),
        );
    }
    let manifests = listing.backups.iter().map(|backup| &backup.manifest);
    let shown = json!({ "manifests": manifests.collect::<Vec<_>>(), "proof": listing.proof });
    bundle.json(BACKUPS, &shown);
    look.shown_in(BACKUPS);
    let path = process.path.display();
    look.again(format!("cloakroom backup verify --config {path} --all"));
}
