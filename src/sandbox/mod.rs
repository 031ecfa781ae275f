//! The sandbox: a Stripe-shaped processor for development and tests.
//!
//! It is an outside party that happens to be in the house: it speaks Stripe's wire form over TLS
//! on its own listener, knows Stripe's published test cards ([`TEST_CARDS`]), keeps Stripe's
//! promises (idempotency keys, error envelope, 3-D Secure by redirect) and fails on demand. It
//! names nothing of the rest of this crate but the clock and the source of randomness, and it
//! never keeps a card number: of a card it knows what its id says (`ids.rs`).
//! What is paid it keeps in a file, where it is given one (`journal.rs`).
//!
//! Where to read next: `routes.rs` is the list of endpoints, `cards.rs` what each test card does,
//! `server.rs` and `job.rs` the way of a request, `attempts.rs` where money moves, `events.rs` and
//! `courier.rs` the way of an event.
//!
//! # The hand of a test
//!
//! Secret keys only; JSON in and out where nothing else is said.
//!
//! * `POST /_sandbox/faults` stages a fault (`faults.rs`), `DELETE` clears them all, `GET` says how
//!   many are `staged` and how many requests they have `struck`.
//! * `POST /_sandbox/settings` moves switches and answers how they stand: `raw_cards`, `redirects`
//!   (false: authentication is for Stripe's own browser library), `decline_at_attach`, `latency_ms`, `search_lag_ms`, `idempotency_key_lifetime_ms`, `events`
//!   (false: none are written down), `payments`, `refunds`, `later_ms` (see below), `webhooks` (how
//!   badly the mail is carried: `mail/mod.rs`).
//! * `GET /_sandbox/ledger` says what was really made, whatever the callers were told;
//!   `…/ledger/charges/{id}` and `…/ledger/refunds/{id}` sum up one `cloakroom_charge` or
//!   `cloakroom_refund`.
//! * `POST /_sandbox/webhooks` registers an endpoint: `url`, and if wanted `secret`, `ca_pem`,
//!   `enabled_events`. `GET` lists them, `DELETE` forgets them with all mail on its way.
//! * `POST /_sandbox/events/{id}/resend` sends an event once more, as Stripe's dashboard does.
//! * `POST /_sandbox/payment_intents/{id}/settle` and `…/refunds/{id}/settle`: `outcome` is
//!   `succeeded` or `failed`.
//! * `POST /_sandbox/charges/{id}/dispute`: `kind` is `fraudulent`, `product_not_received`,
//!   `duplicate`, `general` or `inquiry`; `amount` if it is not all. `…/charges/{id}/warn` sends an
//!   early fraud warning. `…/disputes/{id}/close`: `outcome` is `won` or `lost`.
//! * `POST /_sandbox/payment_methods/{id}/update` is the network's news of a card: `exp_month`,
//!   `exp_year`, and if they change `last4`, `brand`.
//! * `POST /_sandbox/payment_methods` takes Stripe's form and makes a `PaymentMethod` as a browser
//!   would with a publishable key, `raw_cards` or not. Stripe's names of test methods
//!   (`pm_card_visa`, see `test_methods.rs`) do for a fixed card.
//!
//! # What takes its time
//!
//! Stripe publishes cards for refunds and disputes that come later, and none for a card payment
//! that is `processing`. So payments and refunds take an order from their metadata: under
//! `sandbox_later` stands `succeeded` or `failed` (after `later_ms`), `held` (until the control
//! plane settles it) or `at_once`. Where it is absent, the switches `payments` and `refunds` say
//! it; they stand at `at_once`. What cards do by themselves comes after `later_ms`, too.
//!
//! # Where it differs from Stripe on purpose
//!
//! A card whose charges are declined can be set up and attached, so that the decline is met at
//! the charge, which is what our users rehearse. The switch `decline_at_attach` makes the sandbox
//! as strict as Stripe.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::clock::Clock;

mod agenda;
mod attempts;
mod authenticate;
mod card_updates;
mod cards;
mod charges;
mod control;
mod courier;
mod customers;
mod cvc_tokens;
mod declines;
mod disputes;
mod errors;
mod events;
mod faults;
mod form;
mod idempotency;
mod ids;
mod intents;
mod job;
mod journal;
mod keys;
mod later;
mod ledger;
mod mail;
mod objects;
mod orders;
mod payment_intents;
mod payment_methods;
mod post;
mod records;
mod refunds;
mod routes;
mod rules;
mod search;
mod server;
mod setup_intents;
mod state;
mod test_methods;
#[cfg(test)]
mod tests;
mod webhooks;
mod words;

pub use cards::TEST_CARDS;

/// Every reason for which a charge can be declined here.
#[cfg(test)]
pub(crate) fn decline_codes() -> impl Iterator<Item = &'static str> {
    use intents::Intent as _;
    let reasons = declines::ALL.iter().map(|decline| decline.reason);
    reasons.chain([records::PaymentIntent::UNAUTHENTICATED])
}

