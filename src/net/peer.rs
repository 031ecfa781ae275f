//! The other side, for tests: a TLS server on loopback that answers from a script, in order, over all
//! its connections, and remembers every request to the byte.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::trust::SpkiPin;

/// What the peer does with the next request.
pub(crate) enum Reply {
    /// Answers.
    Answer {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// Answers 200, and closes the connection without having said so.
    Last(&'static str),
    /// Reads the request and cuts the connection without a word.
    Cut,
    /// Promises more than it sends, then cuts.
    CutInAnswer,
    /// Reads the request and never answers.
    Hang,
    /// Sends these bytes, whatever they are, and cuts.
    Raw(&'static str),
    /// Answers this status with a body that has no end, as fast as it is read.
    Endless(u16),
    /// Answers this status at once, and then a byte of the body now and then.
    Drip(u16),
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::with(status, &[], body)
    }

    pub(crate) fn with(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Self {
        Self::Answer {
            status,
            headers: headers.to_vec(),
            body: body.to_owned(),
        }
    }
}

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    /// `POST /v1/x`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The decoded pairs of the form, in their order.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes())
            .into_owned()
            .collect()
    }
}

#[derive(Default)]
struct State {
    script: Mutex<std::collections::VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

pub(crate) struct Peer {
    address: SocketAddr,
    ca_file: tempfile::NamedTempFile,
    pin: SpkiPin,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Peer {
    /// A name that its certificate is for, besides its address; no name server knows it.
    pub(crate) const NAME: &str = "receiver.example";

    pub(crate) async fn start(script: Vec<Reply>) -> Self {
        let (tls, ca_file, pin) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(script.into()),
            ..State::default()
        });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&state)));
        Self {
            address,
            ca_file,
            pin,
            state,
            task,
        }
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("https://{}", self.address)).unwrap()
    }

    /// The authority that signed this peer's certificate, and no other's.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.ca_file.path().to_owned()
    }

    /// The pin of its public key.
    pub(crate) fn pin(&self) -> SpkiPin {
        self.pin
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An authority of its own for each peer, so that one peer's clients do not trust another.
fn certificates() -> (ServerConfig, tempfile::NamedTempFile, SpkiPin) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned(), Peer::NAME.to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .unwrap();
    let hash = digest::digest(&digest::SHA256, &key.subject_public_key_info());
    let pin = SpkiPin::parse(&STANDARD.encode(hash)).unwrap();
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(ca_pem.as_bytes()).unwrap();

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key)
        .unwrap();
    (tls, ca_file, pin)
}

async fn accept(listener: TcpListener, tls: ServerConfig, state: Arc<State>) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(acceptor.clone(), stream, Arc::clone(&state)));
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, state: Arc<State>) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    while let Some(received) = read(&mut stream).await {
        state.received.lock().unwrap().push(received);
        let reply = state.script.lock().unwrap().pop_front();
        let (status, headers, body) = match reply {
            Some(Reply::Answer {
                status,
                headers,
                body,
            }) => (status, headers, body),
            Some(Reply::Last(body)) => {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
            Some(Reply::Cut) => return,
            Some(Reply::CutInAnswer) => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"id\":";
                stream.write_all(half).await.unwrap();
                stream.flush().await.unwrap();
                return;
            }
            Some(Reply::Raw(bytes)) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                return;
            }
            Some(Reply::Endless(status)) => return endless(&mut stream, status, 65_536, 0).await,
            Some(Reply::Drip(status)) => return endless(&mut stream, status, 1, 50).await,
            Some(Reply::Hang) => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                return;
            }
            None => (599, Vec::new(), "the script is over".to_owned()),
        };
        let mut head = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head.push_str(&body);
        if stream.write_all(head.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Sends `bytes` of a body every `pause_ms`, until the other side has had enough.
async fn endless(
    stream: &mut tokio_rustls::server::TlsStream<TcpStream>,
    status: u16,
    bytes: usize,
    pause_ms: u64,
) {
    let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 1000000000000\r\n\r\n");
    let mut next = head.into_bytes();
    while stream.write_all(&next).await.is_ok() && stream.flush().await.is_ok() {
        next = vec![b'x'; bytes];
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn read(stream: &mut tokio_rustls::server::TlsStream<TcpStream>) -> Option<Received> {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some((head, rest)) = end.and_then(|end| bytes.split_at_checked(end)) {
            break (
                String::from_utf8(head.to_vec()).unwrap(),
                rest[4..].to_vec(),
            );
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next()?.split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse::<usize>().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received {
        method: request_line.next()?,
        path: request_line.next()?,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}
