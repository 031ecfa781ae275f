//! The PEM files of a plane, read, with the file's name in every refusal.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::clock::Timestamp;

/// Why a plane has no TLS, and therefore does not start; or why it does not take new files.
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

impl Refused {
    pub(super) fn unreadable(path: &Path, reason: impl Display) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The certificates of a PEM file.
///
/// # Errors
/// [`Refused::Unreadable`], also when there is none in it.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Refused> {
    let pem = fs::read(path).map_err(|error| Refused::unreadable(path, error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Refused::unreadable(path, error))?;
    if chain.is_empty() {
        return Err(Refused::unreadable(path, "there is no certificate in it"));
    }
    Ok(chain)
}

/// The private key of a PEM file that only its owner can read.
///
/// # Errors
/// [`Refused::Unreadable`], also when others could read it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Refused> {
    let pem =
        crate::seal::file::read_private(path).map_err(|error| Refused::unreadable(path, error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| Refused::unreadable(path, error))
}

/// The revocation lists of a PEM file (RFC 5280, section 5), and until when the first of them to
/// end says that it is true.
pub(super) fn revocation_lists(
    path: &Path,
) -> Result<(Vec<CertificateRevocationListDer<'static>>, Timestamp), Refused> {
    let pem = fs::read(path).map_err(|error| Refused::unreadable(path, error))?;
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Refused::unreadable(path, error))?;
    let end = |list: &CertificateRevocationListDer<'_>| {
        let (_, list) = x509_parser::parse_x509_crl(list.as_ref()).ok()?;
        list.next_update().map(|end| seconds(end.timestamp()))
    };
    let ends: Option<Vec<Timestamp>> = lists.iter().map(end).collect();
    let first = ends.and_then(|ends| ends.into_iter().min());
    first.map(|first| (lists, first)).ok_or_else(|| {
        Refused::unreadable(path, "there is no revocation list with a next update in it")
    })
}

/// When the first certificate of a PEM file ends.
///
/// # Errors
/// [`Refused::Unreadable`].
pub fn not_after(path: &Path) -> Result<Timestamp, Refused> {
    certificates(path)?
        .first()
        .and_then(|first| validity(first))
        .map(|(_, end)| end)
        .ok_or_else(|| Refused::unreadable(path, "it is not an X.509 certificate"))
}

/// The public key (`SubjectPublicKeyInfo`) of the first certificate of a PEM file.
///
/// # Errors
/// [`Refused::Unreadable`].
pub fn public_key(path: &Path) -> Result<Vec<u8>, Refused> {
    let chain = certificates(path)?;
    let first = chain.first();
    let key = first.and_then(|first| {
        let (_, certificate) = x509_parser::parse_x509_certificate(first).ok()?;
        Some(certificate.public_key().raw.to_vec())
    });
    key.ok_or_else(|| Refused::unreadable(path, "it is not an X.509 certificate"))
}

/// Refuses the first certificate of a PEM file where a browser would not take it for `host`.
///
/// # Errors
/// [`Refused::Unreadable`] names the file and the host.
pub fn require_host(path: &Path, host: &str) -> Result<(), Refused> {
    let chain = certificates(path)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| Refused::Inconsistent(format!("{host}: {error}")))?;
    let is_named = chain.first().is_some_and(|first| {
        let parsed = ParsedCertificate::try_from(first);
        parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    });
    if is_named {
        return Ok(());
    }
    let why = format!("the certificate is not for {host}, which browsers and clients ask for");
    Err(Refused::unreadable(path, why))
}

/// From when until when a certificate holds.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    Some((
        seconds(validity.not_before.timestamp()),
        seconds(validity.not_after.timestamp()),
    ))
}

const fn seconds(unix_s: i64) -> Timestamp {
    Timestamp::from_unix_ms(unix_s.saturating_mul(1_000))
}