const CONNECTIONS_MAX: usize = 10_000;
const CONNECTIONS_WAITING_MAX: u32 = 2_048;
const HEAD_TIMEOUT_MS: u64 = 10_000;
const TLS_HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
const KEEP_ALIVE_MS: u64 = 60_000;
const STOP_TIMEOUT_S: u64 = 2;

/// How a sandbox is to be started.
pub struct Settings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// A socket that is bound already, instead.
    pub listener: Option<TcpListener>,
    /// The server's certificate, then its issuers.
    pub certificate_chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub private_key: PrivateKeyDer<'static>,
    /// Keys that may do everything, `sk_test_…`. The control plane takes these, too.
    pub secret_keys: Vec<Zeroizing<String>>,
    /// Keys that may vault cards and nothing else, `rk_test_…`.
    pub restricted_keys: Vec<Zeroizing<String>>,
    /// The authorities that webhook endpoints' certificates may come from. The control plane can
    /// bring others along with an endpoint.
    pub webhook_authorities: Vec<CertificateDer<'static>>,
    /// An endpoint that is told of everything from the start, and the secret that signs.
    pub webhook: Option<(String, Zeroizing<String>)>,
    /// Where its payments are kept from one life to the next; without it they end with the process.
    pub file: Option<PathBuf>,
    /// Worker threads, at least one.
    pub workers: usize,
    /// What the sandbox takes for the time: expiry dates, lifetimes of idempotency keys.
    pub clock: Clock,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The certificate and key do not fit each other, an authority is none, or TLS 1.3 is not to
    /// be had.
    #[error("the sandbox's certificate or key was not accepted")]
    Tls(#[from] rustls::Error),
    /// What an earlier life has left cannot be read, or nothing written there.
    #[error("the sandbox's file could not be read or written")]
    File(#[source] io::Error),
    /// The address is not free.
    #[error("the sandbox could not listen")]
    Listen(#[from] io::Error),
}

/// A sandbox that listens. It serves as long as [`run`](Self::run) is polled.
pub struct Sandbox {
    address: SocketAddr,
    base_url: String,
    server: Server,
    shared: Data<server::Shared>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:port`: what a processor adapter calls, and what its 3-D Secure links
    /// start with.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Stops it: `handle.stop(true)` lets requests in flight finish, `stop(false)` does not.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until it is stopped. Spawn it, and keep the join handle.
    ///
    /// # Errors
    /// When the server's own threads fail.
    pub async fn run(self) -> io::Result<()> {
        tokio::select! {
            ended = self.server => ended,
            // It never ends by itself, and it ends with the server.
            () = courier::run(self.shared) => Ok(()),
        }
    }
}

/// Binds the listener and starts the workers. To be called inside a running actix system or tokio
/// runtime; the answer's [`Sandbox::run`] is then to be spawned.
///
/// # Errors
/// [`Failure`] says whether the certificate or the address was refused.
pub fn start(settings: Settings) -> Result<Sandbox, Failure> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(settings.certificate_chain, settings.private_key)?;
    let post = post::Post::trusting(settings.webhook_authorities)?;
    let keyring = keys::Keyring::new(settings.secret_keys, settings.restricted_keys);
    let shared = server::Shared::new(keyring, settings.clock, post, settings.file.as_deref())
        .map_err(Failure::File)?;
    let shared = Data::new(shared);
    if let Some((url, secret)) = settings.webhook {
        let nothing = form::Form::default();
        let call = shared.call("", &nothing);
        // What it refuses is a URL that is not https, which nobody here makes.
        let _registered = webhooks::preset(&mut shared.state(), &call, &url, secret);
    }
    let served = shared.clone();
    let listening = HttpServer::new(move || {
        App::new()
            .app_data(served.clone())
            .wrap(from_fn(server::collect))
            .default_service(web::to(server::handle))
    })
    .workers(settings.workers.max(1))
    .backlog(CONNECTIONS_WAITING_MAX)
    .max_connections(CONNECTIONS_MAX)
    .tcp_nodelay(true)
    .keep_alive(Duration::from_millis(KEEP_ALIVE_MS))
    .client_request_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
    .tls_handshake_timeout(Duration::from_millis(TLS_HANDSHAKE_TIMEOUT_MS))
    .shutdown_timeout(STOP_TIMEOUT_S)
    .disable_signals();
    let listening = match settings.listener {
        Some(listener) => listening.listen_rustls_0_23(listener, tls)?,
        None => listening.bind_rustls_0_23(settings.listen, tls)?,
    };
    let address = listening
        .addrs()
        .first()
        .copied()
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let base_url = format!("https://{}", reachable(address));
    // Nobody else has set it: the server has only just been made.
    let _first = shared.base_url.set(base_url.clone());
    Ok(Sandbox {
        address,
        base_url,
        server: listening.run(),
        shared,
    })
}

/// "Any address" is reached at the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
