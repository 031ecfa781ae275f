//! Whom we trust: named certificate authorities, or the machine's; and, where keys are pinned, only
//! servers with one of those keys in their chain.
//!
//! The file of authorities is looked at before each handshake and read again when it has changed,
//! so that an authority can be replaced while the service runs. The machine's are read once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};

use super::Stamp;

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

/// A public key that must be in a server's chain: the SHA-256 of its `SubjectPublicKeyInfo`, the
/// form of RFC 7469.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpkiPin([u8; digest::SHA256_OUTPUT_LEN]);

/// Not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin is the base64 of the 32 bytes of a SHA-256")]
pub struct SpkiPinRefused;

impl SpkiPin {
    /// Reads the base64 of a SHA-256.
    ///
    /// # Errors
    /// [`SpkiPinRefused`].
    pub fn parse(text: &str) -> Result<Self, SpkiPinRefused> {
        let bytes = STANDARD.decode(text).map_err(|_| SpkiPinRefused)?;
        bytes.try_into().map(Self).map_err(|_| SpkiPinRefused)
    }

    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let hash = digest::digest(&digest::SHA256, certificate.public_key().raw);
        hash.as_ref().try_into().ok().map(Self)
    }
}

/// TLS 1.2 and 1.3 to servers whose certificates the authorities in `ca_file` signed; without a
/// file, the machine's authorities. With pins, one of them is in the chain that the server sends.
pub(crate) fn client_tls(
    ca_file: Option<&Path>,
    pins: &[SpkiPin],
) -> Result<ClientConfig, Refused> {
    let mut config = trusting(ca_file, pins)?.with_no_client_auth();
    // A resumed session would skip the look at the certificate: an authority that is taken away
    // would be trusted for as long as its tickets live. Connections are kept, so it costs little.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The same, to a server that wants to know who we are.
pub(crate) fn client_tls_as(
    ca_file: &Path,
    certificates: Vec<CertificateDer<'static>>,
    private_key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Refused> {
    let trusting = trusting(Some(ca_file), &[])?;
    let mut config = trusting.with_client_auth_cert(certificates, private_key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// To a server of our own: exactly this certificate, whatever its name and its authority, by one
/// version of TLS. For whoever has the server's configuration and wants to see what it does.
pub(crate) fn client_tls_of(
    certificate: CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Result<ClientConfig, Refused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Exactly {
            certificate,
            provider,
        }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// One certificate, byte for byte, and that the server has its key.
#[derive(Debug)]
struct Exactly {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn trusting(
    ca_file: Option<&Path>,
    pins: &[SpkiPin],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Refused> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier {
        files: ca_file.iter().map(|path| (*path).to_owned()).collect(),
        pins: pins.to_vec(),
        present: RwLock::new(Present::read(ca_file)?),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// rustls' own verifier, over authorities that may be replaced, and then the pins.
struct Verifier {
    files: Vec<PathBuf>,
    pins: Vec<SpkiPin>,
    present: RwLock<Present>,
}

struct Present {
    stamp: Stamp,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Present {
    fn read(ca_file: Option<&Path>) -> Result<Self, Refused> {
        let files: Vec<PathBuf> = ca_file.iter().map(|path| (*path).to_owned()).collect();
        let stamp = Stamp::of(&files);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots(ca_file)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { stamp, verifier })
    }
}

impl Verifier {
    fn present(&self) -> Arc<WebPkiServerVerifier> {
        let stamp = Stamp::of(&self.files);
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        if present.stamp == stamp {
            return Arc::clone(&present.verifier);
        }
        drop(present);
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        match Present::read(self.files.first().map(PathBuf::as_path)) {
            Ok(read) => *present = read,
            Err(refused) => {
                present.stamp = stamp;
                tracing::error!(%refused, "the authorities that were trusted before still are");
            }
        }
        Arc::clone(&present.verifier)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.present().verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let mut chain = std::iter::once(end_entity).chain(intermediates);
        let is_pinned = |certificate: &CertificateDer<'_>| {
            SpkiPin::of(certificate).is_some_and(|key| self.pins.contains(&key))
        };
        if self.pins.is_empty() || chain.any(is_pinned) {
            Ok(verified)
        } else {
            tracing::error!("no pinned key is in the chain of the server");
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.present()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.present()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.present().supported_verify_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("files", &self.files)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
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
            let refused = client_tls(Some(path), &[]).unwrap_err();
            assert!(
                refused.to_string().ends_with(path.to_str().unwrap()),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for text in ["", "AAAA", "not base64", &STANDARD.encode([0; 33])] {
            assert_eq!(SpkiPin::parse(text), Err(SpkiPinRefused), "{text}");
        }
        assert!(SpkiPin::parse(&STANDARD.encode([7; 32])).is_ok());
    }
}
