//! A PostgreSQL of our own for the time of a measurement: made with initdb in a temporary
//! directory, reached over a Unix socket, with the settings under which a commit is durable.
//!
//! PostgreSQL does not run as root; started by root, the driver runs it as another user.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::Outcome;
use super::arguments::{Arguments, Kind};

const INSTALLED: &str = "/usr/lib/postgresql";
const START_TRIES: u32 = 100;
const START_PAUSE: Duration = Duration::from_millis(100);
/// Nothing here weakens durability. The sizes are those of a small server.
const SETTINGS: [&str; 8] = [
    "listen_addresses=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=100",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "log_min_messages=fatal",
];

/// Where PostgreSQL's programs are, and who runs them.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    /// User and group, where they are not the driver's own.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// Those of the arguments, or the newest that Debian has installed; nothing where there are
    /// none.
    pub(crate) fn find(arguments: &Arguments) -> Outcome<Option<Self>> {
        let bin = match &arguments.postgres_bin {
            Some(bin) => Some(bin.clone()),
            None => newest(Path::new(INSTALLED)),
        };
        let Some(bin) = bin.filter(|bin| bin.join("pgbench").exists()) else {
            return Ok(None);
        };
        let user = if geteuid().is_root() {
            Some(user(&arguments.postgres_user)?)
        } else {
            None
        };
        Ok(Some(Self { bin, user }))
    }

    /// One of the programs, run by the right user.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        // A directory that every user may enter.
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs one of them to its end; what it said.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.command(name).args(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{name}: {}", said.trim()).into())
    }
}

/// Debian keeps every major version in a directory of its number.
pub(crate) fn newest(installed: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(installed).ok()?;
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| version(path).is_some())
        .max_by_key(version)
        .map(|path| path.join("bin"))
}

/// A user's number and its group's (passwd(5)).
pub(crate) fn user(name: &str) -> Outcome<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let user = fields.nth(1)?.parse().ok()?;
        Some((user, fields.next()?.parse().ok()?))
    });
    found.ok_or_else(|| format!("there is no user {name} to run PostgreSQL").into())
}

/// A database to be measured, ours or given.
pub(crate) enum Database {
    Temporary(Cluster),
    Given(String),
}

impl Database {
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Temporary(cluster) => &cluster.url,
            Self::Given(url) => url,
        }
    }
}

/// A cluster that runs; it ends with this.
pub(crate) struct Cluster {
    server: Child,
    pub(crate) url: String,
    /// Removed when the server has stopped.
    pub(crate) dir: TempDir,
}

impl Cluster {
    pub(crate) fn start(programs: &Programs, arguments: &Arguments) -> Outcome<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("cloakroom-pg-");
        let dir = match &arguments.dir {
            Some(dir) => builder.tempdir_in(dir)?,
            None => builder.tempdir()?,
        };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = programs.user {
            chown(dir.path(), Some(user), Some(group))?;
        }
        let place = dir.path().to_str().ok_or("a directory without a name")?;
        let data = format!("{place}/data");
        let init = ["-D", &data, "-U", "cloakroom", "-A", "trust"];
        programs.run(
            "initdb",
            &[&init[..], &["--encoding=UTF8", "--locale=C"]].concat(),
        )?;
        let mut command = programs.command("postgres");
        command.args(["-D", &data, "-k", place]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let log = File::create(dir.path().join("log"))?;
        let server = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let cluster = Self {
            server,
            url: format!("postgresql:///postgres?host={place}&user=cloakroom"),
            dir,
        };
        cluster.ready(programs)?;
        Ok(cluster)
    }

    /// Makes a database for a scenario, and the file that tells `cloakroom dev` of it.
    pub(crate) fn database(&self, programs: &Programs, kind: Kind) -> Outcome<PathBuf> {
        let name = format!("{kind:?}").to_lowercase();
        programs.run("createdb", &["--maintenance-db", &self.url, &name])?;
        let path = self.dir.path().join(format!("{name}.toml"));
        let text = format!(
            "[store.postgres]\nhosts = [\"{}\"]\ndatabase = {name:?}\nuser = \"cloakroom\"\n",
            self.dir.path().display()
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    fn ready(&self, programs: &Programs) -> Outcome<()> {
        for _ in 0..START_TRIES {
            if programs.run("pg_isready", &["-d", &self.url]).is_ok() {
                return Ok(());
            }
            std::thread::sleep(START_PAUSE);
        }
        let log = fs::read_to_string(self.dir.path().join("log"))?;
        Err(format!("the PostgreSQL cluster did not start:\n{log}").into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT is the fast shutdown, which also frees its shared memory.
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself; there is nothing to be done then.
        let _asked = pid.map(|pid| kill_process(pid, Signal::INT));
        let _ended = self.server.wait();
    }
}
