//! Whether an opened backup is what was signed: the database whole, its audit log the signed one, its
//! keys ours.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use figment::value::magic::RelativePathBuf;

use crate::audit::Event;
use crate::audit::note::LogKey;
use crate::audit::tree::Edge;
use crate::audit::verify::{Claim, Entry, Verification};
use crate::backup::manifest::Manifest;
use crate::clock::Clock;
use crate::config::{Config, StoreSettings};
use crate::service::assembly::{self, store_settings};
use crate::service::{Refused, log_key, verify};
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use crate::vault::{Common, Internal, Refusal};

/// Rows that are read together.
const PAGE_ROWS_MAX: u32 = 2_000;

/// What was seen of an opened backup that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Events of its audit log, all under the signed root.
    pub events: u64,
    /// Migrations that it lacked and this build has applied.
    pub migrated: usize,
    /// Why the canary was not opened, where the keys of its tokens are not here.
    pub without_keys: Option<String>,
}

/// Why an opened backup is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// The database.
    #[error("the database in it: {0}")]
    Store(#[from] store::Failure),
    /// It is another database than was signed.
    #[error("the database in it differs from the signed manifest in {0}")]
    Differs(String),
    /// Its audit log is not the one that was signed.
    #[error("the audit log in it is not the one that was signed: {0}")]
    Log(String),
    /// The keys that are here do not open it.
    #[error("the keys of this configuration do not open its tokens: {0}")]
    Canary(#[from] Refusal),
    /// A data key in it is none of ours.
    #[error("the keys of this configuration are not its own: {0}")]
    Keys(String),
    /// The configuration.
    #[error(transparent)]
    Configuration(#[from] Refused),
}

/// Proves the database at `copy`, which is changed by that as by any start of the service: it is
/// migrated, and `event` is written to its audit log. `config` names it from then on.
///
/// # Errors
/// [`Unproved`].
pub(super) async fn prove(
    config: &mut Config,
    (copy, manifest): (&Path, &Manifest),
    event: Option<Event>,
) -> Result<Proved, Unproved> {
    let facts = store::inspect(copy)?;
    let differences = manifest.differences(&facts);
    if !differences.is_empty() {
        return Err(Unproved::Differs(differences.join(", ")));
    }
    let path = RelativePathBuf::from(copy);
    config.store = StoreSettings::Sqlite { path };
    let clock = Clock::system();
    let metrics = Metrics::new(&clock);
    let settings = store_settings(config, &metrics)?;
    let migrated = store::migrate(&settings).await?.applied.len();
    let opened = assembly::common(config, clock.clone(), metrics).await;
    let (store, common) = match opened {
        Ok(common) => (common.store.clone(), Ok(common)),
        Err(Refused::Keys(why)) if !has_keys(config) => {
            let store = Store::open(&settings, config.environment, &clock).await?;
            (store, Err(why))
        }
        Err(refused) => return Err(refused.into()),
    };
    let proved = hold(config, (&store, common), manifest).await;
    if let (Ok(_), Some(event)) = (&proved, event) {
        store.record(event).await?;
    }
    store.close().await?;
    let (events, without_keys) = proved?;
    Ok(Proved {
        events,
        migrated,
        without_keys,
    })
}

/// Holds log and keys; how many events, and why no keys are here.
async fn hold(
    config: &Config,
    (store, common): (&Store, Result<Common, String>),
    manifest: &Manifest,
) -> Result<(u64, Option<String>), Unproved> {
    let audit = config.audit.as_ref();
    let key = audit.map(log_key).transpose()?.flatten();
    let missing = Refused::Missing {
        plane: "internal",
        what: "audit.checkpoint_vkey_file",
    };
    let events = hold_log(store, &key.ok_or(missing)?, manifest).await?;
    let internal = common.and_then(|common| with_keys(config, &common));
    match internal {
        Ok(Some(internal)) => {
            let followed = internal.follow_manifest().await;
            followed.map_err(Unproved::Keys)?;
            internal.know_data_keys().await.map_err(Unproved::Keys)?;
            internal.open_canary().await?;
            Ok((events, None))
        }
        Ok(None) => Ok((events, Some("its custodians hold the key".to_owned()))),
        // What is here and does not open is no absence.
        Err(why) if has_keys(config) => Err(Unproved::Keys(why)),
        Err(why) => Ok((events, Some(why))),
    }
}

/// Whether the configuration's key is on this machine, or asked from it.
fn has_keys(config: &Config) -> bool {
    let keys = &config.keys;
    let file = keys.kek_private_file.as_ref();
    file.is_some_and(|file| file.relative().exists())
        || keys.pkcs11.is_some()
        || keys.aws_kms.is_some()
}

/// The half of the vault that opens; nothing where custodians hold its key.
fn with_keys(config: &Config, common: &Common) -> Result<Option<Internal>, String> {
    let plane = config.internal.as_ref();
    let plane = plane.ok_or("the configuration has no [internal]")?;
    let internal = assembly::internal(config, plane, common);
    let internal = internal.map_err(|refused| refused.to_string())?;
    Ok(internal.custody.is_none().then_some(internal))
}

/// Every event against its leaf, the tree against the root that was signed, and against every
/// checkpoint that is there.
async fn hold_log(store: &Store, key: &LogKey, manifest: &Manifest) -> Result<u64, Unproved> {
    let outside = manifest.audit_checkpoint.iter().map(|note| Claim {
        source: "the backup's manifest".to_owned(),
        note: note.clone(),
        is_outside: true,
    });
    let mut claims: Vec<Claim> = outside.collect();
    let mut after = 0;
    loop {
        let page = store.checkpoints(after, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { break };
        after = last.size;
        claims.extend(page.into_iter().map(|kept| Claim {
            source: format!("its own checkpoint of {} events", kept.size),
            note: kept.note,
            is_outside: false,
        }));
    }
    let verification = Verification::against(key, claims);
    let mut edge = Edge::default();
    let each = |entry: &Entry| {
        edge.append(entry.leaf);
        Ok::<(), Unproved>(())
    };
    let report = verify(store, verification, each, async |_| ()).await?;
    if let Some(finding) = report.findings.first() {
        return Err(Unproved::Log(finding.to_string()));
    }
    let is_signed =
        edge.size() == manifest.audit_size && STANDARD.encode(edge.root()) == manifest.audit_root;
    if is_signed {
        Ok(report.events)
    } else {
        let why = format!("{} events, and not the root in the manifest", edge.size());
        Err(Unproved::Log(why))
    }
}
