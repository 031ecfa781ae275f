//! What is looked at: the processes by their configurations, the store, the clock.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::audit::note::LogKey;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, RelativePathBuf, StoreSettings};
use crate::evidence::Verdict;
use crate::http::PlaneName;
use crate::service::store_settings;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::token::Environment;

/// A process, by its configuration.
pub(in crate::cli) struct Process {
    pub(in crate::cli) path: PathBuf,
    pub(in crate::cli) config: Config,
}

/// A listener of a process, with the certificate that it must show.
pub(in crate::cli) struct Plane<'p> {
    pub(in crate::cli) name: PlaneName,
    pub(in crate::cli) node: &'p str,
    pub(in crate::cli) listen: SocketAddr,
    pub(in crate::cli) certificate: &'p RelativePathBuf,
    pub(in crate::cli) private_key: &'p RelativePathBuf,
}

/// All that is looked at.
pub(super) struct Scene {
    /// The first one is never missing.
    pub(super) processes: Vec<Process>,
    /// The configuration whose login reads the audit log.
    pub(super) auditor: PathBuf,
    /// Nodes that run on another host, whose bundle shows what this one cannot.
    pub(super) elsewhere: Vec<String>,
    /// When the installation began, as its operator states.
    pub(super) installed_at: Option<Timestamp>,
    /// Log files to be searched.
    pub(super) logs: Vec<PathBuf>,
    pub(super) clock: Clock,
}

impl Process {
    pub(in crate::cli) fn planes(&self) -> Vec<Plane<'_>> {
        let node = self.config.node.as_str();
        let capture = self.config.capture.as_ref().map(|plane| Plane {
            name: PlaneName::Capture,
            node,
            listen: plane.listen,
            certificate: &plane.certificate_file,
            private_key: &plane.private_key_file,
        });
        let internal = self.config.internal.as_ref().map(|plane| Plane {
            name: PlaneName::Internal,
            node,
            listen: plane.listen,
            certificate: &plane.certificate_file,
            private_key: &plane.private_key_file,
        });
        let ops = self.config.ops.as_ref().map(|plane| Plane {
            name: PlaneName::Ops,
            node,
            listen: plane.listen,
            certificate: &plane.certificate_file,
            private_key: &plane.private_key_file,
        });
        [capture, internal, ops].into_iter().flatten().collect()
    }

    /// The process' store, under the process' own login.
    pub(super) async fn store(&self, clock: &Clock) -> Result<Store, String> {
        let settings = store_settings(&self.config, &Metrics::new(clock));
        let settings = settings.map_err(|refused| refused.to_string())?;
        let opened = Store::open(&settings, self.config.environment, clock).await;
        opened.map_err(|failure| failure.to_string())
    }

    pub(super) const fn is_postgres(&self) -> bool {
        match &self.config.store {
            StoreSettings::Sqlite { .. } => false,
            StoreSettings::Postgres(_) => true,
        }
    }
}

impl Plane<'_> {
    /// What to connect to from this machine.
    pub(in crate::cli) fn address(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }

    /// `the capture plane of one`.
    pub(super) fn title(&self) -> String {
        format!("the {} plane of {}", self.name.name(), self.node)
    }
}

impl Scene {
    pub(super) fn environment(&self) -> Environment {
        let first = self.processes.first();
        first.map_or(Environment::Live, |process| process.config.environment)
    }

    pub(super) fn is_live(&self) -> bool {
        self.environment() == Environment::Live
    }

    pub(super) fn planes(&self) -> impl Iterator<Item = Plane<'_>> {
        self.processes.iter().flat_map(Process::planes)
    }

    /// A node of `--elsewhere` that is none of the configurations'.
    pub(super) fn unknown_elsewhere(&self) -> Option<&str> {
        let mut named = self.elsewhere.iter();
        let unknown = named.find(|node| {
            let mut processes = self.processes.iter();
            !processes.any(|process| process.config.node == **node)
        });
        unknown.map(String::as_str)
    }

    /// Whether a node runs on another host. Nothing of it is asked here: what listens at its address
    /// on this host is somebody else.
    pub(super) fn is_elsewhere(&self, node: &str) -> bool {
        self.elsewhere.iter().any(|other| other == node)
    }

    /// What is said of a process that does not answer here: it was not seen, unless another host's
    /// bundle is to show it.
    pub(super) fn absent(&self, node: &str) -> (Verdict, &'static str) {
        if self.is_elsewhere(node) {
            (Verdict::NotApplicable, "runs elsewhere, by --elsewhere")
        } else {
            (Verdict::NotSeen, "does not run here")
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The process with the internal plane, where there is one.
    pub(super) fn internal(&self) -> Option<&Process> {
        self.processes
            .iter()
            .find(|process| process.config.internal.is_some())
    }

    /// The process with the capture plane, where there is one.
    pub(super) fn capture(&self) -> Option<&Process> {
        self.processes
            .iter()
            .find(|process| process.config.capture.is_some())
    }

    /// The key that checkpoints are checked with.
    pub(super) fn log_key(&self) -> Option<LogKey> {
        let mut audits = self
            .processes
            .iter()
            .filter_map(|process| process.config.audit.as_ref());
        let file = audits.find_map(|audit| audit.checkpoint_vkey_file.as_ref())?;
        LogKey::read(&file.relative()).ok()
    }
}
