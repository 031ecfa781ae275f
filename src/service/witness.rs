//! The audit log's clerks: events get their places, the log is signed, copies of what was signed go
//! out of the database, and whoever acts is stopped when none gets out for too long.
//!
//! None of it is on the way of a request: an event is written with its act, and all of this comes
//! after.

use std::sync::Arc;
use std::time::Duration;

use figment::value::magic::RelativePathBuf;
use tokio::task::JoinHandle;

use super::Refused;
use crate::alerts::{Alert, AlertName};
use crate::audit::note::{Checkpoint, LogKey};
use crate::audit::sink::{Copy, Sink};
use crate::audit::tree::Edge;
use crate::clock::Timestamp;
use crate::config::{AuditSettings, Config, SinkSettings};
use crate::net::trust;
use crate::seal::signing::SigningKey;
use crate::store::{Failure, KeptCheckpoint};
use crate::vault::Common;

/// Events that get their places in one transaction.
const BATCH_EVENTS_MAX: u32 = 500;
/// Milliseconds between two looks for work.
const LOOK_INTERVAL_MS: u64 = 500;
/// Milliseconds for which a node that gives places is the only one.
const LEASE_MS: u64 = 10_000;
/// Seconds that the last round may take when the process stops.
const LAST_ROUND_S_MAX: u64 = 5;
/// Checkpoints that are read together for a sink that missed them.
const MISSED_MAX: u32 = 100;

/// What signs, and where copies go.
pub(super) struct Clerk {
    signing: Option<(SigningKey, LogKey)>,
    interval_ms: u64,
    sinks: Vec<Sink>,
}

