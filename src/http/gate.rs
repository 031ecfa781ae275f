//! Connections that have not shown yet that they speak TLS, or who they are: few of each network,
//! and a fair end when there are too many.
//!
//! A connection costs a handshake slot only once the first bytes of a `ClientHello` are there. Who
//! opens thousands and says nothing fills its own network's places and nobody else's: when those
//! are full its oldest goes, and when all are full the oldest of whoever has the most.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::sync::Notify;

/// Milliseconds within which the first bytes of a `ClientHello` must be there.
const HELLO_WITHIN_MS: u64 = 500;
/// Milliseconds between two looks, where some bytes are there and too few.
const LOOK_MS: u64 = 10;
/// A handshake record of TLS (RFC 8446, 5.1), and in it a `ClientHello` (4.1.1).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// A plane's gate, shared by its workers.
#[derive(Debug)]
pub(super) struct Gate {
    of_a_network_max: usize,
    all_max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    count: usize,
    networks: HashMap<IpAddr, VecDeque<(u64, Arc<Notify>)>>,
}

/// A place at the gate, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    network: IpAddr,
    id: u64,
    end: Arc<Notify>,
}

impl Gate {
    pub(super) fn new(of_a_network_max: usize, all_max: usize) -> Arc<Self> {
        Arc::new(Self {
            of_a_network_max,
            all_max,
            waiting: Mutex::default(),
        })
    }

    /// Gives a place to a new connection; another's may end for it.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Place {
        let network = network(address);
        let end = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = waiting.networks.get(&network).map_or(0, VecDeque::len);
        if of_network >= self.of_a_network_max {
            waiting.end_oldest(network);
        } else if waiting.count >= self.all_max {
            let lines = waiting.networks.iter();
            let longest = lines.max_by_key(|(_, line)| line.len());
            if let Some(network) = longest.map(|(network, _)| *network) {
                waiting.end_oldest(network);
            }
        }
        let id = waiting.next;
        waiting.next = id.wrapping_add(1);
        waiting.count = waiting.count.saturating_add(1);
        let line = waiting.networks.entry(network).or_default();
        line.push_back((id, Arc::clone(&end)));
        Place {
            gate: Arc::clone(self),
            network,
            id,
            end,
        }
    }
}

impl Waiting {
    fn end_oldest(&mut self, network: IpAddr) {
        let oldest = self.networks.get_mut(&network);
        if let Some((_, end)) = oldest.and_then(VecDeque::pop_front) {
            self.count = self.count.saturating_sub(1);
            end.notify_one();
        }
    }

    fn leave(&mut self, network: IpAddr, id: u64) {
        let Some(line) = self.networks.get_mut(&network) else {
            return;
        };
        let before = line.len();
        line.retain(|(other, _)| *other != id);
        self.count = self.count.saturating_sub(before.saturating_sub(line.len()));
        if line.is_empty() {
            self.networks.remove(&network);
        }
    }
}

impl Place {
    /// Ready when the place was given to somebody else.
    pub(super) fn ended(&self) -> Arc<Notify> {
        Arc::clone(&self.end)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self
            .gate
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.leave(self.network, self.id);
    }
}

/// The address, or the /64 that one household has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Waits for the first bytes of a `ClientHello`, and takes none of them.
///
/// # Errors
/// Where they do not come in time, or are something else.
pub(super) async fn hello(stream: &TcpStream) -> io::Result<()> {
    let peeked = async {
        let mut bytes = [0_u8; 6];
        loop {
            let count = stream.peek(&mut bytes).await?;
            match bytes.get(..count).unwrap_or_default() {
                [HANDSHAKE, _, _, _, _, CLIENT_HELLO] => return Ok(()),
                [HANDSHAKE, rest @ ..] if rest.len() < 5 && count > 0 => {
                    tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    };
    let within = Duration::from_millis(HELLO_WITHIN_MS);
    tokio::time::timeout(within, peeked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, last, 0, 0, 0, 1))
    }

    async fn has_ended(place: &Place) -> bool {
        let ended = place.ended();
        tokio::time::timeout(Duration::ZERO, ended.notified())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn who_fills_the_gate_ends_its_own_and_nobody_elses() {
        let gate = Gate::new(3, 5);
        let crowd: Vec<_> = (0..4).map(|_| gate.enter(address(1))).collect();
        assert!(has_ended(&crowd[0]).await, "its oldest");
        assert!(!has_ended(&crowd[1]).await);
        let honest = [gate.enter(address(2)), gate.enter(address(3))];
        // Five wait: the next ends the oldest of whoever has the most.
        let late = gate.enter(address(4));
        assert!(has_ended(&crowd[1]).await);
        for place in honest.iter().chain([&late, &crowd[2], &crowd[3]]) {
            assert!(!has_ended(place).await);
        }
        drop((crowd, honest, late));
        let waiting = gate.waiting.lock().unwrap();
        assert_eq!((waiting.count, waiting.networks.len()), (0, 0));
    }

    #[test]
    fn a_household_is_one_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:9::"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
