//! Whose certificate is taken on the internal plane.
//!
//! A certificate is taken when one of the configured authorities signed it, no revocation list
//! names it, and nobody has revoked its name by hand. Where revocation lists are configured they
//! must be fresh and must cover the authority: an answer that nobody can give is a no.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, DnsName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use url::Url;

use super::attempt;
use super::files::{self, Refused};
use super::lists;
use super::live::{ClientFiles, Live};
use crate::clock::Timestamp;
use crate::http::peer;

/// Bytes of the list of revoked names; a longer one is refused.
const REVOKED_BYTES_MAX: u64 = 1_048_576;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 2_048;
const HASH_BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// Who is let in, at one moment.
#[derive(Debug)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    revoked: Revoked,
    /// When the first revocation list to end is no longer true.
    pub(super) lists_end_at: Option<Timestamp>,
}

/// What somebody has revoked by hand: a name, or one certificate by the SHA-256 of its DER form.
#[derive(Debug, Default)]
struct Revoked {
    names: BTreeSet<String>,
    certificates: BTreeSet<[u8; HASH_BYTES]>,
}

impl Clients {
    pub(super) fn read(from: &ClientFiles) -> Result<Self, Refused> {
        let inconsistent = |error: String| Refused::Inconsistent(error);
        let mut roots = RootCertStore::empty();
        let authorities = files::certificates(&from.ca)?;
        for authority in &authorities {
            roots
                .add(authority.clone())
                .map_err(|error| inconsistent(format!("{}: {error}", from.ca.display())))?;
        }
        let mut revocation_lists: Vec<CertificateRevocationListDer<'static>> = Vec::new();
        let mut ends = Vec::new();
        for path in &from.revocation_lists {
            let (of_file, end) = files::revocation_lists(path)?;
            revocation_lists.extend(of_file);
            ends.push(end);
        }
        if !revocation_lists.is_empty() {
            let told = |why: &str| inconsistent(format!("client_crl_files: {why}"));
            lists::fit(&authorities, &revocation_lists).map_err(told)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !revocation_lists.is_empty() {
            builder = builder
                .with_crls(revocation_lists)
                .enforce_revocation_expiration();
        }
        let verifier = builder
            .build()
            .map_err(|error| inconsistent(error.to_string()))?;
        let revoked = match &from.revoked {
            Some(path) => Revoked::read(path)?,
            None => Revoked::default(),
        };
        Ok(Self {
            verifier,
            revoked,
            lists_end_at: ends.into_iter().min(),
        })
    }

    /// Whether the holder of this chain is let in now.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.revoked.holds(end_entity) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }
}

impl Revoked {
    /// One to a line: a subject alternative name, or `sha256:` and 64 hexadecimal digits. Empty
    /// lines, and what follows a `#`, are for people.
    fn read(path: &Path) -> Result<Self, Refused> {
        let bytes = fs::metadata(path).map_err(|error| Refused::unreadable(path, error))?;
        if bytes.len() > REVOKED_BYTES_MAX {
            return Err(Refused::unreadable(path, "it is longer than a mebibyte"));
        }
        let text = fs::read_to_string(path).map_err(|error| Refused::unreadable(path, error))?;
        let mut revoked = Self::default();
        for (at, line) in text.lines().enumerate() {
            // Never the line itself: nobody knows what was pasted there.
            let refuse = |what: &str| {
                let number = at.saturating_add(1);
                Refused::unreadable(path, format!("line {number} {what}"))
            };
            // A name is a URI and may hold a `#`; a comment begins a line or follows a space.
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(hash) = line.strip_prefix("sha256:") {
                let hash = bytes_of(hash)
                    .ok_or_else(|| refuse("has not 64 hexadecimal digits behind its sha256:"))?;
                revoked.certificates.insert(hash);
            } else if is_name(line) {
                revoked.names.insert(line.to_owned());
            } else {
                return Err(refuse("is neither a URI, a DNS name nor a sha256: line"));
            }
        }
        Ok(revoked)
    }

    fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.certificates.is_empty() && self.names.is_empty() {
            return false;
        }
        let hash = digest::digest(&digest::SHA256, certificate);
        self.certificates.contains(hash.as_ref())
            || peer::names_of(certificate)
                .iter()
                .any(|name| self.names.contains(name))
    }
}

/// Whether a certificate can have that name as a URI or DNS name: what cannot be one would revoke
/// nobody.
fn is_name(text: &str) -> bool {
    if text.len() > NAME_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    if text.contains(':') {
        let parsed = Url::parse(text);
        return parsed.is_ok_and(|url| url.has_host() || url.cannot_be_a_base());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    DnsName::try_from(name).is_ok()
}

/// The bytes of a hash in hexadecimal digits, with or without colons between the bytes.
fn bytes_of(hex: &str) -> Option<[u8; HASH_BYTES]> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .filter(|&letter| letter != ':')
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .filter_map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect();
    bytes.try_into().ok()
}

/// Asks whoever is in force at the moment of the handshake.
pub(super) struct Door(pub(super) Arc<Live>);

impl ClientCertVerifier for Door {
    /// No hint: the authorities may change while a handshake is under way, and every client of
    /// ours has one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client(end_entity, intermediates, now);
        if verified.is_err() {
            attempt::refused(end_entity);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = &algorithms.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = &algorithms.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Revoked, Refused> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Revoked::read(file.path())
    }

    #[test]
    fn names_hashes_and_comments_are_told_apart() {
        let hash = "ab".repeat(32);
        let colons: Vec<&str> = vec!["CD"; 32];
        let text = format!(
            "# who left\n\nspiffe://a/b#c # in May\n  dns.example  \nsha256:{hash}\nsha256:{}\n",
            colons.join(":")
        );
        let revoked = read(&text).unwrap();
        assert_eq!(
            revoked.names.iter().collect::<Vec<_>>(),
            ["dns.example", "spiffe://a/b#c"]
        );
        assert_eq!(
            revoked.certificates.into_iter().collect::<Vec<_>>(),
            [[0xab; 32], [0xcd; 32]]
        );
    }

    #[test]
    fn a_hash_that_is_cut_is_refused_and_does_not_revoke_nobody() {
        for hash in ["", "ab", &"a".repeat(63), &"g".repeat(64), &"a".repeat(66)] {
            let refused = read(&format!("sha256:{hash}\n")).unwrap_err();
            assert!(
                refused.to_string().contains("64 hexadecimal digits"),
                "{hash}"
            );
        }
    }

    #[test]
    fn what_can_be_nobodys_name_is_refused_by_its_line_and_not_repeated() {
        for garbage in [
            "typo not a san ###",
            "spiffe://corp.example/billing spiffe://corp.example/checkout",
            "spiffe:/",
            "4242 4242 4242 4242",
            "-----BEGIN CERTIFICATE-----",
            "dns..example",
            "käse.example",
            "\u{feff}spiffe://corp.example/billing",
            "billing,checkout",
        ] {
            let refused = read(&format!("# who left\n\n{garbage}\n")).unwrap_err();
            let said = refused.to_string();
            assert!(said.contains("line 3 is neither"), "{said}");
            assert!(!said.contains(garbage), "{said}");
        }
        for name in [
            "spiffe://corp.example/billing",
            "urn:example:billing",
            "billing",
            "billing.corp.example",
            "*.corp.example",
        ] {
            assert_eq!(read(name).unwrap().names.len(), 1, "{name}");
        }
    }
}
