//! What a connection to a processor is made of, besides [`crate::net`]: where to go, who we are.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use url::Url;
use zeroize::Zeroizing;

use crate::net::{self, OneRuntime};
use crate::processor::reference::is_id;
use crate::processor::{Settings, SetupRefused};

const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");

pub(super) fn client(
    settings: &Settings,
    runtime: &OneRuntime,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, SetupRefused> {
    let tls = net::trust::client_tls(settings.ca_file.as_deref(), &settings.spki_pins)?;
    let https = net::connector(HttpConnector::new(), tls, settings.connect_timeout_ms);
    Ok(net::pool(runtime, settings.pool_idle_connections_max).build(https))
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
