//! Whether revocation lists are the clients' authorities' own.
//!
//! A list of another authority says nothing of our clients, and rustls, asked to know of each
//! certificate whether it is revoked, would then refuse them all.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::{parse_x509_certificate, parse_x509_crl};

/// Whether each list was signed by one of the authorities, and each authority has one.
///
/// # Errors
/// What does not fit, in words.
pub(super) fn fit(
    authorities: &[CertificateDer<'_>],
    lists: &[CertificateRevocationListDer<'_>],
) -> Result<(), &'static str> {
    let authorities = authorities.iter().map(|authority| {
        let (_, authority) = parse_x509_certificate(authority).ok()?;
        Some(authority)
    });
    let lists = lists.iter().map(|list| {
        let (_, list) = parse_x509_crl(list.as_ref()).ok()?;
        Some(list)
    });
    let parsed: (Option<Vec<_>>, Option<Vec<_>>) = (authorities.collect(), lists.collect());
    let (Some(authorities), Some(lists)) = parsed else {
        return Err("a revocation list or an authority cannot be read");
    };
    let is_ours = |list| authorities.iter().any(|authority| is_by(list, authority));
    if !lists.iter().all(is_ours) {
        return Err("a revocation list was not signed by an authority of client_ca_file");
    }
    let has_one = |authority| lists.iter().any(|list| is_by(list, authority));
    if !authorities.iter().all(has_one) {
        return Err("an authority of client_ca_file has no revocation list");
    }
    Ok(())
}

fn is_by(list: &CertificateRevocationList<'_>, authority: &X509Certificate<'_>) -> bool {
    if list.issuer().as_raw() != authority.subject().as_raw() {
        return false;
    }
    let key = &authority.public_key().subject_public_key.data;
    let (signed, signature) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms.all.iter();
    let mut right = algorithms.map(|known| known.verify_signature(key, signed, signature));
    right.any(|verified| verified.is_ok())
}
