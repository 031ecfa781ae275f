//! Backups of a configuration: what makes them, when, and whether an opened one is what was signed.

mod proof;
mod restore;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use figment::value::magic::RelativePathBuf;

use super::assembly::required;
use super::{Refused, log_key};
use crate::audit::{Action, Outcome};
use crate::backup::{Ages, Archive, Failure, Made, Maker};
use crate::config::{AuditSettings, BackupSettings, Config, StoreSettings};
use crate::seal::backup::BackupRecipient;
use crate::seal::signing::SigningKey;
use crate::vault::{Common, process};

pub use proof::{Proved, Unproved};
pub use restore::{NotDone, Restored, open_and_prove, record, restore};

/// Seconds between two looks at what is kept.
const LOOK_INTERVAL_S: u32 = 10;
/// Seconds after a backup that came to nothing.
const RETRY_AFTER_S: u32 = 600;

/// The places of a configuration, and whose word is believed there.
///
/// # Errors
/// [`Refused::Missing`], [`Refused::Keys`].
pub fn archive(config: &Config) -> Result<Archive, Refused> {
    let (backup, audit) = sections(config)?;
    let missing = Refused::Missing {
        plane: "internal",
        what: "audit.checkpoint_vkey_file",
    };
    Ok(Archive {
        environment: config.environment,
        places: backup
            .places
            .iter()
            .map(RelativePathBuf::relative)
            .collect(),
        key: log_key(audit)?.ok_or(missing)?,
    })
}

/// What makes the backups of a configuration.
///
/// # Errors
/// [`Refused::Missing`], [`Refused::Keys`].
pub fn maker(config: &Config) -> Result<Maker, Refused> {
    let (backup, _) = sections(config)?;
    let missing = |what| Refused::Missing {
        plane: "internal",
        what,
    };
    let StoreSettings::Sqlite { path } = &config.store else {
        return Err(missing("[store.sqlite]"));
    };
    let recipient = required(backup.recipient_file.as_ref(), "backup.recipient_file")?;
    let recipient = BackupRecipient::read(&recipient, config.environment);
    Ok(Maker {
        archive: archive(config)?,
        database: path.relative(),
        node: config.node.clone(),
        recipient: recipient.map_err(|refused| Refused::Keys(refused.to_string()))?,
        signing: signing_key(config)?,
        kept_max: backup.backups_kept_max,
    })
}

/// The key that signs what is said of backups.
///
/// # Errors
/// [`Refused::Missing`], [`Refused::Keys`].
pub fn signing_key(config: &Config) -> Result<SigningKey, Refused> {
    let (_, audit) = sections(config)?;
    let key = audit.checkpoint_key_file.as_ref();
    let key = required(key, "audit.checkpoint_key_file")?;
    SigningKey::read(&key).map_err(|refused| Refused::Keys(refused.to_string()))
}

fn sections(config: &Config) -> Result<(&BackupSettings, &AuditSettings), Refused> {
    let missing = |what| Refused::Missing {
        plane: "internal",
        what,
    };
    let backup = config.backup.as_ref().ok_or(missing("[backup]"))?;
    let audit = config.audit.as_ref().ok_or(missing("[audit]"))?;
    Ok((backup, audit))
}

/// Whether backups of this configuration are ours to make.
#[must_use]
pub const fn is_embedded(config: &Config) -> bool {
    matches!(config.store, StoreSettings::Sqlite { .. })
}

/// Makes backups as long as the service runs.
pub(super) struct Worker {
    maker: Arc<Maker>,
    interval_s: u32,
}

/// The worker of a configuration that has backups.
pub(super) fn worker(config: &Config) -> Result<Option<Worker>, Refused> {
    let Some(settings) = config.backup.as_ref().filter(|_| is_embedded(config)) else {
        return Ok(None);
    };
    Ok(Some(Worker {
        maker: Arc::new(maker(config)?),
        interval_s: settings.interval_s,
    }))
}

/// Until the process stops.
pub(super) async fn forever(worker: Worker, common: Common) {
    let Worker { maker, interval_s } = worker;
    let stop = StopOnDrop::default();
    let tidied = on_a_thread(&maker, Maker::tidy).await;
    if let Err(failure) = tidied {
        tracing::warn!(%failure, "what an earlier backup left could not be removed");
    }
    loop {
        let listed = on_a_thread(&maker, |maker| Ok(maker.archive.list())).await;
        let pause_s = match listed {
            Ok(listing) => {
                let ages = Ages::of(&listing, &maker.archive.places, common.now());
                common.metrics.backups(maker.archive.places.len(), &ages);
                if ages.is_due(common.now(), interval_s) {
                    make(&maker, &common, &stop).await
                } else {
                    LOOK_INTERVAL_S
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "the places of backups could not be looked at");
                RETRY_AFTER_S
            }
        };
        let pause_s = pause_s.min(interval_s);
        tokio::time::sleep(Duration::from_secs(pause_s.into())).await;
    }
}

/// Makes one, says what became of it, and how many seconds later to look again.
async fn make(maker: &Arc<Maker>, common: &Common, stop: &StopOnDrop) -> u32 {
    let (now, stopping) = (common.now(), Arc::clone(&stop.0));
    let made = on_a_thread(maker, move |maker| maker.make(now, &stopping)).await;
    if matches!(made, Err(Failure::Busy)) {
        // A command makes one, and tells of it.
        return LOOK_INTERVAL_S;
    }
    for (action, outcome, subject) in events(&made) {
        let event = common.event(&process(), action, outcome, subject);
        if let Err(failure) = common.store.record(event).await {
            tracing::error!(%failure, "a backup could not be written to the audit log");
        }
    }
    match made {
        Ok(made) => {
            for (_, failure) in &made.failed {
                tracing::error!(%failure, "a place has not got the backup");
            }
            tracing::info!(backup = made.manifest.name, "backup made");
            LOOK_INTERVAL_S
        }
        Err(failure) => {
            tracing::error!(%failure, "no backup was made");
            RETRY_AFTER_S
        }
    }
}

/// What the audit log is told of a backup: act, outcome, and the backup's name. One that not every
/// place has got is one that failed.
#[must_use]
pub fn events(made: &Result<Made, Failure>) -> Vec<(Action, Outcome, Option<String>)> {
    let Ok(made) = made else {
        return vec![(Action::BackupCreated, Outcome::Failed, None)];
    };
    let outcome = if made.failed.is_empty() {
        Outcome::Success
    } else {
        Outcome::Failed
    };
    let created = (
        Action::BackupCreated,
        outcome,
        Some(made.manifest.name.clone()),
    );
    let removed = made.removed.iter();
    let removed = removed.map(|name| (Action::BackupRemoved, Outcome::Success, Some(name.clone())));
    std::iter::once(created).chain(removed).collect()
}

/// A backup that is being made gives up when the worker does.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn on_a_thread<T: Send + 'static>(
    maker: &Arc<Maker>,
    work: impl FnOnce(&Maker) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let maker = Arc::clone(maker);
    let done = tokio::task::spawn_blocking(move || work(&maker)).await;
    done.unwrap_or(Err(Failure::Stopped))
}
