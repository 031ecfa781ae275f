//! Who is at the other end of a connection: read once, off the TLS session.

use std::any::Any;
use std::net::IpAddr;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use x509_parser::extensions::GeneralName;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: IpAddr,
    names: Vec<String>,
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
        let names = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| names_of(certificate))
            .unwrap_or_default();
        extensions.insert(Self {
            address: address.ip(),
            names,
        });
    }
}

/// The subject alternative names that can be an identity. The common name is not one (RFC 9525).
fn names_of(certificate: &[u8]) -> Vec<String> {
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
