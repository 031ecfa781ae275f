//! Whether the log goes on where it was last known to be: from outside of the database, or from
//! this process's own signature.
//!
//! A database that is older than what was signed of it charges and refunds again what it has
//! forgotten, and one with another history has been rewritten. Neither is signed or acted on, until
//! an operator accepts it with a reason, which begins a new epoch of the log.

use super::AuditLog;
use crate::audit::note::Epoch;
use crate::audit::sink::Attested;
use crate::audit::tree::Edge;
use crate::service::Refused;
use crate::store::{Failure, Store};

/// Leaves that are read together.
const PAGE_LEAVES_MAX: u32 = 10_000;

/// How far the log is known, and under which key manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) edge: Edge,
    pub(super) epoch: Epoch,
    pub(super) key_manifest: Option<u32>,
}

/// The database is not the one that was known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Differs {
    #[error("the audit log has {size} events and had {known}: the database is an older one")]
    Older { size: u64, known: u64 },
    #[error(
        "the audit log's first {known} events are not those that were signed: it was rewritten"
    )]
    Rewritten { known: u64 },
    #[error(
        "the key manifest is version {version} and was {known}: the database is an older one, or \
         keys that were retired are back in use"
    )]
    KeyManifest { version: u32, known: u32 },
}

/// Why the log is not known to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    #[error(transparent)]
    Store(#[from] Failure),
    #[error(transparent)]
    Differs(#[from] Differs),
}

/// The database as it stands.
pub(super) struct Present {
    pub(super) head: Edge,
    key_manifest: KeyManifest,
    /// Its newest checkpoint, where the log's key has signed it.
    kept: Option<Attested>,
}

/// The key manifest that the database claims.
enum KeyManifest {
    /// The manifest key has signed it; none where there is none.
    Version(Option<u32>),
    /// It has not, or there is no key to check it with: it says nothing.
    Unproven,
}

impl Present {
    pub(super) async fn read(store: &Store, log: &AuditLog) -> Result<Self, Failure> {
        let key_manifest = match store.manifest().await? {
            None => KeyManifest::Version(None),
            Some((version, jws)) if log.has_signed_manifest(version, &jws) => {
                KeyManifest::Version(Some(version))
            }
            Some(_) => KeyManifest::Unproven,
        };
        Ok(Self {
            head: store.log_head().await?,
            key_manifest,
            kept: kept(store, log).await?,
        })
    }

    /// What is known where nothing was.
    pub(super) fn into_known(self, epoch: Epoch) -> Known {
        let key_manifest = match self.key_manifest {
            KeyManifest::Version(version) => version,
            KeyManifest::Unproven => None,
        };
        Known {
            edge: self.head,
            epoch,
            key_manifest,
        }
    }
}

impl Known {
    /// What is known now that the database stands so: that it goes on from what was.
    pub(super) async fn follow(&self, store: &Store, present: Present) -> Result<Self, Unknown> {
        let known = self.edge.size();
        let size = present.head.size();
        if size < known {
            return Err(Differs::Older { size, known }.into());
        }
        let key_manifest = match present.key_manifest {
            KeyManifest::Unproven => self.key_manifest,
            KeyManifest::Version(version) => {
                let version = version.unwrap_or(0);
                if let Some(known) = self.key_manifest.filter(|known| version < *known) {
                    return Err(Differs::KeyManifest { version, known }.into());
                }
                Some(version).filter(|version| *version > 0)
            }
        };
        let grown = grow(store, self.edge.clone(), present.head.size()).await?;
        if grown.as_ref() != Some(&present.head) {
            return Err(Differs::Rewritten { known }.into());
        }
        Ok(Self {
            edge: present.head,
            epoch: self.epoch,
            key_manifest,
        })
    }
}

/// What is known now, after `known`: by this process, by what stands outside of the database, and by
/// the database's own newest checkpoint, which may begin an epoch that an operator accepted elsewhere.
/// What another process has signed counts although this one never saw it in the database.
pub(super) async fn next(store: &Store, log: &AuditLog, known: &Known) -> Result<Known, Unknown> {
    // Read first: what stands outside was in the database before.
    let outside = log.newest_outside().await;
    let present = Present::read(store, log).await?;
    let beyond = outside.into_iter().chain(present.kept.clone());
    let beyond = beyond.max_by_key(reach);
    let beyond = beyond.filter(|beyond| reach(beyond) > (known.epoch, known.edge.size()));
    let Some(beyond) = beyond else {
        return known.follow(store, present).await;
    };
    if beyond.checkpoint.epoch == known.epoch {
        known.follow(store, present).await?;
    }
    held_against(store, log, &beyond).await
}

/// The edge of the log's tree at `size`, which goes on from `edge`; nothing where a leaf is missing.
async fn grow(store: &Store, mut edge: Edge, size: u64) -> Result<Option<Edge>, Failure> {
    while edge.size() < size {
        let missing = size.saturating_sub(edge.size());
        let limit = u32::try_from(missing).map_or(PAGE_LEAVES_MAX, |n| n.min(PAGE_LEAVES_MAX));
        let leaves = store.leaves(edge.size(), limit).await?;
        if leaves.is_empty() {
            return Ok(None);
        }
        for leaf in leaves {
            edge.append(leaf);
        }
    }
    Ok(Some(edge))
}

/// What an operator has accepted.
#[derive(Clone, Debug)]
pub struct AcceptedRollback {
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub operator: String,
}

/// What came of looking at the start.
pub(super) enum Start {
    /// The log goes on, as far as anything is known of it.
    GoesOn(Option<Known>),
    /// It does not, and the operator has accepted that.
    Accepted(Known),
}

/// Holds the database against what is known of it at the start.
pub(super) async fn compare(
    store: &Store,
    log: &AuditLog,
    is_accepted: bool,
) -> Result<Start, Refused> {
    let refuse = |why: String| Refused::History(why);
    let unreadable = |failure: Failure| Refused::Store(failure.to_string());
    let Some(newest) = newest(store, log).await? else {
        return not_needed(is_accepted, None);
    };
    match held_against(store, log, &newest).await {
        Ok(known) => not_needed(is_accepted, Some(known)),
        Err(Unknown::Store(failure)) => Err(unreadable(failure)),
        Err(Unknown::Differs(differs)) if is_accepted => {
            tracing::error!(reason = %differs, "an operator has accepted that the database is not the one that was known");
            let present = Present::read(store, log).await.map_err(unreadable)?;
            let epoch = Epoch {
                number: newest.checkpoint.epoch.number.saturating_add(1),
                begins_at: present.head.size(),
            };
            Ok(Start::Accepted(present.into_known(epoch)))
        }
        Err(Unknown::Differs(differs)) => Err(refuse(format!(
            "{differs} ({}). Nothing is done on it: bring the right database, or start with \
             --accept-rollback REASON once, and run `cloakroom reconcile` then",
            newest.source
        ))),
    }
}

/// An option that is left in a unit would accept the next rollback too.
fn not_needed(is_accepted: bool, known: Option<Known>) -> Result<Start, Refused> {
    if is_accepted {
        let why = "there is no rollback to accept: start without --accept-rollback";
        return Err(Refused::History(why.to_owned()));
    }
    Ok(Start::GoesOn(known))
}

/// The newest checkpoint outside of the database, or the database's own where there is none outside,
/// or where another node has begun a new epoch.
async fn newest(store: &Store, log: &AuditLog) -> Result<Option<Attested>, Refused> {
    let Some((_, key)) = &log.signing else {
        return Ok(None);
    };
    let mut newest: Option<Attested> = None;
    for sink in &log.sinks {
        let copy = sink.newest(key).await.map_err(Refused::History)?;
        newest = newest.into_iter().chain(copy).max_by_key(reach);
    }
    let kept = kept(store, log).await;
    let kept = kept.map_err(|failure| Refused::Store(failure.to_string()))?;
    let is_outside_enough = |kept: &Attested| {
        newest
            .as_ref()
            .is_some_and(|outside| outside.checkpoint.epoch >= kept.checkpoint.epoch)
    };
    Ok(match kept {
        Some(kept) if !is_outside_enough(&kept) => Some(kept),
        Some(_) | None => newest,
    })
}

/// How far the log was when that was signed.
pub(super) const fn reach(attested: &Attested) -> (Epoch, u64) {
    (attested.checkpoint.epoch, attested.checkpoint.size)
}

/// The database's own newest checkpoint, where the log's key has signed it.
async fn kept(store: &Store, log: &AuditLog) -> Result<Option<Attested>, Failure> {
    let Some((_, key)) = &log.signing else {
        return Ok(None);
    };
    let kept = store.newest_checkpoint().await?;
    Ok(kept.and_then(|kept| {
        let source = "the store's own checkpoint".to_owned();
        Attested::open(key, &kept.note, kept.peaks.as_deref(), source)
    }))
}

/// What is known once the database has been held against that checkpoint.
async fn held_against(
    store: &Store,
    log: &AuditLog,
    attested: &Attested,
) -> Result<Known, Unknown> {
    let checkpoint = attested.checkpoint;
    let present = Present::read(store, log).await?;
    let size = present.head.size();
    if size < checkpoint.size {
        let known = checkpoint.size;
        return Err(Differs::Older { size, known }.into());
    }
    let edge = match &attested.edge {
        Some(edge) => Some(edge.clone()),
        None => grow(store, Edge::default(), checkpoint.size).await?,
    };
    let edge = edge.filter(|edge| edge.root() == checkpoint.root);
    let edge = edge.ok_or(Differs::Rewritten {
        known: checkpoint.size,
    })?;
    let known = Known {
        edge,
        epoch: checkpoint.epoch,
        key_manifest: checkpoint.key_manifest,
    };
    known.follow(store, present).await
}
