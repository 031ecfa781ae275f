//! Every route for every principal: who is let in, and what the others are told.

use std::io::{BufRead, BufReader};
use std::process::Child;

use hyper::Method;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::raw;
use crate::support::{App, VISA, Who, request};

/// Route, body, and the status for checkout, billing and admin. A status under 400 or one that
/// only a granted request can reach (404, 410, 422) says that the door was open.
const INTERNAL: [(Method, &str, &str, [u16; 3]); 12] = [
    (
        Method::POST,
        "/v1/capture_sessions",
        r#"{"customer_ref":"c"}"#,
        [201, 403, 403],
    ),
    (
        Method::GET,
        "/v1/capture_sessions/test_cs_00000000000000000000000000",
        "",
        [404, 403, 403],
    ),
    (
        Method::GET,
        "/v1/tokens?customer_ref=c",
        "",
        [403, 200, 200],
    ),
    (
        Method::GET,
        "/v1/tokens/test_tok_00000000000000000000000000",
        "",
        [403, 404, 404],
    ),
    (
        Method::DELETE,
        "/v1/tokens/test_tok_00000000000000000000000000",
        "",
        [403, 403, 404],
    ),
    (Method::POST, "/v1/charges", "{}", [403, 422, 403]),
    (
        Method::GET,
        "/v1/charges/test_chg_00000000000000000000000000",
        "",
        [403, 404, 404],
    ),
    (Method::GET, "/status", "", [403, 403, 200]),
    (Method::POST, "/v1/keys/unseal", "{}", [403, 403, 403]),
    (Method::GET, "/v1/keys/seal_status", "", [403, 403, 403]),
    (Method::GET, "/.well-known/jwks.json", "", [403, 200, 200]),
    (Method::GET, "/openapi.json", "", [200, 200, 200]),
];

#[tokio::test]
async fn each_internal_route_opens_for_the_scopes_it_names_and_no_others() {
    let app = App::start();
    for (method, path, body, statuses) in INTERNAL {
        for (who, expected) in [Who::Checkout, Who::Billing, Who::Admin]
            .into_iter()
            .zip(statuses)
        {
            let url = format!("{}{path}", app.at.internal);
            let headers = [("idempotency-key", "k")];
            let answer = app
                .send(
                    who,
                    request(method.clone(), &url, &headers, body.to_owned()),
                )
                .await;
            assert_eq!(answer.status, expected, "{method} {path} as {who:?}");
            if expected == 403 {
                answer.problem(403, "not_granted");
            }
        }
    }
}

