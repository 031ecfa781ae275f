//! The service, put together from a configuration.
//!
//! Building and running are apart, so that a test builds the real service on port 0, and a
//! configuration that does not hold is refused before anything listens.

mod ages;
mod alerts;
mod assembly;
mod audit_log;
pub mod backup;
mod identity;
mod key_maker;
mod keys;
mod listen;
mod migrate;
mod orders;
mod place;
mod reach;
mod renewal;
mod run;
mod upkeep;
mod webhooks;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;

use self::audit_log::AuditLog;
use crate::clock::Clock;
use crate::config::Config;
use crate::confinement::{self, Reach};
use crate::http::drain::Drain;
use crate::http::{PlaneName, tls};
use crate::memory::Hardening;
use crate::reconciliation::Schedule;
use crate::telemetry::Metrics;
use crate::vault::{Capture, Common, Internal, Refusal};

pub use alerts::destinations as alert_destinations;
pub use alerts::mailer;
pub use assembly::{
    internal_alone, ordering_store_settings, processors, store_settings, unrestricted_keys,
};
pub use audit_log::{AcceptedRollback, log_key, sinks, verify};
pub use key_maker::{Configured, make_further_keys};
pub use keys::marking;
pub use migrate::migrate;
pub use reach::{reach, refuse_manifest_key};
pub use webhooks::webhook_endpoints;

/// Why a service is not built, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A key file.
    #[error("keys: {0}")]
    Keys(String),
    /// The operator's key is within reach of the process.
    #[error(
        "{0} can be read by the process that it must be kept from: move it to a directory of its \
         own, which the configuration names nothing else in"
    )]
    ManifestKey(PathBuf),
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
    /// The database is not the one that is known from outside of it.
    #[error("history: {0}")]
    History(String),
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

/// What a service is started with beside its configuration.
#[derive(Debug)]
pub struct Start {
    /// What protects the process's memory.
    pub hardening: Hardening,
    /// The sockets.
    pub listeners: Listeners,
    /// That an operator accepts an older or another database, where there is one.
    pub accepted_rollback: Option<AcceptedRollback>,
}

/// A service that is ready to run: every listener is bound.
pub struct Service {
    addresses: Addresses,
    /// The planes whose requests are work; the ops plane tells how they end.
    servers: Vec<Server>,
    ops: Option<Server>,
    drain: Drain,
    drain_pause: Duration,
    tls: Vec<(PlaneName, Arc<tls::Live>)>,
    common: Common,
    /// What it serves by, for the event of its start.
    identity: String,
    capture: Option<Arc<Capture>>,
    internal: Option<Arc<Internal>>,
    shutdown_timeout: Duration,
    audit_log: Option<Arc<AuditLog>>,
    reconciliation: Schedule,
    backups: Option<backup::Worker>,
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
        start: Start,
    ) -> Result<Self, Refused> {
        let Start {
            hardening,
            listeners,
            accepted_rollback,
        } = start;
        let common = assembly::common(config, clock, metrics).await?;
        // A database that is not the one that is known is not even asked for its keys.
        let audit_log = match &config.internal {
            Some(_) => {
                let log = AuditLog::new(config)?;
                log.hold_against_the_known(&common, accepted_rollback)
                    .await?;
                Some(Arc::new(log))
            }
            None => None,
        };
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

        let mut this = Self {
            addresses: Addresses::default(),
            servers: Vec::new(),
            ops: None,
            drain: Drain::default(),
            drain_pause: Duration::from_secs(config.limits.drain_s.into()),
            tls: Vec::new(),
            capture,
            internal,
            shutdown_timeout: Duration::from_secs(config.limits.shutdown_timeout_s),
            audit_log,
            reconciliation: config.reconciliation.schedule(),
            backups: backup::worker(config)?,
            identity: identity::of(config),
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

    /// Ends a service that never ran, as a preflight does.
    ///
    /// # Errors
    /// [`Refused::Store`].
    pub async fn discard(self) -> Result<(), Refused> {
        let closed = self.common.store.close().await;
        closed.map_err(|failure| Refused::Store(failure.to_string()))
    }
}

/// Gives up what a process of this configuration has no use for; once its sockets are bound, and
/// before it starts a thread.
///
/// # Errors
/// [`Refused::Confinement`] where the configuration insists on what the kernel does not have;
/// [`Refused::ManifestKey`] in the live environment where the process could read that.
pub fn confine(config: &Config, reach: &Reach, hardening: Hardening) -> Result<Hardening, Refused> {
    let insistence = config.process.insistence(config.environment);
    refuse_manifest_key(config, reach)?;
    if let Some(file) = &config.keys.kek_private_file {
        // Where nothing may be written there, `keys rotate` refuses and says what to do.
        let _made = make_further_keys(&file.relative());
    }
    let measures = confinement::enter(reach, insistence)?;
    Ok(hardening.confined(measures))
}
