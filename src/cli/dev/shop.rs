//! The demo shop: a page on an origin of its own, and behind it a merchant's backend that asks for
//! sessions and charges tokens with client certificates, as a real one would.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, SET_COOKIE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use super::super::{Failure, exit};
use super::shopper::Shopper;
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
        host: None,
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
async fn session(shop: web::Data<Shop>, request: HttpRequest) -> HttpResponse {
    let shopper = Shopper::of(&request).unwrap_or_else(Shopper::new);
    let order = serde_json::json!({
        "origin": shop.origin,
        "metadata": { "shopper": shopper.mark() },
        // Of the page of its own; the frame is told by the shop's page.
        "presentation": { "shop_name": "Little Theatre", "amount": 1250, "currency": "eur" },
    });
    let key = RequestId::new(Environment::Test, Clock::system().now());
    let asked = shop.post("/v1/capture_sessions", &key.to_string(), &order);
    let (_, made) = ask(&shop.checkout, asked).await;
    let Some(id) = made.get("id").and_then(Value::as_str) else {
        return unanswered();
    };
    let told = serde_json::json!({
        "id": id,
        "client_secret": made.get("client_secret"),
        "pay": format!("{}/pay/{id}", shop.capture),
    });
    HttpResponse::Ok()
        .insert_header((SET_COOKIE, shopper.cookie()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(told)
}

/// What the shopper's browser brings: the session, which stands for the order here.
#[derive(Deserialize)]
struct Purchase {
    session: String,
}

/// The shop's backend charges the token that the session has made: once for each order, however
/// often the page is loaded again. It asks the service for the token and takes none from a browser:
/// the one that comes back from the issuer may be another, which has never seen it.
async fn charge(
    shop: web::Data<Shop>,
    request: HttpRequest,
    purchase: web::Json<Purchase>,
) -> HttpResponse {
    let Ok(session) = SessionId::parse(&purchase.session, Environment::Test) else {
        return HttpResponse::BadRequest().finish();
    };
    let read = shop.get(&format!("/v1/capture_sessions/{session}"));
    let (status, made) = ask(&shop.checkout, read).await;
    let Some(token) = made.get("token").and_then(Value::as_str) else {
        // Without an answer the page asks again; without a card there is nothing to charge.
        return if status < 500 {
            HttpResponse::Conflict().json(Value::Null)
        } else {
            unanswered()
        };
    };
    // The browser may be back from the issuer before the issuer's word is.
    for _ in 0..LOOKS_MAX {
        let (_, found) = ask(&shop.billing, shop.get(&format!("/v1/tokens/{token}"))).await;
        if found.get("status").and_then(Value::as_str) != Some("requires_action") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
    }
    let order = serde_json::json!({
        "token": token, "amount": 1250, "currency": "eur", "off_session": false,
        "description": "One ticket",
        "metadata": { "order": session.to_string(), "shopper": shopper_of(&made) },
        // Where the issuer's page leads back to, should it want to see the shopper once more.
        "origin": shop.origin, "return_path": "/",
    });
    let asked = shop.post("/v1/charges", &format!("order-{session}"), &order);
    let (status, charged) = ask(&shop.billing, asked).await;
    answer(status, &charged, is_own(&request, &made))
}

/// The charge whose shopper has come back from the issuer.
#[derive(Deserialize)]
struct Returned {
    charge: String,
}

/// What became of a charge. The address that the shopper came back with says so too, but anybody
/// can write an address.
async fn outcome(
    shop: web::Data<Shop>,
    request: HttpRequest,
    returned: web::Json<Returned>,
) -> HttpResponse {
    let Ok(id) = ChargeId::parse(&returned.charge, Environment::Test) else {
        return HttpResponse::BadRequest().finish();
    };
    let (status, charge) = ask(&shop.billing, shop.get(&format!("/v1/charges/{id}"))).await;
    answer(status, &charge, is_own(&request, &charge))
}

/// The mark of the shopper who began it, from a session or a charge.
fn shopper_of(made: &Value) -> Option<&str> {
    made.pointer("/metadata/shopper")?.as_str()
}

/// Whether it was begun by the shopper whose browser asks.
fn is_own(request: &HttpRequest, made: &Value) -> bool {
    let asks = Shopper::of(request).map(|shopper| shopper.mark());
    asks.is_some() && asks.as_deref() == shopper_of(made)
}

/// How a charge stands, for a browser: of what the service says, these four and no more. One that
/// did not begin the order, and comes back from the bank's app or has found an address, is told the
/// status alone.
fn seen(status: u16, charge: &Value, own: bool) -> Option<Value> {
    let stands = match status {
        200 | 201 => charge.get("status").and_then(Value::as_str)?,
        // A declined charge is answered as a problem, which names it.
        402 => "declined",
        _ => return None,
    };
    let id = charge.get("charge").or_else(|| charge.get("id"));
    Some(if own {
        serde_json::json!({
            "id": id,
            "status": stands,
            "decline": charge.get("decline"),
            "next_action": charge.get("next_action"),
        })
    } else {
        serde_json::json!({ "status": stands })
    })
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

fn answer(status: u16, charge: &Value, own: bool) -> HttpResponse {
    match seen(status, charge, own) {
        Some(seen) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(seen),
        None if status == 404 => HttpResponse::NotFound().json(Value::Null),
        None => unanswered(),
    }
}

/// The service has not said how it stands: the page asks again, and learns nothing of why.
fn unanswered() -> HttpResponse {
    HttpResponse::BadGateway().finish()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_browser_is_told_of_a_charge_what_a_shopper_needs_and_a_stranger_the_status() {
        let charge = json!({
            "id": "test_chg_1", "object": "charge", "status": "requires_action", "token": "test_tok_1",
            "amount": 1250, "decline": null, "metadata": { "shopper": "abc" },
            "next_action": { "type": "redirect", "redirect_url": "https://bank.example/" },
            "processor": { "name": "stripe", "payment": "pi_1" },
        });
        let own = json!({
            "id": "test_chg_1", "status": "requires_action", "decline": null,
            "next_action": { "type": "redirect", "redirect_url": "https://bank.example/" },
        });
        assert_eq!(seen(201, &charge, true), Some(own));
        let status = json!({ "status": "requires_action" });
        assert_eq!(seen(200, &charge, false), Some(status));
        let declined = json!({
            "type": "/problems/card_declined", "charge": "test_chg_1", "request_id": "r",
            "decline": { "code": "lost_card", "advice": null, "retryable": false },
        });
        let told = seen(402, &declined, true).unwrap();
        assert_eq!(
            (&told["id"], &told["status"]),
            (&json!("test_chg_1"), &json!("declined"))
        );
        assert_eq!(told["decline"]["code"], "lost_card");
        for status in [404, 409, 429, 500, 503] {
            assert_eq!(seen(status, &charge, true), None, "{status}");
        }
    }

    #[test]
    fn the_shop_has_words_for_every_decline_of_the_sandbox() {
        let (_, table) = SCRIPT.split_once("const DECLINED = {").unwrap();
        let (table, _) = table.split_once("};").unwrap();
        for code in crate::sandbox::decline_codes() {
            assert!(table.contains(&format!("\n  {code}: ")), "{code}");
        }
    }
}
