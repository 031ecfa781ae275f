//! Where a writer's connections come from.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::connection::Connection;
use super::postgres::Cluster;
use super::sqlite::Database;

/// What opens the connections that write.
pub(super) enum Source {
    /// A file.
    Sqlite(Database),
    /// Whichever server is the primary.
    Postgres(Arc<Cluster>),
}

impl Source {
    /// A new connection, and the epoch that it is of.
    pub(super) async fn connect(&self) -> Result<(Connection, u64), Failure> {
        match self {
            Self::Sqlite(database) => Ok((database.to_write()?, 0)),
            Self::Postgres(cluster) => {
                let (connection, epoch) = cluster.connect().await?;
                Ok((connection.into(), epoch))
            }
        }
    }

    /// How long a batch may take before its connection is given up; none where the engine itself
    /// waits for nobody but the disk.
    pub(super) fn batch_timeout(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(cluster) => Some(cluster.batch_timeout()),
        }
    }

    /// How long an idle connection may take to say that it can still be used. A server that hangs
    /// says nothing at all.
    pub(super) fn sign_of_life_timeout(&self) -> Duration {
        match self {
            Self::Sqlite(_) => Duration::MAX,
            Self::Postgres(cluster) => cluster.connect_timeout(),
        }
    }

    /// Whether what is committed now is kept as often as was promised.
    pub(super) fn require_replicas(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(cluster) => cluster.require_replicas(),
        }
    }

    /// Another epoch means another primary: a connection of an earlier one is given up.
    pub(super) fn epoch(&self) -> u64 {
        match self {
            Self::Sqlite(_) => 0,
            Self::Postgres(cluster) => cluster.epoch(),
        }
    }

    /// A connection has failed.
    pub(super) fn lost(&self) {
        if let Self::Postgres(cluster) = self {
            cluster.lost();
        }
    }
}
