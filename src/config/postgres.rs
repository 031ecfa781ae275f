//! `[store.postgres]`: PostgreSQL 15 or later, over TLS with full verification or a Unix socket.

use std::path::PathBuf;

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Refused;
use crate::store::Host;

/// PostgreSQL's settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// The servers, any of which may be the primary: `db1.example:5432`, or the directory of a Unix
    /// socket, `/run/postgresql`. TCP connections use TLS, and the certificate must bear the
    /// server's name; no key changes this.
    pub hosts: Vec<String>,
    /// Database name.
    pub database: String,
    /// Login of the process, a member of `cloakroom_capture` or `cloakroom_internal`; for
    /// `cloakroom migrate` the owner.
    pub user: String,
    /// File with the password; none if the server authenticates the user in another way.
    #[schemars(with = "Option<String>")]
    pub password_file: Option<RelativePathBuf>,
    /// Certificate authorities of the servers, PEM; without it, the machine's.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
    /// Milliseconds for establishing a connection.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u32,
    /// Milliseconds for a statement; never for a commit.
    #[serde(default = "statement_timeout_ms")]
    pub statement_timeout_ms: u32,
    /// Milliseconds that a statement waits for a row that another transaction holds.
    #[serde(default = "lock_timeout_ms")]
    pub lock_timeout_ms: u32,
    /// Milliseconds for a batch with its commit, replicas included.
    #[serde(default = "batch_timeout_ms")]
    pub batch_timeout_ms: u32,
    /// Connections that write.
    #[serde(default = "writers_max")]
    pub writers_max: u32,
    /// Synchronous replicas that must be attached, and that a commit must wait for (the number in
    /// `synchronous_standby_names`); with fewer, nothing is written. The login needs to see
    /// `pg_stat_replication`: `GRANT pg_read_all_stats`.
    #[serde(default)]
    pub require_synchronous_replicas: u32,
}

const fn connect_timeout_ms() -> u32 {
    3_000
}

const fn statement_timeout_ms() -> u32 {
    5_000
}

const fn lock_timeout_ms() -> u32 {
    3_000
}

const fn batch_timeout_ms() -> u32 {
    10_000
}

const fn writers_max() -> u32 {
    4
}

/// The port of a server that names none.
const PORT_DEFAULT: u16 = 5_432;

impl PostgresSettings {
    /// The servers as the store takes them.
    ///
    /// # Errors
    /// [`Refused::Inconsistent`] where there is none, or one is neither a name nor a directory.
    pub fn hosts(&self) -> Result<Vec<Host>, Refused> {
        if self.hosts.is_empty() {
            return Err(Refused::Inconsistent(
                "store.postgres.hosts is empty".to_owned(),
            ));
        }
        self.hosts.iter().map(|host| host_of(host)).collect()
    }
}

fn host_of(text: &str) -> Result<Host, Refused> {
    if text.starts_with('/') {
        return Ok(Host::Socket {
            directory: PathBuf::from(text),
            port: PORT_DEFAULT,
        });
    }
    let refuse = || {
        Refused::Inconsistent(
            "store.postgres.hosts are names, with a port or without, or directories".to_owned(),
        )
    };
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().map_err(|_| refuse())?),
        None => (text, PORT_DEFAULT),
    };
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(refuse());
    }
    Ok(Host::Tcp {
        name: name.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_a_directory_and_nothing_else() {
        let tcp = |name: &str, port| Host::Tcp {
            name: name.to_owned(),
            port,
        };
        assert_eq!(host_of("db.example").unwrap(), tcp("db.example", 5_432));
        assert_eq!(host_of("db-1:6000").unwrap(), tcp("db-1", 6_000));
        let socket = Host::Socket {
            directory: PathBuf::from("/run/postgresql"),
            port: 5_432,
        };
        assert_eq!(host_of("/run/postgresql").unwrap(), socket);
        for text in [
            "",
            ":5432",
            "db:",
            "db:port",
            "db:70000",
            "a,b",
            "db?sslmode=disable",
            "[::1]:5432",
        ] {
            assert!(host_of(text).is_err(), "{text}");
        }
    }
}