#[tokio::test]
async fn without_a_client_certificate_nothing_on_the_internal_plane_answers() {
    let app = App::start();
    for (method, path, body, _) in INTERNAL {
        let url = format!("{}{path}", app.at.internal);
        let refused = app
            .client(Who::Nobody)
            .send(request(method, &url, &[], body.to_owned()))
            .await;
        assert!(refused.is_err(), "{path} answered {refused:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_another_use_is_no_certificate() {
    let app = App::start();
    let stranger = App::start();
    let url = format!("{}/v1/tokens?customer_ref=c", app.at.internal);
    // Another authority signed it: same names, same everything.
    for name in ["client-admin.pem", "client-admin.key"] {
        std::fs::rename(app.path(name), app.path(&format!("kept-{name}"))).unwrap();
        std::fs::copy(stranger.path(name), app.path(name)).unwrap();
    }
    assert!(
        app.client(Who::Admin)
            .send(request(Method::GET, &url, &[], String::new()))
            .await
            .is_err()
    );
    // Our own authority signed it, for servers.
    for (from, to) in [
        ("server.pem", "client-admin.pem"),
        ("server.key", "client-admin.key"),
    ] {
        std::fs::copy(app.path(from), app.path(to)).unwrap();
    }
    assert!(
        app.client(Who::Admin)
            .send(request(Method::GET, &url, &[], String::new()))
            .await
            .is_err()
    );
    std::fs::rename(
        app.path("kept-client-admin.pem"),
        app.path("client-admin.pem"),
    )
    .unwrap();
    std::fs::rename(
        app.path("kept-client-admin.key"),
        app.path("client-admin.key"),
    )
    .unwrap();
    assert_eq!(app.get(Who::Admin, &url).await.status, 200);
}

#[tokio::test]
async fn a_certified_client_that_no_configuration_names_is_unauthenticated() {
    let app = App::start();
    let path = app.path("cloakroom.toml");
    // `dev` writes its configuration at each start; `serve` takes it as it stands.
    let config = std::fs::read_to_string(&path).unwrap();
    let without = config.replace(
        "spiffe://cloakroom.dev/admin",
        "spiffe://cloakroom.dev/nobody",
    );
    let other = app.path("other.toml");
    // The capture plane's port is in URLs, too, which nobody follows here.
    let without = without
        .replace(&port_of(&app.at.internal), ":0")
        .replace(&port_of(&app.at.capture), ":0")
        .replace(&port_of(&app.at.ops), ":0")
        .replace("cloakroom.db", "other.db")
        .replace("audit-checkpoints", "other-checkpoints");
    std::fs::write(&other, &without).unwrap();
    let migrated = crate::cli::run(&["migrate", "--config", other.to_str().unwrap()]);
    assert!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    let mut served = crate::cli::spawn(&["serve", "--config", other.to_str().unwrap()]);
    let at = internal_address(&mut served);
    let url = format!("https://{at}/openapi.json");
    let answer = crate::support::answered(async || {
        app.client(Who::Admin)
            .send(request(Method::GET, &url, &[], String::new()))
            .await
            .ok()
    })
    .await;
    assert_eq!(answer.status, 200);
    let url = format!("https://{at}/v1/tokens?customer_ref=c");
    app.get(Who::Admin, &url)
        .await
        .problem(401, "unauthenticated");
    served.kill().unwrap();
    served.wait().unwrap();
}

pub(crate) fn port_of(url: &str) -> String {
    format!(":{}", url.rsplit(':').next().unwrap())
}

/// Where the internal plane listens, as the log says it.
pub(crate) fn internal_address(served: &mut Child) -> String {
    let log = BufReader::new(served.stdout.take().unwrap());
    let line = log.lines().map(Result::unwrap).find_map(|line| {
        let line: Value = serde_json::from_str(&line).unwrap();
        (line["message"] == "serving").then_some(line)
    });
    line.unwrap()["internal"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_capture_plane_admits_only_the_holder_of_a_session() {
    let app = App::start();
    let secret = app.session().await;
    let url = format!("{}/v1/tokens", app.at.capture);
    let body = crate::support::card(VISA);
    let altered = format!("{}x", &secret[..secret.len() - 1]);
    let (id, _) = secret.split_once("_secret_").unwrap();
    let other_id = format!(
        "test_cs_00000000000000000000000000_secret_{}",
        "A".repeat(43)
    );
    let live = secret.replace("test_cs_", "cs_");
    let bearers = [
        altered,
        id.to_owned(),
        format!("{id}_secret_"),
        other_id,
        live,
        String::new(),
        "x".to_owned(),
    ];
    for bearer in bearers {
        app.post_card(&bearer, &body, &[])
            .await
            .problem(401, "unauthenticated");
    }
    // No header, another scheme, two headers.
    for headers in [
        vec![],
        vec![("authorization", format!("Basic {secret}"))],
        vec![
            ("authorization", format!("Bearer {secret}")),
            ("authorization", format!("Bearer {secret}")),
        ],
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let refused = app
            .send(
                Who::Nobody,
                request(Method::POST, &url, &headers, body.to_string()),
            )
            .await;
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(app.post_card(&secret, &body, &[]).await.status, 201);
}

#[tokio::test]
async fn no_plane_has_the_routes_of_another() {
    let app = App::start();
    let routes = [
        (&app.at.capture, "/v1/charges"),
        (&app.at.capture, "/v1/capture_sessions"),
        (&app.at.capture, "/metrics"),
        (&app.at.capture, "/_sandbox/ledger"),
        (&app.at.ops, "/v1/tokens"),
        (&app.at.ops, "/v1/charges"),
    ];
    for (plane, path) in routes {
        app.get(Who::Nobody, &format!("{plane}{path}"))
            .await
            .problem(404, "not_found");
    }
    app.get(Who::Admin, &format!("{}/metrics", app.at.internal))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn plain_http_is_not_spoken_and_old_tls_is_refused() {
    use std::io::{Read, Write};
    let app = App::start();
    for plane in [
        &app.at.capture,
        &app.at.internal,
        &app.at.ops,
        &app.at.sandbox,
        &app.at.shop,
    ] {
        let port: u16 = plane.rsplit(':').next().unwrap().parse().unwrap();
        let mut plain = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        plain
            .set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        plain
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        // A reset is as good an answer as an end.
        let _read = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/"), "{plane}");
    }
    for plane in [&app.at.capture, &app.at.internal, &app.at.ops] {
        let port: u16 = plane.rsplit(':').next().unwrap().parse().unwrap();
        let mut tls = crate::support::tls(app.dir.path(), Who::Admin);
        let provider = tls.crypto_provider().clone();
        let mut roots = rustls::RootCertStore::empty();
        for ca in rustls::pki_types::CertificateDer::pem_file_iter(app.path("ca.pem")).unwrap() {
            roots.add(ca.unwrap()).unwrap();
        }
        tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let refused = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls))
            .connect(name, socket)
            .await;
        assert!(refused.is_err(), "{plane} speaks TLS 1.2");
    }
    let connection = raw::connect(&app, Who::Nobody, &app.at.capture)
        .await
        .unwrap();
    let (_, session) = connection.get_ref();
    assert_eq!(
        session.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn another_accounts_things_are_not_found() {
    let app = App::start();
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "k").await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The same database, served to clients of another account.
    let config = std::fs::read_to_string(app.path("cloakroom.toml")).unwrap();
    let processor = config
        .split("[accounts.default.processor.stripe]")
        .nth(1)
        .unwrap()
        .split("[[clients]]")
        .next()
        .unwrap();
    let other = config.replace("account = \"default\"", "account = \"other\"")
        + &format!("\n[accounts.other.processor.stripe]{processor}");
    let other = [&app.at.capture, &app.at.internal, &app.at.ops]
        .iter()
        .fold(other, |text, url| text.replace(&port_of(url), ":0"));
    let path = app.path("other-account.toml");
    std::fs::write(&path, &other).unwrap();
    let mut served = crate::cli::spawn(&["serve", "--config", path.to_str().unwrap()]);
    let address = internal_address(&mut served);
    let at = |path: &str| format!("https://{address}{path}");
    crate::support::answered(async || {
        let request = request(Method::GET, &at("/openapi.json"), &[], String::new());
        app.client(Who::Admin).send(request).await.ok()
    })
    .await;
    app.get(Who::Billing, &at(&format!("/v1/tokens/{token}")))
        .await
        .problem(404, "not_found");
    app.get(Who::Billing, &at(&format!("/v1/charges/{charge}")))
        .await
        .problem(404, "not_found");
    let of_code = app
        .call(
            Who::Checkout,
            Method::POST,
            &at("/v1/capture_sessions"),
            &json!({ "token": token }),
        )
        .await
        .problem(422, "invalid_request");
    assert_eq!(
        of_code["errors"],
        json!([{ "pointer": "/token", "reason": "unknown" }])
    );
    let body = json!({"token": token, "amount": 100, "currency": "eur"}).to_string();
    let charge_it = request(
        Method::POST,
        &at("/v1/charges"),
        &[("idempotency-key", "k")],
        body,
    );
    app.send(Who::Billing, charge_it)
        .await
        .problem(404, "not_found");
    let delete = request(
        Method::DELETE,
        &at(&format!("/v1/tokens/{token}")),
        &[],
        String::new(),
    );
    app.send(Who::Admin, delete).await.problem(404, "not_found");
    let list = app
        .get(Who::Billing, &at("/v1/tokens?customer_ref=customer-1"))
        .await;
    assert_eq!(list.json()["data"], json!([]));
    served.kill().unwrap();
    served.wait().unwrap();
}
