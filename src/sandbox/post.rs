//! The connection to webhook endpoints: TLS only, Stripe's signature, no redirects.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::webhooks::Secret;
use crate::clock::Timestamp;

const CONNECT_TIMEOUT_MS: u64 = 2_000;
const ANSWER_TIMEOUT_MS: u64 = 10_000;
const IDLE_TIMEOUT_MS: u64 = 5_000;

/// A client that trusts certain authorities and nobody else.
#[derive(Clone, Debug)]
pub(super) struct Post(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Post {
    /// Fails only when the cryptographic provider has no TLS 1.2 or 1.3.
    pub(super) fn trusting(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_millis(CONNECT_TIMEOUT_MS)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(IDLE_TIMEOUT_MS))
            .build(https);
        Ok(Self(client))
    }

    /// The authorities of a PEM text; none when there are none in it.
    pub(super) fn trusting_pem(pem: &[u8]) -> Option<Self> {
        let authorities: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .ok()?;
        if authorities.is_empty() {
            return None;
        }
        Self::trusting(authorities).ok()
    }

    /// Delivers; whether the endpoint answered with a 2xx in time.
    pub(super) async fn deliver(&self, url: &str, signature: &str, text: &str) -> bool {
        let request = Request::post(url)
            .header("content-type", "application/json; charset=utf-8")
            .header(
                "user-agent",
                "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            )
            .header("cache-control", "no-cache")
            .header("stripe-signature", signature)
            .body(Full::new(Bytes::copy_from_slice(text.as_bytes())));
        let Ok(request) = request else {
            return false;
        };
        let limit = Duration::from_millis(ANSWER_TIMEOUT_MS);
        let answer = tokio::time::timeout(limit, self.0.request(request)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
    }
}

/// `t=…,v1=…`: the HMAC-SHA-256 of time, full stop and body
/// (<https://docs.stripe.com/webhooks#verify-manually>).
pub(super) fn signature(secret: &Secret, now: Timestamp, text: &str) -> String {
    use std::fmt::Write as _;
    let seconds = super::state::seconds(now);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
    let mac = hmac::sign(&key, format!("{seconds}.{text}").as_bytes());
    let mut signature = format!("t={seconds},v1=");
    for byte in mac.as_ref() {
        // Writing to a String cannot fail.
        let _infallible = write!(signature, "{byte:02x}");
    }
    signature
}
