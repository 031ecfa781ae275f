//! The key manifest as the store keeps it, and which process holds which key-encryption key.

use std::collections::BTreeSet;

use super::connection::Connection;
use super::events::{record, record_refused};
use super::keys::insert_canary;
use super::parse::{Reading, one_row};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::{Canary, KekId};
use crate::token::Environment;

/// A process that has not said for so long what it holds is not there any more.
const HOLDER_KEPT_MS: i64 = 60_000;

/// A process and a key-encryption key that it can open with.
pub type Held = (String, KekId);

/// One version of the manifest, under the manifest key's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// Which version it is.
    pub version: u32,
    /// The signed text.
    pub jws: String,
}

impl Store {
    /// The newest manifest: its version and its signed text.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn manifest(&self) -> Result<Option<(u32, String)>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let row: Option<(i64, String)> = query(
                    "SELECT version, jws
                       FROM key_manifests
                      ORDER BY version DESC
                      LIMIT 1",
                )
                .optional(connection)
                .await?;
                row.map(|(version, jws)| {
                    let row = version.to_string();
                    let reading = Reading::new("key_manifests", &row, environment);
                    let version = reading.found("version", u32::try_from(version).ok())?;
                    Ok((version, jws))
                })
                .transpose()
            })
        })
        .await
    }

    /// Appends versions, and the canary of the key that the last of them adds, in one transaction.
    /// False, an event of a refused act and nothing else, where somebody else has written the first
    /// of them meanwhile: no data key is left under a key that no manifest names.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn put_manifest(
        &self,
        versions: Vec<SignedManifest>,
        canary: Option<(Canary, Event)>,
        now: Timestamp,
        event: Event,
    ) -> Result<bool, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                for (at, manifest) in versions.into_iter().enumerate() {
                    let is_ours = append(tx, &manifest, now).await?;
                    if !is_ours && at == 0 {
                        record_refused(tx, event);
                        return Ok(false);
                    }
                    if !is_ours {
                        // Versions have no gaps, so nobody can have written only a later one.
                        return Err(Failure::Inconsistent {
                            table: "key_manifests",
                            column: "version",
                            row: manifest.version.to_string(),
                        });
                    }
                }
                if let Some((canary, made)) = canary {
                    insert_canary(tx, environment, &canary).await?;
                    record(tx, made);
                }
                record(tx, event);
                Ok(true)
            })
        })
        .await
    }

    /// Notes which keys a process can open with now, and forgets processes that are gone.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn note_held(
        &self,
        node: String,
        keks: Vec<KekId>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query(
                    "DELETE FROM kek_holders
                      WHERE node = $1 OR seen_at_ms < $2",
                )
                .bind(&node)
                .bind(now.unix_ms().saturating_sub(HOLDER_KEPT_MS))
                .execute(&mut *tx)
                .await?;
                for kek in keks {
                    let written = query(
                        "INSERT INTO kek_holders (node, kek, seen_at_ms)
                         VALUES ($1, $2, $3)",
                    )
                    .bind(&node)
                    .bind(kek.as_str())
                    .bind(now.unix_ms())
                    .execute(&mut *tx)
                    .await?;
                    one_row(written, "kek_holders", &kek)?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Which process that is still there holds what.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn held(&self, now: Timestamp) -> Result<BTreeSet<Held>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<(String, String)> = query(
                    "SELECT node, kek
                       FROM kek_holders
                      WHERE seen_at_ms >= $1",
                )
                .bind(now.unix_ms().saturating_sub(HOLDER_KEPT_MS))
                .all(connection)
                .await?;
                rows.into_iter()
                    .map(|(node, kek)| {
                        let reading = Reading::new("kek_holders", &node, environment);
                        let kek = reading.found("kek", KekId::try_from(kek).ok())?;
                        Ok((node, kek))
                    })
                    .collect()
            })
        })
        .await
    }

    /// How many data keys are wrapped to each key-encryption key, and how many tokens stand under
    /// them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn under_keks(&self) -> Result<Vec<UnderKek>, Failure> {
        let environment = self.environment;
        self.read(move |connection| Box::pin(async move { under(connection, environment).await }))
            .await
    }
}

async fn append(
    tx: &mut Connection,
    manifest: &SignedManifest,
    now: Timestamp,
) -> Result<bool, Failure> {
    let written = query(
        "INSERT INTO key_manifests (version, jws, created_at_ms)
         VALUES ($1, $2, $3)
             ON CONFLICT (version) DO NOTHING",
    )
    .bind(manifest.version)
    .bind(manifest.jws.as_str())
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    Ok(written == 1)
}

/// What stands under a key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderKek {
    /// The key.
    pub kek: KekId,
    /// Data keys wrapped to it.
    pub data_keys: i64,
    /// Tokens sealed under those, without the deleted.
    pub tokens: i64,
}

async fn under(
    connection: &mut Connection,
    environment: Environment,
) -> Result<Vec<UnderKek>, Failure> {
    let rows: Vec<(String, i64, i64)> = query(
        "SELECT kek, COUNT(*), CAST(COALESCE(SUM(values_under), 0) AS BIGINT)
           FROM (
                SELECT data_keys.kek AS kek,
                       (SELECT COUNT(*)
                          FROM tokens
                         WHERE tokens.data_key_id = data_keys.id
                           AND tokens.status <> 'deleted') AS values_under
                  FROM data_keys) AS counted
          GROUP BY kek
          ORDER BY kek",
    )
    .all(connection)
    .await?;
    rows.into_iter()
        .map(|(kek, data_keys, tokens)| {
            let reading = Reading::new("data_keys", &kek, environment);
            Ok(UnderKek {
                kek: reading.found("kek", KekId::try_from(kek.clone()).ok())?,
                data_keys,
                tokens,
            })
        })
        .collect()
}
