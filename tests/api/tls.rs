//! TLS for years: certificates, authorities and revocation lists change under open connections;
//! what is offered is what is meant, looked at by our own eyes and by sslscan's.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest;
use cloakroom::clock::Clock;
use cloakroom::http::tls::{Files, Live, Reload};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncWriteExt as _;

use crate::support::{App, Who, eventually, raw};

const ASK: &[u8] = b"GET /v1/tokens?customer_ref=c HTTP/1.1\r\nHost: localhost\r\n\r\n";
const BILLING: &str = "spiffe://cloakroom.dev/billing";

/// An authority of the operator's, beside the one of `cloakroom dev`.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Signs a certificate, and puts it and its key to `NAME.pem` and `NAME.key` by renaming.
    fn sign(&self, dir: &Path, name: &str, san: SanType, serial: u64) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![san];
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = now() + Duration::days(100);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        replace(&dir.join(format!("{name}.key")), &key.serialize_pem());
        replace(&dir.join(format!("{name}.pem")), &certificate.pem());
    }

    fn billing(&self, dir: &Path, serial: u64) {
        let san = SanType::URI(BILLING.try_into().unwrap());
        self.sign(dir, "client-billing", san, serial);
    }

    /// A revocation list, true for so long.
    fn revocation_list(&self, serials: &[u64], lasts: Duration) -> String {
        let now = now();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        CertificateRevocationListParams {
            this_update: now - Duration::days(2),
            next_update: now + lasts,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .pem()
        .unwrap()
    }
}

fn now() -> OffsetDateTime {
    let unix_s = Clock::system().now().unix_ms().div_euclid(1_000);
    OffsetDateTime::from_unix_timestamp(unix_s).unwrap()
}

