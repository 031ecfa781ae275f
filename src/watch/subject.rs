//! Whom a rule counts: an address, a network, a shop, a customer, a client. Never a card.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Letters of a client's name that are kept: rows have an end.
const CLIENT_LETTERS_MAX: usize = 250;

/// What kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// A client address; of IPv6 the /64 that one household has.
    Address,
    /// The /24 or /48 around it.
    Network,
    /// An account's page: the origin of its sessions.
    Shop,
    /// A merchant's customer.
    Customer,
    /// A merchant's customer in one network, where its name is many people's.
    CustomerNetwork,
    /// A client certificate's name.
    Client,
    /// The first digits of a card. It is no [`Subject`]: it has no text, and so no row.
    CardRange,
}

impl SubjectKind {
    const NAMED: [Self; 6] = [
        Self::Address,
        Self::Network,
        Self::Shop,
        Self::Customer,
        Self::CustomerNetwork,
        Self::Client,
    ];

    /// The name in rows and commands.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Network => "network",
            Self::Shop => "shop",
            Self::Customer => "customer",
            Self::CustomerNetwork => "customer-network",
            Self::Client => "client",
            Self::CardRange => "card range",
        }
    }
}

/// Somebody who is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    kind: SubjectKind,
    name: String,
}

impl Subject {
    /// The address, or the household, that an IP address is.
    #[must_use]
    pub fn address(ip: IpAddr) -> Self {
        let name = match plain(ip) {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("{}/64", first_bits(ip, 64)),
        };
        Self {
            kind: SubjectKind::Address,
            name,
        }
    }

    /// The network around it.
    #[must_use]
    pub fn network(ip: IpAddr) -> Self {
        let name = match plain(ip) {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                format!("{}/24", Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(ip) => format!("{}/48", first_bits(ip, 48)),
        };
        Self {
            kind: SubjectKind::Network,
            name,
        }
    }

    /// An account's page.
    #[must_use]
    pub fn shop(account: &str, origin: &str) -> Self {
        Self {
            kind: SubjectKind::Shop,
            name: format!("{account} {origin}"),
        }
    }

    /// An account's customer, by the merchant's own name for it.
    #[must_use]
    pub fn customer(account: &str, customer_ref: &str) -> Self {
        Self {
            kind: SubjectKind::Customer,
            name: format!("{account} {customer_ref}"),
        }
    }

    /// A client of the internal plane, by the name in its certificate.
    #[must_use]
    pub fn client(san: &str) -> Self {
        Self {
            kind: SubjectKind::Client,
            name: san.chars().take(CLIENT_LETTERS_MAX).collect(),
        }
    }

    /// A customer in one network.
    #[must_use]
    pub fn within(&self, network: &str) -> Option<Self> {
        (self.kind == SubjectKind::Customer).then(|| Self {
            kind: SubjectKind::CustomerNetwork,
            name: format!("{} {network}", self.name),
        })
    }

    /// The customer and the network, of a customer in one network.
    #[must_use]
    pub fn parts(&self) -> Option<(Self, &str)> {
        let (name, network) = self.name.rsplit_once(' ')?;
        (self.kind == SubjectKind::CustomerNetwork).then(|| {
            let customer = Self {
                kind: SubjectKind::Customer,
                name: name.to_owned(),
            };
            (customer, network)
        })
    }

    /// Its name, without its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// Reads a subject as it is written: `address 192.0.2.7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(' ')?;
        let kind = SubjectKind::NAMED
            .into_iter()
            .find(|known| known.name() == kind)?;
        (!name.is_empty()).then(|| Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// An IPv4 address that came as an IPv6 one is what it is.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn first_bits(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(u128::BITS.saturating_sub(bits));
    Ipv6Addr::from(u128::from(ip) & mask.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_subject_and_a_subject_is_read_back_as_it_is_written() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, address, network) in [
            ("192.0.2.7", "address 192.0.2.7", "network 192.0.2.0/24"),
            (
                "::ffff:192.0.2.7",
                "address 192.0.2.7",
                "network 192.0.2.0/24",
            ),
            (
                "2001:db8:1:2:3::4",
                "address 2001:db8:1:2::/64",
                "network 2001:db8:1::/48",
            ),
        ] {
            assert_eq!(Subject::address(ip(text)).to_string(), address);
            assert_eq!(Subject::network(ip(text)).to_string(), network);
        }
        let within = Subject::customer("default", "a b").within("192.0.2.0/24");
        let within = within.unwrap();
        let parts = (Subject::customer("default", "a b"), "192.0.2.0/24");
        assert_eq!(within.parts(), Some(parts));
        for subject in [
            within,
            Subject::address(ip("192.0.2.7")),
            Subject::shop("default", "https://shop.example"),
            Subject::customer("default", "a b"),
            Subject::client("spiffe://corp.example/billing"),
        ] {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
        }
        for text in ["", "address", "address ", "card range 1", "nobody x"] {
            assert_eq!(Subject::parse(text), None, "{text}");
        }
    }
}
