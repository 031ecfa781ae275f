//! Which addresses are public: the only ones that a webhook may go to unless its operator says so.
//!
//! A receiver's URL is an outsider's word. If it could name an address of our own network, the
//! sender would be a way into it (server-side request forgery): to a cloud's metadata service, a
//! database, an unguarded internal plane. Tables: IANA's special-purpose address registries
//! (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not public.
const NOT_PUBLIC_V4: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),       // this network, RFC 791
    ([10, 0, 0, 0], 8),      // private, RFC 1918
    ([100, 64, 0, 0], 10),   // carrier-grade NAT, RFC 6598
    ([127, 0, 0, 0], 8),     // loopback, RFC 1122
    ([169, 254, 0, 0], 16),  // link-local, and the clouds' metadata services, RFC 3927
    ([172, 16, 0, 0], 12),   // private, RFC 1918
    ([192, 0, 0, 0], 24),    // protocol assignments, RFC 6890
    ([192, 0, 2, 0], 24),    // documentation, RFC 5737
    ([192, 88, 99, 0], 24),  // 6to4 relays, RFC 7526
    ([192, 168, 0, 0], 16),  // private, RFC 1918
    ([198, 18, 0, 0], 15),   // benchmarks, RFC 2544
    ([198, 51, 100, 0], 24), // documentation, RFC 5737
    ([203, 0, 113, 0], 24),  // documentation, RFC 5737
    ([224, 0, 0, 0], 4),     // multicast, RFC 5771
    ([240, 0, 0, 0], 4),     // reserved, and broadcast, RFC 1112 and RFC 919
];

/// Global unicast (RFC 4291): what lies outside is loopback, unspecified, link-local, site-local,
/// unique-local, multicast, discard-only, local NAT64 or not assigned.
const GLOBAL_UNICAST_V6: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// IPv6 networks within global unicast that are not public.
const NOT_PUBLIC_V6: [([u16; 8], u32); 3] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments: Teredo, ORCHID, benchmarks, RFC 2928
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), // documentation, RFC 3849
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation, RFC 9637
];

/// Whether everybody may be sent there.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|&(network, prefix_bits)| {
        let mask = u32::MAX.checked_shl(u32::BITS.saturating_sub(prefix_bits));
        u32::from(address) & mask.unwrap_or(0) == u32::from(Ipv4Addr::from(network))
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |(network, prefix_bits): ([u16; 8], u32)| {
        let mask = u128::MAX.checked_shl(u128::BITS.saturating_sub(prefix_bits));
        u128::from(address) & mask.unwrap_or(0) == u128::from(Ipv6Addr::from(network))
    };
    within(GLOBAL_UNICAST_V6) && !NOT_PUBLIC_V6.into_iter().any(within)
}

/// The IPv4 address at which a packet to an IPv6 address ends: IPv4-mapped (RFC 4291), through the
/// well-known NAT64 prefix (RFC 6052) or 6to4 (RFC 3056). A network that translates under a prefix
/// of its own cannot be known from outside; whoever runs one has to filter at its translator.
const fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}
