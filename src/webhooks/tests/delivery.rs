//! Deliveries over real sockets: what is sent, and what each answer means.

use std::time::{Duration, Instant};

use super::*;

const ACCEPTED: Delivered = Delivered::Accepted { status: 200 };

const fn refused(status: u16, retry_after_s: Option<u32>) -> Delivered {
    Delivered::Refused {
        status,
        retry_after_s,
    }
}

#[tokio::test]
async fn a_delivery_carries_these_headers_and_no_others() {
    let peer = Peer::start(vec![Reply::json(204, "")]).await;
    let delivered = endpoint(&peer).deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Accepted { status: 204 });

    let received = peer.received().remove(0);
    assert_eq!(received.line(), "POST /hooks/abc?key=1");
    assert_eq!(received.body.as_bytes(), BODY);
    let authority = peer.url().authority().to_owned();
    let mut sent = received.headers.clone();
    sent.sort();
    let expected = [
        ("content-length", "20"),
        ("content-type", "application/json"),
        ("host", &authority),
        (
            "user-agent",
            concat!("cloakroom/", env!("CARGO_PKG_VERSION")),
        ),
        ("webhook-id", ID),
        (
            "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        ("webhook-timestamp", "1614265330"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn while_a_secret_is_replaced_receivers_of_the_old_and_of_the_new_one_believe() {
    let old = "whsec_b2xkZXIgdGhhbiB0aGUgbmV3IG9uZSwgYW5kIGxvbmdlcg==";
    let public = Secret::parse(ED25519).unwrap().public_key().unwrap();
    let script = (0..3).map(|_| Reply::json(200, "")).collect();
    let peer = Peer::start(script).await;
    for signing in [&[old][..], &[old, HMAC, ED25519], &[HMAC, ED25519]] {
        let mut settings = settings(&peer);
        settings.secrets = secrets(signing);
        let endpoint = Endpoint::new(settings).unwrap();
        assert_eq!(endpoint.deliver(&MESSAGE).await, ACCEPTED);
    }
    let received = peer.received();
    let believe = |key: &str| -> Vec<bool> {
        let all = received.iter();
        all.map(|received| believed(received, &[key])).collect()
    };
    assert_eq!(believe(old), [true, true, false]);
    assert_eq!(believe(HMAC), [false, true, true]);
    assert_eq!(believe(&public), [false, true, true]);
}

#[tokio::test]
async fn every_status_means_what_the_specification_says() {
    for status in [200, 201, 202, 204, 299] {
        let delivered = attempt(Reply::json(status, "")).await;
        assert_eq!(delivered, Delivered::Accepted { status });
    }
    for status in [300, 304, 400, 401, 404, 409, 429, 500, 502, 503, 504, 599] {
        let delivered = attempt(Reply::json(status, "")).await;
        assert_eq!(delivered, refused(status, None));
    }
    assert_eq!(attempt(Reply::json(410, "")).await, Delivered::Gone);
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_moment() {
    // The attempt was at 2021-02-25T15:02:10Z.
    for (text, seconds) in [
        ("7", Some(7)),
        (" 120 ", Some(120)),
        ("Thu, 25 Feb 2021 15:03:10 GMT", Some(60)),
        ("Thu, 25 Feb 2021 15:02:09 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("99999999999999", None),
    ] {
        let reply = Reply::with(503, &[("retry-after", text)], "");
        assert_eq!(attempt(reply).await, refused(503, seconds), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let elsewhere = Peer::start(Vec::new()).await;
    let location: &'static str = elsewhere.url().to_string().leak();
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::with(status, &[("location", location)], "");
        assert_eq!(attempt(reply).await, refused(status, None));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_or_answers_nonsense_is_unreachable() {
    for (reply, reason) in [
        (Reply::Cut, Reason::Cut),
        (Reply::Raw("HTTP/1.1 2"), Reason::Cut),
        (Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Reason::NotHttp),
        (Reply::Raw("HTTP/1.1 two hundred\r\n\r\n"), Reason::NotHttp),
    ] {
        let delivered = attempt(reply).await;
        assert_eq!(delivered, Delivered::Unreachable(reason));
    }
    // A head that has no end, in few headers and in many.
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(65));
    for head in [long, many] {
        let delivered = attempt(Reply::Raw(head.leak())).await;
        assert_eq!(delivered, Delivered::Unreachable(Reason::NotHttp));
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_takes_no_longer_than_the_timeout() {
    let peer = Peer::start(vec![Reply::Hang]).await;
    let mut slow = settings(&peer);
    slow.request_timeout_ms = 300;
    let started = Instant::now();
    let delivered = Endpoint::new(slow).unwrap().deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Unreachable(Reason::Timeout));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    for reply in [Reply::Endless(200), Reply::Drip(200)] {
        let started = Instant::now();
        assert_eq!(attempt(reply).await, ACCEPTED);
        assert!(started.elapsed() < Duration::from_secs(4));
    }
    assert_eq!(attempt(Reply::Endless(410)).await, Delivered::Gone);
    assert_eq!(attempt(Reply::Drip(500)).await, refused(500, None));
    // The status has decided, whatever becomes of the body.
    assert_eq!(attempt(Reply::CutInAnswer).await, ACCEPTED);
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_short_answer_and_not_after_a_long_one() {
    let short = "x".repeat(16_384);
    let long = "x".repeat(4_000_000);
    let script = vec![
        Reply::json(200, &short),
        Reply::json(200, &long),
        Reply::json(200, ""),
    ];
    let peer = Peer::start(script).await;
    let endpoint = endpoint(&peer);
    for connections in [1, 1, 2] {
        assert_eq!(endpoint.deliver(&MESSAGE).await, ACCEPTED);
        assert_eq!(peer.connections(), connections);
    }
}

#[tokio::test]
async fn a_receiver_whose_certificate_is_not_trusted_is_sent_nothing() {
    let peer = Peer::start(Vec::new()).await;
    let other = Peer::start(Vec::new()).await;
    let mut unknown = settings(&peer);
    unknown.ca_file = Some(other.ca_file());
    let mut another_name = settings(&peer);
    another_name.url.set_host(Some("localhost")).unwrap();
    for settings in [unknown, another_name] {
        let delivered = Endpoint::new(settings).unwrap().deliver(&MESSAGE).await;
        assert_eq!(delivered, Delivered::Unreachable(Reason::Tls));
    }
    assert_eq!(peer.connections(), 2);
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_or_does_not_listen_is_told_apart() {
    let peer = Peer::start(Vec::new()).await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings_of_plain = settings(&peer);
    let port = plain.local_addr().unwrap().port();
    settings_of_plain.url.set_port(Some(port)).unwrap();
    let hang_up = tokio::spawn(async move { drop(plain.accept().await) });
    let delivered = Endpoint::new(settings_of_plain).unwrap();
    let delivered = delivered.deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Unreachable(Reason::Tls));
    hang_up.await.unwrap();

    // Its listener is gone with the task.
    let mut nobody = settings(&peer);
    nobody.url.set_port(Some(port)).unwrap();
    let delivered = Endpoint::new(nobody).unwrap().deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Unreachable(Reason::Connect));
}

#[tokio::test]
async fn an_id_that_could_end_a_header_sends_nothing() {
    let peer = Peer::start(Vec::new()).await;
    let endpoint = endpoint(&peer);
    for id in ["", "a\r\nx-evil: 1", "a\nb", "a b", "a.b", "\u{e9}", "a\0"] {
        let message = Message { id, ..MESSAGE };
        let delivered = endpoint.deliver(&message).await;
        assert_eq!(delivered, Delivered::Unreachable(Reason::MalformedId));
    }
    assert_eq!(peer.connections(), 0);
}
