//! The sandbox: a Stripe-shaped processor for development and tests.
//!
//! It is an outside party that happens to be in the house: it speaks Stripe's wire form over TLS
//! on its own listener, knows Stripe's published test cards ([`TEST_CARDS`]), keeps Stripe's
//! promises (idempotency keys, error envelope, 3-D Secure by redirect) and fails on demand. It
//! names nothing of the rest of this crate but the clock and the source of randomness, and it
//! never keeps a card number: of a card it knows what its id says (`ids.rs`).
//!
//! Where to read next: `routes.rs` is the list of endpoints, `cards.rs` what each test card does,
//! `server.rs` and `job.rs` the way of a request, `control.rs` the hand of a test under `/_sandbox/`.
//!
//! # Where it differs from Stripe on purpose
//!
//! A card whose charges are declined can be set up and attached, so that the decline is met at
//! the charge, which is what our users rehearse. The switch `decline_at_attach` makes the sandbox
//! as strict as Stripe.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::clock::Clock;

mod authenticate;
mod cards;
mod charges;
mod control;
mod customers;
mod declines;
mod errors;
mod faults;
mod form;
mod idempotency;
mod ids;
mod job;
mod keys;
mod orders;
mod payment_intents;
mod payment_methods;
mod refunds;
mod routes;
mod search;
mod server;
mod setup_intents;
mod state;
#[cfg(test)]
mod tests;

pub use cards::TEST_CARDS;

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
    /// The server's certificate, then its issuers.
    pub certificate_chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub private_key: PrivateKeyDer<'static>,
    /// Keys that may do everything, `sk_test_…`. The control plane takes these, too.
    pub secret_keys: Vec<Zeroizing<String>>,
    /// Keys that may vault cards and nothing else, `rk_test_…`.
    pub restricted_keys: Vec<Zeroizing<String>>,
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
    /// The certificate and key do not fit each other, or TLS 1.3 is not to be had.
    #[error("the sandbox's certificate or key was not accepted")]
    Tls(#[from] rustls::Error),
    /// The address is not free.
    #[error("the sandbox could not listen")]
    Listen(#[from] io::Error),
}

/// A sandbox that listens. It serves as long as [`run`](Self::run) is polled.
pub struct Sandbox {
    address: SocketAddr,
    base_url: String,
    server: Server,
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
        self.server.await
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
    let keyring = keys::Keyring::new(settings.secret_keys, settings.restricted_keys);
    let shared = Data::new(server::Shared::new(keyring, settings.clock));
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
    .disable_signals()
    .bind_rustls_0_23(settings.listen, tls)?;
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
