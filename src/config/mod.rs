//! Configuration: one TOML file, every key of which is documented here.
//!
//! `CLOAKROOM__SECTION__KEY` in the environment overrides a key. Unknown keys are refused, paths
//! are relative to the file, units are the last part of a name, and a secret is never in the file
//! itself, only the name of the file that holds it. There is no key that turns off TLS,
//! authentication or audit.

mod alerts;
mod audit;
mod backup;
mod environment;
mod keys;
mod limits;
mod postgres;
mod process;
mod reconciliation;
mod reference;
mod stripe;
mod watch;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::token::{Account, Environment};
use crate::vault::grant::ScopeName;

/// A path in the configuration, relative to its file.
pub use figment::value::magic::RelativePathBuf;

pub use alerts::{AlertSettings, AlertWebhookSettings, MailSettings};
pub use audit::{AuditSettings, SinkSettings};
pub use backup::{BackupSettings, PgBackRestSettings};
pub use keys::{AwsKmsSettings, KeyFiles, Pkcs11Settings};
pub use limits::Limits;
pub use postgres::PostgresSettings;
pub use process::ProcessSettings;
pub use reconciliation::ReconciliationSettings;
pub use reference::{reference, schema};
pub use stripe::StripeSettings;
pub use watch::{RuleSettings, WatchMode, WatchSettings};
pub use webhooks::WebhookSettings;

/// The whole configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `test` or `live`. Keys, ids and rows of one environment are refused by the other.
    pub environment: Environment,
    /// Name of this node in logs and audit events.
    pub node: String,
    /// The capture plane, where this process runs it.
    pub capture: Option<CapturePlane>,
    /// The internal plane, where this process runs it.
    pub internal: Option<InternalPlane>,
    /// The operations plane: probes and metrics.
    pub ops: Option<OpsPlane>,
    /// The database.
    pub store: StoreSettings,
    /// Key files.
    pub keys: KeyFiles,
    /// Accounts by name.
    pub accounts: BTreeMap<Account, AccountSettings>,
    /// Clients of the internal plane.
    #[serde(default)]
    pub clients: Vec<ClientSettings>,
    /// Receivers of outgoing webhooks: the internal plane.
    #[serde(default)]
    pub webhooks: Vec<WebhookSettings>,
    /// The audit log: its signing key and the copies of its checkpoints. Every process in the live
    /// environment needs it.
    pub audit: Option<AuditSettings>,
    /// Backups: the internal plane.
    pub backup: Option<BackupSettings>,
    /// Receivers of alerts: the internal plane.
    #[serde(default)]
    pub alerts: AlertSettings,
    /// Rules against card testing.
    #[serde(default)]
    pub watch: WatchSettings,
    /// How the store is compared with the processor: the internal plane.
    #[serde(default)]
    pub reconciliation: ReconciliationSettings,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Logging.
    #[serde(default)]
    pub log: LogSettings,
    /// What the process gives up once it serves.
    #[serde(default)]
    pub process: ProcessSettings,
}

/// The internet-facing plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapturePlane {
    /// Address and port to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Origin under which browsers reach the plane: `https://cards.example`.
    #[serde(deserialize_with = "https")]
    pub public_url: Url,
    /// Contacts in `security.txt` (RFC 9116), listed before the page at `/report`:
    /// `mailto:security@example.com`.
    #[serde(default, deserialize_with = "contacts")]
    pub security_contacts: Vec<String>,
    /// Certificate chain, PEM, the server's own first.
    #[schemars(with = "String")]
    pub certificate_file: RelativePathBuf,
    /// Private key of the certificate, PEM, readable by the owner only.
    #[schemars(with = "String")]
    pub private_key_file: RelativePathBuf,
}

