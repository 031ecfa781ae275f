//! Whom we trust: named certificate authorities, or the machine's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file of certificate authorities cannot be read or holds none.
    #[error("the certificate authorities cannot be read from {0}")]
    CaFile(PathBuf),
    /// The machine trusts nobody.
    #[error("this machine has no trusted certificate authorities; name a file of them")]
    NoRoots,
    /// The TLS library refuses what it was given.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 to servers whose certificates the authorities in `ca_file` signed; without a
/// file, the machine's authorities.
pub(crate) fn client_tls(ca_file: Option<&Path>) -> Result<ClientConfig, Refused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Refused> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unreadable = || Refused::CaFile(path.to_owned());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_| unreadable())? {
            let certificate = certificate.map_err(|_| unreadable())?;
            roots.add(certificate).map_err(|_| unreadable())?;
        }
        if roots.is_empty() {
            return Err(unreadable());
        }
    } else {
        // A machine's store may hold certificates that nobody can use; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Refused::NoRoots);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_usable_authority_is_refused_by_name() {
        let mut damaged = tempfile::NamedTempFile::new().unwrap();
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::io::Write::write_all(&mut damaged, pem.as_bytes()).unwrap();
        for path in [
            Path::new("/nonexistent/ca.pem"),
            Path::new("/dev/null"),
            damaged.path(),
        ] {
            let refused = client_tls(Some(path)).unwrap_err();
            assert!(
                refused.to_string().ends_with(path.to_str().unwrap()),
                "{refused}"
            );
        }
    }
}
