//! Listeners: their certificates, and what they agree to.

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::scene::{Plane, Scene};
use crate::clock::Timestamp;
use crate::evidence::{Bundle, Look, Verdict};
use crate::http::tls;
use crate::net::probe::{Unseen, handshake, speaks_plain_http};
use crate::net::trust::client_tls_of;
use crate::seal::hex;

const CERTIFICATES: &str = "tls/certificates.json";
const NEGOTIATED: &str = "tls/negotiated.json";
/// Before a certificate's end it is time to replace it; readiness warns as early.
const NOTICE_MS: u64 = 21 * 24 * 60 * 60 * 1_000;

pub(super) async fn look(scene: &Scene, bundle: &mut Bundle) {
    certificates(scene, bundle);
    transport(scene, bundle).await;
}

/// The certificate that the listener must show.
pub(super) fn own_certificate(plane: &Plane<'_>) -> Result<CertificateDer<'static>, String> {
    let chain = tls::certificates(&plane.certificate.relative());
    let chain = chain.map_err(|refused| refused.to_string())?;
    chain
        .into_iter()
        .next()
        .ok_or_else(|| "there is no certificate".to_owned())
}

fn certificates(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "certificates",
        "each certificate is of now, and is not about to end",
        &["4.2.1", "4.2.1.1"],
    );
    let mut files: Vec<(String, std::path::PathBuf)> = scene
        .planes()
        .map(|plane| (plane.title(), plane.certificate.relative()))
        .collect();
    for process in &scene.processes {
        if let Some(internal) = &process.config.internal {
            let title = format!("authorities of the clients of {}", process.config.node);
            files.push((title, internal.client_ca_file.relative()));
        }
    }
    let mut shown = Vec::new();
    for (title, path) in files {
        let chain = match tls::certificates(&path) {
            Ok(chain) => chain,
            Err(refused) => {
                look.must(false, refused);
                continue;
            }
        };
        for certificate in &chain {
            match described(scene, certificate) {
                Some((verdict, seen, value)) => {
                    look.saw(verdict, format_args!("{title}: {seen}"));
                    shown.push(json!({ "of": title, "file": path, "certificate": value }));
                }
                None => look.must(
                    false,
                    format_args!("{}: not an X.509 certificate", path.display()),
                ),
            }
        }
        look.again(format!("openssl x509 -in {} -noout -text", path.display()));
    }
    look.shown_in(CERTIFICATES);
    bundle.json(CERTIFICATES, &shown);
    bundle.check(look.done());
}

fn described(scene: &Scene, der: &CertificateDer<'_>) -> Option<(Verdict, String, Value)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let at = |unix_s: i64| Timestamp::from_unix_ms(unix_s.saturating_mul(1_000));
    let begins = at(certificate.validity().not_before.timestamp());
    let ends = at(certificate.validity().not_after.timestamp());
    let now = scene.now();
    let is_of_now = begins <= now && ends.ms_since(now) > NOTICE_MS;
    let verdict = if is_of_now {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = names
        .into_iter()
        .flat_map(|names| names.value.general_names.iter().map(ToString::to_string))
        .collect();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let seen = format!("{}, until {}", certificate.subject(), ends.rfc3339());
    let value = json!({
        "subject": certificate.subject().to_string(),
        "issuer": certificate.issuer().to_string(),
        "names": names,
        "not_before": begins.rfc3339(),
        "not_after": ends.rfc3339(),
        "key": certificate.public_key().algorithm.algorithm.to_id_string(),
        "signature": certificate.signature_algorithm.algorithm.to_id_string(),
        "serial": certificate.raw_serial_as_string(),
        "sha256": hex(hash.as_ref()),
    });
    Some((verdict, seen, value))
}

async fn transport(scene: &Scene, bundle: &mut Bundle) {
    let mut look = Look::at(
        "transport",
        "each listener speaks TLS 1.3 with its own certificate, nothing older, and no plain HTTP",
        &["2.2.7", "4.2.1", "12.3.3"],
    );
    let mut shown = Vec::new();
    for plane in scene.planes() {
        match agreed(scene, &plane, &mut look).await {
            Ok(value) => shown.push(value),
            Err(why) => look.must(false, format_args!("{}: {why}", plane.title())),
        }
        look.again(format!("sslscan --no-colour {}", plane.address()));
    }
    look.shown_in(NEGOTIATED);
    bundle.json(NEGOTIATED, &shown);
    bundle.check(look.done());
}

async fn agreed(scene: &Scene, plane: &Plane<'_>, look: &mut Look) -> Result<Value, String> {
    let certificate = own_certificate(plane)?;
    let tls = |version| {
        let tls = client_tls_of(certificate.clone(), version);
        tls.map_err(|refused| refused.to_string())
    };
    let (title, address) = (plane.title(), plane.address());
    if scene.is_elsewhere(plane.node) {
        let (verdict, absent) = scene.absent(plane.node);
        look.saw(verdict, format_args!("{title} {absent}"));
        return Ok(json!({ "of": title, "address": address, "runs": false }));
    }
    let negotiated = match handshake(address, tls(&rustls::version::TLS13)?).await {
        Ok(negotiated) => negotiated,
        Err(Unseen::Nobody(why)) => {
            let (verdict, absent) = scene.absent(plane.node);
            look.saw(verdict, format_args!("{title} {absent}: {why}"));
            return Ok(json!({ "of": title, "address": address, "runs": false }));
        }
        Err(Unseen::Refused(why)) => return Err(format!("no handshake by TLS 1.3: {why}")),
    };
    let is_older_refused = matches!(
        handshake(address, tls(&rustls::version::TLS12)?).await,
        Err(Unseen::Refused(_))
    );
    let speaks_plain = speaks_plain_http(address).await.unwrap_or(true);
    look.must(
        is_older_refused && !speaks_plain,
        format_args!(
            "{title}: {} {} {}, TLS 1.2 {}, plain HTTP {}",
            negotiated.version,
            negotiated.suite,
            negotiated.group,
            if is_older_refused {
                "refused"
            } else {
                "spoken"
            },
            if speaks_plain { "spoken" } else { "not spoken" },
        ),
    );
    Ok(json!({
        "of": title,
        "address": address,
        "runs": true,
        "version": negotiated.version,
        "suite": negotiated.suite,
        "group": negotiated.group,
        "tls12_refused": is_older_refused,
        "plain_http_spoken": speaks_plain,
    }))
}
