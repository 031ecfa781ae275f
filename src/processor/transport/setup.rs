//! What a connection to a processor is made of: whom to trust, where to go, who we are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::runtime::OneRuntime;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use url::Url;
use zeroize::Zeroizing;

use crate::processor::reference::is_id;
use crate::processor::{Settings, SetupRefused};

/// Shorter than what load balancers keep an idle connection for, so that it is us who close it and
/// no request is written into a connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");

pub(super) fn client(
    settings: &Settings,
    runtime: &OneRuntime,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, SetupRefused> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connect_timeout = Duration::from_millis(u64::from(settings.connect_timeout_ms));
    tcp.set_connect_timeout(Some(connect_timeout));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls(settings.ca_file.as_deref())?)
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(runtime.clone())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(settings.pool_idle_connections_max)
        .build(https))
}

/// The base without its last slash. A second lock beside the connector's: a plain address is
/// refused at start, not at the first card.
pub(super) fn base(url: &Url) -> Result<String, SetupRefused> {
    let plain = url.scheme() == "https"
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(SetupRefused::BaseUrl)
    }
}

pub(super) fn headers(
    settings: &Settings,
    version: &'static str,
) -> Result<HeaderMap, SetupRefused> {
    let key = settings.secret_key.expose();
    let mut bearer = Zeroizing::new(Vec::with_capacity(key.len().saturating_add(7)));
    bearer.extend_from_slice(b"Bearer ");
    bearer.extend_from_slice(key.as_bytes());
    // The header keeps the wiping buffer itself. A key is visible ASCII, so this cannot fail.
    let mut authorization = HeaderValue::from_maybe_shared(Bytes::from_owner(bearer))
        .unwrap_or_else(|_| HeaderValue::from_static(""));
    authorization.set_sensitive(true);

    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(STRIPE_VERSION, HeaderValue::from_static(version));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("cloakroom/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(account) = &settings.account {
        let id = Some(account).filter(|account| is_id(account));
        let value = id.and_then(|account| HeaderValue::from_str(account).ok());
        headers.insert(STRIPE_ACCOUNT, value.ok_or(SetupRefused::Account)?);
    }
    Ok(headers)
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, SetupRefused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, SetupRefused> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unreadable = || SetupRefused::CaFile(path.to_owned());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_| unreadable())? {
            let certificate = certificate.map_err(|_| unreadable())?;
            roots.add(certificate).map_err(|_| unreadable())?;
        }
        if roots.is_empty() {
            return Err(unreadable());
        }
    } else {
        // A machine's store may hold certificates that nobody can use; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(SetupRefused::NoRoots);
        }
    }
    Ok(roots)
}
