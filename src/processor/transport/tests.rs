//! The way to a processor over real sockets: trusted, cut, silent, oversize.

use super::*;
use crate::processor::peer::{Peer, Reply};

const OK: &str = "{}";

fn transport(settings: &Settings) -> Transport {
    Transport::new(settings, "2026-09-30.endive").unwrap()
}

fn form(text: &str) -> Call {
    Call::post(
        "/v1/things".to_owned(),
        Zeroizing::new(text.as_bytes().to_vec()),
    )
}

async fn send(settings: &Settings, call: &Call) -> Result<Answer, Broken> {
    let transport = transport(settings);
    transport.send(call, transport.deadline()).await
}

async fn broken(settings: &Settings) -> Broken {
    match send(settings, &form("a=b")).await {
        Ok(answer) => panic!("answered {}", answer.status),
        Err(broken) => broken,
    }
}

#[test]
fn an_address_that_is_not_plain_https_is_refused_at_construction() {
    for url in [
        "http://127.0.0.1:1",
        "ftp://127.0.0.1",
        "https://user@127.0.0.1",
        "https://user:word@127.0.0.1",
        "https://127.0.0.1/?query",
        "https://127.0.0.1/#fragment",
    ] {
        let url = url::Url::parse(url).unwrap();
        assert!(
            matches!(setup::base(&url), Err(SetupRefused::BaseUrl)),
            "{url}"
        );
    }
    let base = |url| setup::base(&url::Url::parse(url).unwrap()).unwrap();
    assert_eq!(base("https://api.stripe.com/"), "https://api.stripe.com");
    assert_eq!(
        base("https://proxy.example/stripe/"),
        "https://proxy.example/stripe"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_safe_make_no_transport() {
    let peer = Peer::start(Vec::new()).await;
    let refused = |change: fn(&mut Settings)| {
        let mut settings = peer.settings();
        change(&mut settings);
        Transport::new(&settings, "v").unwrap_err()
    };
    let plain = refused(|settings| {
        settings.base_url = url::Url::parse("http://127.0.0.1").unwrap();
    });
    assert!(matches!(plain, SetupRefused::BaseUrl), "{plain}");
    let account = refused(|settings| settings.account = Some("acct_1\r\nx: y".to_owned()));
    assert!(matches!(account, SetupRefused::Account));
    let absent = refused(|settings| settings.ca_file = Some("/nonexistent/ca.pem".into()));
    assert!(matches!(absent, SetupRefused::Trust(_)));
    let empty = refused(|settings| settings.ca_file = Some("/dev/null".into()));
    assert!(matches!(empty, SetupRefused::Trust(_)));
}

#[tokio::test]
async fn a_request_says_who_we_are_and_which_version_we_speak() {
    let peer = Peer::start(vec![Reply::json(200, OK)]).await;
    let mut settings = peer.settings();
    settings.account = Some("acct_1".to_owned());
    let call = form("a=b").once("key-1").unwrap();
    assert!(send(&settings, &call).await.is_ok());

    let received = peer.received().remove(0);
    assert_eq!(received.line(), "POST /v1/things");
    assert_eq!(received.body, "a=b");
    for (name, value) in [
        ("authorization", "Bearer sk_test_peer"),
        ("stripe-version", "2026-09-30.endive"),
        ("stripe-account", "acct_1"),
        ("idempotency-key", "key-1"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "application/json"),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    // No compression: an answer's size limit is a limit on what it takes to hold it.
    assert_eq!(received.header("accept-encoding"), None);
}

#[tokio::test]
async fn the_secret_key_is_not_printed() {
    let peer = Peer::start(Vec::new()).await;
    let settings = peer.settings();
    let transport = transport(&settings);
    assert!(!format!("{transport:?} {settings:?}").contains("sk_test"));
    assert!(transport.headers[header::AUTHORIZATION].is_sensitive());
    assert!(!format!("{:?}", transport.headers).contains("sk_test"));
}

#[tokio::test]
async fn an_answers_headers_are_read_and_checked() {
    let headers = [
        ("request-id", "req_1"),
        ("retry-after", "7"),
        ("stripe-should-retry", "true"),
        ("idempotent-replayed", "true"),
    ];
    let odd = [
        ("request-id", "not an id"),
        ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("stripe-should-retry", "maybe"),
    ];
    let replies = vec![Reply::with(429, &headers, OK), Reply::with(200, &odd, OK)];
    let peer = Peer::start(replies).await;
    let settings = peer.settings();

    let answer = send(&settings, &form("a=b")).await.ok().unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.request_id.as_deref(), Some("req_1"));
    assert_eq!(answer.retry_after_s, Some(7));
    assert_eq!((answer.should_retry, answer.replayed), (Some(true), true));

    let answer = send(&settings, &form("a=b")).await.ok().unwrap();
    assert_eq!((answer.request_id, answer.retry_after_s), (None, None));
    assert_eq!((answer.should_retry, answer.replayed), (None, false));
}

#[tokio::test]
async fn connections_are_used_again() {
    let peer = Peer::start((0..20).map(|_| Reply::json(200, OK)).collect()).await;
    let transport = transport(&peer.settings());
    for _ in 0..20 {
        let answer = transport.send(&form("a=b"), transport.deadline()).await;
        assert!(answer.is_ok());
    }
    assert_eq!(peer.received().len(), 20);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_replaced() {
    let script = vec![Reply::Last(OK), Reply::json(200, OK)];
    let peer = Peer::start(script).await;
    let transport = transport(&peer.settings());
    for _ in 0..2 {
        let answer = transport.send(&form("a=b"), transport.deadline()).await;
        assert!(answer.is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(peer.received().len(), 2);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_sent_nothing() {
    let peer = Peer::start(Vec::new()).await;
    let other = Peer::start(Vec::new()).await;
    let mut settings = peer.settings();
    settings.ca_file = other.settings().ca_file;
    assert_eq!(broken(&settings).await, Broken::NotSent);
    // The right authority, but a certificate for another name.
    let mut settings = peer.settings();
    settings.base_url.set_host(Some("localhost")).unwrap();
    assert_eq!(broken(&settings).await, Broken::NotSent);
    assert_eq!(peer.connections(), 2);
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn a_refused_connection_means_nothing_was_sent() {
    let peer = Peer::start(Vec::new()).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut settings = peer.settings();
    settings.base_url.set_port(Some(port)).unwrap();
    assert_eq!(broken(&settings).await, Broken::NotSent);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_was_sent_nothing() {
    let peer = Peer::start(Vec::new()).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = peer.settings();
    let port = silent.local_addr().unwrap().port();
    settings.base_url.set_port(Some(port)).unwrap();
    settings.request_timeout_ms = 200;
    // The TLS handshake never ends, so no byte of the request has left.
    assert_eq!(broken(&settings).await, Broken::NotSent);
}

#[tokio::test]
async fn no_answer_in_time_leaves_the_outcome_unknown() {
    let peer = Peer::start(vec![Reply::Hang]).await;
    let mut settings = peer.settings();
    settings.request_timeout_ms = 300;
    assert_eq!(broken(&settings).await, Broken::OutcomeUnknown);
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_connection_cut_before_or_in_the_answer_leaves_the_outcome_unknown() {
    for reply in [Reply::Cut, Reply::CutInAnswer] {
        let peer = Peer::start(vec![reply]).await;
        assert_eq!(broken(&peer.settings()).await, Broken::OutcomeUnknown);
        assert_eq!(peer.received().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_leaves_the_outcome_unknown() {
    let limit = 1_000;
    let replies = vec![
        Reply::json(200, &"x".repeat(limit)),
        Reply::json(200, &"x".repeat(limit + 1)),
    ];
    let peer = Peer::start(replies).await;
    let mut settings = peer.settings();
    settings.answer_bytes_max = u32::try_from(limit).unwrap();
    assert!(send(&settings, &form("a=b")).await.is_ok());
    assert_eq!(broken(&settings).await, Broken::OutcomeUnknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = [("location", "https://127.0.0.1:1/")];
    let peer = Peer::start(vec![Reply::with(307, &elsewhere, "")]).await;
    let answer = send(&peer.settings(), &form("a=b")).await.ok().unwrap();
    assert_eq!(answer.status, 307);
}

#[test]
fn a_key_that_cannot_stand_in_a_header_is_refused() {
    let long = "k".repeat(256);
    for key in ["", "two words", "line\nend", "é", &long] {
        assert!(form("a=b").once(key).is_none(), "{key}");
    }
    assert!(form("a=b").once(&"k".repeat(255)).is_some());
}

#[tokio::test]
async fn a_processor_without_a_pinned_key_gets_nothing() {
    let peer = Peer::start(vec![Reply::json(200, OK)]).await;
    let another = Peer::start(Vec::new()).await;
    let mut settings = peer.settings();
    settings.spki_pins = vec![another.pin()];
    assert_eq!(broken(&settings).await, Broken::NotSent);
    assert!(peer.received().is_empty());
    // The next key's pin beside the present one's, as they should be configured.
    settings.spki_pins = vec![another.pin(), peer.pin()];
    assert_eq!(
        send(&settings, &form("a=b")).await.ok().unwrap().status,
        200
    );
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_restart() {
    let peer = Peer::start(vec![Reply::Last(OK), Reply::Last(OK)]).await;
    let another = Peer::start(Vec::new()).await;
    let trusted = tempfile::NamedTempFile::new().unwrap();
    let put = |from: &Peer| std::fs::copy(from.ca_file(), trusted.path()).unwrap();
    put(&another);
    let mut settings = peer.settings();
    settings.ca_file = Some(trusted.path().to_owned());
    let transport = transport(&settings);
    let ask = async || {
        let call = form("a=b");
        transport.send(&call, transport.deadline()).await.is_ok()
    };
    assert!(!ask().await);
    put(&peer);
    assert!(ask().await);
    // What cannot be read takes nobody's trust away.
    std::fs::write(trusted.path(), "-----BEGIN CERTIFICATE-----\n").unwrap();
    assert!(ask().await);
    put(&another);
    assert!(!ask().await);
}

#[test]
fn hybrid_post_quantum_keys_are_offered_first() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let first = provider.kx_groups.first().unwrap().name();
    assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
}
