//! The demo shop: a page on an origin of its own, and behind it a merchant's backend that asks for
//! sessions and charges tokens with client certificates, as a real one would.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::super::{Failure, exit};
use super::{Ports, certificates, loopback};
use crate::http::tls;
use crate::token::{Environment, RequestId, TokenId};

const PAGE: &str = include_str!("shop.html");
const SCRIPT: &str = include_str!("shop.js");
const STYLE: &str = include_str!("shop.css");
/// Bytes of an answer of the service.
const ANSWER_BYTES_MAX: usize = 65_536;
/// Milliseconds for one request to the service.
const REQUEST_TIMEOUT_MS: u64 = 60_000;

type Https = hyper_rustls::HttpsConnector<HttpConnector>;

/// The merchant's backend.
struct Shop {
    capture: String,
    internal: String,
    origin: String,
    checkout: Client<Https, Full<Bytes>>,
    billing: Client<Https, Full<Bytes>>,
}

/// Binds the shop's listener; the answer is to be run.
pub(super) fn start(dir: &Path, ports: Ports) -> Result<Server, Failure> {
    let shop = web::Data::new(Shop {
        capture: format!("https://localhost:{}", ports.capture),
        internal: format!("https://localhost:{}", ports.internal),
        origin: format!("https://localhost:{}", ports.shop),
        checkout: client(dir, "checkout")?,
        billing: client(dir, "billing")?,
    });
    let certificate = dir.join(certificates::SERVER_PEM);
    let tls = tls::anonymous(&certificate, &dir.join(certificates::SERVER_KEY))
        .map_err(|error| Failure::new(exit::CONFIG, error))?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shop.clone())
            .route("/", web::get().to(page))
            .route(
                "/shop.js",
                web::get().to(async || file("text/javascript", SCRIPT)),
            )
            .route("/shop.css", web::get().to(async || file("text/css", STYLE)))
            .route("/session", web::post().to(session))
            .route("/charge", web::post().to(charge))
    })
    .workers(1)
    .disable_signals()
    .tcp_nodelay(true)
    .bind_rustls_0_23(loopback(ports.shop), tls)
    .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    Ok(server.run())
}

async fn page(shop: web::Data<Shop>) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        shop.capture
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(PAGE.replace("{{capture}}", &shop.capture))
}

fn file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(kind).body(text)
}

/// The browser asks its shop for a session.
async fn session(shop: web::Data<Shop>) -> HttpResponse {
    let order = serde_json::json!({ "customer_ref": "demo-shopper", "origin": shop.origin });
    forward(
        &shop.checkout,
        &shop.internal,
        "/v1/capture_sessions",
        order,
    )
    .await
}

#[derive(Deserialize)]
struct Purchase {
    token: String,
}

/// The shop's backend charges the token that the browser got.
async fn charge(shop: web::Data<Shop>, purchase: web::Json<Purchase>) -> HttpResponse {
    if TokenId::parse(&purchase.token, Environment::Test).is_err() {
        return HttpResponse::BadRequest().finish();
    }
    let order = serde_json::json!({
        "token": purchase.token, "amount": 1250, "currency": "eur", "off_session": false,
        "description": "One ticket",
    });
    forward(&shop.billing, &shop.internal, "/v1/charges", order).await
}

/// Sends a request to the service as one of its clients, and passes the answer on.
async fn forward(
    client: &Client<Https, Full<Bytes>>,
    internal: &str,
    path: &str,
    order: serde_json::Value,
) -> HttpResponse {
    let key = RequestId::new(Environment::Test, crate::clock::Clock::system().now());
    let request = hyper::Request::post(format!("{internal}{path}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key.to_string())
        .body(Full::from(order.to_string()));
    let Ok(request) = request else {
        return HttpResponse::InternalServerError().finish();
    };
    let exchange = async {
        let answer = client.request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .ok()?;
        Some((status, body.to_bytes()))
    };
    let limit = Duration::from_millis(REQUEST_TIMEOUT_MS);
    match tokio::time::timeout(limit, exchange).await {
        Ok(Some((status, body))) => {
            let status = actix_web::http::StatusCode::from_u16(status)
                .unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
            HttpResponse::build(status)
                .content_type("application/json")
                .body(body)
        }
        Ok(None) | Err(_) => HttpResponse::BadGateway().finish(),
    }
}

/// A client of the service with one of the development certificates.
fn client(dir: &Path, name: &str) -> Result<Client<Https, Full<Bytes>>, Failure> {
    let config = |error: &dyn std::fmt::Display| Failure::new(exit::CONFIG, error);
    let mut roots = rustls::RootCertStore::empty();
    for authority in tls::certificates(&dir.join(certificates::CA_PEM)).map_err(|e| config(&e))? {
        roots.add(authority).map_err(|error| config(&error))?;
    }
    let chain =
        tls::certificates(&dir.join(format!("client-{name}.pem"))).map_err(|e| config(&e))?;
    let key = tls::private_key(&dir.join(format!("client-{name}.key"))).map_err(|e| config(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| config(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| config(&error))?;
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(https))
}
