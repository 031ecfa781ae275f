//! Which of the servers is the primary, and connections to it.
//!
//! Every server is asked at once. The one that is not in recovery, with the highest timeline, is the
//! primary; one whose timeline is lower than one seen before is a primary that was left behind, and
//! is never written to again. Neither sqlx nor the wire protocol does this for us.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::watch;

use super::replicas::Replication;
use super::{Host, Postgres, milliseconds};
use crate::store::{Cause, Failure};

/// How `pg_stat_activity` names us.
const APPLICATION_NAME: &str = "cloakroom";

/// The servers, and what is known of them.
pub(in crate::store) struct Cluster {
    settings: Postgres,
    known: Mutex<Known>,
    pub(super) replication: watch::Sender<Replication>,
}

/// What is known of the servers.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The primary's place among the hosts, until it fails.
    primary: Option<usize>,
    /// The highest timeline that a primary had, and whose database it is.
    highest: Option<Incarnation>,
}

/// A history of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Incarnation {
    system: i64,
    timeline: i32,
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

    /// Whether so many replicas are attached as were promised.
    pub(in crate::store) fn replication(&self) -> Replication {
        *self.replication.borrow()
    }

    /// The primary has failed somebody: the next connection looks for it anew.
    pub(in crate::store) fn lost(&self) {
        self.known().primary = None;
    }

    /// A connection to the primary that may write.
    pub(in crate::store) async fn connect(&self) -> Result<PgConnection, Failure> {
        let known = self.known().clone();
        if let Some(host) = known.primary {
            // What was the primary may have become something else.
            if let Ok(primary) = self.ask(host).await
                && self.accept(&primary)
            {
                return Ok(primary.connection);
            }
            self.lost();
        }
        self.look().await
    }

    /// Asks every server, and takes the primary.
    async fn look(&self) -> Result<PgConnection, Failure> {
        let asked = (0..self.settings.hosts.len()).map(|host| self.ask(host));
        let mut primary: Option<Primary> = None;
        let mut failure = Failure::Unavailable(Cause::NoPrimary);
        for answer in join_all(asked).await {
            match answer {
                Ok(other) => {
                    let newer = primary.as_ref().is_none_or(|primary| {
                        primary.incarnation.timeline < other.incarnation.timeline
                    });
                    if newer {
                        primary = Some(other);
                    }
                }
                Err(why) => {
                    tracing::warn!(failure = %why, "a database server cannot serve as the primary");
                    failure = why;
                }
            }
        }
        match primary {
            Some(primary) if self.accept(&primary) => Ok(primary.connection),
            Some(_) => Err(Failure::Unavailable(Cause::NoPrimary)),
            None => Err(failure),
        }
    }

    /// Remembers the primary, unless it was left behind.
    fn accept(&self, primary: &Primary) -> bool {
        let mut known = self.known();
        if let Some(highest) = known.highest {
            let same = highest.system == primary.incarnation.system;
            if !same || primary.incarnation.timeline < highest.timeline {
                tracing::error!(
                    host = ?self.settings.hosts.get(primary.host),
                    timeline = primary.incarnation.timeline,
                    seen = highest.timeline,
                    "a database server believes to be the primary and was left behind, or is another's"
                );
                return false;
            }
        }
        known.highest = Some(primary.incarnation);
        known.primary = Some(primary.host);
        true
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
            let incarnation: Incarnation = sqlx::query_as(
                // The control file learns of a promotion's timeline only with the next checkpoint;
                // the name of the log that is being written bears it at once.
                "SELECT system_identifier AS system,
                        ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline
                   FROM pg_control_system()",
            )
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
