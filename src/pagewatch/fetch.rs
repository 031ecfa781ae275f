//! Fetches pages and scripts: https only, no redirects, bounded in size and time.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use url::Url;

use crate::net::{self, OneRuntime};

/// Bytes of a page or a script.
const BODY_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Milliseconds for a page or a script.
const REQUEST_TIMEOUT_MS: u64 = 20_000;
/// Milliseconds for a connection.
const CONNECT_TIMEOUT_MS: u32 = 5_000;
const IDLE_CONNECTIONS_MAX: usize = 4;
/// Pages for browsers are what is watched.
const AGENT: &str = concat!(
    "Mozilla/5.0 (compatible; cloakroom-pagewatch/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// How pages are reached.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The only certificate authorities trusted, PEM; the machine's where there is none.
    pub ca_file: Option<PathBuf>,
}

/// A page or a script that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} {reason}")]
pub struct Unreachable {
    url: String,
    reason: String,
}

impl Unreachable {
    pub(super) fn new(url: &Url, reason: &dyn ToString) -> Self {
        Self {
            url: super::page::without_query(url.clone()),
            reason: reason.to_string(),
        }
    }
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Fetched {
    /// Whether it is a script itself, and not a page.
    pub(super) fn is_script(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE);
        kind.and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.contains("javascript"))
    }
}

/// A client for pages.
pub struct Fetcher(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher(..)")
    }
}

impl Fetcher {
    /// A client with these settings, on the present runtime.
    ///
    /// # Errors
    /// The authorities' file cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, net::trust::Refused> {
        let tls = net::trust::client_tls(settings.ca_file.as_deref(), &[])?;
        let https = net::connector(HttpConnector::new(), tls, CONNECT_TIMEOUT_MS);
        let runtime = OneRuntime::present();
        Ok(Self(net::pool(&runtime, IDLE_CONNECTIONS_MAX).build(https)))
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Fetched, Unreachable> {
        let refuse = |reason: &dyn ToString| Unreachable::new(url, reason);
        if url.scheme() != "https" {
            return Err(refuse(&"is not https"));
        }
        let request = Request::get(url.as_str())
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "text/html,*/*")
            .body(Full::default())
            .map_err(|error| refuse(&error))?;
        let exchange = async {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| refuse(&net::causes(&error)))?;
            let (head, body) = answer.into_parts();
            if head.status != StatusCode::OK {
                return Err(refuse(&format_args!("answered {}", head.status.as_u16())));
            }
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|_| refuse(&"was cut off, or is too large"))?;
            Ok(Fetched {
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        tokio::time::timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), exchange)
            .await
            .unwrap_or_else(|_| Err(refuse(&"took too long")))
    }
}
