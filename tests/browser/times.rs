//! How long a shopper waits for a field that takes a digit, over a network that is far away. Measured
//! on demand and stated in docs/measurements.md; nothing is asserted of it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::checkout::{Shop, ready};
use crate::driver::Browser;

const ROUND_TRIPS_MS: [u64; 3] = [20, 170, 700];
const VISITS: usize = 5;
/// Pieces on their way in one direction, at most.
const ON_THE_WAY_MAX: usize = 1_024;

/// Carries every connection to `port`, each way half a round trip late, and its making a whole one,
/// as TCP's handshake is. Answers the port to connect to.
async fn far_away(port: u16, round_trip: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(connection(client, port, round_trip));
        }
    });
    near
}

/// The server sees the connection together with its first bytes, as it does of one that is made far
/// away: the last packet of TCP's handshake travels right before them.
async fn connection(mut client: TcpStream, port: u16, round_trip: Duration) {
    let half = round_trip / 2;
    let mut first = vec![0; 65_536];
    let Ok(length @ 1..) = client.read(&mut first).await else {
        return;
    };
    tokio::time::sleep(round_trip + half).await;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    server.write_all(&first[..length]).await.unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        carry(from_client, to_server, half),
        carry(from_server, to_client, half)
    );
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    late: Duration,
) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY_MAX);
    tokio::spawn(async move {
        while let Some((at, piece)) = pieces.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let at = Instant::now() + late;
        if sender.send((at, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// A first visit each: a browser of its own, with an empty cache and no connection.
#[actix_web::test]
#[ignore = "measures; docs/measurements.md has the figures"]
async fn time_from_navigation_to_a_field_that_takes_a_digit() {
    let shop = Shop::open();
    let port = shop.app.at.capture.rsplit(':').next().unwrap();
    for round_trip_ms in ROUND_TRIPS_MS {
        let near = far_away(port.parse().unwrap(), Duration::from_millis(round_trip_ms)).await;
        let rule = format!("--host-resolver-rules=MAP localhost:{port} 127.0.0.1:{near}");
        let mut times_ms = Vec::new();
        for _ in 0..VISITS {
            let browser = Browser::chromium_that(&shop.app, &json!({ "args": [rule] })).await;
            let secret = shop.secret().await;
            shop.checkout(&secret, &json!({}));
            browser.go(&shop.site.url("/checkout")).await;
            ready(&browser).await;
            let time = browser.run("return window.readyAt").await;
            times_ms.push(time.as_f64().unwrap());
        }
        times_ms.sort_by(f64::total_cmp);
        let (least, most) = (times_ms[0], times_ms[VISITS - 1]);
        let median = times_ms[VISITS / 2];
        println!("{round_trip_ms} ms round trip: {median:.0} ms ({least:.0} to {most:.0})");
    }
}
