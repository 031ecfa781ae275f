//! Every family of addresses that is not public, at its edges and just outside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::random;
use crate::webhooks::address::is_public;

/// First and last address of each network that is not public, and whether what lies directly
/// before and behind it is public.
const V4: [(&str, &str, bool, bool); 15] = [
    ("0.0.0.0", "0.255.255.255", false, true),
    ("10.0.0.0", "10.255.255.255", true, true),
    ("100.64.0.0", "100.127.255.255", true, true),
    ("127.0.0.0", "127.255.255.255", true, true),
    ("169.254.0.0", "169.254.255.255", true, true),
    ("172.16.0.0", "172.31.255.255", true, true),
    ("192.0.0.0", "192.0.0.255", true, true),
    ("192.0.2.0", "192.0.2.255", true, true),
    ("192.88.99.0", "192.88.99.255", true, true),
    ("192.168.0.0", "192.168.255.255", true, true),
    ("198.18.0.0", "198.19.255.255", true, true),
    ("198.51.100.0", "198.51.100.255", true, true),
    ("203.0.113.0", "203.0.113.255", true, true),
    ("224.0.0.0", "239.255.255.255", true, false),
    ("240.0.0.0", "255.255.255.255", false, false),
];

/// The same for IPv6, where what is public is the exception.
const V6: [(&str, &str, bool, bool); 11] = [
    // Unspecified, loopback, IPv4-compatible, and all that was never assigned.
    ("::", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
    ("100::", "100::ffff:ffff:ffff:ffff", false, false),
    (
        "2001::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        true,
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        true,
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        true,
        true,
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        false,
        false,
    ),
];

/// The IPv6 addresses that end at `inner`: mapped, by NAT64, by 6to4.
fn ways_to(inner: Ipv4Addr) -> [Ipv6Addr; 3] {
    let [a, b, c, d] = inner.octets();
    let high = u16::from_be_bytes([a, b]);
    let low = u16::from_be_bytes([c, d]);
    [
        inner.to_ipv6_mapped(),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0x1234, 0, 0, 0, 1),
    ]
}

fn v4(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().into()
}

fn v6(text: &str) -> u128 {
    text.parse::<Ipv6Addr>().unwrap().into()
}

#[test]
fn no_address_of_a_network_that_is_not_public_is_public_from_the_first_to_the_last() {
    for (first, last, before, behind) in V4 {
        let (low, high) = (v4(first), v4(last));
        let step = ((high - low) / 1_000).max(1);
        for address in (low..=high)
            .step_by(usize::try_from(step).unwrap())
            .chain([high])
        {
            assert!(!is_public(Ipv4Addr::from(address).into()), "{address:#x}");
        }
        if let Some(address) = low.checked_sub(1) {
            assert_eq!(is_public(Ipv4Addr::from(address).into()), before, "{first}");
        }
        if let Some(address) = high.checked_add(1) {
            assert_eq!(is_public(Ipv4Addr::from(address).into()), behind, "{last}");
        }
    }
    for (first, last, before, behind) in V6 {
        let (low, high) = (v6(first), v6(last));
        let step = (high - low) / 1_000;
        for part in 0..=1_000 {
            let address = Ipv6Addr::from(low + step * part);
            // What embeds an IPv4 address is judged by it, elsewhere.
            assert!(
                address.to_ipv4_mapped().is_some() || !is_public(address.into()),
                "{address}"
            );
        }
        assert!(!is_public(Ipv6Addr::from(high).into()), "{last}");
        if let Some(address) = low.checked_sub(1) {
            assert_eq!(is_public(Ipv6Addr::from(address).into()), before, "{first}");
        }
        // Behind the first lies the NAT64 prefix, whose first address embeds 0.0.0.0.
        if let Some(address) = high.checked_add(1) {
            assert_eq!(is_public(Ipv6Addr::from(address).into()), behind, "{last}");
        }
    }
}

#[test]
fn an_ipv6_address_that_embeds_an_ipv4_address_is_as_public_as_that() {
    for (first, last, _, _) in V4 {
        for inner in [first, last] {
            for way in ways_to(inner.parse().unwrap()) {
                assert!(!is_public(way.into()), "{way} leads to {inner}");
            }
        }
    }
    for inner in ["1.1.1.1", "8.8.8.8", "93.184.215.14", "223.255.255.255"] {
        for way in ways_to(inner.parse().unwrap()) {
            assert!(is_public(way.into()), "{way} leads to {inner}");
        }
    }
}

#[test]
fn whatever_the_standard_library_knows_to_be_special_is_not_public() {
    let mut public = 0;
    for _ in 0..200_000 {
        let mut bytes = [0; 4];
        random::fill(&mut bytes);
        let address = Ipv4Addr::from(bytes);
        let special = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_unspecified();
        let verdict = is_public(address.into());
        assert!(!(special && verdict), "{address}");
        for way in ways_to(address) {
            assert_eq!(is_public(way.into()), verdict, "{way}");
        }
        public += u32::from(verdict);
    }
    // 2^32 less what the table holds is 86 %.
    assert!((160_000..185_000).contains(&public), "{public}");

    for _ in 0..200_000 {
        let mut bytes = [0; 16];
        random::fill(&mut bytes);
        let address = Ipv6Addr::from(bytes);
        let special = address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.is_unique_local()
            || address.is_unicast_link_local();
        assert!(!(special && is_public(address.into())), "{address}");
    }
}

#[test]
fn well_known_public_addresses_are_public() {
    for address in [
        "1.1.1.1",
        "9.9.9.9",
        "100.63.255.255",
        "172.32.0.0",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2620:fe::fe",
        "64:ff9b::9.9.9.9",
    ] {
        let parsed: IpAddr = address.parse().unwrap();
        assert!(is_public(parsed), "{address}");
    }
}
