//! What a person asks for: backups held against what was signed, opened and proved, and put in place
//! of a database that is lost.

use std::path::{Path, PathBuf};

use super::proof::{Proved, Unproved, prove};
use super::{archive, signing_key};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::backup::manifest::{Manifest, Proof};
use crate::backup::{
    Archive, Backup, Failure, Verified, beside, is_there, place_new, remove_database,
};
use crate::clock::Clock;
use crate::config::{Config, StoreSettings};
use crate::seal::backup::BackupIdentity;
use crate::service::{Refused, store_settings};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::token::EventId;

const SCRATCH: &str = "-backup-proof";
const RESTORING: &str = "-restoring";

/// Why a backup was not proved, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The configuration.
    #[error(transparent)]
    Configuration(#[from] Refused),
    /// The files.
    #[error(transparent)]
    Files(#[from] Failure),
    /// What is in it.
    #[error(transparent)]
    Unproved(#[from] Unproved),
    /// No copy of it opens; why the last one does not.
    #[error("no copy of backup {name} opens: {why}")]
    NoCopy {
        /// The backup.
        name: String,
        /// Of the last one.
        why: Box<Failure>,
    },
}

/// A backup that was put in place.
#[derive(Debug)]
pub struct Restored {
    /// What was signed of it.
    pub manifest: Manifest,
    /// The place whose copy it is.
    pub place: PathBuf,
    /// What was seen of it.
    pub proved: Proved,
    /// Files in the places that are no whole backups; one may have been newer.
    pub faults: usize,
}

/// Opens a backup of which some copies are whole, proves it, and says so in its places; false where
/// there is no key here to sign that with.
///
/// # Errors
/// [`NotDone`].
pub async fn open_and_prove(
    config: &mut Config,
    (backup, verified): (&Backup, &Verified),
    identity: &BackupIdentity,
) -> Result<(Proved, bool), NotDone> {
    let archive = archive(config)?;
    let StoreSettings::Sqlite { path } = &config.store else {
        return Err(Failure::Unknown.into());
    };
    let scratch = beside(&path.relative(), SCRATCH);
    let whole = Backup {
        manifest: backup.manifest.clone(),
        places: verified.whole.clone(),
    };
    remove_database(&scratch)?;
    let opened = open_any(&archive, &whole, (identity, &scratch));
    let proved = match opened {
        Ok(_) => prove(config, (&scratch, &backup.manifest), None).await,
        Err(not_done) => return Err(not_done),
    };
    remove_database(&scratch)?;
    let proved = proved?;
    let Ok(key) = signing_key(config) else {
        return Ok((proved, false));
    };
    let proof = Proof {
        name: backup.manifest.name.clone(),
        sealed_sha256: backup.manifest.sealed.sha256.clone(),
        proved_at: Clock::system().now().rfc3339(),
        canary: proved.without_keys.is_none(),
    };
    archive.put_proof(&whole, &proof, &key)?;
    Ok((proved, true))
}

/// Opens a backup beside `to`, proves it, and only then gives it that name.
///
/// # Errors
/// [`NotDone`]; then there is nothing at `to` that was not there before.
pub async fn restore(
    config: &mut Config,
    (name, identity): (Option<&str>, &BackupIdentity),
    (to, operator): (&Path, String),
) -> Result<Restored, NotDone> {
    let archive = archive(config)?;
    if is_there(to) {
        return Err(Failure::Exists(to.to_owned()).into());
    }
    let listing = archive.list();
    let backup = listing.find(name)?;
    let opened = beside(to, RESTORING);
    // What a restore that was killed has left.
    remove_database(&opened)?;
    let place = open_any(&archive, backup, (identity, &opened))?;
    let name = backup.manifest.name.clone();
    let event = event(
        config,
        (Action::BackupRestored, Outcome::Success),
        (operator, Some(name)),
    );
    let proved = prove(config, (&opened, &backup.manifest), Some(event)).await;
    let placed = match proved {
        Ok(proved) => place_new(&opened, to)
            .map(|()| proved)
            .map_err(NotDone::from),
        Err(unproved) => Err(unproved.into()),
    };
    if placed.is_err() {
        remove_database(&opened)?;
    }
    Ok(Restored {
        proved: placed?,
        manifest: backup.manifest.clone(),
        place,
        faults: listing.faults.len(),
    })
}

/// Opens the first copy that opens; the place that it is in.
fn open_any(
    archive: &Archive,
    backup: &Backup,
    (identity, to): (&BackupIdentity, &Path),
) -> Result<PathBuf, NotDone> {
    let mut last = Failure::Unknown;
    for place in &backup.places {
        match archive.open(backup, (place, identity), to) {
            Ok(()) => return Ok(place.clone()),
            Err(failure) => {
                tracing::warn!(%failure, "a copy of a backup does not open");
                last = failure;
            }
        }
    }
    if matches!(last, Failure::OtherRecipient { .. }) {
        return Err(last.into());
    }
    Err(NotDone::NoCopy {
        name: backup.manifest.name.clone(),
        why: Box::new(last),
    })
}

/// Writes what a person did to the audit log of the configuration's database; false where that is
/// not on this host.
///
/// # Errors
/// [`Unproved`].
pub async fn record(
    config: &Config,
    operator: &str,
    acts: Vec<(Action, Outcome, Option<String>)>,
) -> Result<bool, Unproved> {
    let StoreSettings::Sqlite { path } = &config.store else {
        return Ok(false);
    };
    if !path.relative().exists() {
        return Ok(false);
    }
    let clock = Clock::system();
    let settings = store_settings(config, &Metrics::new(&clock))?;
    let store = Store::open(&settings, config.environment, &clock).await?;
    for (action, outcome, subject) in acts {
        let about = (operator.to_owned(), subject);
        store
            .record(event(config, (action, outcome), about))
            .await?;
    }
    store.close().await?;
    Ok(true)
}

fn event(
    config: &Config,
    (action, outcome): (Action, Outcome),
    (operator, subject): (String, Option<String>),
) -> Event {
    let at = Clock::system().now();
    Event {
        id: EventId::new(config.environment, at),
        actor: Actor::Operator(operator),
        action,
        at,
        outcome,
        origin: "-".to_owned(),
        subject,
        account: None,
        node: config.node.clone(),
        request_id: None,
    }
}
