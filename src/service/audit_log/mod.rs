//! The audit log after its events are written: they get their places, the log is signed, copies of
//! what was signed go out of the database, and the whole is verified every day.
//!
//! None of it is on the way of a request: an event is written with its act, and all of this comes
//! after.
//!
//! - [`history`]: whether the database is the one that is known from outside of it;
//! - [`sequencer`]: places and signatures;
//! - [`publisher`]: copies of checkpoints;
//! - [`guard`]: who acts is stopped while none of it works;
//! - [`verification`]: the whole log against what was signed.

mod guard;
mod history;
mod publisher;
mod sequencer;
mod verification;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use figment::value::magic::RelativePathBuf;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::history::{Known, Start};
use super::Refused;
use super::keys::manifest_key;
use crate::audit::note::{Epoch, LogKey};
use crate::audit::sink::{Attested, Sink};
use crate::audit::{Action, Actor, Outcome};
use crate::config::{AuditSettings, Config, SinkSettings};
use crate::net::trust;
use crate::seal::manifest::Manifest;
use crate::seal::signing::{SigningKey, VerifyingKey};
use crate::store::Failure;
use crate::token::Environment;
use crate::vault::{Common, Witness};

pub use self::history::AcceptedRollback;
pub use self::verification::verify;

/// Milliseconds between two looks for work.
const LOOK_INTERVAL_MS: u64 = 500;
/// Seconds that the last round may take when the process stops.
const LAST_ROUND_S_MAX: u64 = 5;

/// What signs, where copies go, and how far the log is known.
pub(super) struct AuditLog {
    signing: Option<(SigningKey, LogKey)>,
    interval_ms: u64,
    verification_interval_s: u32,
    sinks: Vec<Sink>,
    /// Checks the key manifest.
    manifests: Option<VerifyingKey>,
    environment: Environment,
    known: Mutex<Option<Known>>,
    /// The database is not the one that is known.
    differs: AtomicBool,
}

impl AuditLog {
    /// What the configuration says of the log's signing; without it events get their places only.
    pub(super) fn new(config: &Config) -> Result<Self, Refused> {
        let settings = config.audit.as_ref();
        Ok(Self {
            signing: settings.map(signing).transpose()?.flatten(),
            interval_ms: settings.map_or(0, |audit| {
                u64::from(audit.checkpoint_interval_s).saturating_mul(1_000)
            }),
            verification_interval_s: settings.map_or(0, |audit| audit.verification_interval_s),
            sinks: settings.map(sinks).transpose()?.unwrap_or_default(),
            manifests: manifest_key(config)?,
            environment: config.environment,
            known: Mutex::default(),
            differs: AtomicBool::default(),
        })
    }

    /// Refuses a database that is not the one that is known from outside of it, unless the operator
    /// has accepted that, which is an event.
    pub(super) async fn hold_against_the_known(
        &self,
        common: &Common,
        accepted: Option<AcceptedRollback>,
    ) -> Result<(), Refused> {
        let store = |failure: Failure| Refused::Store(failure.to_string());
        let known = match history::compare(&common.store, self, accepted.is_some()).await? {
            Start::GoesOn(known) => known,
            Start::Accepted(known) => {
                if let Some(AcceptedRollback { reason, operator }) = accepted {
                    let context = Witness {
                        actor: Actor::Operator(operator),
                        account: None,
                        origin: "-".to_owned(),
                        request_id: None,
                    };
                    let action = Action::AuditRollbackAccepted;
                    let event = common.event(&context, action, Outcome::Success, Some(reason));
                    common.store.record(event).await.map_err(store)?;
                }
                Some(known)
            }
        };
        let epoch = known.as_ref().map(|known| known.epoch);
        self.note_rollback(common, epoch.unwrap_or_default())
            .await
            .map_err(store)?;
        self.note_held(common, epoch.unwrap_or_default())
            .await
            .map_err(store)?;
        *self.known.lock().await = known;
        Ok(())
    }

    /// Notes when the rollback was accepted with which that epoch began: since then rows may be gone
    /// whose payments are at the processor. Where the log does not say when, it is taken to be now.
    async fn note_rollback(&self, common: &Common, epoch: Epoch) -> Result<(), Failure> {
        if epoch.number > 0 {
            let accepted_at = common.store.rollback_accepted_at(epoch.begins_at).await?;
            let at = accepted_at.unwrap_or_else(|| common.now());
            common.recovery.accepted(at);
        }
        Ok(())
    }

    /// Whether the manifest key has signed that version of the key manifest.
    fn has_signed_manifest(&self, version: u32, jws: &str) -> bool {
        let opened = |key| Manifest::open(jws, key, self.environment, version);
        self.manifests
            .as_ref()
            .is_some_and(|key| opened(key).is_ok())
    }

