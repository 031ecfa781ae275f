//! Asking for work, and showing how far it is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::super::{Failure, exit, print};
use super::{Keys, LOOK_MS, Of, unavailable};
use crate::audit::Action;
use crate::clock::Timestamp;
use crate::store::{KeyJob, KeyWork};

/// Looks without anybody at work after which it is said that nobody is.
const LOOKS_ALONE_MAX: u32 = 40;

/// Asks for work, and watches it to its end.
pub(super) async fn ask_and_watch(
    keys: &Keys,
    of: &Of,
    work: KeyWork,
    rows_per_s_max: u32,
) -> Result<(), Failure> {
    let now = keys.clock.now();
    let event = keys.event(Action::KeysWorkAsked, work.name());
    let is_new = keys
        .store
        .ask_for(work, rows_per_s_max, now, event)
        .await
        .map_err(unavailable)?;
    if !is_new && !of.json {
        print(format_args!("{} is under way already", work.name()))?;
    }
    let watched = watch(keys, work, of.json).await;
    keys.store.close().await.map_err(unavailable)?;
    let job = watched?;
    if of.json {
        print(shown(&job))
    } else {
        print(format_args!("{}: {} rows moved", job.id, job.done))
    }
}

/// Shows how far the newest work of a kind is, until it is done.
async fn watch(keys: &Keys, work: KeyWork, quiet: bool) -> Result<KeyJob, Failure> {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(work.name());
    let mut looks_alone = 0_u32;
    loop {
        let jobs = keys.store.key_jobs().await.map_err(unavailable)?;
        let job = jobs.into_iter().find(|job| job.work == work);
        let job = job.ok_or_else(|| Failure::new(exit::SOFTWARE, "the work is not there"))?;
        bar.set_length(u64::try_from(job.total).unwrap_or(0));
        bar.set_position(u64::try_from(job.done).unwrap_or(0));
        if let Some(failure) = &job.failure {
            bar.abandon();
            let why = format_args!("{} failed: {failure}", job.id);
            return Err(Failure::new(exit::DATA, why));
        }
        if job.finished_at.is_some() {
            bar.finish_and_clear();
            return Ok(job);
        }
        looks_alone = if job.lease_until < keys.clock.now() {
            looks_alone.saturating_add(1)
        } else {
            0
        };
        if looks_alone > LOOKS_ALONE_MAX {
            bar.abandon();
            let why = "no internal process is at work on it; it goes on when one runs";
            return Err(Failure::new(exit::UNAVAILABLE, why));
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// A job for machines.
pub(super) fn shown(job: &KeyJob) -> Value {
    json!({
        "id": job.id,
        "work": job.work.name(),
        "done": job.done,
        "total": job.total,
        "rows_per_s_max": job.rows_per_s_max,
        "created_at": job.created_at.rfc3339(),
        "finished_at": job.finished_at.map(Timestamp::rfc3339),
        "failure": job.failure,
    })
}
