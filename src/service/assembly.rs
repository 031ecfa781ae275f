//! What a service is put together from: store, keys, processors, and the two halves of the vault.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::magic::RelativePathBuf;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{Refused, keys, orders, place};
use crate::clock::Clock;
use crate::config::{self, Config, ProcessorSettings, StripeSettings};
use crate::http::PlaneName;
use crate::net::trust::SpkiPin;
use crate::processor::webhook::WebhookSecret;
use crate::processor::{self, Processor};
use crate::seal;
use crate::seal::mac::MacKey;
use crate::seal::signing::SigningKey;
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use crate::token::{Account, Environment};
use crate::vault::watch::Watcher;
use crate::vault::{self, Capture, Common, EventSource, Internal, Processors};

/// Bytes of an answer of the processor. The longest are pages of a hundred payments, each with up
/// to 27 kB of the merchant's pairs; one that is too long would never be found among.
const PROCESSOR_ANSWER_BYTES_MAX: u32 = 4_194_304;
/// Milliseconds that SQLite waits for another process's lock.
const STORE_BUSY_TIMEOUT_MS: u32 = 5_000;

/// The store's settings of a configuration.
///
/// # Errors
/// [`Refused::Store`] where a host is none, or the password cannot be read.
pub fn store_settings(config: &Config, metrics: &Metrics) -> Result<store::Settings, Refused> {
    let metrics = metrics.clone();
    Ok(store::Settings {
        place: place::of(config)?,
        batch_ops_max: config.limits.store_batch_operations_max,
        queue_ops_max: config.limits.store_queue_operations_max,
        readers_max: config.limits.store_readers_max,
        busy_timeout_ms: STORE_BUSY_TIMEOUT_MS,
        observer: Some(Arc::new(move |commit| {
            metrics.store_committed(commit.operations, commit.duration);
            metrics.store_queue(commit.queued);
        })),
        orders: store::Orders::default(),
    })
}

