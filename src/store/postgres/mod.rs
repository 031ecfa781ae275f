//! PostgreSQL 15 and later: a few writers that group commits, a pool that reads, and whichever
//! server is the primary.
//!
//! # What a synchronous PostgreSQL may not make us say
//!
//! Three answers of a server that replicates synchronously look like success and are none; each was
//! reproduced, and each has a test that shows the trap without our guard.
//!
//! - **A canceled commit.** Canceling a commit that waits for its replica answers success with a
//!   warning. So nothing here ever cancels: a batch that takes too long is given up with its
//!   connection, and is nobody's success.
//! - **A replay that writes nothing** waits for no replica. So every replay is a write.
//! - **A read of what is not replicated.** After a crash in place such rows are there to be read. So
//!   every new connection that reads makes one synchronous write first, and what it reads from then
//!   on was replicated before that write.
//!
//! A primary that was left behind goes on answering reads. So every server is asked once a second,
//! and a connection of before the last change of the primary answers nothing.
//!
//! Read `cluster` for which server is asked, `readers` for the pool, `replicas` for the promise of
//! how many copies there are.

mod cluster;
mod readers;
mod replicas;
mod role;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connection::{Connection, Link};
use super::source::Source;
use super::writer::Writer;
use super::{Failure, Settings, schema};

pub(super) use cluster::Cluster;
pub use cluster::PrimaryServer;
pub(super) use readers::Readers;
pub use replicas::Replication;
pub use role::Duty;

/// Where the database is and how it is asked.
#[derive(Clone)]
pub struct Postgres {
    /// The servers, any of which may be the primary.
    pub hosts: Vec<Host>,
    /// The database.
    pub database: String,
    /// The user that serves.
    pub user: String,
    /// What it serves; a login that may do more is refused.
    pub duty: Duty,
    /// Its password; none where the server knows the user otherwise.
    pub password: Option<Zeroizing<String>>,
    /// The authorities that a server's certificate may come from; every server over TCP needs one.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to be made.
    pub connect_timeout_ms: u32,
    /// How long a statement may take; never a commit.
    pub statement_timeout_ms: u32,
    /// How long a statement waits for a row that another transaction holds.
    pub lock_timeout_ms: u32,
    /// How long a batch may take with its commit, replicas included, before it is given up.
    pub batch_timeout_ms: u32,
    /// Connections that write.
    pub writers_max: u32,
    /// Replicas that must be attached and synchronous; with fewer, nothing is written.
    pub require_synchronous_replicas: u32,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Over TCP, and so over TLS with full verification.
    Tcp {
        /// Its name, which its certificate must bear.
        name: String,
        /// Its port.
        port: u16,
    },
    /// The directory of its Unix socket, and the port in the socket's name.
    Socket {
        /// The directory.
        directory: PathBuf,
        /// The port.
        port: u16,
    },
}

impl Host {
    /// What the log and the metrics call it.
    fn name(&self) -> String {
        match self {
            Self::Tcp { name, port } => format!("{name}:{port}"),
            Self::Socket { directory, port } => format!("{}:{port}", directory.display()),
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Opens an existing database whose schema is exactly the one this build knows.
pub(super) async fn open(
    settings: &Settings,
    postgres: &Postgres,
) -> Result<(Writer, Readers), Failure> {
    let cluster = Arc::new(Cluster::new(postgres.clone()));
    let (first, _) = cluster.connect().await?;
    let mut first: Connection = first.into();
    schema::check(&mut first).await?;
    if let Link::Postgres(link) = first.link() {
        role::check(link, postgres.duty).await?;
    }
    cluster.watch().await?;
    let mut connections = vec![Some(first)];
    // The others are made when they are needed.
    connections.resize_with(
        usize::try_from(postgres.writers_max.max(1)).unwrap_or(1),
        || None,
    );
    let source = Arc::new(Source::Postgres(Arc::clone(&cluster)));
    let writer = Writer::start(connections, &source, settings)?;
    Ok((writer, Readers::new(cluster, settings.readers_max)))
}

/// A connection that may change the schema.
pub(super) async fn to_migrate(postgres: &Postgres) -> Result<Connection, Failure> {
    let (connection, _) = Cluster::new(postgres.clone()).connect().await?;
    Ok(connection.into())
}

pub(super) fn milliseconds(limit: u32) -> Duration {
    Duration::from_millis(limit.into())
}
