//! `cloakroom backup status`: how old backups are.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{Failure, exit, print};
use super::Of;
use super::shown::ago;
use crate::backup::{Ages, pgbackrest};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::service::backup as service;
use crate::service::store_settings;
use crate::store::{Archiver, Store};
use crate::telemetry::Metrics;

/// Seconds that a backup may be late before it is said to be.
const LATE_S: u64 = 7_200;
/// Seconds after which a proof is too old.
const PROOF_AGE_S_MAX: u64 = 8 * 86_400;
/// Seconds within which a segment of PostgreSQL's log is archived: what is not archived is lost with
/// the servers.
const ARCHIVE_AGE_S_MAX: u64 = 3_600;
/// Seconds between two backups of PostgreSQL.
const DAY_S: u64 = 86_400;

pub(super) async fn run(of: Of) -> Result<(), Failure> {
    let config = Config::read(&of.config)?;
    if service::is_embedded(&config) {
        embedded(&config, &of)
    } else {
        postgres(&config, &of).await
    }
}

fn embedded(config: &Config, of: &Of) -> Result<(), Failure> {
    let archive = service::archive(config)?;
    let listing = archive.list();
    let now = Clock::system().now();
    let ages = Ages::of(&listing, &archive.places, now);
    let seconds = |at: Option<Timestamp>| at.map(|at| now.ms_since(at) / 1_000);
    let (backup_s, proof_s) = (seconds(ages.everywhere_at), seconds(ages.proved_at));
    let interval_s = config.backup.as_ref().map_or(0, |backup| backup.interval_s);
    let age_s_max = u64::from(interval_s).saturating_add(LATE_S);
    let is_fresh = backup_s.is_some_and(|age| age <= age_s_max);
    let is_proved = proof_s.is_some_and(|age| age <= PROOF_AGE_S_MAX);
    if of.json {
        print(json!({
            "ok": is_fresh && is_proved,
            "backup_age_s": backup_s,
            "proof_age_s": proof_s,
            "kept": listing.backups.len(),
            "faults": listing.faults.len(),
        }))?;
    } else {
        let age = |seconds: Option<u64>| seconds.map_or("never".to_owned(), ago);
        print(format_args!(
            "newest backup in every place: {}; newest proof: {}; {} kept, {} faults",
            age(backup_s),
            age(proof_s),
            listing.backups.len(),
            listing.faults.len()
        ))?;
    }
    match (is_fresh, is_proved) {
        (true, true) => Ok(()),
        (false, _) => Err(Failure::new(
            exit::DATA,
            "a place has no backup that is young enough: run `cloakroom backup create`",
        )),
        (true, false) => Err(Failure::new(
            exit::DATA,
            "no backup was proved within eight days: run `cloakroom backup drill`",
        )),
    }
}

async fn postgres(config: &Config, of: &Of) -> Result<(), Failure> {
    let unavailable = |failure| Failure::new(exit::UNAVAILABLE, failure);
    let clock = Clock::system();
    let settings = store_settings(config, &Metrics::new(&clock))?;
    let store = Store::open(&settings, config.environment, &clock).await;
    let store = store.map_err(unavailable)?;
    let archiver = store.archiver().await.map_err(unavailable)?;
    store.close().await.map_err(unavailable)?;
    let asked = config.backup.as_ref();
    let asked = asked.and_then(|backup| backup.pgbackrest.as_ref());
    let repositories = asked.map(|of| pgbackrest::newest(&of.command.relative(), &of.stanza));
    let repositories = repositories.transpose();
    let repositories = repositories.map_err(|why| Failure::new(exit::UNAVAILABLE, why))?;
    let now = clock.now();
    let faults = faults(archiver.as_ref(), repositories.as_ref(), now);
    let seconds = |at: Timestamp| now.ms_since(at) / 1_000;
    let archived_s = archiver
        .and_then(|archiver| archiver.archived_at)
        .map(seconds);
    let newest: Option<BTreeMap<u32, Option<u64>>> = repositories.map(|newest| {
        let each = newest.into_iter().map(|(key, at)| (key, at.map(seconds)));
        each.collect()
    });
    if of.json {
        print(json!({
            "ok": faults.is_empty(),
            "archive_age_s": archived_s,
            "repository_backup_age_s": newest,
            "faults": faults,
        }))?;
    } else {
        let age = |seconds: Option<u64>| seconds.map_or("never".to_owned(), ago);
        print(format_args!("last segment archived: {}", age(archived_s)))?;
        for (key, at) in newest.iter().flatten() {
            print(format_args!(
                "newest backup in repository {key}: {}",
                age(*at)
            ))?;
        }
    }
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(exit::DATA, first)),
    }
}

/// What is wrong with the archive and the repositories.
fn faults(
    archiver: Option<&Archiver>,
    repositories: Option<&BTreeMap<u32, Option<Timestamp>>>,
    now: Timestamp,
) -> Vec<String> {
    let is_older = |at: Option<Timestamp>, age_s_max: u64| {
        at.is_none_or(|at| now.ms_since(at) > age_s_max.saturating_mul(1_000))
    };
    let mut faults = Vec::new();
    match archiver {
        Some(archiver) if !archiver.is_on => {
            faults.push("archive_mode is off: what is younger than a backup is lost".to_owned());
        }
        Some(archiver) if archiver.is_failing() => {
            faults.push("the last segment of the log could not be archived".to_owned());
        }
        Some(archiver) if is_older(archiver.archived_at, ARCHIVE_AGE_S_MAX) => {
            let mend = "nothing was archived for an hour: set archive_timeout";
            faults.push(mend.to_owned());
        }
        Some(_) | None => {}
    }
    match repositories {
        None => faults
            .push("[backup.pgbackrest] is not configured: nothing is known of backups".to_owned()),
        Some(repositories) if repositories.is_empty() => {
            faults.push("pgbackrest has no repository".to_owned());
        }
        Some(repositories) => {
            let old = repositories
                .iter()
                .filter(|(_, at)| is_older(**at, DAY_S.saturating_add(LATE_S)));
            faults.extend(
                old.map(|(key, _)| format!("repository {key} has no backup of the last 26 hours")),
            );
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_off_or_failing_is_named() {
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        let ago = |seconds: i64| {
            let ms = seconds.saturating_mul(-1_000);
            Some(Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms)))
        };
        let well = Archiver {
            is_on: true,
            archived_at: ago(60),
            failed_at: ago(120),
        };
        let fresh = BTreeMap::from([(1, ago(3_600)), (2, ago(90_000))]);
        let named = |archiver: Archiver, repositories: Option<&BTreeMap<_, _>>| {
            faults(Some(&archiver), repositories, now).join("; ")
        };
        assert_eq!(named(well, Some(&fresh)), "");
        let off = Archiver {
            is_on: false,
            ..well
        };
        assert!(named(off, Some(&fresh)).contains("archive_mode"));
        let failing = Archiver {
            failed_at: ago(1),
            ..well
        };
        assert!(named(failing, Some(&fresh)).contains("could not be archived"));
        let old = Archiver {
            archived_at: ago(3_601),
            failed_at: None,
            ..well
        };
        assert!(named(old, Some(&fresh)).contains("archive_timeout"));
        let late = BTreeMap::from([(1, ago(93_601)), (2, None)]);
        let both = named(well, Some(&late));
        assert!(
            both.contains("repository 1") && both.contains("repository 2"),
            "{both}"
        );
        assert!(named(well, Some(&BTreeMap::new())).contains("no repository"));
        assert!(named(well, None).contains("not configured"));
    }
}
