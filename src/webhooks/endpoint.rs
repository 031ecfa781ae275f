//! One receiver, and one attempt to bring it a message.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::address::is_public;
use super::delivered::{Delivered, Reason};
use super::lookup::{self, Ask, Lookup};
use super::secret::Secret;
use super::signature::{self, is_id};
use crate::clock::Timestamp;
use crate::net::{self, OneRuntime, causes};

/// Secrets that one endpoint's messages are signed with at the same time.
pub const SECRETS_MAX: usize = 8;

/// A longer body is not read to its end, and the connection is not used again.
const ANSWER_BYTES_MAX: usize = 16_384;
/// A longer head is no answer.
const ANSWER_HEAD_BYTES_MAX: usize = 16_384;
const ANSWER_HEADERS_MAX: usize = 64;
/// How long an answer's body may take, after its status has decided. It only saves a connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_CONNECTIONS_MAX: usize = 2;

/// How a receiver is reached.
pub struct Settings {
    /// Its name in the configuration, in logs and in metrics.
    pub name: String,
    /// Where it is: https, without user and fragment. Path and query may be its owner's secret.
    pub url: Url,
    /// One to [`SECRETS_MAX`]; every one of them signs.
    pub secrets: Vec<Secret>,
    /// Whether it may be on a private, loopback or otherwise not public address.
    pub allow_private_addresses: bool,
    /// The only certificate authorities trusted, PEM; without it, the machine's.
    pub ca_file: Option<PathBuf>,
    /// For one attempt, from the look-up of the name to the answer's status.
    pub request_timeout_ms: u32,
    /// For reaching one of its addresses.
    pub connect_timeout_ms: u32,
}

/// Settings that cannot make a safe delivery.
#[derive(Debug, thiserror::Error)]
pub enum SetupRefused {
    /// Not https, or with a user or a fragment.
    #[error("a webhook's URL must be https, without user and fragment")]
    Url,
    /// The URL's host is an address that is not public.
    #[error("a webhook's address is not public; allow_private_addresses would allow it")]
    PrivateAddress,
    /// No secret, or too many.
    #[error("a webhook has 1 to 8 secrets")]
    Secrets,
    /// Nobody can be trusted.
    #[error("the webhook's receiver: {0}")]
    Trust(#[from] net::trust::Refused),
}

/// A message for one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The same in every attempt: letters, digits, `_` and `-`, at most 255 of them.
    pub id: &'a str,
    /// The time of this attempt.
    pub at: Timestamp,
    /// JSON, sent to the byte as it is signed.
    pub body: &'a [u8],
}

/// One receiver.
pub struct Endpoint {
    name: String,
    uri: Uri,
    secrets: Vec<Secret>,
    client: Client<HttpsConnector<HttpConnector<Lookup>>, Full<Bytes>>,
    runtime: OneRuntime,
    request_timeout: Duration,
}

impl Endpoint {
    /// Prepares everything that does not need the network.
    ///
    /// # Errors
    /// [`SetupRefused`] says which setting cannot be.
    pub fn new(settings: Settings) -> Result<Self, SetupRefused> {
        Self::asking(settings, lookup::system())
    }

