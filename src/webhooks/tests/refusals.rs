//! What is refused before, or instead of, a connection.

use std::path::PathBuf;
use std::str::FromStr as _;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service as _;
use url::Url;

use super::*;
use crate::webhooks::SetupRefused;
use crate::webhooks::lookup::{Lookup, NotLookedUp};

/// Settings that go to `peer` by name, and to public addresses only.
fn by_name(peer: &Peer) -> Settings {
    let mut settings = settings(peer);
    settings.url.set_host(Some(Peer::NAME)).unwrap();
    settings.allow_private_addresses = false;
    settings
}

fn refused(change: impl FnOnce(&mut Settings)) -> SetupRefused {
    let mut settings = Settings {
        name: "shop".to_owned(),
        url: Url::parse("https://receiver.example/hook").unwrap(),
        secrets: secrets(&[HMAC]),
        allow_private_addresses: false,
        ca_file: None,
        request_timeout_ms: 5_000,
        connect_timeout_ms: 1_000,
    };
    change(&mut settings);
    Endpoint::new(settings).unwrap_err()
}

#[test]
fn a_url_that_is_not_plain_https_makes_no_endpoint() {
    for url in [
        "http://receiver.example/",
        "ftp://receiver.example/",
        "https://user@receiver.example/",
        "https://:word@receiver.example/",
        "https://receiver.example/#part",
        "data:text/plain,x",
    ] {
        let refused = refused(|settings| settings.url = Url::parse(url).unwrap());
        assert!(matches!(refused, SetupRefused::Url), "{url}");
    }
}

#[test]
fn an_endpoint_has_one_to_eight_secrets_and_readable_authorities() {
    let too_few = refused(|settings| settings.secrets = Vec::new());
    assert!(matches!(too_few, SetupRefused::Secrets));
    let too_many = refused(|settings| settings.secrets = secrets(&[HMAC; 9]));
    assert!(matches!(too_many, SetupRefused::Secrets));
    let authorities =
        refused(|settings| settings.ca_file = Some(PathBuf::from("/nonexistent/ca.pem")));
    assert!(matches!(authorities, SetupRefused::Trust(_)));
}

#[test]
fn a_url_that_is_a_private_address_in_any_spelling_makes_no_endpoint() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "198.51.100.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::169.254.169.254]",
        "[2002:7f00:1::]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "[2001:db8::1]",
    ] {
        let url = Url::parse(&format!("https://{host}/hook")).unwrap();
        let refused = refused(|settings| settings.url = url);
        assert!(matches!(refused, SetupRefused::PrivateAddress), "{host}");
    }
}

#[tokio::test]
async fn a_name_with_an_address_that_is_not_public_is_not_connected_to() {
    let peer = Peer::start(Vec::new()).await;
    for answer in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["10.1.2.3"],
        &["0.0.0.0"],
        &["169.254.169.254"],
        &["fd00::1"],
        // One public address does not excuse the other, in either order.
        &["9.9.9.9", "127.0.0.1"],
        &["127.0.0.1", "9.9.9.9"],
    ] {
        let (ask, asked) = names(&[answer]);
        let endpoint = Endpoint::asking(by_name(&peer), ask).unwrap();
        let delivered = endpoint.deliver(&MESSAGE).await;
        let expected = Delivered::Unreachable(Reason::PrivateAddress);
        assert_eq!(delivered, expected, "{answer:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn the_systems_own_names_for_loopback_are_refused_too() {
    let peer = Peer::start(Vec::new()).await;
    let mut local = by_name(&peer);
    local.url.set_host(Some("localhost")).unwrap();
    let delivered = Endpoint::new(local).unwrap().deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Unreachable(Reason::PrivateAddress));
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_name_that_turns_private_between_two_connections_is_refused_at_the_second() {
    let (ask, asked) = names(&[&["9.9.9.9", "2620:fe::fe"], &["127.0.0.1"]]);
    let mut lookup = Lookup {
        ask,
        allow_private_addresses: false,
    };
    let name = || Name::from_str(Peer::NAME).unwrap();
    // What was checked is what the connector is given, and there is no second question in between.
    let given: Vec<_> = lookup.call(name()).await.unwrap().collect();
    let given: Vec<String> = given.iter().map(|a| a.ip().to_string()).collect();
    assert_eq!(given, ["9.9.9.9", "2620:fe::fe"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let second = lookup.call(name()).await.err();
    assert_eq!(second, Some(NotLookedUp::NotPublic));
}

#[tokio::test]
async fn private_addresses_are_reached_where_the_operator_allows_them() {
    let peer = Peer::start(vec![Reply::json(200, "")]).await;
    let (ask, _) = names(&[&["127.0.0.1"]]);
    let mut allowed = by_name(&peer);
    allowed.allow_private_addresses = true;
    let endpoint = Endpoint::asking(allowed, ask).unwrap();
    let delivered = endpoint.deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Accepted { status: 200 });
    assert!(believed(&peer.received()[0], &[HMAC]));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said_so() {
    let peer = Peer::start(Vec::new()).await;
    let failing: Ask = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    let (empty, _) = names(&[&[]]);
    for ask in [failing, empty] {
        let endpoint = Endpoint::asking(by_name(&peer), ask).unwrap();
        let delivered = endpoint.deliver(&MESSAGE).await;
        assert_eq!(delivered, Delivered::Unreachable(Reason::Dns));
    }
}

#[tokio::test]
async fn a_name_server_that_never_answers_is_a_timeout() {
    let peer = Peer::start(Vec::new()).await;
    let silent: Ask = Arc::new(|_| Box::pin(std::future::pending()));
    let mut settings = by_name(&peer);
    settings.request_timeout_ms = 200;
    let endpoint = Endpoint::asking(settings, silent).unwrap();
    let delivered = endpoint.deliver(&MESSAGE).await;
    assert_eq!(delivered, Delivered::Unreachable(Reason::Timeout));
}

#[test]
fn reasons_have_different_names_and_an_endpoint_does_not_print_its_url() {
    let names: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());

    let settings = Settings {
        name: "shop".to_owned(),
        url: Url::parse("https://receiver.example/hidden?key=hidden").unwrap(),
        secrets: secrets(&[HMAC]),
        allow_private_addresses: false,
        ca_file: None,
        request_timeout_ms: 5_000,
        connect_timeout_ms: 1_000,
    };
    let before = format!("{settings:?}");
    let endpoint = Endpoint::new(settings).unwrap();
    assert_eq!(endpoint.name(), "shop");
    assert!(!format!("{before} {endpoint:?}").contains("hidden"));
}