    /// The newest checkpoint in the sinks that can be read now; the publisher reports the others.
    async fn newest_outside(&self) -> Option<Attested> {
        let (_, key) = self.signing.as_ref()?;
        let mut newest = None;
        for sink in &self.sinks {
            let copy = sink.newest(key).await.unwrap_or_default();
            newest = newest.into_iter().chain(copy).max_by_key(history::reach);
        }
        newest
    }

    fn differs(&self) -> bool {
        self.differs.load(Ordering::Relaxed)
    }

    fn set_differs(&self, differs: bool) {
        self.differs.store(differs, Ordering::Relaxed);
    }
}

fn signing(settings: &AuditSettings) -> Result<Option<(SigningKey, LogKey)>, Refused> {
    let refuse = |refused: crate::seal::file::KeyFileRefused| Refused::Keys(refused.to_string());
    let Some(file) = &settings.checkpoint_key_file else {
        return Ok(None);
    };
    let signing = SigningKey::read(&file.relative()).map_err(refuse)?;
    let public = log_key(settings)?;
    if public.as_ref() != Some(&LogKey::of(&signing)) {
        let why = "audit.checkpoint_vkey_file is not the public half of checkpoint_key_file";
        return Err(Refused::Keys(why.to_owned()));
    }
    Ok(public.map(|public| (signing, public)))
}

/// The key that checks checkpoints, where the configuration names one.
///
/// # Errors
/// [`Refused::Keys`] names the file, what is wrong with it, and the mend.
pub fn log_key(settings: &AuditSettings) -> Result<Option<LogKey>, Refused> {
    let file = settings.checkpoint_vkey_file.as_ref();
    file.map(|file| LogKey::read(&file.relative()))
        .transpose()
        .map_err(|refused| Refused::Keys(refused.to_string()))
}

/// Where copies go.
///
/// # Errors
/// [`Refused::Tls`] for authorities that cannot be read.
pub fn sinks(settings: &AuditSettings) -> Result<Vec<Sink>, Refused> {
    let one = |sink: &SinkSettings| {
        let SinkSettings {
            file,
            syslog_socket,
            url,
            ca_file,
        } = sink;
        let path = |path: &RelativePathBuf| path.relative();
        let plain = file.as_ref().map(|file| Sink::File(path(file)));
        let plain = plain.or(syslog_socket
            .as_ref()
            .map(|socket| Sink::Syslog(path(socket))));
        match (plain, url) {
            (Some(sink), _) => Ok(Some(sink)),
            (None, None) => Ok(None),
            (None, Some(url)) => {
                let ca = ca_file.as_ref().map(path);
                let tls = trust::client_tls(ca.as_deref(), &[])
                    .map_err(|refused| Refused::Keys(format!("[[audit.sinks]] {refused}")))?;
                Ok(Some(Sink::Https {
                    url: url.clone(),
                    tls: Box::new(tls),
                }))
            }
        }
    };
    settings
        .sinks
        .iter()
        .filter_map(|sink| one(sink).transpose())
        .collect()
}

/// The tasks of a process for its audit log, for as long as it lives.
pub(super) struct Tasks {
    log: Option<Arc<AuditLog>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts what a process does for the audit log; `log` is there in an internal one.
pub(super) fn start(
    log: Option<Arc<AuditLog>>,
    common: &Common,
    sink_outage_s_max: Option<u32>,
) -> Tasks {
    let mut tasks = Vec::new();
    if let Some(log) = &log {
        let sequence = sequencer::run_forever(common.clone(), Arc::clone(log));
        tasks.push(tokio::task::spawn_local(sequence));
        for number in 0..log.sinks.len() {
            let publish = publisher::run_forever(common.clone(), Arc::clone(log), number);
            tasks.push(tokio::task::spawn_local(publish));
        }
        let verify = verification::run_forever(common.clone(), Arc::clone(log));
        tasks.push(tokio::task::spawn_local(verify));
    }
    if let Some(limit_s) = sink_outage_s_max {
        let guard = guard::run_forever(common.clone(), log.clone(), limit_s);
        tasks.push(tokio::task::spawn_local(guard));
    }
    Tasks { log, tasks }
}

impl Tasks {
    /// Stops, once what was written up to now has been signed and copied, or a while has passed.
    pub(super) async fn finish(self, common: &Common) {
        for task in &self.tasks {
            task.abort();
        }
        let Some(log) = &self.log else {
            return;
        };
        let last = async {
            log.sequence_and_sign(common, true)
                .await
                .map_err(|failure| failure.to_string())?;
            for sink in &log.sinks {
                log.publish(common, sink).await?;
            }
            Ok::<(), String>(())
        };
        let limit = Duration::from_secs(LAST_ROUND_S_MAX);
        match tokio::time::timeout(limit, last).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(reason, "the last checkpoint is not everywhere"),
            Err(_) => tracing::warn!("the last checkpoint took too long"),
        }
    }
}
