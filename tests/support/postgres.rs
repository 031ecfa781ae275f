//! A PostgreSQL server of one test: real processes, a Unix socket, gone when the test ends.
//!
//! It names nothing of this crate, so that the store's own tests can include it, too.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// `nobody`: PostgreSQL refuses to be run by root.
const NOBODY: u32 = 65_534;
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The port of every server's socket; each has a directory of its own.
pub(crate) const PORT: u16 = 5_432;

pub(crate) struct Server {
    directory: TempDir,
    process: Option<Child>,
}

/// The processes of a server that was frozen.
pub(crate) struct Frozen(Vec<String>);

impl Frozen {
    /// Lets them go on.
    pub(crate) fn thaw(self) {
        signal("-CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[String]) {
    // One may have ended by itself.
    Command::new("kill")
        .arg(name)
        .args(processes)
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// One of PostgreSQL's programs, run by a user it accepts.
pub(crate) fn program(name: &str) -> Command {
    let path = Path::new(PROGRAMS).join(name);
    assert!(
        path.exists(),
        "{} is not there: apt-get install postgresql-15",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    if is_root() {
        chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    directory
}

fn initdb(data: &Path) {
    let made = program("initdb")
        .args(["--no-sync", "-U", "owner", "-A", "trust", "-E", "UTF8"])
        .args(["--wal-segsize", "1", "-D"])
        .arg(data)
        .status()
        .unwrap();
    assert!(made.success());
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let copied = command.arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

impl Server {
    /// Makes a cluster and starts it. `owner` is its superuser.
    pub(crate) fn start() -> Self {
        let directory = directory();
        initdb(&directory.path().join("data"));
        let mut server = Self {
            directory,
            process: None,
        };
        server.run(&[]);
        server
    }

    /// The same, by copying a cluster that was made before and is kept in `beside`: a second
    /// less for each of many tests. What is written is not forced to the disk, so nothing about a
    /// power cut can be shown with it.
    pub(crate) fn copied(beside: &str) -> Self {
        let kept = Path::new(beside).join("postgresql-15");
        let directory = directory();
        let data = directory.path().join("data");
        if kept.join("PG_VERSION").exists() {
            copy(&kept, &data);
        } else {
            initdb(&data);
            // A copy of its own, put in place at once; of several at a time the first one stays.
            let own = kept.with_extension(std::process::id().to_string());
            copy(&data, &own);
            if std::fs::rename(&own, &kept).is_err() {
                std::fs::remove_dir_all(&own).unwrap();
            }
        }
        let mut server = Self {
            directory,
            process: None,
        };
        server.run(&["fsync=off"]);
        server
    }

    /// Copies this server to a standby named `name` and starts that: it follows this one.
    pub(crate) fn standby(&self, name: &str) -> Self {
        let directory = directory();
        let copied = program("pg_basebackup")
            .args(["--no-sync", "-R", "-c", "fast", "-U", "owner", "-h"])
            .arg(self.directory())
            .arg("-D")
            .arg(directory.path().join("data"))
            .status()
            .unwrap();
        assert!(copied.success());
        let mut standby = Self {
            directory,
            process: None,
        };
        // The name under which it is synchronous.
        standby.run(&[&format!("cluster_name={name}")]);
        standby
    }

    /// Starts the server's processes, with further settings, and waits until they answer.
    pub(crate) fn run(&mut self, settings: &[&str]) {
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.directory().join("data"))
            .arg("-k")
            .arg(self.directory())
            .args(["-c", "listen_addresses=", "-c", "max_connections=100"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        self.process = Some(command.spawn().unwrap());
        for _ in 0..300 {
            let ready = program("pg_isready")
                .arg("-h")
                .arg(self.directory())
                .status();
            if ready.unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not answer");
    }

    /// Ends every process of the server as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Immediate shutdown: no checkpoint, every connection cut.
            let id = process.id().to_string();
            Command::new("kill").args(["-QUIT", &id]).status().unwrap();
            // One that a test has frozen hears it only now.
            Command::new("kill").args(["-CONT", &id]).status().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops every process of the server in its tracks: connections stay, and nothing answers.
    pub(crate) fn freeze(&self) -> Frozen {
        let first = self.pid().unwrap().to_string();
        // The first one first: it starts no more.
        signal("-STOP", std::slice::from_ref(&first));
        let path = format!("/proc/{first}/task/{first}/children");
        let mut processes = vec![first];
        // Children that end while the list is read may hide others; those that are stopped do not.
        for _ in 0..5 {
            let children = std::fs::read_to_string(&path).unwrap();
            let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
            signal("-STOP", &children);
            processes.extend(children);
        }
        Frozen(processes)
    }

    /// The directory of its socket.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process that parents all of its others.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Writes a file that only the server's own user reads.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }

    /// Runs `sql` as the owner; what it answers, fields by `|` and rows by line.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let output = program("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "owner"])
            .args(["-d", "postgres", "-c", sql, "-h"])
            .arg(self.directory())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Why the server refuses a statement of another login; nothing where it does not.
    pub(crate) fn refusal(&self, user: &str, sql: &str) -> Option<String> {
        let output = program("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", user])
            .args(["-d", "postgres", "-c", sql, "-h"])
            .arg(self.directory())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then_some(said)
    }

    /// Writes what `cloakroom dev --store` takes to reach this server as its owner.
    pub(crate) fn store_file(&self) -> PathBuf {
        let path = self.directory().join("store.toml");
        let text = format!(
            "[store.postgres]\nhosts = [\"{}\"]\ndatabase = \"postgres\"\nuser = \"owner\"\n",
            self.directory().display()
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
