//! The demo shop: a page on an origin of its own, and behind it a merchant's backend that asks for
//! sessions and charges tokens with client certificates, as a real one would.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use super::super::{Failure, exit};
use super::{Ports, certificates};
use crate::clock::Clock;
use crate::http::fields::assets::{ASSETS, LOADER};
use crate::http::{fields, tls};
use crate::sandbox::TEST_CARDS;
use crate::token::{ChargeId, Environment, RequestId, SessionId};

const PAGE: &str = include_str!("shop.html");
const SCRIPT: &str = include_str!("shop.js");
const STYLE: &str = include_str!("shop.css");
const TICKET: &str = include_str!("ticket.svg");
/// Bytes of an answer of the service.
const ANSWER_BYTES_MAX: usize = 65_536;
/// Milliseconds for one request to the service.
const REQUEST_TIMEOUT_MS: u64 = 60_000;
/// How often a token that waits for its issuer's word is looked at, and for how long in between.
const LOOKS_MAX: u32 = 50;
/// Milliseconds between two looks.
const LOOK_INTERVAL_MS: u64 = 200;

type Https = hyper_rustls::HttpsConnector<HttpConnector>;

/// The merchant's backend.
struct Shop {
    capture: String,
    internal: String,
    origin: String,
    checkout: Client<Https, Full<Bytes>>,
    billing: Client<Https, Full<Bytes>>,
}

/// Makes the shop; the answer is to be run.
pub(super) fn start(dir: &Path, ports: Ports, listener: TcpListener) -> Result<Server, Failure> {
    let shop = web::Data::new(Shop {
        capture: format!("https://localhost:{}", ports.capture),
        internal: format!("https://localhost:{}", ports.internal),
        origin: format!("https://localhost:{}", ports.shop),
        checkout: client(dir, "checkout")?,
        billing: client(dir, "billing")?,
    });
    let certificate = dir.join(certificates::SERVER_PEM);
    let files = tls::Files {
        certificate,
        private_key: dir.join(certificates::SERVER_KEY),
        clients: None,
    };
    let tls = tls::Live::read(files, Clock::system())
        .and_then(|live| tls::server(&live))
        .map_err(|error| Failure::new(exit::CONFIG, error))?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shop.clone())
            .route("/", web::get().to(page))
            .route("/shop.js", web::get().to(script))
            .route("/shop.css", web::get().to(async || file("text/css", STYLE)))
            .route(
                "/ticket.svg",
                web::get().to(async || file("image/svg+xml", TICKET)),
            )
            .route("/session", web::post().to(session))
            .route("/charge", web::post().to(charge))
            .route("/outcome", web::post().to(outcome))
    })
    .workers(1)
    .disable_signals()
    .tcp_nodelay(true)
    .listen_rustls_0_23(listener, tls)
    .map_err(|error| Failure::new(exit::UNAVAILABLE, error))?;
    Ok(server.run())
}

async fn page(shop: web::Data<Shop>) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; script-src 'self' {capture}/fields/v1/; frame-src {capture}/fields/v1/; \
         style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        capture = shop.capture
    );
    let integrity = ASSETS
        .find(LOADER)
        .map(|loader| loader.integrity.as_str())
        .unwrap_or_default();
    let mut cards = String::new();
    for (number, what) in TEST_CARDS {
        // Writing to a String cannot fail.
        let _infallible = write!(
            cards,
            "<li><button type=\"button\" data-number=\"{number}\"><b>{number}</b>{what}</button></li>"
        );
    }
    let text = PAGE
        .replace("{{capture}}", &shop.capture)
        .replace("{{loader}}", &shop.loader())
        .replace("{{integrity}}", integrity)
        .replace("{{cards}}", &cards);
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text)
}

async fn script(shop: web::Data<Shop>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript")
        .body(SCRIPT.replace("{{loader}}", &shop.loader()))
}

fn file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(kind).body(text)
}

