//! Whether backups would be made, and whether they would survive what the database does not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Finding;
use crate::backup::{Ages, Maker};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::directory;
use crate::service;
use crate::token::Environment;

const NAME: &str = "backup";

pub(super) fn look(config: &Config) -> Vec<Finding> {
    if !service::backup::is_embedded(config) {
        return Vec::new();
    }
    if config.backup.is_none() {
        let is_missed = config.environment == Environment::Live;
        let mend = "add [backup]; docs/backup.md";
        let seen = "no backups are made: a lost disk loses every token";
        let missed =
            (is_missed && config.internal.is_some()).then(|| Finding::warning(NAME, seen, mend));
        return missed.into_iter().collect();
    }
    let maker = match service::backup::maker(config) {
        Ok(maker) => maker,
        Err(refused) => {
            let mend = "correct [backup] and the key files that it needs";
            return vec![Finding::failed(NAME, refused, mend)];
        }
    };
    let mut findings: Vec<Finding> = maker
        .places_that_fail()
        .into_iter()
        .map(|(_, failure)| {
            let mend = "make the directory, and let the service's user write there";
            Finding::failed(NAME, failure, mend)
        })
        .collect();
    if findings.is_empty() {
        findings.extend(one_device(&maker));
        findings.push(newest(&maker));
    }
    findings
}

/// Places on one device are lost together, and with the database where it is on the same one.
fn one_device(maker: &Maker) -> Vec<Finding> {
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    let database = directory::of(&maker.database);
    let places = &maker.archive.places;
    let mut known = vec![(database, device(database))];
    let mut findings = Vec::new();
    for place in places {
        let its = device(place);
        if let Some((other, _)) = known.iter().find(|(_, of)| of.is_some() && *of == its) {
            let seen = format!(
                "{} and {} are on one device, and are lost together",
                other.display(),
                place.display()
            );
            let mend = "put each place on a disk or a machine of its own";
            findings.push(Finding::warning(NAME, seen, mend));
        }
        known.push((place, its));
    }
    findings
}

fn newest(maker: &Maker) -> Finding {
    let listing = maker.archive.list();
    let at = Ages::of(&listing, &maker.archive.places, Clock::system().now()).everywhere_at;
    let at = at.map_or_else(|| "none yet".to_owned(), Timestamp::rfc3339);
    let seen = format!(
        "{} places, sealed to {}; the newest in every place: {at}",
        maker.archive.places.len(),
        maker.recipient.id(),
    );
    Finding::ok(NAME, seen)
}
