//! The certificate authority of `cloakroom dev`, and what it signs: one certificate for the planes
//! and one for each of three clients.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use super::super::{Failure, exit};
use crate::clock::{Clock, Timestamp};
use crate::http::tls;
use crate::seal::file;

pub(super) const CA_PEM: &str = "ca.pem";
pub(super) const SERVER_PEM: &str = "server.pem";
pub(super) const SERVER_KEY: &str = "server.key";
/// Clients and the names in their certificates.
const CLIENTS: [&str; 3] = ["checkout", "billing", "admin"];
/// Days of validity; browsers refuse more than 398.
const VALIDITY_DAYS: u32 = 397;
/// Days before the end at which everything is made anew.
const RENEWAL_DAYS: u64 = 7;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Makes authority and certificates, unless they are there and last for a while.
pub(super) fn ensure(dir: &Path, clock: &Clock) -> Result<(), Failure> {
    let now = clock.now();
    let lasts = |end: Timestamp| end.ms_since(now) > DAY_MS.saturating_mul(RENEWAL_DAYS);
    if tls::not_after(&dir.join(SERVER_PEM)).is_ok_and(lasts) {
        return Ok(());
    }
    make(dir, now).map_err(|error| Failure::new(exit::CANT_CREATE, error))
}

fn make(dir: &Path, now: Timestamp) -> Result<(), Box<dyn std::error::Error>> {
    let ca_key = KeyPair::generate()?;
    let mut ca = params("Cloakroom development CA", now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = ca.self_signed(&ca_key)?;
    put(dir, CA_PEM, certificate.pem().as_bytes())?;
    // The authority's key is not kept: nothing else is ever signed with it.
    let issuer = Issuer::new(ca, ca_key);

    let mut server = params("localhost", now)?;
    server.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
    ];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(dir, "server", &server, &issuer)?;

    for name in CLIENTS {
        let mut client = params(name, now)?;
        let san = format!("spiffe://cloakroom.dev/{name}");
        client.subject_alt_names = vec![SanType::URI(san.try_into()?)];
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(dir, &format!("client-{name}"), &client, &issuer)?;
    }
    Ok(())
}

fn sign(
    dir: &Path,
    name: &str,
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(), Box<dyn std::error::Error>> {
    // P-256: an RSA handshake costs three times as much.
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    put(dir, &format!("{name}.key"), key.serialize_pem().as_bytes())?;
    put(dir, &format!("{name}.pem"), certificate.pem().as_bytes())
}

fn params(name: &str, now: Timestamp) -> Result<CertificateParams, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let start = OffsetDateTime::from_unix_timestamp(now.unix_ms().div_euclid(1_000))?;
    params.not_before = start.saturating_sub(time::Duration::hours(1));
    params.not_after = start.saturating_add(time::Duration::days(i64::from(VALIDITY_DAYS)));
    Ok(params)
}

/// Replaces a file with one that only its owner can read.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let path = dir.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(file::write_private(&path, bytes)?)
}
