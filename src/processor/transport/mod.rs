//! The way to a processor: HTTPS only, pooled, bounded in time and size.
//!
//! It makes one attempt and says which of two ends a broken one came to: [`Broken::NotSent`], when
//! no connection ever carried the request, or [`Broken::OutcomeUnknown`]. It follows no redirect
//! (that would carry a card to where nobody decided), keeps no cookie and asks for no compression.
//! Whether to try again is the adapter's to say, which can read the answer.

mod setup;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::governor::{Caller, Endpoint};
use super::{Settings, SetupRefused};
use crate::net::{OneRuntime, causes};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Connections to one processor.
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: OneRuntime,
    base: String,
    headers: HeaderMap,
    request_timeout: Duration,
    answer_bytes_max: usize,
}

/// One request, which can be sent any number of times without copying its body.
pub(super) struct Call {
    method: Method,
    path: String,
    idempotency_key: Option<HeaderValue>,
    body: Bytes,
    client: String,
    session: Option<String>,
}

/// What the processor answered, whatever it means.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Whether the answer was kept from an earlier request with the same key.
    pub(super) replayed: bool,
    /// Whether the processor says that trying again is worth it.
    pub(super) should_retry: Option<bool>,
    /// As the processor says it; a date instead of seconds counts as nothing.
    pub(super) retry_after_s: Option<u32>,
    /// The processor's name for this exchange, for asking its support.
    pub(super) request_id: Option<String>,
}

/// How an attempt ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// No connection was made: nothing happened.
    NotSent,
    /// The request may have arrived.
    OutcomeUnknown,
}

impl Call {
    /// A question that changes nothing.
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            idempotency_key: None,
            body: Bytes::new(),
            client: String::new(),
            session: None,
        }
    }

    /// A form to be posted. The bytes are wiped when the last attempt has let go of them.
    pub(super) fn post(path: String, form: Zeroizing<Vec<u8>>) -> Self {
        Self {
            method: Method::POST,
            path,
            idempotency_key: None,
            body: Bytes::from_owner(form),
            client: String::new(),
            session: None,
        }
    }

    /// One like it, to be done once for each `key`; `None` when the key cannot stand in a header. The
    /// bytes are shared.
    pub(super) fn under(&self, key: &str) -> Option<Self> {
        let like_it = Self {
            method: self.method.clone(),
            path: self.path.clone(),
            idempotency_key: None,
            body: self.body.clone(),
            client: self.client.clone(),
            session: self.session.clone(),
        };
        like_it.once(key)
    }

    /// The same, to be done once for each `key`; `None` when the key cannot stand in a header.
    pub(super) fn once(self, key: &str) -> Option<Self> {
        let fits =
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        Some(Self {
            idempotency_key: Some(HeaderValue::from_str(key).ok().filter(|_| fits)?),
            ..self
        })
    }

    /// The same, for that client of ours, with whose other calls it takes turns.
    pub(super) fn on_behalf_of(self, client: &str) -> Self {
        Self {
            client: client.to_owned(),
            ..self
        }
    }

    /// The same, for that capture session of the client's.
    pub(super) fn of_session(self, session: Option<&str>) -> Self {
        Self {
            session: session.map(str::to_owned),
            ..self
        }
    }

    /// For whom it is made; the client is empty when for nobody in particular.
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            client: &self.client,
            session: self.session.as_deref(),
        }
    }

    /// Which of the processor's endpoints it is for.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::of(&self.method, &self.path)
    }
}

impl Transport {
    /// Prepares everything that does not need the network.
    pub(super) fn new(settings: &Settings, version: &'static str) -> Result<Self, SetupRefused> {
        let runtime = OneRuntime::present();
        Ok(Self {
            client: setup::client(settings, &runtime)?,
            runtime,
            base: setup::base(&settings.base_url)?,
            headers: setup::headers(settings, version)?,
            request_timeout: Duration::from_millis(u64::from(settings.request_timeout_ms)),
            answer_bytes_max: usize::try_from(settings.answer_bytes_max).unwrap_or(usize::MAX),
        })
    }

    /// Until when a call that starts now may last, all attempts together.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.request_timeout).unwrap_or(now)
    }

    /// Makes one attempt.
    pub(super) async fn send(&self, call: &Call, deadline: Instant) -> Result<Answer, Broken> {
        let mut request = self.request(call)?;
        let connection = capture_connection(&mut request);
        let attempt = tokio::time::timeout_at(deadline, self.attempt(request));
        attempt.await.unwrap_or_else(|_elapsed| {
            // The client notes the connection before it writes the first byte to it.
            let broken = match *connection.connection_metadata() {
                None => Broken::NotSent,
                Some(_) => Broken::OutcomeUnknown,
            };
            tracing::warn!(?broken, "the processor took too long");
            Err(broken)
        })
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        let exchange = self.runtime.run(self.client.request(request));
        let response = exchange
            .await
            .ok_or(Broken::OutcomeUnknown)?
            .map_err(|error| {
                let broken = if error.is_connect() {
                    Broken::NotSent
                } else {
                    Broken::OutcomeUnknown
                };
                tracing::warn!(
                    ?broken,
                    cause = causes(&error),
                    "no answer from the processor"
                );
                broken
            })?;
        self.read(response).await
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, Broken> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.answer_bytes_max)
            .collect()
            .await
            .map_err(|error| {
                tracing::warn!(
                    cause = causes(error.as_ref()),
                    "the processor's answer cannot be read"
                );
                Broken::OutcomeUnknown
            })?
            .to_bytes();
        Ok(Answer {
            status: head.status,
            body,
            replayed: is_true(&head.headers, &IDEMPOTENT_REPLAYED).unwrap_or(false),
            should_retry: is_true(&head.headers, &SHOULD_RETRY),
            retry_after_s: text(&head.headers, &header::RETRY_AFTER)
                .and_then(|seconds| seconds.trim().parse().ok()),
            request_id: text(&head.headers, &REQUEST_ID)
                .filter(|id| id.len() <= REQUEST_ID_LENGTH_MAX && super::reference::is_id(id))
                .map(str::to_owned),
        })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Broken> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = format!("{}{}", self.base, call.path)
            .parse()
            .map_err(|_| Broken::NotSent)?;
        request.headers_mut().clone_from(&self.headers);
        if let Some(key) = &call.idempotency_key {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
        }
        if call.method == Method::POST {
            request.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_true(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    match text(headers, name)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
