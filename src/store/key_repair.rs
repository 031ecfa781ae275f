//! Data keys under a key-encryption key that the manifest does not name, as two rotations at once by
//! an older version left them: a start is refused while there is one, and here it goes.

use std::collections::BTreeSet;

use super::connection::Connection;
use super::events::{record, record_refused};
use super::parse::Reading;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::seal::KekId;
use crate::token::Environment;

/// A key-encryption key that the manifest does not name, and what is under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The key.
    pub kek: KekId,
    /// Data keys wrapped to it.
    pub data_keys: i64,
    /// Canaries of its own, which vouch for nothing else.
    pub canaries: i64,
    /// Values that are sealed under those data keys: the table, and how many of its rows.
    pub sealed: Vec<(&'static str, i64)>,
}

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// What was there is gone.
    Removed(Vec<Stranger>),
    /// Something is sealed under one of them, so nothing was removed.
    InUse(Vec<Stranger>),
}

impl Store {
    /// What stands under keys that are none of `named`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn strangers(&self, named: BTreeSet<KekId>) -> Result<Vec<Stranger>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move { strangers(connection, environment, &named).await })
        })
        .await
    }

    /// Removes the data keys under these keys, with the keys' own canaries, unless a value is sealed
    /// under one of them; with the event of each.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn remove_strangers(&self, keks: Vec<(KekId, Event)>) -> Result<Repaired, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut found = Vec::with_capacity(keks.len());
                for (kek, _) in &keks {
                    found.push(under(tx, kek.clone()).await?);
                }
                let in_use = found.iter().any(|stranger| !stranger.sealed.is_empty());
                for ((_, event), stranger) in keks.into_iter().zip(&found) {
                    if in_use {
                        record_refused(tx, event);
                    } else {
                        remove(tx, stranger).await?;
                        record(tx, event);
                    }
                }
                Ok(if in_use {
                    Repaired::InUse(found)
                } else {
                    Repaired::Removed(found)
                })
            })
        })
        .await
    }
}

async fn strangers(
    connection: &mut Connection,
    environment: Environment,
    named: &BTreeSet<KekId>,
) -> Result<Vec<Stranger>, Failure> {
    let rows: Vec<(String,)> = query("SELECT DISTINCT kek FROM data_keys ORDER BY kek")
        .all(connection)
        .await?;
    let mut found = Vec::new();
    for (kek,) in rows {
        let reading = Reading::new("data_keys", &kek, environment);
        let kek = reading.found("kek", KekId::try_from(kek.clone()).ok())?;
        if !named.contains(&kek) {
            found.push(under(connection, kek).await?);
        }
    }
    Ok(found)
}

async fn under(connection: &mut Connection, kek: KekId) -> Result<Stranger, Failure> {
    let (data_keys, canaries, others, tokens, orphans): (i64, i64, i64, i64, i64) = query(
        "SELECT (SELECT COUNT(*) FROM data_keys WHERE kek = $1),
                (SELECT COUNT(*) FROM key_canaries c JOIN data_keys d ON d.id = c.data_key_id WHERE d.kek = $1 AND c.kek = $1),
                (SELECT COUNT(*) FROM key_canaries c JOIN data_keys d ON d.id = c.data_key_id WHERE d.kek = $1 AND c.kek <> $1),
                (SELECT COUNT(*) FROM tokens t JOIN data_keys d ON d.id = t.data_key_id WHERE d.kek = $1),
                (SELECT COUNT(*) FROM orphans o JOIN data_keys d ON d.id = o.data_key_id WHERE d.kek = $1)",
    )
    .bind(kek.as_str())
    .one(connection)
    .await?;
    let sealed = [
        ("tokens", tokens),
        ("orphans", orphans),
        ("key_canaries", others),
    ];
    Ok(Stranger {
        kek,
        data_keys,
        canaries,
        sealed: sealed.into_iter().filter(|(_, rows)| *rows > 0).collect(),
    })
}

async fn remove(tx: &mut Connection, stranger: &Stranger) -> Result<(), Failure> {
    // Only where there is one: a plane's login may not, and the schema's owner may.
    if stranger.canaries > 0 {
        query("DELETE FROM key_canaries WHERE kek = $1")
            .bind(stranger.kek.as_str())
            .execute(&mut *tx)
            .await?;
    }
    query("DELETE FROM data_keys WHERE kek = $1")
        .bind(stranger.kek.as_str())
        .execute(tx)
        .await?;
    Ok(())
}
