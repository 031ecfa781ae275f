//! The sandbox over the wire: a real listener, a real TLS client, one behaviour a test.
//!
//! [`Stage::send`] asserts, on every answer of every test, that no card number is in it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::cards::TABLE;
use super::{Settings, start};
use crate::clock::{Clock, Timestamp};

mod access;
mod card_updates;
mod charges;
mod disputes;
mod events;
mod faults;
mod idempotency;
mod later;
mod ledger;
mod lists;
mod methods;
mod receiver;
mod test_methods;
mod three_d_secure;
mod webhooks;

const SECRET: &str = "sk_test_stage";
const RESTRICTED: &str = "rk_test_stage";
/// Right, but in no list.
const UNPUBLISHED: &str = "4012888888881881";

struct Stage {
    base_url: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Clock,
    handle: ServerHandle,
    /// What its webhook endpoints may show for themselves.
    identity: (CertificateDer<'static>, Vec<u8>),
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn id(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body["id"].as_str().unwrap().to_owned()
    }

    fn error(&self) -> &Value {
        &self.body["error"]
    }

    /// Status, type and code of a refusal.
    fn refusal(&self) -> (u16, &str, &str) {
        let text = |name: &str| self.error()[name].as_str().unwrap_or("-");
        (self.status, text("type"), text("code"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl Stage {
    fn open() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let clock = Clock::set_to(Timestamp::from_unix_ms(1_795_400_000_000));
        let sandbox = start(Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            listener: None,
            certificate_chain: vec![certificate.clone()],
            private_key: PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into(),
            secret_keys: vec![Zeroizing::new(SECRET.to_owned())],
            restricted_keys: vec![Zeroizing::new(RESTRICTED.to_owned())],
            webhook_authorities: vec![certificate.clone()],
            webhook: None,
            file: None,
            workers: 1,
            clock: clock.clone(),
        })
        .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(Arc::new(roots))
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        let stage = Self {
            base_url: sandbox.base_url().to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            clock,
            handle: sandbox.handle(),
            identity: (certificate, made.signing_key.serialize_der()),
        };
        drop(actix_web::rt::spawn(sandbox.run()));
        stage
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
        let url = if path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base_url)
        };
        Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {SECRET}"))
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap()
    }

    async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let seen = format!("{head:?}{text}");
        for number in TABLE.iter().map(|card| card.number).chain([UNPUBLISHED]) {
            assert!(!seen.contains(number), "a card number came back");
        }
        Some(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, "")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(self.request("POST", path, body)).await
    }

    fn keyed(&self, path: &str, body: &str, key: &str) -> Request<Full<Bytes>> {
        let mut request = self.request("POST", path, body);
        request
            .headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
        request
    }

    async fn post_keyed(&self, path: &str, body: &str, key: &str) -> Answer {
        self.send(self.keyed(path, body, key)).await
    }

    async fn settings(&self, json: &str) {
        let answer = self.post("/_sandbox/settings", json).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn fault(&self, json: &str) {
        let answer = self.post("/_sandbox/faults", json).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn ledger(&self) -> Value {
        self.get("/_sandbox/ledger").await.body
    }

    /// A control, which must be obeyed.
    async fn control(&self, path: &str, json: &str) -> Value {
        let answer = self.post(&format!("/_sandbox/{path}"), json).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// The ids of a list, and whether there are more.
    async fn ids(&self, path: &str) -> (Vec<String>, bool) {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        let data = answer.body["data"].as_array().unwrap();
        let more = answer.body["has_more"].as_bool().unwrap();
        (data.iter().map(id).collect(), more)
    }

    /// The events about that object, oldest first, as they were written down.
    async fn told(&self, object: &str) -> Vec<Value> {
        let mut events = self.get("/v1/events?limit=100").await.body["data"].take();
        let events = events.as_array_mut().unwrap();
        events.retain(|event| event["data"]["object"]["id"] == object);
        events.reverse();
        std::mem::take(events)
    }

    /// Their kinds.
    async fn kinds(&self, object: &str) -> Vec<String> {
        let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
        self.told(object).await.iter().map(kind).collect()
    }

    /// Reads the object until it has that status.
    async fn becomes(&self, path: &str, status: &str) -> Value {
        for _ in 0..250 {
            let object = self.get(path).await.body;
            if object["status"] == status {
                return object;
            }
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} does not become {status}");
    }

    async fn customer(&self) -> String {
        self.post("/v1/customers", "metadata[a]=b").await.id()
    }

    async fn method(&self, number: &str) -> String {
        let form = card_form(number, "12", "2031", "123");
        self.post("/v1/payment_methods", &form).await.id()
    }

    /// Customer and method, set up; the cardholder passes the issuer's page where there is one.
    async fn set_up(&self, number: &str) -> (String, String) {
        let (customer, method) = (self.customer().await, self.method(number).await);
        let form = format!(
            "customer={customer}&payment_method={method}&confirm=true&usage=off_session&return_url=https://shop.example/back"
        );
        let answer = self.post("/v1/setup_intents", &form).await;
        if answer.body["status"] == "requires_action" {
            let page = answer.body["next_action"]["redirect_to_url"]["url"].clone();
            let back = self.post(page.as_str().unwrap(), "outcome=complete").await;
            assert_eq!(back.status, 303);
        }
        (customer, method)
    }

    /// The order of a charge for a method that was set up.
    async fn order(&self, number: &str) -> String {
        let (customer, method) = self.set_up(number).await;
        format!(
            "amount=1250&currency=eur&customer={customer}&payment_method={method}&confirm=true&off_session=true"
        )
    }

    /// A charge as billing makes it.
    async fn charge_off_session(&self, number: &str) -> Answer {
        let order = self.order(number).await;
        self.post("/v1/payment_intents", &order).await
    }
}

fn card_form(number: &str, month: &str, year: &str, cvc: &str) -> String {
    format!(
        "type=card&card[number]={number}&card%5Bexp_month%5D={month}&card[exp_year]={year}&card[cvc]={cvc}"
    )
}
