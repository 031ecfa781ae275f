//! Who is at the other end of a connection: read once, off the TLS session, and looked at again
//! when something has changed about whom we let in.

use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use super::tls::Live;
use crate::clock::Timestamp;

/// A connection may live for hours; its certificate is looked at again after this long.
const LOOKED_AT_MS_MAX: i64 = 60_000;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    names: Vec<String>,
    chain: Vec<CertificateDer<'static>>,
    looked: Looked,
}

/// When the certificate was last looked at, and under which files.
#[derive(Debug, Default)]
struct Looked {
    generation: AtomicU64,
    at_unix_ms: AtomicI64,
}

impl Peer {
    /// Its address, without the port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The URI and DNS names of its certificate; none without a certificate.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether its certificate is still one that we let in: not revoked, of an authority that is
    /// still ours, not at its end. The handshake asked the same, perhaps long ago.
    #[must_use]
    pub fn is_still_let_in(&self, live: &Live, now: Timestamp) -> bool {
        let generation = live.generation();
        let since = now
            .unix_ms()
            .saturating_sub(self.looked.at_unix_ms.load(Ordering::Relaxed));
        let is_fresh = (0..LOOKED_AT_MS_MAX).contains(&since)
            && self.looked.generation.load(Ordering::Acquire) == generation;
        if is_fresh {
            return true;
        }
        let is_let_in = live.lets_in(&self.chain);
        if is_let_in {
            self.looked
                .at_unix_ms
                .store(now.unix_ms(), Ordering::Relaxed);
            self.looked.generation.store(generation, Ordering::Release);
        }
        is_let_in
    }

    /// Notes the peer of a new connection. A stream of any other kind leaves no peer, and without
    /// a peer nothing is granted.
    pub fn note(stream: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<TlsStream<TcpStream>>() else {
            return;
        };
        let (socket, session) = stream.get_ref();
        let Ok(address) = socket.peer_addr() else {
            return;
        };
        let chain: Vec<_> = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        extensions.insert(Self {
            address: address.ip(),
            names: chain
                .first()
                .map(|certificate| names_of(certificate))
                .unwrap_or_default(),
            chain,
            looked: Looked::default(),
        });
    }
}

/// The subject alternative names that can be an identity. The common name is not one (RFC 9525).
pub(super) fn names_of(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| {
            if let GeneralName::URI(name) | GeneralName::DNSName(name) = name {
                Some((*name).to_owned())
            } else {
                None
            }
        })
        .collect()
}