/// The same for a process or a command that orders rows, or is to believe them.
///
/// # Errors
/// [`Refused`] names the key file that is missing or wrong.
pub fn ordering_store_settings(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<store::Settings, Refused> {
    Ok(store::Settings {
        orders: orders::of(config, clock, metrics)?,
        ..store_settings(config, metrics)?
    })
}

pub(super) async fn common(
    config: &Config,
    clock: Clock,
    metrics: Metrics,
) -> Result<Common, Refused> {
    let settings = ordering_store_settings(config, &clock, &metrics)?;
    let store = Store::open(&settings, config.environment, &clock)
        .await
        .map_err(|refused| Refused::Store(refused.to_string()))?;
    let limits = &config.limits;
    Ok(Common {
        environment: config.environment,
        node: Arc::from(config.node.as_str()),
        clock,
        store,
        metrics,
        runtime: Handle::current(),
        limits: vault::Limits {
            session_attempts_max: limits.session_attempts_max,
            session_lifetime_s_max: limits.session_lifetime_s_max,
            idempotency_key_lifetime_s: limits.idempotency_key_lifetime_s,
            work_lease_ms: u64::from(limits.work_lease_ms),
            charges_in_flight_max: limits.charges_in_flight_max,
            reports_of_an_address_per_hour_max: limits.reports_of_an_address_per_hour_max,
            reports_per_hour_max: limits.reports_per_hour_max,
            audit_sink_outage_s_max: config.audit.as_ref().map(|audit| audit.sink_outage_s_max),
            alert_window_s: config.alerts.window_s,
        },
        watch: watcher(config),
        refusals: Arc::default(),
        recovery: Arc::default(),
    })
}

/// The watch of this run: what its last run counted is another process's to it.
fn watcher(config: &Config) -> Arc<Watcher> {
    let mut random = [0_u8; 8];
    crate::random::fill(&mut random);
    let settings = &config.watch;
    Watcher::new(
        config.watch_engine(),
        settings.shared_addresses.clone(),
        settings.share_interval_ms,
        format!("{:016x}", u64::from_be_bytes(random)),
    )
}

pub(super) fn capture(
    config: &Config,
    plane: &config::CapturePlane,
    common: &Common,
) -> Result<Capture, Refused> {
    Ok(Capture {
        sealer: keys::sealer(config, common)?,
        rotation: keys::rotation(config, common)?,
        processors: processors(config, PlaneName::Capture, Some(&common.metrics))?,
        marking: keys::marking(config)?,
        webhook_secrets: webhook_secrets(config)?,
        session_verify_key: mac_key(&config.keys.session_verify_key_file.relative())?,
        return_url: return_url(&plane.public_url),
        security_contacts: plane.security_contacts.clone(),
        public_origin: plane.public_url.origin().ascii_serialization(),
        tasks: TaskTracker::new(),
        common: common.clone(),
    })
}

/// What each account's processor signs with.
fn webhook_secrets(config: &Config) -> Result<BTreeMap<Account, EventSource>, Refused> {
    let mut secrets = BTreeMap::new();
    for (account, settings) in &config.accounts {
        let ProcessorSettings::Stripe(stripe) = &settings.processor;
        let read = |file: &RelativePathBuf| {
            let text = secret_text(&file.relative())?;
            WebhookSecret::parse(text.trim()).map_err(|refused| refused.to_string())
        };
        let of_account: Result<Vec<_>, String> =
            stripe.webhook_secret_files.iter().map(read).collect();
        let of_account = of_account.map_err(|reason| Refused::Processor {
            account: account.to_string(),
            reason,
        })?;
        let source = EventSource {
            secrets: of_account,
            connected: stripe.account.clone(),
        };
        secrets.insert(account.clone(), source);
    }
    Ok(secrets)
}

/// The internal half alone, for a command that asks the processor itself; nothing is served.
///
/// # Errors
/// [`Refused`] says what is missing or wrong.
pub async fn internal_alone(
    config: &Config,
    clock: Clock,
    metrics: Metrics,
) -> Result<Internal, Refused> {
    let plane = config.internal.as_ref().ok_or(Refused::Missing {
        plane: PlaneName::Internal.name(),
        what: "[internal]",
    })?;
    let common = common(config, clock, metrics).await?;
    internal(config, plane, &common)
}

pub(super) fn internal(
    config: &Config,
    plane: &config::InternalPlane,
    common: &Common,
) -> Result<Internal, Refused> {
    let files = &config.keys;
    let receipt_key = required(files.receipt_key_file.as_ref(), "keys.receipt_key_file")?;
    let issue_key = required(
        files.session_issue_key_file.as_ref(),
        "keys.session_issue_key_file",
    )?;
    let (opener, custody) = keys::opener(config, common)?;
    Ok(Internal {
        opener,
        custody,
        sealer: keys::sealer(config, common)?,
        rotation: keys::rotation(config, common)?,
        marking: keys::marking(config)?,
        endpoints: super::webhooks::webhook_endpoints(config)?,
        alert_destinations: super::alerts::destinations(config)?,
        processors: processors(config, PlaneName::Internal, Some(&common.metrics))?,
        session_verify_key: mac_key(&files.session_verify_key_file.relative())?,
        session_issue_key: mac_key(&issue_key)?,
        receipt_key: SigningKey::read(&receipt_key)
            .map_err(|refused| Refused::Keys(refused.to_string()))?,
        return_url: return_url(&plane.return_url),
        tasks: TaskTracker::new(),
        charges_in_flight: Arc::new(tokio::sync::Semaphore::new(
            common.limits.charges_in_flight_max,
        )),
        common: common.clone(),
    })
}

/// A processor's key, from a file that only its owner can read.
fn secret_key(path: &Path) -> Result<processor::SecretKey, String> {
    let text = secret_text(path)?;
    processor::SecretKey::parse(text.trim()).map_err(|refused| refused.to_string())
}

/// A secret that is text, from a file that only its owner can read.
pub(super) fn secret_text(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = seal::file::read_private(path).map_err(|refused| refused.to_string())?;
    std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| "its secret is not text".to_owned())
}

pub(super) fn mac_key(path: &Path) -> Result<MacKey, Refused> {
    MacKey::read(path).map_err(|refused| Refused::Keys(refused.to_string()))
}

pub(super) fn required(
    path: Option<&RelativePathBuf>,
    what: &'static str,
) -> Result<PathBuf, Refused> {
    path.map(RelativePathBuf::relative).ok_or(Refused::Missing {
        plane: "internal",
        what,
    })
}