    /// The same, with names looked up by `ask`.
    pub(super) fn asking(settings: Settings, ask: Ask) -> Result<Self, SetupRefused> {
        let uri = uri(&settings.url)?;
        // An address in the URL is connected to without a look-up, so it is checked here.
        let literal = match settings.url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        let public = literal.is_none_or(is_public);
        if !public && !settings.allow_private_addresses {
            return Err(SetupRefused::PrivateAddress);
        }
        if !(1..=SECRETS_MAX).contains(&settings.secrets.len()) {
            return Err(SetupRefused::Secrets);
        }
        let tls = net::trust::client_tls(settings.ca_file.as_deref(), &[])?;
        let tcp = HttpConnector::new_with_resolver(Lookup {
            ask,
            allow_private_addresses: settings.allow_private_addresses,
        });
        let https = net::connector(tcp, tls, settings.connect_timeout_ms);
        let runtime = OneRuntime::present();
        let client = net::pool(&runtime, IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(ANSWER_HEAD_BYTES_MAX)
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .build(https);
        Ok(Self {
            name: settings.name,
            uri,
            secrets: settings.secrets,
            client,
            runtime,
            request_timeout: Duration::from_millis(u64::from(settings.request_timeout_ms)),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What receivers of `v1a` signatures verify with: `whpk_…`, one for each `whsk_…`.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        self.secrets.iter().filter_map(Secret::public_key).collect()
    }

    /// Makes one attempt. It ends within the request timeout and a second.
    pub async fn deliver(&self, message: &Message<'_>) -> Delivered {
        match self.attempt(message).await {
            Ok(response) => {
                let delivered = judge(&response, message.at);
                drain(response).await;
                delivered
            }
            Err(reason) => Delivered::Unreachable(reason),
        }
    }

    /// Makes one attempt whose answer is read: its status, and at most 16 KiB. It ends as
    /// [`deliver`](Self::deliver) does.
    ///
    /// # Errors
    /// [`Reason`], also where the answer is longer or does not end in time.
    pub async fn ask(&self, message: &Message<'_>) -> Result<(u16, Zeroizing<Vec<u8>>), Reason> {
        let response = self.attempt(message).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(DRAIN_TIMEOUT, body)
            .await
            .map_err(|_elapsed| Reason::Timeout)?
            .map_err(|_broken| Reason::Cut)?;
        Ok((status, Zeroizing::new(body.to_bytes().to_vec())))
    }

    async fn attempt(&self, message: &Message<'_>) -> Result<Response<Incoming>, Reason> {
        let request = self.request(message).ok_or(Reason::MalformedId)?;
        let now = Instant::now();
        let deadline = now.checked_add(self.request_timeout).unwrap_or(now);
        let exchange = self.runtime.run(self.client.request(request));
        let answered = tokio::time::timeout_at(deadline, exchange)
            .await
            .map_err(|_elapsed| Reason::Timeout)?
            // The process is stopping.
            .ok_or(Reason::Cut)?;
        answered.map_err(|error| {
            let reason = Reason::from(&error);
            tracing::info!(
                webhook = self.name,
                %reason,
                cause = causes(&error),
                "no answer from the receiver"
            );
            reason
        })
    }

    /// Every header that leaves stands here, but for `host` and `content-length`.
    fn request(&self, message: &Message<'_>) -> Option<Request<Full<Bytes>>> {
        let id = Some(message.id).filter(|id| is_id(id))?;
        let timestamp = signature::unix_s(message.at).to_string();
        let content = signature::content(id, &timestamp, message.body);
        let signatures = signature::sign(&self.secrets, &content);

        let mut request = Request::new(Full::new(Bytes::copy_from_slice(message.body)));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.uri);
        let headers = request.headers_mut();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("cloakroom/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(signature::ID, HeaderValue::from_str(id).ok()?);
        headers.insert(
            signature::TIMESTAMP,
            HeaderValue::from_str(&timestamp).ok()?,
        );
        headers.insert(
            signature::SIGNATURE,
            HeaderValue::from_str(&signatures).ok()?,
        );
        Some(request)
    }
}

/// Only what a request line and a `host` header can carry; a second lock beside the connector's.
fn uri(url: &Url) -> Result<Uri, SetupRefused> {
    let plain = url.scheme() == "https"
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    let uri = url.as_str().parse().ok();
    uri.filter(|_| plain).ok_or(SetupRefused::Url)
}

fn judge(response: &Response<Incoming>, at: Timestamp) -> Delivered {
    let status = response.status();
    match status.as_u16() {
        410 => Delivered::Gone,
        code if status.is_success() => Delivered::Accepted { status: code },
        code => Delivered::Refused {
            status: code,
            retry_after_s: retry_after_s(response.headers(), at),
        },
    }
}

/// Seconds, or a moment (RFC 9110, 10.2.3).
fn retry_after_s(headers: &HeaderMap, at: Timestamp) -> Option<u32> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().ok().or_else(|| {
        let moment = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        let pause = moment
            .unix_timestamp()
            .saturating_sub(signature::unix_s(at));
        u32::try_from(pause.max(0)).ok()
    })
}

/// Reads the body, so that the connection can be used again, and drops it.
async fn drain(response: Response<Incoming>) {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let read = tokio::time::timeout(DRAIN_TIMEOUT, body.collect());
    drop(read.await);
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
