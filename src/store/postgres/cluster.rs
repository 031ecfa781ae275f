//! Which of the servers is the primary, and connections to it.
//!
//! Every server is asked at once. The one that is not in recovery, with the highest timeline, is the
//! primary; one whose timeline is lower than one seen before is a primary that was left behind, and
//! is never written to again. Neither sqlx nor the wire protocol does this for us.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::watch;

use super::replicas::Replication;
use super::{Host, Postgres, milliseconds};
use crate::store::{Cause, Failure};

/// Which history a primary writes. The control file learns of a promotion's timeline only with the
/// next checkpoint; the name of the log that is being written bears it at once.
pub(super) const INCARNATION: &str = "SELECT system_identifier AS system,
            ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline
       FROM pg_control_system()";

/// How `pg_stat_activity` names us.
const APPLICATION_NAME: &str = "cloakroom";

/// The servers, and what is known of them.
pub(in crate::store) struct Cluster {
    settings: Postgres,
    known: Mutex<Known>,
    pub(super) replication: watch::Sender<Replication>,
}

/// How often every server is asked which is the primary.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two lines of the log about one server that cannot serve.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the servers.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The primary's place among the hosts, until it fails.
    primary: Option<usize>,
    /// The primary that was accepted last, which may have failed since.
    last: Option<usize>,
    /// The highest timeline that a primary had, and whose database it is.
    highest: Option<Incarnation>,
    /// Goes up whenever another server, or another history, becomes the primary. A connection of
    /// an earlier epoch is to a server that may have been left behind.
    epoch: u64,
    /// When the log last had a line about a host.
    complained: BTreeMap<usize, Instant>,
}

/// The primary as it was last accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryServer {
    /// Its name in the configuration, or its socket's directory.
    pub host: String,
    /// Its timeline; each promotion begins one.
    pub timeline: u32,
    /// How often the primary has changed since the process began.
    pub changes: u64,
}

/// A history of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Incarnation {
    system: i64,
    timeline: i32,
}

impl Incarnation {
    /// Whether a server has this history, or one that goes on from it.
    const fn goes_on_in(self, other: &Primary) -> bool {
        let Self { system, timeline } = other.incarnation;
        self.system == system && self.timeline <= timeline
    }
}

/// A server that answered.
struct Primary {
    host: usize,
    incarnation: Incarnation,
    connection: PgConnection,
}

impl Cluster {
    pub(super) fn new(settings: Postgres) -> Self {
        let replication = Replication {
            required: settings.require_synchronous_replicas,
            attached: 0,
            awaited: 0,
        };
        Self {
            settings,
            known: Mutex::default(),
            replication: watch::Sender::new(replication),
        }
    }

    pub(super) const fn settings(&self) -> &Postgres {
        &self.settings
    }

    /// How long a batch may take before its connection is given up.
    pub(in crate::store) fn batch_timeout(&self) -> Duration {
        milliseconds(self.settings.batch_timeout_ms)
    }

    /// How long a connection may take to be made, or to show that it lives.
    pub(in crate::store) fn connect_timeout(&self) -> Duration {
        milliseconds(self.settings.connect_timeout_ms)
    }

    /// The present epoch: another one means another primary.
    pub(in crate::store) fn epoch(&self) -> u64 {
        self.known().epoch
    }

    /// The primary as it was last accepted.
    pub(in crate::store) fn primary(&self) -> Option<PrimaryServer> {
        let known = self.known();
        Some(PrimaryServer {
            host: self.settings.hosts.get(known.last?)?.name(),
            timeline: u32::try_from(known.highest?.timeline).unwrap_or(0),
            // The first one is no change.
            changes: known.epoch.saturating_sub(1),
        })
    }

    /// Whether so many replicas are attached as were promised.
    pub(in crate::store) fn replication(&self) -> Replication {
        *self.replication.borrow()
    }

    /// The primary has failed somebody: the next connection looks for it anew.
    pub(in crate::store) fn lost(&self) {
        self.known().primary = None;
    }

