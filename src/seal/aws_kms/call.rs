//! One call of the key service: signed, bounded in time and size, tried again where that is safe,
//! which it always is: a data key that nobody uses does no harm.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credentials::CredentialsFile;
use super::sign;
use super::{Refused, Settings};
use crate::clock::{Clock, Timestamp};
use crate::net::{self, OneRuntime};

/// Bytes of an answer; KMS's are below a thousand.
const ANSWER_BYTES_MAX: usize = 65_536;
/// Attempts of one call.
const ATTEMPTS_MAX: u32 = 4;
/// Milliseconds before the second attempt, at most; twice as many before each further one.
const PAUSE_MS: u64 = 50;
const CONNECT_TIMEOUT_MS: u32 = 2_000;
const IDLE_CONNECTIONS_MAX: usize = 4;

/// How a call ended, other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// These credentials may not do that.
    #[error("the key service denies it to these credentials")]
    Denied,
    /// The ciphertext is not this key's in this context.
    #[error("the key service refuses the ciphertext")]
    Refused,
    /// Too many calls, a fault of the service, no connection: another time it may be well.
    #[error("the key service does not answer")]
    Unavailable,
    /// An answer that says nothing.
    #[error("the key service's answer cannot be read")]
    Unreadable,
}

/// Calls the service.
pub(super) struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: OneRuntime,
    url: String,
    host: String,
    region: String,
    credentials: CredentialsFile,
    clock: Clock,
    request_timeout: Duration,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "__type")]
    kind: String,
}

impl Caller {
    pub(super) fn new(
        settings: &Settings,
        credentials: CredentialsFile,
        clock: Clock,
    ) -> Result<Self, Refused> {
        let url = &settings.endpoint;
        let is_plain = url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none();
        let host = url.host_str().filter(|_| is_plain);
        let host = host.ok_or(Refused::Endpoint)?;
        let runtime = OneRuntime::present();
        let tls = net::trust::client_tls(settings.ca_file.as_deref(), &[])?;
        let https = net::connector(HttpConnector::new(), tls, CONNECT_TIMEOUT_MS);
        Ok(Self {
            client: net::pool(&runtime, IDLE_CONNECTIONS_MAX).build(https),
            runtime,
            url: url.to_string(),
            host: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            region: settings.region.clone(),
            credentials,
            clock,
            request_timeout: Duration::from_millis(u64::from(settings.request_timeout_ms)),
        })
    }

    /// Calls `operation`, and answers the body of its answer.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        order: &impl Serialize,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let body = serde_json::to_vec(order).map_err(|_| Failure::Unreadable)?;
        let attempts = async {
            let mut attempt = 1_u32;
            loop {
                match self.attempt(operation, &body).await {
                    Err(Failure::Unavailable) if attempt < ATTEMPTS_MAX => pause(attempt).await,
                    ended => return ended,
                }
                attempt = attempt.saturating_add(1);
            }
        };
        tokio::time::timeout(self.request_timeout, attempts)
            .await
            .unwrap_or(Err(Failure::Unavailable))
    }

    async fn attempt(
        &self,
        operation: &'static str,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let request = self.request(operation, body).ok_or(Failure::Unreadable)?;
        let answer = self.runtime.run(self.client.request(request)).await;
        let answer = answer.ok_or(Failure::Unavailable)?.map_err(|error| {
            tracing::warn!(
                cause = net::causes(&error),
                "no answer from the key service"
            );
            Failure::Unavailable
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Failure::Unavailable)?.to_bytes();
        let body = Zeroizing::new(body.to_vec());
        match head.status {
            StatusCode::OK => Ok(body),
            StatusCode::FORBIDDEN => Err(Failure::Denied),
            status if status.is_server_error() => Err(Failure::Unavailable),
            _ => Err(failure(&body)),
        }
    }

    fn request(&self, operation: &'static str, body: &[u8]) -> Option<Request<Full<Bytes>>> {
        let credentials = self.credentials.present();
        let target = format!("TrentService.{operation}");
        let at = basic(self.clock.now());
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.host.as_str()),
            ("x-amz-date", at.as_str()),
        ];
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        headers.push(("x-amz-target", target.as_str()));
        let authorization = sign::Request {
            region: &self.region,
            service: "kms",
            at: &at,
            headers: &headers,
            body,
        }
        .authorization(&credentials);
        let mut request = Request::post(&self.url).header("authorization", authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).ok()
    }
}

/// What the service's word for an error means; it comes bare or behind a `#`.
fn failure(body: &[u8]) -> Failure {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return Failure::Unreadable;
    };
    let kind = problem.kind.rsplit('#').next().unwrap_or_default();
    match kind {
        "AccessDeniedException" | "AccessDenied" => Failure::Denied,
        "InvalidCiphertextException" | "IncorrectKeyException" | "ValidationException" => {
            Failure::Refused
        }
        "ThrottlingException"
        | "LimitExceededException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException" => Failure::Unavailable,
        _ => {
            // Its own words only: names of exceptions.
            let kind: String = kind
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(64)
                .collect();
            tracing::error!(kind, "the key service refuses");
            Failure::Unreadable
        }
    }
}

/// Waits a random part of a time that doubles ("full jitter").
async fn pause(attempt: u32) {
    let mut random = [0_u8; 2];
    crate::random::fill(&mut random);
    let most_ms = PAUSE_MS.saturating_mul(1_u64.checked_shl(attempt).unwrap_or(1));
    let part_ms = most_ms.saturating_mul(u64::from(u16::from_be_bytes(random))) / 65_536;
    tokio::time::sleep(Duration::from_millis(part_ms)).await;
}

/// ISO 8601's basic form: `20261123T120000Z`.
fn basic(at: Timestamp) -> String {
    let extended = at.rfc3339();
    let seconds = extended.split('.').next().unwrap_or_default();
    let mut basic: String = seconds
        .chars()
        .filter(|letter| !matches!(letter, '-' | ':' | 'Z'))
        .collect();
    basic.push('Z');
    basic
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_the_basic_form() {
        let at = Timestamp::from_unix_ms(1_795_392_000_123);
        assert_eq!(basic(at), "20261123T000000Z");
    }

    #[test]
    fn the_services_words_are_understood() {
        for (kind, expected) in [
            ("AccessDeniedException", Failure::Denied),
            (
                "com.amazonaws.kms#InvalidCiphertextException",
                Failure::Refused,
            ),
            ("ThrottlingException", Failure::Unavailable),
            ("DisabledException", Failure::Unreadable),
        ] {
            let body = format!(r#"{{"__type":"{kind}","message":"x"}}"#);
            assert_eq!(failure(body.as_bytes()), expected, "{kind}");
        }
        assert_eq!(failure(b"<html>"), Failure::Unreadable);
    }
}