/// The plane of merchant backends and billing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InternalPlane {
    /// Address and port to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The capture plane as browsers reach it; the issuer's authentication page returns the shopper
    /// there.
    #[serde(deserialize_with = "https")]
    pub return_url: Url,
    /// Certificate chain, PEM, the server's own first.
    #[schemars(with = "String")]
    pub certificate_file: RelativePathBuf,
    /// Private key of the certificate, PEM, readable by the owner only.
    #[schemars(with = "String")]
    pub private_key_file: RelativePathBuf,
    /// Certificate authorities that sign client certificates, PEM.
    #[schemars(with = "String")]
    pub client_ca_file: RelativePathBuf,
    /// Revocation lists of these authorities (RFC 5280), PEM. If there are any, each authority
    /// needs one; once a list has expired, no client of its authority is accepted.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub client_crl_files: Vec<RelativePathBuf>,
    /// Revoked clients, one a line: a name in a certificate, or `sha256:` and the hexadecimal
    /// SHA-256 of one certificate; `#` starts a comment.
    #[schemars(with = "Option<String>")]
    pub revoked_clients_file: Option<RelativePathBuf>,
}

/// The plane of probes and metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpsPlane {
    /// Address and port to listen on; use a loopback address unless the network is the operators'
    /// own.
    pub listen: SocketAddr,
    /// Certificate chain, PEM, the server's own first.
    #[schemars(with = "String")]
    pub certificate_file: RelativePathBuf,
    /// Private key of the certificate, PEM, readable by the owner only.
    #[schemars(with = "String")]
    pub private_key_file: RelativePathBuf,
}

/// Where rows are kept: `[store.sqlite]` or `[store.postgres]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum StoreSettings {
    /// The embedded engine: one file, one process that writes.
    Sqlite {
        /// The database file; its directory must be writable.
        #[schemars(with = "String")]
        path: RelativePathBuf,
    },
    /// A server, or several of which one is the primary.
    Postgres(Box<PostgresSettings>),
}

/// One account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// Its processor.
    pub processor: ProcessorSettings,
}

/// How to reach an account's processor: `[accounts.NAME.processor.stripe]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ProcessorSettings {
    /// Stripe, or what speaks its wire form.
    Stripe(StripeSettings),
}

/// One client of the internal plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// Subject alternative name of the client's certificate: a URI or a DNS name.
    pub san: String,
    /// Account that the client belongs to.
    pub account: Account,
    /// What the client may do; the scopes are in `docs/api.md`.
    pub scopes: BTreeSet<ScopeName>,
}

/// Logging.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `error`, `warn`, `info` or `debug`, or `target=level` pairs separated by commas.
    pub level: String,
    /// Bytes of a log line; longer lines are cut.
    pub log_line_bytes_max: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            log_line_bytes_max: 16_384,
        }
    }
}

/// A URL; there is nothing in this service that speaks anything but https.
fn https<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    let text = String::deserialize(from)?;
    Url::parse(&text)
        .ok()
        .filter(|url| url.scheme() == "https" && url.host_str().is_some())
        .ok_or_else(|| serde::de::Error::custom("expected an https URL"))
}

/// RFC 9116 2.5.3: a contact is a URI, and one of the web is https.
fn contacts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let contacts: Vec<String> = Vec::deserialize(from)?;
    let known = |text: &String| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "mailto" | "tel"))
            && !text.contains(char::is_whitespace)
    };
    if contacts.iter().all(known) {
        Ok(contacts)
    } else {
        Err(serde::de::Error::custom(
            "expected https:, mailto: or tel: URLs",
        ))
    }
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not TOML, a key that is not known, a value that is not of its kind.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(#[from] Box<figment::Error>),
    /// The file is not there.
    #[error("there is no configuration file {0}")]
    Missing(PathBuf),
    /// The parts do not fit each other.
    #[error("the configuration does not hold together: {0}")]
    Inconsistent(String),
}

