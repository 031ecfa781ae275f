//! Wrapped data keys, and the canaries that vouch for the keys they are wrapped by.

use std::sync::Arc;

use super::connection::Connection;
use super::events::record;
use super::parse::Reading;
use super::row::{Cells, Column, Row, row};
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::{Canary, KekId, Sealed, SealedValue, WrappedDataKey};
use crate::token::{DataKeyId, Environment};

impl Store {
    /// Every canary, oldest key first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn canaries(&self) -> Result<Vec<Canary>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<CanaryRow> = query(
                    "SELECT key_canaries.kek, key_canaries.sealed, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
                       FROM key_canaries
                       JOIN data_keys ON data_keys.id = key_canaries.data_key_id
                      ORDER BY data_keys.created_at_ms, key_canaries.kek",
                )
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Which keys have a canary: all that the capture plane may know of them.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn canary_keks(&self) -> Result<Vec<KekId>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<(String,)> = query("SELECT kek FROM key_canaries ORDER BY kek")
                    .all(connection)
                    .await?;
                rows.into_iter()
                    .map(|(kek,)| {
                        let reading = Reading::new("key_canaries", &kek, environment);
                        reading.found("kek", KekId::try_from(kek.clone()).ok())
                    })
                    .collect()
            })
        })
        .await
    }

    /// Keeps a canary. Where the key has one already that one stays; either way the event is
    /// written.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn put_canary(&self, canary: Canary, event: Event) -> Result<(), Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                insert_canary(tx, environment, &canary).await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }

    /// Every wrapped data key, in the order of their ids, `limit` at a time, those behind `after`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn data_keys(
        &self,
        after: String,
        limit: u32,
    ) -> Result<Vec<WrappedDataKey>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<DataKeyRow> = query(
                    "SELECT id AS key_id, kek AS key_kek, wrapped AS key_wrapped, created_at_ms AS key_created_at_ms
                       FROM data_keys
                      WHERE id > $1
                      ORDER BY id
                      LIMIT $2",
                )
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// The wrapped data key of that id.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn data_key(&self, id: DataKeyId) -> Result<Option<WrappedDataKey>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move { find(connection, environment, id).await })
        })
        .await
    }
}

/// Writes a canary and its data key, unless the key-encryption key has a canary already.
pub(super) async fn insert_canary(
    tx: &mut Connection,
    environment: Environment,
    canary: &Canary,
) -> Result<(), Failure> {
    put_data_key(tx, environment, &canary.value.data_key).await?;
    query(
        "INSERT INTO key_canaries (kek, sealed, data_key_id)
         VALUES ($1, $2, $3)
             ON CONFLICT (kek) DO NOTHING",
    )
    .bind(canary.kek.as_str())
    .bind(canary.value.sealed.as_bytes())
    .bind(canary.value.data_key.id.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the data key beside the first value sealed under it, and holds each later one against
/// what is stored: a key of the same name with other bytes would leave a value nobody can open.
/// A key that was wrapped anew meanwhile, to another key-encryption key, is still that key.
pub(super) async fn put_data_key(
    tx: &mut Connection,
    environment: Environment,
    key: &WrappedDataKey,
) -> Result<(), Failure> {
    query(
        "INSERT INTO data_keys (id, kek, wrapped, created_at_ms)
         VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO NOTHING",
    )
    .bind(key.id.to_string())
    .bind(key.kek.as_str())
    .bind(key.wrapped.as_slice())
    .bind(key.created_at.unix_ms())
    .execute(&mut *tx)
    .await?;
    let stored = find(tx, environment, key.id).await?;
    let is_kept = stored.is_some_and(|stored| {
        stored.created_at == key.created_at && (stored.kek != key.kek || stored == *key)
    });
    if is_kept {
        Ok(())
    } else {
        Err(Failure::Inconsistent {
            table: "data_keys",
            column: "wrapped",
            row: key.id.to_string(),
        })
    }
}

async fn find(
    connection: &mut Connection,
    environment: Environment,
    id: DataKeyId,
) -> Result<Option<WrappedDataKey>, Failure> {
    let row: Option<DataKeyRow> = query(
        "SELECT id AS key_id, kek AS key_kek, wrapped AS key_wrapped, created_at_ms AS key_created_at_ms
           FROM data_keys
          WHERE id = $1",
    )
    .bind(id.to_string())
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

row! {
    /// The columns of a data key, also where they are joined to the row that needs it.
    #[expect(clippy::struct_field_names, reason = "they are the columns' names in every join")]
    pub(super) struct DataKeyRow {
        key_id: String,
        key_kek: String,
        key_wrapped: Vec<u8>,
        key_created_at_ms: i64,
    }
}

impl DataKeyRow {
    pub(super) fn read(self, environment: Environment) -> Result<WrappedDataKey, Failure> {
        let reading = Reading::new("data_keys", &self.key_id, environment);
        Ok(WrappedDataKey {
            id: reading.id("id", &self.key_id)?,
            kek: reading.found("kek", KekId::try_from(self.key_kek).ok())?,
            wrapped: self.key_wrapped,
            created_at: Timestamp::from_unix_ms(self.key_created_at_ms),
        })
    }
}

impl Column for DataKeyRow {
    fn read(cells: &mut Cells<'_>, _: Option<&'static str>) -> Result<Self, Failure> {
        Row::read(cells)
    }
}

row! {
    struct CanaryRow {
        kek: String,
        sealed: Vec<u8>,
        data_key: DataKeyRow,
    }
}

impl CanaryRow {
    fn read(self, environment: Environment) -> Result<Canary, Failure> {
        let row = self.kek.clone();
        let reading = Reading::new("key_canaries", &row, environment);
        Ok(Canary {
            kek: reading.found("kek", KekId::try_from(self.kek).ok())?,
            value: SealedValue {
                sealed: Sealed::from_bytes(self.sealed),
                data_key: Arc::new(self.data_key.read(environment)?),
            },
        })
    }
}
