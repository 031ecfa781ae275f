//! The service as docs/deploy.md deploys it: a capture process and an internal process, each with the
//! page's configuration and only its own files, on one PostgreSQL with a login for each.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::postgres::Server;
use super::{Addresses, App};

/// Files that the page's configurations name, by process.
pub(crate) const CAPTURE_KEYS: [&str; 5] = [
    "kek-public.json",
    "session-verify.key",
    "fingerprint.key",
    "stripe-capture.key",
    "stripe-webhook.secret",
];
pub(crate) const INTERNAL_KEYS: [&str; 11] = [
    "kek-public.json",
    "kek-private.json",
    "kek-passphrase",
    "session-verify.key",
    "fingerprint.key",
    "session-issue.key",
    "order.key",
    "receipt.key",
    "checkpoint.key",
    "checkpoint.vkey",
    "stripe-internal.key",
];

/// A process beside the one that an [`App`] is named for.
pub(crate) struct Beside {
    pub(crate) name: &'static str,
    pub(crate) child: Child,
    /// For a binary that is told something.
    pub(crate) stdin: Option<ChildStdin>,
}

/// How the two are started.
pub(crate) struct Apart<'a> {
    pub(crate) capture_binary: PathBuf,
    pub(crate) internal_binary: PathBuf,
    /// `CLOAKROOM__…` overrides of both.
    pub(crate) overrides: &'a [(&'a str, &'a str)],
    /// Those of the internal process alone.
    pub(crate) internal_overrides: &'a [(&'a str, &'a str)],
}

impl Default for Apart<'_> {
    fn default() -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_cloakroom"));
        Self {
            capture_binary: binary.clone(),
            internal_binary: binary,
            overrides: &[],
            internal_overrides: &[],
        }
    }
}

/// The page's blocks of configuration: the whole, the capture process's, the internal one's, and
/// PostgreSQL's.
fn blocks() -> [String; 4] {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md"));
    let page = page.unwrap();
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let find = |begins: &str| {
        let found = blocks.iter().find(|block| block.starts_with(begins));
        (*found.unwrap_or_else(|| panic!("docs/deploy.md has no {begins}"))).to_owned()
    };
    [
        find("environment = "),
        find("# capture.toml"),
        find("# internal.toml"),
        find("[store.postgres]"),
    ]
}

