//! HTTP/1.1 over TLS, by hand: a request is bytes that were encoded beforehand, and of an answer
//! only its status, its length and whether the connection stays are read.
//!
//! A general client would cost as much as what is measured, on the same cores.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Outcome;

/// After this long a request has failed.
const PATIENCE: Duration = Duration::from_mins(1);
/// No answer of the service is longer.
const ANSWER_BYTES_MAX: usize = 1_048_576;

/// A listener, and how to be somebody there.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Endpoint {
    /// The listener of an URL, met as the client of that file name, or as nobody.
    pub(crate) fn new(url: &str, dir: &Path, client: Option<&str>) -> Outcome<Self> {
        let url = url::Url::parse(url)?;
        let port = url.port_or_known_default().ok_or("an URL without port")?;
        Ok(Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            name: ServerName::try_from("localhost")?,
            tls: TlsConnector::from(Arc::new(tls(dir, client)?)),
        })
    }

    /// A new connection with a full handshake.
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let connected = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), stream).await
        };
        let stream = patiently(connected).await?;
        Ok(Connection::over(stream))
    }
}

/// No session is resumed: every handshake is a stranger's.
fn tls(dir: &Path, client: Option<&str>) -> Outcome<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(dir.join("ca.pem"))? {
        roots.add(authority?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::pem_file_iter(dir.join(format!("{name}.pem")))?;
            let chain = chain.collect::<Result<Vec<_>, _>>()?;
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key")))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// A connection, and what was read from it and not used yet.
pub(crate) struct Connection<S = TlsStream<TcpStream>> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: BytesMut,
    /// Whether the connection takes another request.
    pub(crate) kept: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(4_096),
        }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        patiently(async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            self.answer().await
        })
        .await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            self.more().await?;
        };
        let end = head.bytes.saturating_add(head.body_bytes);
        while self.buffer.len() < end {
            self.more().await?;
        }
        let mut answer = self.buffer.split_to(end);
        Ok(Answer {
            status: head.status,
            body: answer.split_off(head.bytes),
            kept: head.kept,
        })
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.buffer.len() > ANSWER_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        self.buffer.reserve(4_096);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of the head itself, its empty line included.
    bytes: usize,
    body_bytes: usize,
    kept: bool,
}

impl Head {
    /// Nothing where the head is not whole yet.
    fn parse(buffer: &[u8]) -> io::Result<Option<Self>> {
        let Some(length) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, _) = buffer.split_at(length);
        let head = std::str::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut found = Self {
            status: status.ok_or(ErrorKind::InvalidData)?,
            bytes: length.saturating_add(4),
            body_bytes: 0,
            kept: true,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                found.body_bytes = value.parse().map_err(|_| ErrorKind::InvalidData)?;
            } else if name.eq_ignore_ascii_case("connection") {
                found.kept = !value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // The service says the length of all it answers.
                return Err(ErrorKind::Unsupported.into());
            }
        }
        Ok(Some(found))
    }
}

/// A request with a JSON body, or with none where it is empty.
pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        let length = body.len();
        text.push_str("Content-Type: application/json\r\nContent-Length: ");
        text.push_str(&length.to_string());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}
