//! One request over HTTPS, for a command that asks one thing and ends.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use url::Url;
use zeroize::Zeroizing;

use super::{OneRuntime, causes, connector, pool};

/// Milliseconds to a connection.
const CONNECT_TIMEOUT_MS: u32 = 5_000;
/// Milliseconds to the end of the answer.
const REQUEST_TIMEOUT_MS: u64 = 30_000;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 262_144;

/// A body that is wiped when the last who holds it lets go.
struct Body(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Posts JSON under an idempotency key; answers the status and what was said.
///
/// # Errors
/// Why there is no answer, in words without a byte of the body.
pub(crate) async fn post_json(
    url: &Url,
    tls: ClientConfig,
    idempotency_key: &str,
    json: Zeroizing<Vec<u8>>,
) -> Result<(u16, Vec<u8>), String> {
    let request = Request::post(url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", idempotency_key)
        .body(Full::new(Bytes::from_owner(Body(json))))
        .map_err(|error| error.to_string())?;
    let (status, _, body) = exchange(tls, request).await?;
    Ok((status, body))
}

/// Gets what is there; answers the status, the headers and what was said.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) async fn get(url: &Url, tls: ClientConfig) -> Result<(u16, HeaderMap, Vec<u8>), String> {
    let request = Request::get(url.as_str())
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    exchange(tls, request).await
}

async fn exchange(
    tls: ClientConfig,
    request: Request<Full<Bytes>>,
) -> Result<(u16, HeaderMap, Vec<u8>), String> {
    if request.uri().scheme_str() != Some("https") {
        return Err("the URL is not https".to_owned());
    }
    let https = connector(HttpConnector::new(), tls, CONNECT_TIMEOUT_MS);
    let client = pool(&OneRuntime::present(), 0).build(https);
    let exchange = async {
        let answer = client
            .request(request)
            .await
            .map_err(|error| causes(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| "the answer was cut off, or is too large".to_owned())?;
        Ok((status, headers, body.to_bytes().to_vec()))
    };
    tokio::time::timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), exchange)
        .await
        .unwrap_or_else(|_| Err("no answer came in time".to_owned()))
}