    /// A connection to the primary that may write, and the epoch that it is of.
    pub(in crate::store) async fn connect(&self) -> Result<(PgConnection, u64), Failure> {
        let known = self.known().clone();
        if let Some(host) = known.primary {
            // What was the primary may have become something else.
            if let Ok(primary) = self.ask(host).await
                && let Some(epoch) = self.accept(&primary)
            {
                return Ok((primary.connection, epoch));
            }
            self.lost();
        }
        self.look().await
    }

    /// Asks every server, and takes the primary.
    async fn look(&self) -> Result<(PgConnection, u64), Failure> {
        let asked = (0..self.settings.hosts.len()).map(|host| self.ask(host));
        let (last, highest) = {
            let known = self.known();
            (known.last, known.highest)
        };
        let mut primary: Option<Primary> = None;
        let mut failure = Failure::Unavailable(Cause::NoPrimary);
        for (host, answer) in join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(other) if highest.is_some_and(|highest| !highest.goes_on_in(&other)) => {
                    failure = Failure::Unavailable(Cause::LeftBehind);
                    self.complain(host, &failure);
                }
                Ok(other) => {
                    // Two names may lead to one server: it is not another one each time.
                    let rank = |primary: &Primary| {
                        (primary.incarnation.timeline, Some(primary.host) == last)
                    };
                    if primary
                        .as_ref()
                        .is_none_or(|known| rank(known) < rank(&other))
                    {
                        primary = Some(other);
                    }
                }
                Err(why) => {
                    self.complain(host, &why);
                    failure = why;
                }
            }
        }
        let primary = primary.ok_or(failure)?;
        match self.accept(&primary) {
            Some(epoch) => Ok((primary.connection, epoch)),
            None => Err(Failure::Unavailable(Cause::NoPrimary)),
        }
    }

    /// Says why a server is not the primary: rarely, since a standby is asked every second and is
    /// one for as long as all is well.
    fn complain(&self, host: usize, why: &Failure) {
        let standby = matches!(why, Failure::Unavailable(Cause::ReadOnly));
        let now = Instant::now();
        let mut known = self.known();
        let is_new = known
            .complained
            .get(&host)
            .is_none_or(|at| now.duration_since(*at) >= COMPLAINT_INTERVAL);
        if standby || !is_new {
            return;
        }
        known.complained.insert(host, now);
        drop(known);
        let host = self.settings.hosts.get(host).map(Host::name);
        tracing::warn!(host, failure = %why, "a database server cannot serve as the primary");
    }

    /// Looks at every server now, and once a second until the cluster is gone: who reads or writes
    /// at a primary that was left behind would otherwise learn of the new one by a failure, which
    /// a server that still answers does not give.
    pub(super) async fn watch(self: &Arc<Self>) -> Result<(), Failure> {
        let (mut connection, _) = self.look().await?;
        self.note_replicas(Some(self.replicas(&mut connection).await?));
        sqlx::Connection::close(connection).await?;
        let cluster = Arc::downgrade(self);
        drop(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let Some(cluster) = cluster.upgrade() else {
                    return;
                };
                // A server that freezes between two answers says nothing at all.
                let limit = cluster.connect_timeout().saturating_mul(2);
                let looked = tokio::time::timeout(limit, cluster.look_again()).await;
                // Who cannot be asked has no replicas.
                cluster.note_replicas(looked.ok().and_then(Result::ok));
            }
        }));
        Ok(())
    }

    async fn look_again(&self) -> Result<(u32, u32), Failure> {
        let (mut connection, _) = self.look().await?;
        let replicas = self.replicas(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        Ok(replicas)
    }

    /// Remembers the primary, unless it was left behind; its epoch.
    fn accept(&self, primary: &Primary) -> Option<u64> {
        let host = self.settings.hosts.get(primary.host).map(Host::name);
        let mut known = self.known();
        if known
            .highest
            .is_some_and(|highest| !highest.goes_on_in(primary))
        {
            drop(known);
            let failure = Failure::Unavailable(Cause::LeftBehind);
            self.complain(primary.host, &failure);
            return None;
        }
        let is_other =
            known.highest != Some(primary.incarnation) || known.last != Some(primary.host);
        if is_other {
            known.epoch = known.epoch.saturating_add(1);
        }
        let was = known.last.filter(|_| is_other);
        known.highest = Some(primary.incarnation);
        known.primary = Some(primary.host);
        known.last = Some(primary.host);
        let epoch = known.epoch;
        drop(known);
        if let Some(was) = was {
            tracing::warn!(
                host,
                was = self.settings.hosts.get(was).map(Host::name),
                timeline = primary.incarnation.timeline,
                "the database has another primary"
            );
        }
        Some(epoch)
    }

    /// Connects to a server and asks whether it is a primary that acknowledges what is durable.
    async fn ask(&self, host: usize) -> Result<Primary, Failure> {
        let options = self.options(host)?;
        let limit = milliseconds(self.settings.connect_timeout_ms);
        let asked = async {
            let mut connection = options.connect().await?;
            let (standby, read_only): (bool, bool) = sqlx::query_as(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean",
            )
            .fetch_one(&mut connection)
            .await?;
            if standby || read_only {
                return Err(Failure::Unavailable(Cause::ReadOnly));
            }
            let incarnation: Incarnation = sqlx::query_as(INCARNATION)
                .fetch_one(&mut connection)
                .await?;
            // What is acknowledged is on this server's disk, and on its synchronous replicas'. A
            // server may be set to more than that, never to less.
            sqlx::raw_sql(
                "SELECT set_config('synchronous_commit', 'on', false)
                  WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')",
            )
            .execute(&mut connection)
            .await?;
            Ok(Primary {
                host,
                incarnation,
                connection,
            })
        };
        tokio::time::timeout(limit, asked)
            .await
            .unwrap_or(Err(Failure::Unavailable(Cause::TooSlow)))
    }

    /// The history that a connection of the present epoch must have.
    pub(super) fn highest(&self) -> Option<(i64, i32)> {
        let highest = self.known().highest?;
        Some((highest.system, highest.timeline))
    }

    /// How a server is reached: a Unix socket, or TLS with its name verified; nothing between.
    pub(super) fn options(&self, host: usize) -> Result<PgConnectOptions, Failure> {
        let settings = &self.settings;
        let host = settings
            .hosts
            .get(host)
            .ok_or(Failure::Unavailable(Cause::NoPrimary))?;
        let mut options = PgConnectOptions::new_without_pgpass()
            .database(&settings.database)
            .username(&settings.user)
            .application_name(APPLICATION_NAME)
            .options([
                (
                    "statement_timeout",
                    settings.statement_timeout_ms.to_string(),
                ),
                ("lock_timeout", settings.lock_timeout_ms.to_string()),
                (
                    "idle_in_transaction_session_timeout",
                    settings.batch_timeout_ms.to_string(),
                ),
                ("search_path", "public".to_owned()),
                ("timezone", "UTC".to_owned()),
            ])
            // Statements are ours and constant; the log gains nothing from them.
            .disable_statement_logging();
        if let Some(password) = &settings.password {
            options = options.password(password);
        }
        Ok(match host {
            Host::Socket { directory, port } => options
                .socket(directory)
                .port(*port)
                .ssl_mode(PgSslMode::Disable),
            Host::Tcp { name, port } => {
                options = options
                    .host(name)
                    .port(*port)
                    .ssl_mode(PgSslMode::VerifyFull);
                match &settings.ca_file {
                    Some(file) => options.ssl_root_cert(file),
                    None => options,
                }
            }
        })
    }

    /// How the present primary is reached.
    pub(super) fn primary_options(&self) -> Result<PgConnectOptions, Failure> {
        let primary = self.known().primary;
        self.options(primary.ok_or(Failure::Unavailable(Cause::NoPrimary))?)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
