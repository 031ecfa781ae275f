//! TLS of the three planes: version 1.3 only, AEAD and forward secrecy by definition, hybrid
//! post-quantum key exchange preferred.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::clock::Timestamp;

/// Why a plane has no TLS, and therefore does not start.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the parser says.
        reason: String,
    },
    /// The parts do not fit.
    #[error("TLS: {0}")]
    Inconsistent(String),
}

/// TLS of a plane whose callers show no certificate.
///
/// # Errors
/// [`Refused`] for files that are not there, not PEM, or not of one another.
pub fn anonymous(certificate: &Path, key: &Path) -> Result<ServerConfig, Refused> {
    let builder = builder()?.with_no_client_auth();
    let config = builder
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|error| Refused::Inconsistent(error.to_string()))?;
    Ok(finish(config))
}

/// TLS of the internal plane: a certificate of one of our clients' authorities, or no connection.
///
/// # Errors
/// As [`anonymous`], and when there is no authority.
pub fn mutual(certificate: &Path, key: &Path, client_ca: &Path) -> Result<ServerConfig, Refused> {
    let inconsistent = |error: String| Refused::Inconsistent(error);
    let mut roots = RootCertStore::empty();
    for authority in certificates(client_ca)? {
        roots
            .add(authority)
            .map_err(|error| inconsistent(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| inconsistent(error.to_string()))?;
    let mut config = builder()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|error| inconsistent(error.to_string()))?;
    // A resumed session would skip the check of the certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(finish(config))
}

/// The certificates of a PEM file.
///
/// # Errors
/// [`Refused::Unreadable`], also when there is none in it.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Refused> {
    let unreadable = |reason: String| Refused::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let pem = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(chain)
}

/// The private key of a PEM file that only its owner can read.
///
/// # Errors
/// [`Refused::Unreadable`], also when others could read it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Refused> {
    let unreadable = |reason: String| Refused::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let pem =
        crate::seal::file::read_private(path).map_err(|error| unreadable(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unreadable(error.to_string()))
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Refused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Refused::Inconsistent(error.to_string()))
}

fn finish(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// When the first certificate of a PEM file ends.
///
/// # Errors
/// [`Refused::Unreadable`].
pub fn not_after(path: &Path) -> Result<Timestamp, Refused> {
    let unreadable = |reason: &str| Refused::Unreadable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let chain = certificates(path)?;
    let first = chain
        .first()
        .ok_or_else(|| unreadable("there is no certificate in it"))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(first)
        .map_err(|_| unreadable("it is not an X.509 certificate"))?;
    let end_s = certificate.validity().not_after.timestamp();
    Ok(Timestamp::from_unix_ms(end_s.saturating_mul(1_000)))
}