/// A section of TOML with its header, up to the next one.
fn sections(text: &str, header: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with(header);
        }
        inside
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Sets a key's value in every line that has it.
fn set(text: &str, key: &str, value: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.starts_with(&format!("{key} = ")) {
            format!("{key} = {value}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// What one of the two is given: its plane's section, the page's block for it, PostgreSQL's.
fn configuration(plane: &str, user: &str, server: &Server, sandbox: &str) -> String {
    let [whole, capture, internal, postgres] = blocks();
    let own = if plane == "capture" {
        capture
    } else {
        // The rehearsal's places for copies are files of its own.
        let copies = "file = \"checkpoints/log\"";
        internal
            .replace("file = \"/var/log/cloakroom/checkpoints\"", copies)
            .replace("syslog_socket = \"/dev/log\"", "file = \"checkpoints/too\"")
    };
    let postgres = set(&postgres, "user", &format!("\"{user}\""));
    let postgres = set(&postgres, "database", "\"postgres\"");
    let hosts = format!("[\"{}\"]", server.directory().display());
    // The rehearsal's server stands behind a Unix socket, trusts it, and has no replica.
    let postgres = set(&postgres, "hosts", &hosts);
    let postgres: Vec<&str> = postgres
        .lines()
        .filter(|line| {
            let over_tcp = ["password_file", "ca_file", "require_synchronous_replicas"];
            !over_tcp.iter().any(|key| line.starts_with(key))
        })
        .collect();
    let mut planes = sections(&whole, &format!("[{plane}]")) + &sections(&whole, "[ops]");
    if plane == "internal" {
        planes += &sections(&whole, "[[clients]]").replace("corp.example", "cloakroom.dev");
    }
    let planes =
        set(&planes, "listen", "\"127.0.0.1:0\"").replace("tls/internal", &format!("tls/{plane}"));
    // Its last section is the processor's, of which the rehearsal's is the sandbox.
    format!(
        "environment = \"test\"\nnode = \"{plane}-1\"\n{planes}\n{}\n{own}\n\
         base_url = \"{sandbox}\"\nca_file = \"tls/clients-ca.pem\"\n\
         capture_requests_per_s_max = 100000\ninternal_requests_per_s_max = 100000\n\
         endpoint_requests_per_s_max = 100000\n",
        postgres.join("\n")
    )
}

/// Makes a host: a directory with its process's configuration and files, and no others.
fn host(dir: &Path, plane: &str, configuration: &str, keys: &[&str]) -> PathBuf {
    let host = dir.join(format!("{plane}-host"));
    for below in ["keys", "tls", "checkpoints"] {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(host.join(below)).unwrap();
    }
    for key in keys {
        fs::copy(dir.join(key), host.join("keys").join(key)).unwrap();
    }
    for (from, to) in [
        ("server.pem", format!("{plane}.pem")),
        ("server.key", format!("{plane}.key")),
        ("ca.pem", "clients-ca.pem".to_owned()),
    ] {
        fs::copy(dir.join(from), host.join("tls").join(to)).unwrap();
    }
    let file = host.join(format!("{plane}.toml"));
    fs::write(&file, configuration).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Starts a process that says in its log where it listens.
fn serve(
    binary: &Path,
    config: &Path,
    log: &Path,
    overrides: &[(&str, &str)],
) -> (Child, Option<ChildStdin>, Value) {
    let said = File::options().create(true).append(true).open(log).unwrap();
    let mut child = Command::new(binary)
        .args(["serve", "--config"])
        .arg(config)
        // No balancer is waited for where a test does not say so.
        .env("CLOAKROOM__LIMITS__DRAIN_S", "0")
        .envs(overrides.iter().copied())
        .stdin(Stdio::piped())
        .stdout(said)
        .stderr(File::options().append(true).open(log).unwrap())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    for _ in 0..300 {
        let text = fs::read_to_string(log).unwrap();
        let line = text.lines().find(|line| line.contains("\"serving\""));
        if let Some(line) = line {
            return (child, stdin, serde_json::from_str(line).unwrap());
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended: {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{} does not serve", config.display());
}

/// Makes the schema as its owner, and the logins of the two processes.
fn migrate(config: &Path, server: &Server) {
    let migrated = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["migrate", "--config"])
        .arg(config)
        .env("CLOAKROOM__STORE__POSTGRES__USER", "owner")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&migrated.stderr);
    assert!(migrated.status.success(), "{said}");
    server.sql(
        "CREATE ROLE forms LOGIN IN ROLE cloakroom_capture;
         CREATE ROLE billing LOGIN IN ROLE cloakroom_internal",
    );
}

impl App {
    /// Starts the two processes with the page's configurations.
    pub(crate) fn start_apart() -> Self {
        Self::start_apart_as(&Apart::default())
    }

    /// Starts them as they are ordered. [`App::pid`] is the internal process's.
    pub(crate) fn start_apart_as(order: &Apart<'_>) -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        // The processor is a party of its own; it makes certificates and keys, too.
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["sandbox", "--port", "0", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut said = BufReader::new(sandbox.stdout.take().unwrap());
        said.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();

        let server = Server::copied(env!("CARGO_TARGET_TMPDIR"));
        let host_of = |plane, user, keys: &[&str]| {
            host(
                dir.path(),
                plane,
                &configuration(plane, user, &server, &url),
                keys,
            )
        };
        let capture = host_of("capture", "forms", &CAPTURE_KEYS);
        let internal = host_of("internal", "billing", &INTERNAL_KEYS);
        migrate(&internal, &server);

        let log = |name: &str| dir.path().join(format!("{name}-log"));
        let (mut internal, internal_stdin, internal_at) = serve(
            &order.internal_binary,
            &internal,
            &log("internal"),
            &[order.overrides, order.internal_overrides].concat(),
        );
        let (capture, stdin, capture_at) = serve(
            &order.capture_binary,
            &capture,
            &log("capture"),
            order.overrides,
        );
        internal.stdin = internal_stdin;
        let at = |said: &Value, plane: &str| {
            let address = said[plane].as_str().unwrap();
            format!("https://localhost:{}", address.rsplit(':').next().unwrap())
        };
        let at = Addresses {
            capture: at(&capture_at, "capture"),
            internal: at(&internal_at, "internal"),
            ops: at(&capture_at, "ops"),
            sandbox: url,
            shop: String::new(),
        };
        let beside = |name, child, stdin| Beside { name, child, stdin };
        Self::of_processes(
            at,
            dir,
            server,
            internal,
            vec![
                beside("capture", capture, stdin),
                beside("sandbox", sandbox, None),
            ],
        )
    }

    /// Where a process is told something, by its name.
    pub(crate) fn stdin_of(&mut self, name: &str) -> &mut ChildStdin {
        let beside = self.beside.iter_mut().find(|beside| beside.name == name);
        let stdin = match beside {
            Some(beside) => beside.stdin.as_mut(),
            None => self.child.stdin.as_mut(),
        };
        stdin.unwrap()
    }

    /// The id of a process by its name.
    pub(crate) fn pid_of(&self, name: &str) -> u32 {
        match self.beside.iter().find(|beside| beside.name == name) {
            Some(beside) => beside.child.id(),
            None => self.pid(),
        }
    }
}
