//! A receiver of outgoing webhooks: an HTTPS server of the test's own, under an authority of its
//! own, which keeps what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hyper::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the next request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, and header lines.
    Status(u16, String),
    /// A status and a body, by what was asked.
    By(fn(&Value) -> (u16, String)),
    /// Nothing at all, for as long as the receiver lives.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What it was answered; nothing where it was met with silence.
    pub(crate) answered: Option<u16>,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    connections: usize,
    arrived: Vec<Arrived>,
    next: VecDeque<Reply>,
    otherwise: Option<Reply>,
}

/// A receiver; it ends with the runtime of its test.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    dir: TempDir,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), root.pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        let own = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&own, &issuer).unwrap();
        let own = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], own)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let shared = Arc::clone(&state);
        let accepting = async move {
            while let Ok((socket, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let served = serve(acceptor.clone(), socket, Arc::clone(&shared));
                drop(tokio::spawn(served));
            }
        };
        drop(tokio::spawn(accepting));
        Self { port, dir, state }
    }

    /// Answers the next request so.
    pub(crate) fn then(&self, reply: Reply) {
        self.state.lock().unwrap().next.push_back(reply);
    }

    /// Answers so whenever nothing else was said; at first, 200.
    pub(crate) fn otherwise(&self, reply: Reply) {
        self.state.lock().unwrap().otherwise = Some(reply);
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().unwrap().arrived.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The bodies that were answered 200, in the order of their arrival.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let arrived = self.arrived();
        let taken = arrived.iter().filter(|one| one.answered == Some(200));
        taken.map(Arrived::json).collect()
    }

    /// A file with a secret in it, as an operator would make it.
    pub(crate) fn secret_file(&self, name: &str, secret: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, secret).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The authority that its certificate is of.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Its table in the configuration, with `more` keys.
    pub(crate) fn table(&self, name: &str, secrets: &[PathBuf], more: &str) -> String {
        let secrets: Vec<String> = secrets.iter().map(|path| format!("{path:?}")).collect();
        format!(
            "{{name=\"{name}\",account=\"default\",url=\"https://localhost:{}/hooks?for={name}\",\
             secret_files=[{}],ca_file={:?}{more}}}",
            self.port,
            secrets.join(","),
            self.ca_file(),
        )
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream, state: Arc<Mutex<State>>) {
    let Ok(mut stream) = acceptor.accept(socket).await else {
        return;
    };
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        while let Some((arrived, length)) = parsed(&bytes) {
            bytes.drain(..length);
            match answer(&state, arrived) {
                (Reply::Silence, _) => std::future::pending().await,
                (Reply::By(said), asked) => {
                    let (status, body) = said(&asked);
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                (Reply::Status(status, headers), _) => {
                    let answer =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{headers}\r\n");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

/// A whole request at the beginning of `bytes`, and its length.
fn parsed(bytes: &[u8]) -> Option<(Arrived, usize)> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_length]).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: hyper::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let body_length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    let body = bytes.get(head_length..head_length + body_length)?.to_vec();
    let arrived = Arrived {
        path,
        headers,
        body,
        answered: None,
    };
    Some((arrived, head_length + body_length))
}

/// What is answered, and to what.
fn answer(state: &Mutex<State>, mut arrived: Arrived) -> (Reply, Value) {
    let mut state = state.lock().unwrap();
    let reply = state.next.pop_front();
    let reply = reply
        .or_else(|| state.otherwise.clone())
        .unwrap_or(Reply::status(200));
    let asked = arrived.json();
    arrived.answered = match &reply {
        Reply::Status(status, _) => Some(*status),
        Reply::By(said) => Some(said(&asked).0),
        Reply::Silence => None,
    };
    state.arrived.push(arrived);
    (reply, asked)
}
