//! `cloakroom keys repair`: data keys under a key that the manifest does not name go, so that a
//! process starts again.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::super::{Failure, exit, print};
use super::lease::Lease;
use super::{Keys, Of, unavailable};
use crate::audit::Action;
use crate::seal::KekId;
use crate::seal::manifest::Entry;
use crate::store::{Repaired, Stranger};

#[derive(Debug, Args)]
pub(in crate::cli) struct Repair {
    #[command(flatten)]
    of: Of,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why: the audit log keeps it.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

/// Removes the data keys under keys that the manifest does not name, unless something is sealed under
/// one of them.
pub(in crate::cli) async fn repair(order: Repair) -> Result<(), Failure> {
    let keys = Keys::open(&order.of).await?;
    if order.dry_run {
        let named = named(&keys).await?;
        let found = keys.store.strangers(named).await.map_err(unavailable)?;
        keys.store.close().await.map_err(unavailable)?;
        return in_use(&found).map_or_else(|| said(&order, &found), Err);
    }
    let lease = Lease::take(&keys).await?;
    let removed = remove(&keys, &order.reason).await;
    lease.release(&keys).await;
    let removed = removed?;
    keys.store.close().await.map_err(unavailable)?;
    said(&order, &removed)
}

/// Removes what nothing is sealed under.
async fn remove(keys: &Keys, reason: &str) -> Result<Vec<Stranger>, Failure> {
    let found = keys.store.strangers(named(keys).await?).await;
    let found = found.map_err(unavailable)?;
    let events = found.into_iter().map(|Stranger { kek, .. }| {
        let event = keys.event(Action::KeysRepaired, &format!("{kek}: {reason}"));
        (kek, event)
    });
    let removed = keys.store.remove_strangers(events.collect()).await;
    match removed {
        Ok(Repaired::Removed(removed)) => Ok(removed),
        Ok(Repaired::InUse(found)) => {
            Err(in_use(&found).unwrap_or_else(|| Failure::new(exit::SOFTWARE, "nothing is in use")))
        }
        // A plane's role may not remove a canary.
        Err(failure) => Err(Failure::new(
            exit::UNAVAILABLE,
            format_args!(
                "{failure}; nothing was removed. On PostgreSQL run it once with a configuration \
                 whose login is the schema's owner, as for `migrate`"
            ),
        )),
    }
}

/// The keys of the manifest; without one, the configured key.
async fn named(keys: &Keys) -> Result<BTreeSet<KekId>, Failure> {
    let base = keys.manifest(&keys.signing_key()?).await?;
    let named = base.manifest().keks().iter().map(Entry::kek);
    named
        .collect::<Result<_, _>>()
        .map_err(|refused| Failure::new(exit::DATA, refused))
}

/// That something is sealed under one of them; nothing where nothing is.
fn in_use(found: &[Stranger]) -> Option<Failure> {
    let used = found.iter().filter(|stranger| !stranger.sealed.is_empty());
    let each = used.map(|Stranger { kek, sealed, .. }| {
        let rows = sealed
            .iter()
            .map(|(table, rows)| format!("{rows} of {table}"));
        format!("{} under {kek}", rows.collect::<Vec<_>>().join(", "))
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| {
        let why = format_args!(
            "rows are sealed there, and nothing was removed: {}. Bring that key back, or the \
             manifest that names it",
            each.join("; ")
        );
        Failure::new(exit::DATA, why)
    })
}

fn said(order: &Repair, found: &[Stranger]) -> Result<(), Failure> {
    if order.of.json {
        let each = found.iter().map(|stranger| {
            json!({
                "kek": stranger.kek.as_str(),
                "data_keys": stranger.data_keys,
                "canaries": stranger.canaries,
            })
        });
        let name = if order.dry_run {
            "would_remove"
        } else {
            "removed"
        };
        return print(json!({ name: each.collect::<Vec<Value>>() }));
    }
    if found.is_empty() {
        return print("every data key is under a key of the manifest");
    }
    let did = if order.dry_run {
        "would remove"
    } else {
        "removed"
    };
    for stranger in found {
        print(format_args!(
            "{did} {} data keys and {} canaries under {}, under which nothing is sealed",
            stranger.data_keys, stranger.canaries, stranger.kek
        ))?;
    }
    Ok(())
}
