//! Bytes over TLS, for requests that no HTTP client would send.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{App, Who, tls};

pub(crate) type Connection = TlsStream<TcpStream>;

/// Opens a TLS connection to a plane.
pub(crate) async fn connect(app: &App, who: Who, url: &str) -> std::io::Result<Connection> {
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let connector = TlsConnector::from(Arc::new(tls(app.dir.path(), who)));
    connector
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
}

/// Sends bytes and reads until the server closes or is silent for two seconds.
pub(crate) async fn exchange(app: &App, who: Who, url: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = connect(app, who, url).await.unwrap();
    // The server may answer and close before it has read everything.
    let _sent = connection.write_all(bytes).await;
    let _flushed = connection.flush().await;
    let answer = read(&mut connection).await;
    app.note_said(&answer);
    answer
}

/// Reads until the server closes or is silent for two seconds.
pub(crate) async fn read(connection: &mut Connection) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut buffer = [0_u8; 4096];
    while let Ok(Ok(count)) =
        tokio::time::timeout(Duration::from_secs(2), connection.read(&mut buffer)).await
    {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    answer
}

/// The status of a raw answer; 0 when the server closed without one.
pub(crate) fn status(answer: &[u8]) -> u16 {
    std::str::from_utf8(answer.get(9..12).unwrap_or_default())
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
