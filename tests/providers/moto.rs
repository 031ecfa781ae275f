//! AWS's key service as moto has it (PyPI): over TLS, with permissions and signatures checked.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cloakroom::clock::Clock;
use cloakroom::seal::aws_kms::{Kms, Settings};
use cloakroom::token::Environment;
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

pub(crate) struct Moto {
    child: Child,
    pub(crate) dir: PathBuf,
    pub(crate) endpoint: String,
    made: Value,
}

fn program(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("counterparts/bin").join(name)
}

impl Moto {
    /// Starts it with a key and three users: `capture`, `internal` and `stranger`.
    pub(crate) fn start(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        fs::write(dir.join("kms.pem"), certificate.pem()).unwrap();
        fs::write(dir.join("kms.key"), key.serialize_pem()).unwrap();
        // moto says where it listens only to people, so it is told.
        let mut tries = 0;
        let (child, port) = loop {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let mut child = Command::new(program("moto_server"))
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .arg("-c")
                .arg(dir.join("kms.pem"))
                .arg("-k")
                .arg(dir.join("kms.key"))
                .env("PYTHONUNBUFFERED", "1")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            let serves = lines.any(|line| line.is_ok_and(|line| line.contains("Running on")));
            if serves {
                // Read on, so that it never waits for a reader.
                std::thread::spawn(move || lines.for_each(drop));
                break (child, port);
            }
            child.wait().unwrap();
            tries += 1;
            assert!(tries < 5, "another process took its port each time");
        };
        let endpoint = format!("https://localhost:{port}/");
        let accounts =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/providers/moto_accounts.py");
        let made = Command::new(program("python"))
            .arg(accounts)
            .arg(endpoint.trim_end_matches('/'))
            .arg(dir.join("kms.pem"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        Self {
            child,
            dir: dir.to_owned(),
            endpoint,
            made: serde_json::from_slice(&made.stdout).unwrap(),
        }
    }

    pub(crate) fn arn(&self, name: &str) -> String {
        self.made[name].as_str().unwrap().to_owned()
    }

    /// The file with that user's access key.
    pub(crate) fn credentials(&self, user: &str) -> PathBuf {
        let path = self.dir.join(format!("{user}.credentials"));
        if !path.exists() {
            let pair = &self.made[user];
            let text = format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                pair[0].as_str().unwrap(),
                pair[1].as_str().unwrap()
            );
            cloakroom::seal::file::write_private(&path, text.as_bytes()).unwrap();
        }
        path
    }

    pub(crate) fn settings(&self, user: &str) -> Settings {
        Settings {
            key_arn: self.arn("key_arn"),
            region: "eu-central-1".to_owned(),
            endpoint: self.endpoint.parse().unwrap(),
            ca_file: Some(self.dir.join("kms.pem")),
            credentials_file: self.credentials(user),
            request_timeout_ms: 5_000,
        }
    }

    pub(crate) fn kms(&self, user: &str, environment: Environment) -> Kms {
        Kms::new(&self.settings(user), environment, Clock::system()).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
