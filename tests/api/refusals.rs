//! Who is not let in: counted, recorded, and no burden for the others.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{App, Who, eventually, request, tls};

const BILLING: &str = "spiffe://cloakroom.dev/billing";

/// What a client shows.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// An authority, and what it is known by.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// A certificate of billing's, but for what is changed.
fn shown(by: &Issuer<'_, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(BILLING.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    Shown {
        chain: vec![certificate.der().clone()],
        key,
    }
}

/// A handshake that must not lead to an answer.
async fn knock(app: &App, shown: Option<&Shown>) {
    let trusted = tls(app.dir.path(), Who::Nobody);
    let config = match shown {
        None => trusted,
        Some(shown) => {
            let mut roots = rustls::RootCertStore::empty();
            for authority in CertificateDer::pem_file_iter(app.path("ca.pem")).unwrap() {
                roots.add(authority.unwrap()).unwrap();
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())
                .unwrap()
        }
    };
    let port: u16 = port_of(&app.at.internal);
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut stream) = connector.connect(name, socket).await else {
        return;
    };
    // In TLS 1.3 the refusal comes behind the client's own end of the handshake.
    let _sent = stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    assert!(read.is_err() || answer.is_empty(), "{answer:?}");
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

async fn metric(app: &App, line: &str) -> u64 {
    let url = format!("{}/metrics", app.at.ops);
    let metrics = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
    let value = metrics
        .lines()
        .find_map(|have| have.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
}

#[tokio::test]
async fn a_refused_client_certificate_is_counted_and_recorded_with_what_it_claims() {
    let (ours, pem) = authority("ours");
    let (theirs, _) = authority("theirs");
    let dir = Arc::new(TempDir::new().unwrap());
    std::fs::write(dir.path().join("clients-ca.pem"), pem).unwrap();
    std::fs::write(dir.path().join("gone.txt"), "spiffe://cloakroom.dev/gone\n").unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (ca, gone) = (path("clients-ca.pem"), path("gone.txt"));
    let overrides = [
        ("CLOAKROOM__INTERNAL__CLIENT_CA_FILE", ca.as_str()),
        ("CLOAKROOM__INTERNAL__REVOKED_CLIENTS_FILE", gone.as_str()),
    ];
    let app = App::start_in(Arc::clone(&dir), &[], &overrides);
    let ended = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let expired = shown(&ours, ended);
    let early = shown(&ours, |params| {
        params.not_before = date_time_ymd(2199, 1, 1);
    });
    let foreign = shown(&theirs, |_| {});
    let wrong_use = shown(&ours, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let revoked = shown(&ours, |params| {
        let gone = "spiffe://cloakroom.dev/gone".try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(gone)];
    });
    for (reason, shown) in [
        ("no_certificate", None),
        ("expired", Some(&expired)),
        ("not_yet_valid", Some(&early)),
        ("unknown_issuer", Some(&foreign)),
        ("wrong_use", Some(&wrong_use)),
        ("revoked", Some(&revoked)),
    ] {
        for _ in 0..5 {
            knock(&app, shown).await;
        }
        let counted = format!(
            "cloakroom_tls_clients_refused_total{{plane=\"internal\",reason=\"{reason}\"}}"
        );
        eventually(reason, async || metric(&app, &counted).await == 5).await;
        let claimed = match shown {
            Some(_) => format!("{reason} sha256:%spiffe://cloakroom.dev/%"),
            None => reason.to_owned(),
        };
        // The first is an event at once; the others are counted to it.
        let recorded = format!(
            "SELECT count(*) FROM audit_events WHERE action = 'tls.client_refused' \
             AND outcome = 'refused' AND origin = '127.0.0.1' AND subject LIKE '{claimed}'"
        );
        eventually(reason, async || app.count(&recorded).await == 1).await;
    }
    let dir = Arc::clone(&app.dir);
    assert!(app.stop().success());
    // What was counted is recorded when the minute is over, or the process.
    let app = App::start_in(dir, &[], &[]);
    let recorded = "SELECT count(*) FROM audit_events \
                    WHERE action = 'tls.client_refused' AND subject LIKE '% x4'";
    assert_eq!(app.count(recorded).await, 6);
}

#[tokio::test]
async fn a_flood_of_refused_requests_is_two_events_with_their_number() {
    let app = App::start();
    let client = app.client(Who::Billing);
    let url = format!("{}/v1/capture_sessions", app.at.internal);
    for _ in 0..300 {
        let order = request(Method::POST, &url, &[], json!({}).to_string());
        assert_eq!(client.send(order).await.unwrap().status, 403);
    }
    drop(client);
    let recorded = "SELECT count(*) FROM audit_events WHERE action = 'grant.refused'";
    let counted = "SELECT count(*) FROM audit_events WHERE action = 'grant.refused' \
                   AND subject LIKE 'not_granted POST /v1/capture_sessions%'";
    assert!(app.count(recorded).await <= 2);
    let dir = Arc::clone(&app.dir);
    assert!(app.stop().success());
    let app = App::start_in(dir, &[], &[]);
    let (all, named) = (app.count(recorded).await, app.count(counted).await);
    assert!((2..=4).contains(&all), "{all}");
    assert_eq!(all, named);
}

/// A connection from another address of this machine, which says nothing.
async fn silent(from: Ipv4Addr, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket
        .connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_silent_connections_keep_nobody_else_waiting() {
    let app = App::start();
    let port = port_of(&app.at.capture);
    let url = format!("{}/nowhere", app.at.capture);
    let crowd = tokio::spawn(async move {
        // Few enough at a time for this process's own limit of open files.
        let mut held = VecDeque::new();
        for number in 0..3_000_u32 {
            let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 4).unwrap() + 1);
            held.push_back(silent(from, port).await);
            if held.len() > 600 {
                held.pop_front();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        held
    });
    let mut waited = Vec::new();
    while !crowd.is_finished() {
        let began = Instant::now();
        // A connection of its own, and its handshake.
        assert_eq!(app.get(Who::Nobody, &url).await.status, 404);
        waited.push(began.elapsed());
    }
    waited.sort();
    let slow = waited[waited.len() * 99 / 100];
    assert!(
        slow < Duration::from_secs(1),
        "{slow:?} of {}",
        waited.len()
    );
    assert!(waited.len() > 20, "{}", waited.len());

    let turned_away = |why: &str| {
        format!("cloakroom_connections_turned_away_total{{plane=\"capture\",why=\"{why}\"}}")
    };
    eventually("the silent are turned away", async || {
        let silent = metric(&app, &turned_away("silent")).await;
        silent + metric(&app, &turned_away("crowded_out")).await == 3_000
    })
    .await;
    drop(crowd.await.unwrap());
}
