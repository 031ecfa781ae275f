//! `cloakroom keys status|rotate|reseal|retire|repair`: which keys there are, and replacing them while the
//! service runs. The running internal processes do the work; these verbs ask for it and watch.

mod lease;
mod repair;
mod status;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use self::lease::Lease;
use self::watch::ask_and_watch;
use super::{Failure, exit, print};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::seal::manifest::{Holder, KekState, Manifest};
use crate::seal::signing::SigningKey;
use crate::seal::{Canary, DataKeyLimits, KekId, Sealer};
use crate::service::{Configured, backup, marking, ordering_store_settings};
use crate::store::{KeyWork, SignedManifest, Store};
use crate::telemetry::Metrics;
use crate::token::EventId;

pub(in crate::cli) use repair::{Repair, repair};
pub(in crate::cli) use status::status;

/// Milliseconds between two looks at work that is watched.
const LOOK_MS: u64 = 500;

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The internal plane's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For machines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    of: Of,
    /// The ARN of the key that was made in AWS Key Management Service.
    #[arg(long, value_name = "ARN")]
    key_arn: Option<String>,
    /// Seconds to wait until every internal process holds the new key.
    #[arg(long, default_value_t = 120)]
    wait_s: u32,
    /// Make the new key, and stop there: to carry its file to further hosts.
    #[arg(long, conflicts_with = "activate")]
    prepare_only: bool,
    /// Put a key in service that was prepared before.
    #[arg(long, value_name = "KEK")]
    activate: Option<String>,
    /// Data keys moved each second at most.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rows_per_s_max: u32,
}

#[derive(Debug, Args)]
pub(super) struct Reseal {
    #[command(flatten)]
    of: Of,
    /// Tokens moved each second at most.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rows_per_s_max: u32,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    #[command(flatten)]
    of: Of,
    /// The key, which is out of service.
    kek: String,
    /// What has become of it.
    #[arg(long, value_enum)]
    state: Retired,
    /// Say so although backups are kept whose tokens nothing else opens.
    #[arg(long)]
    despite_backups: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Retired {
    /// Somebody else may know it.
    Compromised,
    /// Nothing is wrapped to it any more; its private half is to be destroyed.
    Destroyed,
}

/// The store of a configuration, and what its keys are made of.
struct Keys {
    config: Config,
    store: Store,
    clock: Clock,
    configured: Configured,
}

impl Keys {
    async fn open(of: &Of) -> Result<Self, Failure> {
        let config = Config::read(&of.config).map_err(|error| Failure::new(exit::CONFIG, error))?;
        let clock = Clock::system();
        let settings = ordering_store_settings(&config, &clock, &Metrics::new(&clock))?;
        let store = Store::open(&settings, config.environment, &clock)
            .await
            .map_err(unavailable)?;
        let configured = Configured::new(&config, &clock)
            .map_err(|reason| Failure::new(exit::CONFIG, reason))?;
        Ok(Self {
            config,
            store,
            clock,
            configured,
        })
    }

    fn signing_key(&self) -> Result<SigningKey, Failure> {
        let path = self.config.keys.manifest_key_file.as_ref();
        let path = path.ok_or_else(|| {
            let mend = "keys.manifest_key_file is missing: `keys init` makes manifest.key and \
                        manifest-public.json, which every process needs as \
                        keys.manifest_public_key_file";
            Failure::new(exit::CONFIG, mend)
        })?;
        SigningKey::read(&path.relative()).map_err(|error| Failure::new(exit::CONFIG, error))
    }

    fn event(&self, action: Action, subject: &str) -> Event {
        Event {
            id: EventId::new(self.config.environment, self.clock.now()),
            actor: Actor::Operator(super::operator()),
            action,
            at: self.clock.now(),
            outcome: Outcome::Success,
            origin: "-".to_owned(),
            subject: Some(subject.to_owned()),
            account: None,
            node: self.config.node.clone(),
            request_id: None,
        }
    }

    /// The manifest that a change builds on; without one, the first, which is not written yet: a
    /// command that is refused starts no cryptoperiod.
    async fn manifest(&self, key: &SigningKey) -> Result<Base, Failure> {
        let environment = self.config.environment;
        if let Some((version, jws)) = self.store.manifest().await.map_err(unavailable)? {
            let opened = Manifest::open(&jws, &key.verifying(), environment, version);
            return opened.map(Base::Stored).map_err(|_| {
                let why = "the key manifest in the store is not one that this key has signed";
                Failure::new(exit::DATA, why)
            });
        }
        let holder = self.configured.holder().map_err(config_failure)?;
        let wrap = self.configured.wrap_of(&holder).map_err(config_failure)?;
        let first = Manifest::first(environment, wrap.kek(), holder, self.clock.now());
        Ok(Base::Unwritten(first))
    }