impl Config {
    /// Reads a file, with the environment's overrides, and checks that its parts fit.
    ///
    /// # Errors
    /// [`Refused`] says which key, and what is expected there.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        if !path.is_file() {
            return Err(Refused::Missing(path.to_owned()));
        }
        let file = Figment::new().merge(Toml::file_exact(path));
        environment::extract(file)?.checked()
    }

    /// Reads the text of a file, without the environment; its paths are relative to nothing.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let config: Self = Figment::new()
            .merge(Toml::string(text))
            .extract()
            .map_err(Box::new)?;
        config.checked()
    }

    fn checked(self) -> Result<Self, Refused> {
        self.check()?;
        Ok(self)
    }

    /// What the types alone do not say.
    fn check(&self) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        if self.capture.is_none() && self.internal.is_none() {
            return refuse("neither [capture] nor [internal] is there, so there is nothing to run");
        }
        self.check_listeners()?;
        if self.accounts.is_empty() {
            return refuse("there is no account; add [accounts.default.processor.stripe]");
        }
        let mut sans = BTreeSet::new();
        for client in &self.clients {
            if !self.accounts.contains_key(&client.account) {
                return refuse(&format!(
                    "client {} is of an account that is not there",
                    client.san
                ));
            }
            if !sans.insert(&client.san) {
                return refuse(&format!("two clients are named {}", client.san));
            }
        }
        // Forward secrecy of the capture plane: alone, it must not be able to open anything.
        if self.internal.is_none() && self.keys.holds_opening_keys() {
            return refuse(
                "a process without [internal] must not be given the internal plane's keys",
            );
        }
        if self.internal.is_none() && self.accounts.values().any(AccountSettings::can_charge) {
            return refuse("a process without [internal] must not be given a key that can charge");
        }
        if self.internal.is_none() && !self.webhooks.is_empty() {
            return refuse("a process without [internal] must not be given webhooks' secrets");
        }
        match (&self.audit, self.environment) {
            (Some(audit), _) => audit.check(self.internal.is_some(), self.environment)?,
            (None, Environment::Live) => {
                return refuse("in the live environment there is no way without [audit]");
            }
            (None, Environment::Test) => {}
        }
        if self.internal.is_none() && self.alerts.tells_anybody() {
            return refuse("a process without [internal] must not be given alerts' secrets");
        }
        self.check_backup()?;
        self.keys.check()?;
        self.alerts.check()?;
        self.watch.check()?;
        self.reconciliation.check(self.environment)?;
        webhooks::check(&self.webhooks, &self.accounts)?;
        for settings in self.accounts.values() {
            let ProcessorSettings::Stripe(stripe) = &settings.processor;
            stripe.check()?;
        }
        self.limits.check()
    }

    /// Each plane has a port of its own; port 0 is a free one.
    fn check_listeners(&self) -> Result<(), Refused> {
        let planes = [
            ("capture", self.capture.as_ref().map(|plane| plane.listen)),
            ("internal", self.internal.as_ref().map(|plane| plane.listen)),
            ("ops", self.ops.as_ref().map(|plane| plane.listen)),
        ];
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        for (name, listen) in planes
            .into_iter()
            .filter_map(|(name, at)| Some((name, at?)))
        {
            let meets = |other: &SocketAddr| {
                // An unspecified address is every one of its family; of IPv6, of both.
                let covers = |one: &SocketAddr, two: &SocketAddr| {
                    one.ip().is_unspecified() && (one.is_ipv6() || two.is_ipv4())
                };
                let is_one = other.ip() == listen.ip();
                let meets = is_one || covers(other, &listen) || covers(&listen, other);
                other.port() == listen.port() && meets
            };
            let other = taken.iter().find(|(_, other)| meets(other));
            if let Some((other, _)) = other.filter(|_| listen.port() != 0) {
                let why = format!("[{other}] and [{name}] listen on one address, {listen}");
                return Err(Refused::Inconsistent(why));
            }
            taken.push((name, listen));
        }
        Ok(())
    }

    fn check_backup(&self) -> Result<(), Refused> {
        let refuse = |why: &str| Err(Refused::Inconsistent(why.to_owned()));
        let Some(backup) = &self.backup else {
            return Ok(());
        };
        if self.internal.is_none() {
            return refuse("a process without [internal] makes no backups");
        }
        if self.audit.is_none() && backup.pgbackrest.is_none() {
            return refuse(
                "[backup] needs [audit]: what is said of a backup is signed with its key",
            );
        }
        backup.check(&self.store, self.environment)
    }
}

impl AccountSettings {
    const fn can_charge(&self) -> bool {
        let ProcessorSettings::Stripe(stripe) = &self.processor;
        stripe.internal_key_file.is_some()
    }
}