/// What the configuration says of the log's signing; without it events get their places only.
pub(super) fn clerk(config: &Config) -> Result<Clerk, Refused> {
    let Some(settings) = &config.audit else {
        return Ok(Clerk {
            signing: None,
            interval_ms: 0,
            sinks: Vec::new(),
        });
    };
    Ok(Clerk {
        signing: signing(settings)?,
        interval_ms: u64::from(settings.checkpoint_interval_s).saturating_mul(1_000),
        sinks: sinks(settings)?,
    })
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

/// Gives events their places, and signs what has come of it.
async fn order_forever(common: Common, clerk: Arc<Clerk>) {
    let mut signed_at = Timestamp::from_unix_ms(0);
    loop {
        let is_due = common.now().ms_since(signed_at) >= clerk.interval_ms;
        match clerk.order_and_sign(&common, is_due).await {
            Ok(true) => signed_at = common.now(),
            Ok(false) => {}
            Err(failure) => tracing::warn!(%failure, "the audit log's order rests"),
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

impl Clerk {
    /// One round; whether something was signed.
    async fn order_and_sign(&self, common: &Common, is_due: bool) -> Result<bool, Failure> {
        let Some(edge) = order(common).await? else {
            return Ok(false);
        };
        match &self.signing {
            None => {
                common
                    .store
                    .witnessed(None, edge.size(), common.now())
                    .await?;
            }
            Some(key) if is_due => sign(common, &edge, key).await?,
            Some(_) => return Ok(false),
        }
        Ok(true)
    }
}

/// Gives places until nothing waits; the tree's edge, where this node has the lease and something
/// has come since the last checkpoint.
async fn order(common: &Common) -> Result<Option<Edge>, Failure> {
    if !common.store.log_has_work().await? {
        return Ok(None);
    }
    loop {
        let now = common.now();
        let lease = (now, now.plus_ms(LEASE_MS));
        let node = common.node.to_string();
        let sequenced = common.store.sequence(node, lease, BATCH_EVENTS_MAX).await?;
        let Some(sequenced) = sequenced else {
            return Ok(None);
        };
        if usize::try_from(BATCH_EVENTS_MAX) != Ok(sequenced.events) {
            return Ok(Some(sequenced.edge));
        }
    }
}

async fn sign(
    common: &Common,
    edge: &Edge,
    (key, log): &(SigningKey, LogKey),
) -> Result<(), Failure> {
    let (size, root) = (edge.size(), edge.root());
    if size == 0 {
        return Ok(());
    }
    let checkpoint = KeptCheckpoint {
        size,
        note: log.sign(Checkpoint { size, root }, key),
        at: common.now(),
    };
    common.store.put_checkpoint(checkpoint).await
}

/// Copies to one sink whatever it has not, in order, until the process stops.
async fn publish_forever(common: Common, clerk: Arc<Clerk>, number: usize) {
    let Some(sink) = clerk.sinks.get(number) else {
        return;
    };
    let name = name(&common, sink);
    let mut is_down = false;
    loop {
        match publish(&common, sink, &name).await {
            Ok(0) => {}
            Ok(copies) if is_down => {
                is_down = false;
                tracing::info!(%sink, copies, "a sink of checkpoints takes them again");
            }
            Ok(_) => is_down = false,
            Err(reason) => {
                common.metrics.audit_sink_failed();
                if !is_down {
                    tracing::error!(%sink, reason, "a sink takes no checkpoints");
                }
                is_down = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

async fn publish(common: &Common, sink: &Sink, name: &str) -> Result<usize, String> {
    let told = |failure: Failure| failure.to_string();
    let held = common
        .store
        .sink_holds(name.to_owned())
        .await
        .map_err(told)?;
    let missed = common
        .store
        .checkpoints(held, MISSED_MAX)
        .await
        .map_err(told)?;
    let copies = missed.len();
    for KeptCheckpoint { size, note, at } in missed {
        sink.take(&Copy::of(at, size, note), &common.node).await?;
        let name = Some(name.to_owned());
        let witnessed = common.store.witnessed(name, size, common.now());
        witnessed.await.map_err(told)?;
    }
    Ok(copies)
}

/// Stops whoever acts while no copy has got out for too long, until the process stops.
pub(super) async fn guard_forever(common: Common, sink_outage_s_max: u32) {
    let outage_ms_max = u64::from(sink_outage_s_max).saturating_mul(1_000);
    let mut is_open = true;
    let mut is_told = false;
    loop {
        // A store that cannot be read takes no act either.
        if let Ok(oldest) = common.store.oldest_unwitnessed().await {
            let age_ms = oldest.map_or(0, |oldest| common.now().ms_since(oldest));
            common.metrics.audit_unwitnessed(age_ms);
            let opens = age_ms <= outage_ms_max;
            if is_open && !opens {
                tracing::error!(
                    age_ms,
                    "no checkpoint of the audit log gets out: nothing is answered"
                );
            } else if opens && !is_open {
                tracing::info!("checkpoints of the audit log get out again");
            }
            is_open = opens;
            let is_late = age_ms > outage_ms_max / 2;
            if is_late && !is_told {
                let seen =
                    format!("the oldest event without a copied checkpoint is {age_ms} ms old");
                let alert = Alert::new(AlertName::AuditUnwitnessed, &common.node, &seen);
                common.raise_or_log(alert).await;
            }
            is_told = is_late;
            common.store.set_witnessed(opens);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
}

/// The clerks of a process, for as long as it lives.
pub(super) struct Clerks {
    clerk: Option<Arc<Clerk>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts what a process does for the audit log; `clerk` is there in an internal one.
pub(super) fn start(
    clerk: Option<Clerk>,
    common: &Common,
    sink_outage_s_max: Option<u32>,
) -> Clerks {
    let clerk = clerk.map(Arc::new);
    let mut tasks = Vec::new();
    if let Some(clerk) = &clerk {
        let order = order_forever(common.clone(), Arc::clone(clerk));
        tasks.push(tokio::task::spawn_local(order));
        for number in 0..clerk.sinks.len() {
            let publish = publish_forever(common.clone(), Arc::clone(clerk), number);
            tasks.push(tokio::task::spawn_local(publish));
        }
    }
    if let Some(limit_s) = sink_outage_s_max {
        let guard = guard_forever(common.clone(), limit_s);
        tasks.push(tokio::task::spawn_local(guard));
    }
    Clerks { clerk, tasks }
}

impl Clerks {
    /// Stops, once what was written up to now has been signed and copied, or a while has passed.
    pub(super) async fn finish(self, common: &Common) {
        for task in &self.tasks {
            task.abort();
        }
        let Some(clerk) = &self.clerk else {
            return;
        };
        let last = async {
            clerk
                .order_and_sign(common, true)
                .await
                .map_err(|failure| failure.to_string())?;
            for sink in &clerk.sinks {
                publish(common, sink, &name(common, sink)).await?;
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

/// A sink's name among all nodes'.
fn name(common: &Common, sink: &Sink) -> String {
    format!("{}/{sink}", common.node)
}