    /// Writes the version after `base`, with the first one where that is not written yet, and the
    /// canary of a key that it adds.
    async fn put(
        &self,
        base: &Base,
        next: &Manifest,
        (signing, about): (&SigningKey, &KekId),
        canary: Option<Canary>,
    ) -> Result<(), Failure> {
        let mut versions = Vec::new();
        if let Base::Unwritten(first) = base {
            versions.push(signed(first, signing)?);
        }
        versions.push(signed(next, signing)?);
        let made = |canary| {
            let event = self.event(Action::KeysCanaryMade, about.as_str());
            (canary, event)
        };
        let event = self.event(Action::KeysManifestChanged, about.as_str());
        let now = self.clock.now();
        let put = self
            .store
            .put_manifest(versions, canary.map(made), now, event);
        if put.await.map_err(unavailable)? {
            Ok(())
        } else {
            let why = "somebody else has changed the key manifest meanwhile, and nothing was \
                       written; look at `keys status`";
            Err(Failure::new(exit::UNAVAILABLE, why))
        }
    }
}

/// The manifest that a change builds on.
enum Base {
    /// It is the newest in the store.
    Stored(Manifest),
    /// The store has none: this one is written together with the change.
    Unwritten(Manifest),
}

impl Base {
    const fn manifest(&self) -> &Manifest {
        match self {
            Self::Stored(manifest) | Self::Unwritten(manifest) => manifest,
        }
    }
}

fn signed(manifest: &Manifest, key: &SigningKey) -> Result<SignedManifest, Failure> {
    let jws = manifest
        .signed(key)
        .map_err(|refused| Failure::new(exit::SOFTWARE, refused))?;
    Ok(SignedManifest {
        version: manifest.version(),
        jws,
    })
}

/// Replaces the key-encryption key, and moves every data key to the new one.
pub(super) async fn rotate(order: Rotate) -> Result<(), Failure> {
    let keys = Keys::open(&order.of).await?;
    if keys.configured.is_of_custodians().map_err(config_failure)? {
        let why = "a key of custodians is not replaced by `keys rotate`: see \"Replacing a key\" in \
                   pci-docs/keys.md; to change who its custodians are, run `keys split`";
        return Err(Failure::new(exit::CONFIG, why));
    }
    let mut lease = Lease::take(&keys).await?;
    let replaced = replace(&keys, &order, &mut lease).await;
    lease.release(&keys).await;
    let kek = replaced?;
    if order.prepare_only {
        keys.store.close().await.map_err(unavailable)?;
        let next = format_args!(
            "prepared {kek}: give every internal host its private half, then `keys rotate \
             --activate {kek}`"
        )
        .to_string();
        return print(if order.of.json {
            json!({ "prepared": kek.as_str() }).to_string()
        } else {
            next
        });
    }
    if !order.of.json {
        print(format_args!("{kek} is in service"))?;
    }
    ask_and_watch(&keys, &order.of, KeyWork::Rewrap, order.rows_per_s_max).await
}

/// Makes a key, or takes one that was prepared, and puts it in service unless it is only prepared.
async fn replace(keys: &Keys, order: &Rotate, lease: &mut Lease) -> Result<KekId, Failure> {
    let signing = keys.signing_key()?;
    let base = keys.manifest(&signing).await?;
    let (base, kek) = match &order.activate {
        Some(kek) => (base, named(kek)?),
        None => prepare(keys, &signing, base, order.key_arn.as_deref()).await?,
    };
    if order.prepare_only {
        return Ok(kek);
    }
    wait_for_holders(keys, (base.manifest(), &kek), order.wait_s, lease).await?;
    let activated = base
        .manifest()
        .activated(&kek, keys.clock.now())
        .map_err(|refused| Failure::new(exit::DATA, refused))?;
    keys.put(&base, &activated, (&signing, &kek), None).await?;
    Ok(kek)
}

/// Moves every token to fresh data keys.
pub(super) async fn reseal(order: Reseal) -> Result<(), Failure> {
    let keys = Keys::open(&order.of).await?;
    ask_and_watch(&keys, &order.of, KeyWork::Reseal, order.rows_per_s_max).await
}

/// Says what has become of a key that is out of service.
pub(super) async fn retire(order: Retire) -> Result<(), Failure> {
    let keys = Keys::open(&order.of).await?;
    let lease = Lease::take(&keys).await?;
    let retired = put_out(&keys, &order).await;
    lease.release(&keys).await;
    let (kek, to) = retired?;
    keys.store.close().await.map_err(unavailable)?;
    print(format_args!("{kek} is {}", to.name()))
}

async fn put_out(keys: &Keys, order: &Retire) -> Result<(KekId, KekState), Failure> {
    let signing = keys.signing_key()?;
    let base = keys.manifest(&signing).await?;
    let kek = named(&order.kek)?;
    let to = match order.state {
        Retired::Compromised => KekState::Compromised,
        Retired::Destroyed => KekState::Destroyed,
    };
    if to == KekState::Destroyed {
        let under = keys.store.under_keks().await.map_err(unavailable)?;
        if let Some(under) = under.iter().find(|under| under.kek == kek) {
            let why = format_args!(
                "{} data keys are still wrapped to {kek}: run `keys rotate` first",
                under.data_keys
            );
            return Err(Failure::new(exit::DATA, why));
        }
        if !order.despite_backups {
            backups_without(&keys.config, &kek)?;
        }
    }
    let retired = base
        .manifest()
        .retired(&kek, to, keys.clock.now())
        .map_err(|refused| Failure::new(exit::DATA, refused))?;
    keys.put(&base, &retired, (&signing, &kek), None).await?;
    Ok((kek, to))
}

/// Refuses where a backup is kept that needs the key, or where nobody can tell.
fn backups_without(config: &Config, kek: &KekId) -> Result<(), Failure> {
    if config.backup.is_none() || !backup::is_embedded(config) {
        return Ok(());
    }
    let listing = backup::archive(config)?.list();
    let needing = listing.needing(kek);
    let why = match (needing.first(), listing.faults.first()) {
        (Some(newest), _) => format!(
            "{} backups that are kept need {kek}, the newest {}: they could not be restored",
            needing.len(),
            newest.name
        ),
        (None, Some(fault)) => format!(
            "whether a backup needs {kek} cannot be told: {}: {}",
            fault.path.display(),
            fault.why
        ),
        (None, None) => return Ok(()),
    };
    let mend = "wait until they are gone, or give --despite-backups";
    Err(Failure::new(exit::DATA, format_args!("{why}; {mend}")))
}

/// Makes a further key, and puts it into the manifest with the canary that vouches for it.
async fn prepare(
    keys: &Keys,
    signing: &SigningKey,
    base: Base,
    key_arn: Option<&str>,
) -> Result<(Base, KekId), Failure> {
    let holder: Holder = keys.configured.make(key_arn).map_err(config_failure)?;
    let wrap = keys.configured.wrap_of(&holder).map_err(config_failure)?;
    let kek = wrap.kek().clone();
    let next = base
        .manifest()
        .with(&kek, holder, keys.clock.now())
        .map_err(|refused| Failure::new(exit::DATA, refused))?;
    let marking = marking(&keys.config).map_err(|refused| Failure::new(exit::CONFIG, refused))?;
    let sealer = Sealer::new(wrap, marking, DataKeyLimits::DEFAULT, keys.clock.clone());
    let canary = sealer
        .canary()
        .await
        .map_err(|failed| Failure::new(exit::UNAVAILABLE, failed))?;
    keys.put(&base, &next, (signing, &kek), Some(canary))
        .await?;
    Ok((Base::Stored(next), kek))
}

/// Whoever opens with the key in service must be able to open with the next one before anything is
/// wrapped to it.
async fn wait_for_holders(
    keys: &Keys,
    (manifest, next): (&Manifest, &KekId),
    wait_s: u32,
    lease: &mut Lease,
) -> Result<(), Failure> {
    let active = manifest.active().and_then(|active| active.kek().ok());
    let looks = u64::from(wait_s).saturating_mul(1_000) / LOOK_MS;
    let mut missing: Vec<String> = Vec::new();
    for _ in 0..=looks {
        lease.hold(keys).await?;
        let held = keys
            .store
            .held(keys.clock.now())
            .await
            .map_err(unavailable)?;
        let nodes = held
            .iter()
            .filter(|(_, kek)| Some(kek) == active.as_ref())
            .map(|(node, _)| node.clone());
        missing = nodes
            .filter(|node| !held.contains(&(node.clone(), next.clone())))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    let why = format_args!(
        "not in service yet: {} cannot open with {next}; give these hosts its private half, then \
         `keys rotate --activate {next}`",
        missing.join(", ")
    );
    Err(Failure::new(exit::UNAVAILABLE, why))
}

fn named(kek: &str) -> Result<KekId, Failure> {
    KekId::try_from(kek.to_owned()).map_err(|refused| Failure::new(exit::USAGE, refused))
}

fn unavailable(failure: crate::store::Failure) -> Failure {
    Failure::new(exit::UNAVAILABLE, failure)
}

fn config_failure(reason: String) -> Failure {
    Failure::new(exit::CONFIG, reason)
}
