//! One request over HTTPS, for a command that asks one thing and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
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
    let got = exchange(tls, request).await?;
    Ok((got.status, got.body))
}

/// An answer.
pub(crate) struct Got {
    pub(crate) status: u16,
    /// Values that are text, by their names in small letters; of several of one name, the last.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Gets what is there.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) async fn get(url: &Url, tls: ClientConfig) -> Result<Got, String> {
    let request = Request::get(url.as_str())
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    exchange(tls, request).await
}

async fn exchange(tls: ClientConfig, request: Request<Full<Bytes>>) -> Result<Got, String> {
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
        let status = answer.status().as_u16();
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        };
        let headers = answer.headers().iter().filter_map(text).collect();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| "the answer was cut off, or is too large".to_owned())?;
        let body = body.to_bytes().to_vec();
        Ok(Got {
            status,
            headers,
            body,
        })
    };
    tokio::time::timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), exchange)
        .await
        .unwrap_or_else(|_| Err("no answer came in time".to_owned()))
}
