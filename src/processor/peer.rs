//! A processor for tests: the scripted TLS server, and the settings that reach it.

use super::{SecretKey, Settings};

pub(super) use crate::net::{Peer, Received, Reply};

impl Peer {
    /// Settings that reach this peer and trust it.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            base_url: self.url(),
            secret_key: SecretKey::parse("sk_test_peer").unwrap(),
            ca_file: Some(self.ca_file()),
            spki_pins: Vec::new(),
            request_timeout_ms: 5_000,
            connect_timeout_ms: 1_000,
            pool_idle_connections_max: 4,
            answer_bytes_max: 65_536,
            account: None,
            limits: super::governor::tests::limits(),
        }
    }
}
