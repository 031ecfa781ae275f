//! PostgreSQL over TCP: TLS with full verification, or nothing.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use zeroize::Zeroizing;

use super::*;

/// Loopback addresses of this test's server; its certificate bears the first only.
const NAMED: &str = "127.0.0.77";
const UNNAMED: &str = "127.0.0.78";
const PASSWORD: &str = "correct horse";

/// An authority, and what it signs for `address`: certificate and key, PEM.
fn certificate(address: &str) -> (String, String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::default();
    server.subject_alt_names = vec![SanType::IpAddress(address.parse().unwrap())];
    let signed = server.signed_by(&key, &issuer).unwrap().pem();
    (authority_pem, signed, key.serialize_pem())
}

fn over_tcp(server: &Server, name: &str, ca_file: PathBuf) -> Settings {
    let mut place = cluster::place(server, "billing");
    place.hosts = vec![Host::Tcp {
        name: name.to_owned(),
        port: 5_432,
    }];
    place.ca_file = Some(ca_file);
    place.password = Some(Zeroizing::new(PASSWORD.to_owned()));
    Settings {
        place: Place::Postgres(Box::new(place)),
        ..settings(PathBuf::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_over_tcp_is_verified_in_full_or_not_spoken_to() {
    let Stage {
        mut server, store, ..
    } = stage().await;
    store.close().await.unwrap();
    server.sql(&format!("ALTER ROLE billing PASSWORD '{PASSWORD}'"));
    let (authority, signed, key) = certificate(NAMED);
    let ca = server.put("ca.pem", &authority);
    let other_ca = server.put("other-ca.pem", &certificate(NAMED).0);
    let signed = server.put("server.pem", &signed);
    let key = server.put("server.key", &key);
    let rules = server.put(
        "hba.conf",
        "local all all trust\nhost all all 127.0.0.0/8 scram-sha-256\n",
    );
    let listen = format!("listen_addresses={NAMED},{UNNAMED}");
    let rules = format!("hba_file={}", rules.display());
    let signed = format!("ssl_cert_file={}", signed.display());
    let key = format!("ssl_key_file={}", key.display());

    server.kill();
    server.run(&[&listen, &rules, "ssl=on", &signed, &key]);
    let store = open(&over_tcp(&server, NAMED, ca.clone())).await.unwrap();
    store.record(event(Action::TokenRead)).await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'billing'";
    assert_eq!(server.sql(encrypted), "t");
    store.close().await.unwrap();

    let another_name = over_tcp(&server, UNNAMED, ca.clone());
    let another_authority = over_tcp(&server, NAMED, other_ca);
    let mut another_password = over_tcp(&server, NAMED, ca.clone());
    if let Place::Postgres(place) = &mut another_password.place {
        place.password = Some(Zeroizing::new("wrong battery".to_owned()));
    }
    for settings in [another_name, another_authority, another_password] {
        let refused = open(&settings).await.unwrap_err();
        assert!(matches!(refused, Failure::Unavailable(_)), "{refused}");
        let words = format!("{refused} {settings:?}");
        assert!(
            !words.contains("horse") && !words.contains("battery"),
            "{words}"
        );
    }

    // A server that speaks no TLS hears neither the password nor a statement.
    server.kill();
    server.run(&[&listen, &rules]);
    let refused = open(&over_tcp(&server, NAMED, ca)).await.unwrap_err();
    assert!(matches!(refused, Failure::Unavailable(_)), "{refused}");
}
