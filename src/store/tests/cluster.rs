//! A PostgreSQL server of one test: real processes, a Unix socket, gone when the test ends.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;

use crate::store::{Host, Postgres};

/// `nobody`: PostgreSQL refuses to be run by root.
const NOBODY: u32 = 65_534;
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

pub(super) struct Server {
    directory: TempDir,
    process: Option<Child>,
}

fn program(name: &str) -> Command {
    let path = Path::new(PROGRAMS).join(name);
    assert!(
        path.exists(),
        "{} is not there: apt-get install postgresql",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

impl Server {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = program("initdb")
            .current_dir(directory.path())
            .args([
                "--no-sync",
                "-U",
                "owner",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(directory.path().join("data"))
            .status()
            .unwrap();
        assert!(made.success());
        let mut server = Self {
            directory,
            process: None,
        };
        server.run(&[]).await;
        server
    }

    /// Starts the server's processes, with further settings, and waits until they answer.
    pub(super) async fn run(&mut self, settings: &[&str]) {
        let mut command = program("postgres");
        command
            .current_dir(self.directory.path())
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=60"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        self.process = Some(command.spawn().unwrap());
        for _ in 0..150 {
            if self.options("owner").connect().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server does not answer");
    }

    /// Kills every process of the server as a crash would.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Immediate shutdown: no checkpoint, every connection cut.
            let id = process.id().to_string();
            Command::new("kill").args(["-QUIT", &id]).status().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) fn options(&self, user: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(5_432)
            .username(user)
            .database("postgres")
    }

    pub(super) async fn connect(&self, user: &str) -> PgConnection {
        self.options(user).connect().await.unwrap()
    }

    /// Runs `sql` as the owner.
    pub(super) async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connect("owner").await)
            .await
            .unwrap();
    }

    pub(super) fn place(&self, user: &str) -> Postgres {
        Postgres {
            hosts: vec![Host::Socket {
                directory: PathBuf::from(self.directory.path()),
                port: 5_432,
            }],
            database: "postgres".into(),
            user: user.into(),
            password: None,
            ca_file: None,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 5_000,
            lock_timeout_ms: 5_000,
            batch_timeout_ms: 8_000,
            writers_max: 3,
            require_synchronous_replicas: 0,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
