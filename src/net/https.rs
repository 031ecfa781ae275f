//! How connections are made and kept: TLS only, bounded in time, reused while they are fresh.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;

use super::OneRuntime;

/// Shorter than what load balancers keep an idle connection for, so that it is us who close it and
/// no request is written into a connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections over `tcp`, which brings its own way to find addresses. A plain address is
/// refused here too, whatever the caller has checked.
pub(crate) fn connector<R>(
    mut tcp: HttpConnector<R>,
    tls: ClientConfig,
    connect_timeout_ms: u32,
) -> HttpsConnector<HttpConnector<R>> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connect_timeout = Duration::from_millis(u64::from(connect_timeout_ms));
    tcp.set_connect_timeout(Some(connect_timeout));
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .wrap_connector(tcp)
}

/// Keeps at most `idle_connections_max` connections to one server without a request on them.
pub(crate) fn pool(runtime: &OneRuntime, idle_connections_max: usize) -> Builder {
    let mut pool = Client::builder(runtime.clone());
    pool.pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle_connections_max);
    pool
}
