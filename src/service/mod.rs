//! The service, put together from a configuration.
//!
//! Building and running are apart, so that a test builds the real service on port 0, and a
//! configuration that does not hold is refused before anything listens.

mod ages;
mod alerts;
mod assembly;
mod key_maker;
mod keys;
mod listen;
mod place;
mod reach;
mod renewal;
mod webhooks;
mod witness;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};

use self::witness::Clerk;
use crate::audit::{Action, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::confinement::{self, Reach};
use crate::http::{PlaneName, tls};
use crate::memory::Hardening;
use crate::reconciliation::{self, Schedule};
use crate::telemetry::Metrics;
use crate::vault::{self, Capture, Common, Internal, Refusal};

pub use alerts::mailer;
pub use assembly::{internal_alone, processors, store_settings};
pub use key_maker::Configured;
pub use keys::marking;
pub use reach::reach;
pub use webhooks::webhook_endpoints;
pub use witness::{log_key, sinks};

/// Seconds between two looks at keys whose time is over.
const UPKEEP_INTERVAL_S: u64 = 5;
/// Such looks between two sweeps of rows that have expired: ten minutes.
const SWEEP_INTERVAL_TICKS: u64 = 120;
/// Milliseconds between two batches of one sweep.
const SWEEP_PAUSE_MS: u64 = 100;

/// Why a service is not built, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A key file.
    #[error("keys: {0}")]
    Keys(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::Refused),
    /// The store.
    #[error("store: {0}")]
    Store(String),
    /// The processor's settings.
    #[error("processor of account {account}: {reason}")]
    Processor {
        /// The account.
        account: String,
        /// Why.
        reason: String,
    },
    /// A receiver of webhooks.
    #[error("webhook {name}: {reason}")]
    Webhook {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A receiver of alerts.
    #[error("alerts to {name}: {reason}")]
    Alerts {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A listener.
    #[error("listening on {address}: {source}")]
    Listener {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Something that this plane needs is not in the configuration.
    #[error("the {plane} plane needs {what}")]
    Missing {
        /// The plane.
        plane: &'static str,
        /// The key of the configuration.
        what: &'static str,
    },
    /// The vault does not start.
    #[error("the vault does not start: {0}")]
    Vault(#[from] Refusal),
    /// The process does not give up what it must.
    #[error(transparent)]
    Confinement(#[from] confinement::Refused),
    /// The servers ended by themselves.
    #[error("a listener ended: {0}")]
    Ended(#[from] io::Error),
}

/// Where each plane listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// The capture plane.
    pub capture: Option<SocketAddr>,
    /// The internal plane.
    pub internal: Option<SocketAddr>,
    /// The ops plane.
    pub ops: Option<SocketAddr>,
}

/// Sockets that are bound already, or why they are not, which is said once all else is found right;
/// a plane without one is bound where its configuration says.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The capture plane's.
    pub capture: Option<io::Result<TcpListener>>,
    /// The internal plane's.
    pub internal: Option<io::Result<TcpListener>>,
    /// The ops plane's.
    pub ops: Option<io::Result<TcpListener>>,
}

/// A service that is ready to run: every listener is bound.
pub struct Service {
    addresses: Addresses,
    servers: Vec<Server>,
    tls: Vec<(PlaneName, Arc<tls::Live>)>,
    common: Common,
    capture: Option<Arc<Capture>>,
    internal: Option<Arc<Internal>>,
    shutdown_timeout: Duration,
    clerk: Option<Clerk>,
    reconciliation: Schedule,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Listeners {
    /// Binds every plane where its configuration says.
    #[must_use]
    pub fn bind(config: &Config) -> Self {
        let bind = |address: Option<SocketAddr>| address.map(TcpListener::bind);
        Self {
            capture: bind(config.capture.as_ref().map(|plane| plane.listen)),
            internal: bind(config.internal.as_ref().map(|plane| plane.listen)),
            ops: bind(config.ops.as_ref().map(|plane| plane.listen)),
        }
    }
}

impl Service {
    /// Builds the planes that the configuration names.
    ///
    /// # Errors
    /// [`Refused`] says what is missing or wrong, before anything is served.
    pub async fn build(
        config: &Config,
        clock: Clock,
        metrics: Metrics,
        hardening: Hardening,
        listeners: Listeners,
    ) -> Result<Self, Refused> {
        let common = assembly::common(config, clock, metrics).await?;
        let capture = match &config.capture {
            Some(plane) => Some(Arc::new(assembly::capture(config, plane, &common)?)),
            None => None,
        };
        let internal = match &config.internal {
            Some(plane) => Some(Arc::new(assembly::internal(config, plane, &common)?)),
            None => None,
        };
        keys::check_capture(config, &common.clock).await?;
        // What was rotated while this process was not there holds from its first card on.
        if let Some(internal) = &internal {
            internal.follow_manifest().await.map_err(Refused::Keys)?;
        }
        if let Some(capture) = &capture {
            capture.follow_manifest().await.map_err(Refused::Keys)?;
        }
        // A wrong key is found now, and not at the first charge.
        if let Some(capture) = &capture {
            capture.ensure_canary().await?;
        }
        if let Some(internal) = &internal {
            internal.know_data_keys().await.map_err(Refused::Keys)?;
            // Sealed, it can only be seen whether the custodians' key is the store's.
            match &internal.custody {
                Some(custody) => internal.expect_canary_of(custody.kek()).await?,
                None => internal.open_canary().await?,
            }
        }

        let clerk = internal.as_ref().map(|_| witness::clerk(config));
        let clerk = clerk.transpose()?;
        let mut this = Self {
            addresses: Addresses::default(),
            servers: Vec::new(),
            tls: Vec::new(),
            capture,
            internal,
            shutdown_timeout: Duration::from_secs(config.limits.shutdown_timeout_s),
            clerk,
            reconciliation: config.reconciliation.schedule(),
            common,
        };
        this.listen(config, hardening, listeners)?;
        Ok(this)
    }

    /// Where each plane listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop` is ready, then lets requests in flight finish.
    ///
    /// # Errors
    /// When a listener ends by itself, or the start or stop cannot be written to the audit log.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Refused> {
        self.witness(Action::ProcessStarted).await?;
        let handles: Vec<ServerHandle> = self.servers.iter().map(Server::handle).collect();
        let upkeep = tokio::task::spawn_local(upkeep(
            self.common.clone(),
            self.capture.clone(),
            self.internal.clone(),
            self.tls.clone(),
        ));
        let outage = self.common.limits.audit_sink_outage_s_max;
        let clerks = witness::start(self.clerk, &self.common, outage);
        let watch = tokio::task::spawn_local(self.common.clone().watch_forever());
        let renewal = tokio::task::spawn_local(renewal::forever(self.tls, self.common.clone()));
        let mut workers = vec![upkeep, watch, renewal];
        workers.extend(self.internal.iter().flat_map(|internal| {
            let (reconciler, teller) = (Arc::clone(internal), Arc::clone(internal));
            let (mover, alerter) = (Arc::clone(internal), Arc::clone(internal));
            let compared = Arc::clone(internal);
            let schedule = self.reconciliation;
            let compare = reconciliation::compare_forever(compared, schedule);
            [
                tokio::task::spawn_local(mover.rotate_forever()),
                tokio::task::spawn_local(reconciler.work_forever()),
                tokio::task::spawn_local(teller.tell_forever()),
                tokio::task::spawn_local(alerter.alert_forever()),
                tokio::task::spawn_local(compare),
            ]
        }));
        let trackers = [
            self.capture.as_ref().map(|capture| capture.tasks.clone()),
            self.internal
                .as_ref()
                .map(|internal| internal.tasks.clone()),
        ];
        let mut serving =
            tokio::task::spawn_local(futures_util::future::try_join_all(self.servers));

        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = stop => None,
        };
        tracing::info!("stopping: requests in flight are finished first");
        futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
        // Charges whose caller hung up are nobody's request any more, and are finished too.
        for tracker in trackers.into_iter().flatten() {
            tracker.close();
            if tokio::time::timeout(self.shutdown_timeout, tracker.wait())
                .await
                .is_err()
            {
                tracing::warn!(
                    "work was still running; the reconciler of the next start takes it up"
                );
            }
        }
        for worker in workers {
            worker.abort();
        }
        // What was decided in the last second.
        if let Err(failure) = self.common.exchange(self.common.now()).await {
            tracing::warn!(%failure, "the watch could not be shared at the stop");
        }
        let witnessed = record(&self.common, Action::ProcessStopped).await;
        clerks.finish(&self.common).await;
        let closed = self.common.store.close().await;
        witnessed?;
        closed.map_err(|failure| Refused::Store(failure.to_string()))?;
        match ended {
            Some(Ok(Ok(_)) | Err(_)) => Err(io::Error::other("it was not asked to").into()),
            Some(Ok(Err(error))) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Ends a service that never ran, as a preflight does.
    ///
    /// # Errors
    /// [`Refused::Store`].
    pub async fn discard(self) -> Result<(), Refused> {
        let closed = self.common.store.close().await;
        closed.map_err(|failure| Refused::Store(failure.to_string()))
    }

    async fn witness(&self, action: Action) -> Result<(), Refused> {
        record(&self.common, action).await
    }
}

/// Gives up what a process of this configuration has no use for; once its sockets are bound, and
/// before it starts a thread.
///
/// # Errors
/// [`Refused::Confinement`] where the configuration insists on what the kernel does not have.
pub fn confine(config: &Config, reach: &Reach, hardening: Hardening) -> Result<Hardening, Refused> {
    let insistence = config.process.insistence(config.environment);
    let measures = confinement::enter(reach, insistence)?;
    Ok(hardening.confined(measures))
}

/// Starts and stops are events (PCI DSS 10.2.1.6).
async fn record(common: &Common, action: Action) -> Result<(), Refused> {
    let event = common.event(&vault::process(), action, Outcome::Success, None);
    common
        .store
        .record(event)
        .await
        .map_err(|failure| Refused::Store(failure.to_string()))
}

/// Wipes keys whose time is over and sweeps rows that have expired, until the process stops.
async fn upkeep(
    common: Common,
    capture: Option<Arc<Capture>>,
    internal: Option<Arc<Internal>>,
    tls: Vec<(PlaneName, Arc<tls::Live>)>,
) {
    let mut ticks: u64 = 0;
    loop {
        // In quiet hours nobody seals or opens, and an old key would stay in memory.
        if let Some(capture) = &capture {
            capture.sealer.retire_expired();
            // It says in the log and in readiness why it does not.
            let _told = capture.follow_manifest().await;
        }
        if let Some(internal) = &internal {
            internal.opener.forget_expired();
            internal.forget_shares().await;
            internal.sealer.retire_expired();
            let _told = internal.follow_manifest().await;
        }
        if ticks.is_multiple_of(SWEEP_INTERVAL_TICKS) {
            if internal.is_some() {
                sweep(&common).await;
            }
            if internal.is_some()
                && let Err(failure) = common.sweep_watch().await
            {
                tracing::warn!(%failure, "nothing of the watch could be swept");
            }
            ages::look(&common, internal.as_deref(), &tls).await;
        }
        ticks = ticks.wrapping_add(1);
        tokio::time::sleep(Duration::from_secs(UPKEEP_INTERVAL_S)).await;
    }
}

/// Removes rows that have expired until there are none left; a pause between two batches lets
/// requests through.
async fn sweep(common: &Common) {
    let mut swept: u64 = 0;
    loop {
        match common.store.sweep(common.now()).await {
            Ok(0) => break,
            Ok(rows) => swept = swept.saturating_add(rows),
            Err(failure) => {
                tracing::warn!(%failure, "expired rows could not be swept");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(SWEEP_PAUSE_MS)).await;
    }
    if swept > 0 {
        tracing::info!(rows = swept, "expired rows swept");
    }
}
