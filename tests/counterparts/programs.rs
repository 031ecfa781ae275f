//! Processes of other programs: found in the virtual environment, started, listened to, ended.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A program of the virtual environment that `tests/run` makes under cargo's target directory.
pub(crate) fn program(name: &str) -> Command {
    // Cargo's directory for files of integration tests is `tmp` in the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("counterparts/bin").join(name);
    assert!(
        path.is_file(),
        "{} is not there: `tests/run counterparts` installs it",
        path.display()
    );
    let mut command = Command::new(path);
    command
        // What a test's machine has in its environment is not part of the test.
        .env_remove("PYTHONPATH")
        .env_remove("SSL_CERT_FILE")
        .env_remove("REQUESTS_CA_BUNDLE")
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .stdin(Stdio::null());
    command
}

/// A file beside this one.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/counterparts")
        .join(name)
}

/// What a program printed, as it is to be shown.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a program to its end, shows what it printed, and wants it to have succeeded.
pub(crate) fn must_succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = told(&output);
    println!("{told}");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    told
}

/// A process that serves until it is dropped.
pub(crate) struct Server {
    /// The first line it printed: where it is.
    pub(crate) url: String,
    child: Child,
}

impl Server {
    /// Starts one and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        let url = url.trim_end().trim_end_matches('/').to_owned();
        assert!(url.contains("://"), "{command:?} did not start");
        Self { url, child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // kill(1) because std offers only SIGKILL, after which a process leaves its children behind.
        let _asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ended = self.child.wait();
    }
}

/// Our own binary.
pub(crate) fn cloakroom(arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(arguments).stdin(Stdio::null());
    command
}
