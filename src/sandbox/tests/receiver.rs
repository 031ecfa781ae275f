//! A webhook endpoint: a real TLS listener that writes down what it gets.

use std::collections::VecDeque;
use std::sync::Mutex;

use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use aws_lc_rs::hmac;

use super::*;

pub(super) struct Receiver {
    pub(super) url: String,
    inbox: Data<Inbox>,
    handle: ServerHandle,
}

#[derive(Default)]
struct Inbox {
    received: Mutex<Vec<Received>>,
    /// Statuses of the next answers; 200 when there are none left.
    answers: Mutex<VecDeque<u16>>,
}

#[derive(Clone, Debug)]
pub(super) struct Received {
    signature: String,
    pub(super) text: String,
}

impl Received {
    pub(super) fn event(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }

    /// Checks the signature as Stripe documents it; answers its time.
    pub(super) fn verify(&self, secret: &str) -> Result<i64, String> {
        let part = |name: &str| {
            let mut parts = self.signature.split(',').filter_map(|p| p.split_once('='));
            parts.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let time = part("t").ok_or("no time")?;
        let mac: Vec<u8> = part("v1")
            .ok_or("no v1")?
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = format!("{time}.{}", self.text);
        hmac::verify(&key, signed.as_bytes(), &mac).map_err(|_| "wrong signature")?;
        Ok(time.parse().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn take(req: HttpRequest, body: String, inbox: Data<Inbox>) -> HttpResponse {
    let header = |name: &str| {
        req.headers()
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(header("content-type").starts_with("application/json"));
    inbox.received.lock().unwrap().push(Received {
        signature: header("stripe-signature"),
        text: body,
    });
    let status = inbox.answers.lock().unwrap().pop_front().unwrap_or(200);
    let status = actix_web::http::StatusCode::from_u16(status).unwrap();
    HttpResponse::build(status)
        .insert_header(("location", "https://127.0.0.1:1/elsewhere"))
        .finish()
}

impl Receiver {
    /// A listener with the certificate that the stage's settings trust.
    pub(super) fn open(stage: &Stage) -> Self {
        Self::with(stage.identity.clone())
    }

    /// A listener with a certificate of its own, in PEM.
    pub(super) fn stranger() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let identity = (made.cert.der().clone(), made.signing_key.serialize_der());
        (Self::with(identity), made.cert.pem())
    }

    fn with((certificate, key): (CertificateDer<'static>, Vec<u8>)) -> Self {
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key).into())
            .unwrap();
        let inbox = Data::new(Inbox::default());
        let shared = inbox.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .default_service(web::to(take))
        })
        .workers(1)
        .disable_signals()
        .bind_rustls_0_23("127.0.0.1:0", tls)
        .unwrap();
        let url = format!("https://{}/hook", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        drop(actix_web::rt::spawn(server));
        Self { url, inbox, handle }
    }

    pub(super) fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.answers.lock().unwrap().extend(statuses);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.inbox.received.lock().unwrap().clone()
    }

    /// Waits for so many deliveries.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..500 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} deliveries instead of {count}", self.received().len());
    }
}