/// As certificate managers do it: written beside, private, then renamed.
fn replace(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let beside = path.with_extension("new");
    let _gone = fs::remove_file(&beside);
    let mut options = fs::File::options();
    options.write(true).create_new(true).mode(0o600);
    std::io::Write::write_all(&mut options.open(&beside).unwrap(), text.as_bytes()).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Asks over a connection that stays open; 0 when it does not answer.
async fn ask(app: &App, connection: &mut raw::Connection) -> u16 {
    if connection.write_all(ASK).await.is_err() || connection.flush().await.is_err() {
        return 0;
    }
    let answer = raw::read(connection).await;
    app.note_said(&answer);
    raw::status(&answer)
}

/// A handshake, and a request: a server that refuses a certificate says so only afterwards.
async fn is_let_in(app: &App, who: Who) -> bool {
    match raw::connect(app, who, &app.at.internal).await {
        // Checkout may not read tokens; who it is has been believed then.
        Ok(mut connection) => matches!(ask(app, &mut connection).await, 200 | 403),
        Err(_) => false,
    }
}

fn leaf(connection: &raw::Connection) -> Vec<u8> {
    let (_, session) = connection.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}

async fn readiness(app: &App, name: &str) -> Value {
    let url = format!("{}/readyz", app.at.ops);
    let answer = app.get(Who::Nobody, &url).await.json();
    let lines = answer["checks"].as_array().unwrap().clone();
    let line = lines.into_iter().find(|line| line["name"] == name);
    line.unwrap_or_else(|| panic!("no line {name}: {answer}"))
}

/// SIGHUP: now, and not within a second.
fn hang_up(app: &App) {
    let pid = app.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_certificate_is_replaced_under_open_connections() {
    let app = App::start();
    let mut open = raw::connect(&app, Who::Billing, &app.at.internal)
        .await
        .unwrap();
    assert_eq!(ask(&app, &mut open).await, 200);
    let before = leaf(&open);

    let authority = Authority::new();
    let mut trusted = fs::read_to_string(app.path("ca.pem")).unwrap();
    trusted.push_str(&authority.pem);
    replace(&app.path("ca.pem"), &trusted);
    let localhost = SanType::DnsName("localhost".try_into().unwrap());
    authority.sign(app.dir.path(), "server", localhost, 7);
    for url in [&app.at.capture, &app.at.internal, &app.at.ops] {
        eventually("the new certificate is shown", || async {
            let fresh = raw::connect(&app, Who::Billing, url).await.unwrap();
            leaf(&fresh) != before
        })
        .await;
    }
    // Neither cut nor refused: the connection of before goes on.
    assert_eq!(ask(&app, &mut open).await, 200);
    assert_eq!(leaf(&open), before);
    // The authority came with the same change, so its clients are let in as well.
    authority.billing(app.dir.path(), 8);
    assert!(is_let_in(&app, Who::Billing).await);
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.contains(r#"cloakroom_tls_reloads_total{outcome="success",plane="internal"}"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_not_taken_and_readiness_says_so() {
    let app = App::start();
    let good = fs::read_to_string(app.path("server.key")).unwrap();
    let before = leaf(
        &raw::connect(&app, Who::Billing, &app.at.internal)
            .await
            .unwrap(),
    );
    for (what, wrong) in [
        (
            "another certificate's key",
            KeyPair::generate().unwrap().serialize_pem(),
        ),
        ("half a file", good[..good.len() / 2].to_owned()),
    ] {
        replace(&app.path("server.key"), &wrong);
        eventually(what, || async {
            let line = readiness(&app, "certificate_internal").await;
            line["state"] == "warning" && line["detail"].as_str().unwrap().contains("not taken")
        })
        .await;
        let fresh = raw::connect(&app, Who::Billing, &app.at.internal)
            .await
            .unwrap();
        assert_eq!(leaf(&fresh), before, "{what}");
        assert!(is_let_in(&app, Who::Billing).await, "{what}");
    }
    replace(&app.path("server.key"), &good);
    eventually("the right key is taken", || async {
        readiness(&app, "certificate_internal").await["state"] == "ok"
    })
    .await;
}

#[tokio::test]
async fn a_client_revoked_by_name_or_hash_is_out_at_once_also_on_its_open_connection() {
    let dir = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let revoked = dir.path().join("revoked-clients");
    fs::write(&revoked, "# nobody yet\n").unwrap();
    let path = revoked.to_str().unwrap().to_owned();
    let overrides = [("CLOAKROOM__INTERNAL__REVOKED_CLIENTS_FILE", path.as_str())];
    let app = App::start_in(dir, &[], &overrides);

    let mut open = raw::connect(&app, Who::Billing, &app.at.internal)
        .await
        .unwrap();
    assert_eq!(ask(&app, &mut open).await, 200);
    let checkout = CertificateDer::from_pem_file(app.path("client-checkout.pem")).unwrap();
    let hash = digest::digest(&digest::SHA256, &checkout);
    let mut hexadecimal = String::new();
    for byte in hash.as_ref() {
        write!(hexadecimal, "{byte:02X}").unwrap();
    }
    replace(
        &revoked,
        &format!("{BILLING} # stolen\nsha256:{hexadecimal}\n"),
    );
    hang_up(&app);
    eventually("the open connection is refused", || async {
        !is_let_in(&app, Who::Billing).await && !is_let_in(&app, Who::Checkout).await
    })
    .await;
    assert_eq!(ask(&app, &mut open).await, 401);
    assert!(is_let_in(&app, Who::Admin).await, "the others stay");

    // A list that cannot be read revokes nobody more, and nobody less.
    for (wrong, said) in [
        ("sha256:1234\n", "line 1 has not 64 hexadecimal digits"),
        ("# all\ntypo not a san ###\n", "line 2 is neither"),
    ] {
        replace(&revoked, wrong);
        eventually("readiness warns", || async {
            let line = readiness(&app, "certificate_internal").await;
            line["state"] == "warning" && line["detail"].as_str().unwrap().contains(said)
        })
        .await;
        assert!(!is_let_in(&app, Who::Billing).await);
    }
    let metrics = app
        .get(Who::Nobody, &format!("{}/metrics", app.at.ops))
        .await;
    let refused = "cloakroom_tls_reloads_total{outcome=\"refused\",plane=\"internal\"} 2";
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains(refused), "what the alert watches: {text}");
    assert!(!text.contains("typo"));
    // A start with it, and its preflight, are refused.
    for verb in ["check", "serve"] {
        let said = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args([verb, "--config"])
            .arg(app.path("cloakroom.toml"))
            .envs(overrides)
            .env("CLOAKROOM__CAPTURE__LISTEN", "127.0.0.1:0")
            .env("CLOAKROOM__INTERNAL__LISTEN", "127.0.0.1:0")
            .env("CLOAKROOM__OPS__LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!said.status.success(), "{verb}: {text}");
        assert!(text.contains("line 2 is neither"), "{verb}: {text}");
        assert!(!text.contains("typo"), "{verb}: {text}");
    }
    replace(&revoked, "");
    eventually("who is taken off the list is let in", || async {
        is_let_in(&app, Who::Billing).await
    })
    .await;
}

#[tokio::test]
async fn a_revocation_list_takes_effect_at_once_and_one_that_has_ended_lets_nobody_in() {
    let dir = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let authority = Authority::new();
    let (ca, list) = (
        dir.path().join("clients-ca.pem"),
        dir.path().join("clients.crl"),
    );
    fs::write(&ca, &authority.pem).unwrap();
    let month = Duration::days(30);
    fs::write(&list, authority.revocation_list(&[], month)).unwrap();
    let lists = format!("[{:?}]", list.to_str().unwrap());
    let overrides = [
        ("CLOAKROOM__INTERNAL__CLIENT_CA_FILE", ca.to_str().unwrap()),
        ("CLOAKROOM__INTERNAL__CLIENT_CRL_FILES", lists.as_str()),
    ];
    let app = App::start_in(std::sync::Arc::clone(&dir), &[], &overrides);
    assert!(!is_let_in(&app, Who::Billing).await, "of another authority");

    authority.billing(app.dir.path(), 1_001);
    let mut open = raw::connect(&app, Who::Billing, &app.at.internal)
        .await
        .unwrap();
    assert_eq!(ask(&app, &mut open).await, 200);
    assert_eq!(
        readiness(&app, "client_revocation_lists").await["state"],
        "ok"
    );

    replace(&list, &authority.revocation_list(&[1_001], month));
    hang_up(&app);
    eventually("the certificate is refused", || async {
        !is_let_in(&app, Who::Billing).await
    })
    .await;
    assert_eq!(ask(&app, &mut open).await, 401);
    // The client gets another certificate, and the list does not name it.
    authority.billing(app.dir.path(), 1_002);
    assert!(is_let_in(&app, Who::Billing).await);

    replace(&list, &authority.revocation_list(&[], Duration::hours(12)));
    eventually("readiness warns a day before", || async {
        readiness(&app, "client_revocation_lists").await["state"] == "warning"
    })
    .await;
    assert!(is_let_in(&app, Who::Billing).await);
    replace(&list, &authority.revocation_list(&[], -Duration::hours(1)));
    eventually("a list of yesterday lets nobody in", || async {
        !is_let_in(&app, Who::Billing).await
    })
    .await;
    assert_eq!(
        readiness(&app, "client_revocation_lists").await["state"],
        "failed"
    );
}

#[tokio::test]
async fn a_revocation_list_of_another_authority_is_not_taken_and_locks_nobody_out() {
    let dir = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let (authority, other) = (Authority::new(), Authority::new());
    let path = |name: &str| dir.path().join(name);
    let (ca, list) = (path("clients-ca.pem"), path("clients.crl"));
    fs::write(&ca, &authority.pem).unwrap();
    let month = Duration::days(30);
    fs::write(&list, authority.revocation_list(&[], month)).unwrap();
    let lists = format!("[{:?}]", list.to_str().unwrap());
    let overrides = [
        ("CLOAKROOM__INTERNAL__CLIENT_CA_FILE", ca.to_str().unwrap()),
        ("CLOAKROOM__INTERNAL__CLIENT_CRL_FILES", lists.as_str()),
    ];
    let app = App::start_in(std::sync::Arc::clone(&dir), &[], &overrides);
    authority.billing(app.dir.path(), 1_001);
    assert!(is_let_in(&app, Who::Billing).await);

    // Both have the same name: only the signature tells them apart.
    replace(&list, &other.revocation_list(&[], month));
    hang_up(&app);
    eventually("readiness says that it is not taken", || async {
        let ready = readiness(&app, "certificate_internal").await;
        ready.to_string().contains("not signed by an authority")
    })
    .await;
    assert!(is_let_in(&app, Who::Billing).await);

    // What belongs together is taken again.
    replace(&list, &authority.revocation_list(&[1_001], month));
    hang_up(&app);
    eventually("the certificate is refused", || async {
        !is_let_in(&app, Who::Billing).await
    })
    .await;
}

#[tokio::test]
async fn each_plane_agrees_on_hybrid_post_quantum_keys() {
    let app = App::start();
    for url in [&app.at.capture, &app.at.internal, &app.at.ops] {
        let connection = raw::connect(&app, Who::Billing, url).await.unwrap();
        let (_, session) = connection.get_ref();
        let group = session.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768, "{url}");
    }
}

/// sslscan's view (Debian's package), of what a client may choose that is not ours.
#[tokio::test]
async fn sslscan_finds_tls_1_3_and_nothing_older_or_weaker() {
    let app = App::start();
    for url in [&app.at.capture, &app.at.internal, &app.at.ops] {
        let target = url.trim_start_matches("https://");
        let scan = Command::new("sslscan")
            .args(["--xml=-", "--no-colour", target])
            .output()
            .unwrap();
        let scan = String::from_utf8(scan.stdout).unwrap();
        for version in [
            "type=\"ssl\" version=\"2\"",
            "type=\"ssl\" version=\"3\"",
            "type=\"tls\" version=\"1.0\"",
            "type=\"tls\" version=\"1.1\"",
            "type=\"tls\" version=\"1.2\"",
        ] {
            assert!(
                scan.contains(&format!("{version} enabled=\"0\"")),
                "{version}: {scan}"
            );
        }
        assert!(
            scan.contains("type=\"tls\" version=\"1.3\" enabled=\"1\""),
            "{scan}"
        );
        let ciphers: Vec<&str> = scan
            .lines()
            .filter(|line| line.contains("<cipher "))
            .collect();
        assert!(!ciphers.is_empty(), "{scan}");
        for cipher in ciphers {
            assert!(cipher.contains("cipher=\"TLS_"), "{cipher}");
            assert!(
                cipher.contains("GCM") || cipher.contains("CHACHA20_POLY1305"),
                "{cipher}"
            );
        }
        assert!(
            scan.contains("<heartbleed"),
            "the scan came to its end: {scan}"
        );
        assert!(!scan.contains("vulnerable=\"1\""), "{scan}");
        assert!(
            !scan.contains("<renegotiation supported=\"1\" secure=\"0\""),
            "{scan}"
        );
    }
}

/// A certificate for another host is one that every browser refuses: the live environment takes none
/// such, at start nor later, and the preflight says so.
#[tokio::test]
async fn a_certificate_for_another_host_is_refused_where_cards_are_real() {
    let app = App::start();
    let check = |environment: &str| {
        let said = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["check", "--config"])
            .arg(app.path("cloakroom.toml"))
            .env("CLOAKROOM__CAPTURE__PUBLIC_URL", "https://cards.example")
            .env("CLOAKROOM__ENVIRONMENT", environment)
            .output()
            .unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    for (environment, mark) in [("test", "warn"), ("live", "FAIL")] {
        let said = check(environment);
        let line = said.lines().find(|line| line.contains("certificate name"));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        assert!(line.starts_with(mark), "{line}");
        assert!(line.contains("not for cards.example"), "{line}");
    }
    let said = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args(["check", "--config"])
        .arg(app.path("cloakroom.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("it is for localhost"), "{said}");

    // What the live environment does with the files, at start and when they change.
    let files = |host: &str| Files {
        certificate: app.path("server.pem"),
        private_key: app.path("server.key"),
        host: Some(host.to_owned()),
        clients: None,
    };
    let refused = Live::read(files("cards.example"), Clock::system()).unwrap_err();
    assert!(refused.to_string().contains("not for cards.example"));
    let live = Live::read(files("localhost"), Clock::system()).unwrap();
    let authority = Authority::new();
    let other = SanType::DnsName("other.example".try_into().unwrap());
    authority.sign(app.dir.path(), "server", other, 7);
    let Reload::Refused(why) = live.reload() else {
        panic!("it was taken");
    };
    assert!(why.contains("not for localhost"), "{why}");
    assert!(live.refused().is_some());
    let own = SanType::DnsName("localhost".try_into().unwrap());
    authority.sign(app.dir.path(), "server", own, 8);
    assert_eq!(live.reload(), Reload::Renewed);
}
