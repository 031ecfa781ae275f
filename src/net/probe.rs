//! What a listener of our own agrees to: for whoever wants to see it and not believe it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::causes;

/// Milliseconds to a connection, and to the end of its handshake.
const PROBE_TIMEOUT_MS: u64 = 5_000;

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// `TLSv1_3`.
    pub(crate) version: String,
    /// `TLS13_AES_256_GCM_SHA384`.
    pub(crate) suite: String,
    /// `X25519MLKEM768`.
    pub(crate) group: String,
}

/// Why there is nothing to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// Nothing listens there.
    Nobody(String),
    /// Somebody does, and refused.
    Refused(String),
}

/// Whether anything listens there.
pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream, Unseen> {
    let connected = within(TcpStream::connect(address)).await;
    connected.map_err(Unseen::Nobody)
}

/// Shakes hands under `tls`, and sends nothing.
pub(crate) async fn handshake(
    address: SocketAddr,
    tls: ClientConfig,
) -> Result<Negotiated, Unseen> {
    let stream = connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let connecting = TlsConnector::from(Arc::new(tls)).connect(name, stream);
    let connected = within(connecting).await.map_err(Unseen::Refused)?;
    let (_, session) = connected.get_ref();
    let named = |name: Option<String>| name.unwrap_or_default();
    Ok(Negotiated {
        version: named(
            session
                .protocol_version()
                .map(|version| format!("{version:?}")),
        ),
        suite: named(
            session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite())),
        ),
        group: named(
            session
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name())),
        ),
    })
}

/// Whether a request without TLS is answered as HTTP.
pub(crate) async fn speaks_plain_http(address: SocketAddr) -> Result<bool, Unseen> {
    let mut stream = connect(address).await?;
    let exchange = async {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut first = [0_u8; 5];
        let read = stream.read(&mut first).await?;
        std::io::Result::Ok(first.starts_with(b"HTTP/") && read == first.len())
    };
    // A connection that is cut answers nothing.
    Ok(within(exchange).await.unwrap_or(false))
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    let limit = Duration::from_millis(PROBE_TIMEOUT_MS);
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| causes(&error)),
        Err(_) => Err("no answer came in time".to_owned()),
    }
}
