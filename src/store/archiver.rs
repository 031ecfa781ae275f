//! How far PostgreSQL's archiver has come: what a backup lacks without its log is lost.

use super::sql::query;
use super::{Failure, Readers, Store};
use crate::clock::Timestamp;

/// What the primary says of its archiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archiver {
    /// Whether `archive_mode` is on.
    pub is_on: bool,
    /// When a segment of the log was last archived.
    pub archived_at: Option<Timestamp>,
    /// When one last could not be.
    pub failed_at: Option<Timestamp>,
}

impl Archiver {
    /// Whether the last try failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failed_at > self.archived_at
    }
}

impl Store {
    /// What the primary says of its archiver; nothing where the engine has none.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn archiver(&self) -> Result<Option<Archiver>, Failure> {
        if matches!(self.readers, Readers::Sqlite(_)) {
            return Ok(None);
        }
        self.read(|connection| {
            Box::pin(async move {
                let (is_on, archived_ms, failed_ms): (bool, Option<i64>, Option<i64>) = query(
                    "SELECT current_setting('archive_mode') <> 'off',
                            CAST(EXTRACT(EPOCH FROM last_archived_time) * 1000 AS BIGINT),
                            CAST(EXTRACT(EPOCH FROM last_failed_time) * 1000 AS BIGINT)
                       FROM pg_stat_archiver",
                )
                .one(connection)
                .await?;
                Ok(Some(Archiver {
                    is_on,
                    archived_at: archived_ms.map(Timestamp::from_unix_ms),
                    failed_at: failed_ms.map(Timestamp::from_unix_ms),
                }))
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archiver_fails_while_its_last_try_did() {
        let at = |ms: Option<i64>| ms.map(Timestamp::from_unix_ms);
        let archiver = |archived_ms, failed_ms| Archiver {
            is_on: true,
            archived_at: at(archived_ms),
            failed_at: at(failed_ms),
        };
        assert!(!archiver(None, None).is_failing());
        assert!(!archiver(Some(2), Some(1)).is_failing());
        assert!(archiver(Some(1), Some(2)).is_failing());
        assert!(archiver(None, Some(1)).is_failing());
    }
}