/// The browser asks its shop for a session.
async fn session(shop: web::Data<Shop>) -> HttpResponse {
    let order = serde_json::json!({ "origin": shop.origin });
    let key = RequestId::new(Environment::Test, Clock::system().now());
    let (status, mut made) = ask(
        &shop.checkout,
        shop.post("/v1/capture_sessions", &key.to_string(), &order),
    )
    .await;
    let id = made.get("id").and_then(Value::as_str);
    let pay = id.map(|id| format!("{}/pay/{id}", shop.capture));
    if let (Some(made), Some(pay)) = (made.as_object_mut(), pay) {
        made.insert("pay".to_owned(), pay.into());
    }
    answer(status, &made)
}

/// What the shopper's browser brings: the session, which stands for the order here.
#[derive(Deserialize)]
struct Purchase {
    session: String,
}

/// The shop's backend charges the token that the session has made: once for each order, however
/// often the page is loaded again. It asks the service for the token and takes none from a browser:
/// the one that comes back from the issuer may be another, which has never seen it.
async fn charge(shop: web::Data<Shop>, purchase: web::Json<Purchase>) -> HttpResponse {
    let Ok(session) = SessionId::parse(&purchase.session, Environment::Test) else {
        return HttpResponse::BadRequest().finish();
    };
    let read = shop.get(&format!("/v1/capture_sessions/{session}"));
    let (status, made) = ask(&shop.checkout, read).await;
    let Some(token) = made.get("token").and_then(Value::as_str) else {
        // Without an answer the page asks again; without a card there is nothing to charge.
        return answer(if status < 400 { 409 } else { status }, &Value::Null);
    };
    // The browser may be back from the issuer before the issuer's word is.
    for _ in 0..LOOKS_MAX {
        let (_, found) = ask(&shop.checkout, shop.get(&format!("/v1/tokens/{token}"))).await;
        if found.get("status").and_then(Value::as_str) != Some("requires_action") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
    let order = serde_json::json!({
        "token": token, "amount": 1250, "currency": "eur", "off_session": false,
        "description": "One ticket", "metadata": { "order": session.to_string() },
        // Where the issuer's page leads back to, should it want to see the shopper once more.
        "origin": shop.origin, "return_path": "/",
    });
    let request = shop.post("/v1/charges", &format!("order-{session}"), &order);
    let (status, made) = ask(&shop.billing, request).await;
    answer(status, &made)
}

/// The charge whose shopper has come back from the issuer.
#[derive(Deserialize)]
struct Returned {
    charge: String,
}

/// What became of a charge. The address that the shopper came back with says so too, but anybody
/// can write an address.
async fn outcome(shop: web::Data<Shop>, returned: web::Json<Returned>) -> HttpResponse {
    let Ok(id) = ChargeId::parse(&returned.charge, Environment::Test) else {
        return HttpResponse::BadRequest().finish();
    };
    let (status, charge) = ask(&shop.billing, shop.get(&format!("/v1/charges/{id}"))).await;
    answer(status, &charge)
}

type Request = Option<hyper::Request<Full<Bytes>>>;

impl Shop {
    /// The loader's address, under the name that is made of its bytes.
    fn loader(&self) -> String {
        format!("{}{}", self.capture, fields::loader_path())
    }

    fn post(&self, path: &str, key: &str, order: &Value) -> Request {
        hyper::Request::post(format!("{}{path}", self.internal))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Full::from(order.to_string()))
            .ok()
    }

    fn get(&self, path: &str) -> Request {
        hyper::Request::get(format!("{}{path}", self.internal))
            .body(Full::default())
            .ok()
    }
}

/// Asks the service as one of its clients; what cannot be read is a bad gateway's nothing.
async fn ask(client: &Client<Https, Full<Bytes>>, request: Request) -> (u16, Value) {
    let exchange = async {
        let answer = client.request(request?).await.ok()?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .ok()?;
        Some((status, serde_json::from_slice(&body.to_bytes()).ok()?))
    };
    let limit = Duration::from_millis(REQUEST_TIMEOUT_MS);
    let answer = tokio::time::timeout(limit, exchange).await;
    answer.ok().flatten().unwrap_or((502, Value::Null))
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status)
        .unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
    HttpResponse::build(status).json(body)
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
