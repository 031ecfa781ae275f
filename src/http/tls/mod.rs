//! TLS of the three planes: version 1.3 only, AEAD and forward secrecy by definition, hybrid
//! post-quantum key exchange preferred.
//!
//! - [`files`] reads PEM, and says which file is wrong with what;
//! - [`live`] holds what is in force, and replaces it when the files have changed: connections go
//!   on, the next handshake gets the new. What does not hold together is not taken, and said;
//! - `attempt` is what is known of a connection until it is let in;
//! - `clients` decides whose certificate is taken on the internal plane: authorities, revocation
//!   lists, and names that are revoked by hand.

pub(super) mod attempt;
mod clients;
pub mod files;
mod lists;
pub mod live;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

pub use files::{Refused, certificates, not_after, private_key, public_key, require_host};
pub use live::{ClientFiles, Files, Live, Reload};

/// TLS of a plane, out of what is in force at each handshake.
///
/// # Errors
/// [`Refused::Inconsistent`] when the cryptographic library has no TLS 1.3.
pub fn server(live: &Arc<Live>) -> Result<ServerConfig, Refused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Refused::Inconsistent(error.to_string()))?;
    let certificate = Arc::clone(live);
    let mut config = if live.asks_for_clients() {
        let mut config = builder
            .with_client_cert_verifier(Arc::new(clients::Door(Arc::clone(live))))
            .with_cert_resolver(certificate);
        // A resumed session would skip the check of the certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    } else {
        builder
            .with_no_client_auth()
            .with_cert_resolver(certificate)
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