/// The page to which the issuer returns the shopper.
fn return_url(public_url: &url::Url) -> String {
    public_url
        .join("/return")
        .map_or_else(|_| public_url.to_string(), String::from)
}

/// Every account's processor with the key that `plane` may hold, and its share of the rate.
///
/// # Errors
/// [`Refused::Missing`] or [`Refused::Processor`].
pub fn processors(
    config: &Config,
    plane: PlaneName,
    metrics: Option<&Metrics>,
) -> Result<Processors, Refused> {
    let mut processors = BTreeMap::new();
    for (account, settings) in &config.accounts {
        let ProcessorSettings::Stripe(stripe) = &settings.processor;
        let (key, what) = match plane {
            PlaneName::Internal => (stripe.internal_key_file.as_ref(), "internal_key_file"),
            PlaneName::Capture | PlaneName::Ops => {
                (stripe.capture_key_file.as_ref(), "capture_key_file")
            }
        };
        let key = key.ok_or(Refused::Missing {
            plane: plane.name(),
            what,
        })?;
        let refuse = |reason: String| Refused::Processor {
            account: account.to_string(),
            reason,
        };
        let secret_key = secret_key(&key.relative()).map_err(&refuse)?;
        if let Some(why) = secret_key.misplaced(plane, config.environment) {
            return Err(refuse(format!("{what}: {why}")));
        }
        let processor = Processor::stripe(&processor::Settings {
            base_url: stripe.base_url.clone(),
            secret_key,
            ca_file: stripe.ca_file.as_ref().map(RelativePathBuf::relative),
            spki_pins: pins(stripe).map_err(&refuse)?,
            request_timeout_ms: stripe.request_timeout_ms,
            connect_timeout_ms: stripe.connect_timeout_ms,
            pool_idle_connections_max: stripe.pool_idle_connections_max,
            answer_bytes_max: PROCESSOR_ANSWER_BYTES_MAX,
            account: stripe.account.clone(),
            limits: processor_limits(stripe, config.environment, plane, metrics),
        })
        .map_err(|refused| refuse(refused.to_string()))?;
        processors.insert(account.clone(), processor);
    }
    Ok(processors)
}

/// The accounts whose key of a plane may do everything at the processor, as far as the key says.
///
/// # Errors
/// [`Refused::Processor`] where a key cannot be read.
pub fn unrestricted_keys(config: &Config, plane: PlaneName) -> Result<Vec<Account>, Refused> {
    let mut unrestricted = Vec::new();
    for (account, settings) in &config.accounts {
        let ProcessorSettings::Stripe(stripe) = &settings.processor;
        let file = match plane {
            PlaneName::Internal => stripe.internal_key_file.as_ref(),
            PlaneName::Capture | PlaneName::Ops => stripe.capture_key_file.as_ref(),
        };
        let key = file.map(|file| secret_key(&file.relative())).transpose();
        let key = key.map_err(|reason| Refused::Processor {
            account: account.to_string(),
            reason,
        })?;
        if key.is_some_and(|key| key.is_unrestricted()) {
            unrestricted.push(account.clone());
        }
    }
    Ok(unrestricted)
}

fn pins(stripe: &StripeSettings) -> Result<Vec<SpkiPin>, String> {
    let parse = |text: &String| SpkiPin::parse(text);
    let pins: Result<Vec<_>, _> = stripe.spki_sha256_pins.iter().map(parse).collect();
    pins.map_err(|refused| format!("spki_sha256_pins: {refused}"))
}

fn processor_limits(
    stripe: &StripeSettings,
    environment: Environment,
    plane: PlaneName,
    metrics: Option<&Metrics>,
) -> processor::Limits {
    processor::Limits {
        plane,
        requests_per_s_max: match plane {
            PlaneName::Internal => stripe.internal_per_s(environment),
            PlaneName::Capture | PlaneName::Ops => stripe.capture_per_s(environment),
        },
        endpoint_requests_per_s_max: stripe.endpoint_requests_per_s_max,
        requests_in_flight_max: stripe.requests_in_flight_max,
        waiting_requests_max: stripe.waiting_requests_max,
        wait_ms_max: stripe.wait_ms_max,
        failures_in_a_row_max: stripe.breaker_failures_in_a_row_max,
        open_ms: stripe.breaker_open_ms,
        metrics: metrics.cloned(),
    }
}
