//! The rows that rotation moves: which are left, and what they become.

use super::row::SealedColumns;
use super::{Progress, ToReseal, advance};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::mac::Mark;
use crate::seal::{KekId, SealedValue, WrappedDataKey};
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::keys::{DataKeyRow, put_data_key};
use crate::store::sql::query;
use crate::store::{Failure, Store};

/// What a token's value becomes.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// The value under a fresh data key.
    pub value: SealedValue,
    /// The keyed hash of the processor's name of the card; none of a token that was deleted.
    pub reference: Option<Mark>,
}

impl Store {
    /// Data keys that are wrapped to another key than `active`, in the order of ids.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn to_rewrap(
        &self,
        active: KekId,
        after: String,
        limit: u32,
    ) -> Result<Vec<WrappedDataKey>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<DataKeyRow> = query(
                    "SELECT id AS key_id, kek AS key_kek, wrapped AS key_wrapped, created_at_ms AS key_created_at_ms
                       FROM data_keys
                      WHERE kek <> $1 AND id > $2
                      ORDER BY id
                      LIMIT $3",
                )
                .bind(active.as_str())
                .bind(after)
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Puts data keys, wrapped anew, in the place of what they were; one that has changed meanwhile
    /// stays as it is.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn rewrapped(
        &self,
        pairs: Vec<(WrappedDataKey, WrappedDataKey)>,
        progress: Progress,
        event: Event,
    ) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut moved: i64 = 0;
                for (old, new) in pairs {
                    let written = query(
                        "UPDATE data_keys
                            SET kek = $1, wrapped = $2
                          WHERE id = $3 AND kek = $4 AND wrapped = $5",
                    )
                    .bind(new.kek.as_str())
                    .bind(new.wrapped)
                    .bind(old.id.to_string())
                    .bind(old.kek.as_str())
                    .bind(old.wrapped)
                    .execute(&mut *tx)
                    .await?;
                    moved = moved.saturating_add(i64::from(written == 1));
                }
                advance(tx, &progress, moved).await?;
                record(tx, event);
                Ok(())
            })
        })
        .await
    }

    /// Tokens in the order of ids, whose values were sealed under data keys of before `before`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn to_reseal(
        &self,
        before: Timestamp,
        after: String,
        limit: u32,
    ) -> Result<Vec<ToReseal>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<SealedColumns> = query(
                    "SELECT tokens.id, tokens.account, tokens.customer_ref, tokens.usage, tokens.sealed, data_keys.id AS key_id, data_keys.kek AS key_kek, data_keys.wrapped AS key_wrapped, data_keys.created_at_ms AS key_created_at_ms
                       FROM tokens
                       JOIN data_keys ON data_keys.id = tokens.data_key_id
                      WHERE tokens.id > $1 AND data_keys.created_at_ms < $2
                      ORDER BY tokens.id
                      LIMIT $3",
                )
                .bind(after)
                .bind(before.unix_ms())
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }

    /// Puts values, sealed anew, in the place of what they were; one that has changed meanwhile,
    /// or was erased, stays as it is. Each is an event of its own: the value was opened.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn resealed(
        &self,
        values: Vec<(ToReseal, Resealed)>,
        progress: Progress,
        events: Vec<Event>,
    ) -> Result<(), Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut moved: i64 = 0;
                for (old, new) in values {
                    put_data_key(tx, environment, &new.value.data_key).await?;
                    moved = moved.saturating_add(i64::from(reseal(tx, &old, &new).await?));
                }
                advance(tx, &progress, moved).await?;
                for event in events {
                    record(tx, event);
                }
                Ok(())
            })
        })
        .await
    }
}

async fn reseal(tx: &mut Connection, old: &ToReseal, new: &Resealed) -> Result<bool, Failure> {
    let Resealed { value, reference } = new;
    let written = match &old.sealed {
        Some(sealed) => {
            query(
                "UPDATE tokens
                    SET sealed = $1, data_key_id = $2, reference_mac = COALESCE($3, reference_mac)
                  WHERE id = $4 AND sealed = $5",
            )
            .bind(value.sealed.as_bytes())
            .bind(value.data_key.id.to_string())
            .bind(reference.map(|mark| mark.now.to_vec()))
            .bind(old.token.to_string())
            .bind(sealed.as_bytes())
            .execute(tx)
            .await?
        }
        None => {
            query(
                "UPDATE tokens
                    SET data_key_id = $1
                  WHERE id = $2 AND sealed IS NULL",
            )
            .bind(value.data_key.id.to_string())
            .bind(old.token.to_string())
            .execute(tx)
            .await?
        }
    };
    Ok(written == 1)
}
