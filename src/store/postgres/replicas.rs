//! The promise of how many copies there are, looked at once a second.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::Cluster;
use crate::store::{Cause, Failure};

const INTERVAL: Duration = Duration::from_secs(1);

/// How many synchronous replicas there must be, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// As the configuration promises.
    pub required: u32,
    /// Attached and synchronous at the last look.
    pub attached: u32,
}

impl Replication {
    /// Whether the promise is kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.attached >= self.required
    }
}

impl Cluster {
    /// Looks once, and goes on looking until the cluster is gone; nothing to do where nothing is
    /// promised.
    pub(super) async fn watch_replicas(self: &Arc<Self>) -> Result<(), Failure> {
        if self.settings().require_synchronous_replicas == 0 {
            return Ok(());
        }
        let attached = self.attached().await?;
        self.note(attached);
        let cluster = Arc::downgrade(self);
        drop(tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(cluster) = cluster.upgrade() else {
                    return;
                };
                // Whoever cannot be asked has none.
                let attached = cluster.attached().await.unwrap_or(0);
                cluster.note(attached);
            }
        }));
        Ok(())
    }

    /// Refuses a write where fewer copies would be made than were promised.
    pub(in crate::store) fn require_replicas(&self) -> Result<(), Failure> {
        let Replication { required, attached } = self.replication();
        if attached >= required {
            Ok(())
        } else {
            Err(Failure::Unavailable(Cause::NotReplicated {
                required,
                attached,
            }))
        }
    }

    fn note(&self, attached: u32) {
        let required = self.settings().require_synchronous_replicas;
        self.replication.send_if_modified(|replication| {
            let changed = replication.attached != attached;
            if changed && attached < required {
                tracing::error!(
                    required,
                    attached,
                    "too few synchronous replicas: writes are refused"
                );
            }
            replication.attached = attached;
            changed
        });
    }

    /// Needs the right to see every column of `pg_stat_replication`: `pg_read_all_stats`.
    async fn attached(&self) -> Result<u32, Failure> {
        let mut connection = self.connect().await?;
        let attached: i64 = sqlx::query_scalar(
            "SELECT count(*)
               FROM pg_stat_replication
              WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')",
        )
        .fetch_one(&mut connection)
        .await?;
        sqlx::Connection::close(connection).await?;
        Ok(u32::try_from(attached).unwrap_or(0))
    }
}
