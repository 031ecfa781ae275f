//! What there is at most of everything, each with its unit in its name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Refused;

/// What there is at most of everything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Worker threads of each plane.
    pub workers: usize,
    /// Open connections of a plane; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// TLS handshakes in progress on one worker of a plane.
    pub handshakes_max: usize,
    /// Connections of one IPv4 address, or one /64 of IPv6, before the handshake is complete; the
    /// oldest is closed for the next.
    pub unauthenticated_of_a_network_max: usize,
    /// Such connections of a plane in total; the oldest of the network that has the most is closed
    /// for the next.
    pub unauthenticated_max: usize,
    /// Milliseconds for a TLS handshake.
    pub tls_handshake_timeout_ms: u64,
    /// Milliseconds for the head of a request.
    pub request_head_timeout_ms: u64,
    /// Milliseconds for the body of a request.
    pub request_body_timeout_ms: u64,
    /// Bytes of all header names and values of a request.
    pub request_headers_bytes_max: usize,
    /// Bytes of a body on the capture plane.
    pub card_body_bytes_max: usize,
    /// Bytes of a webhook event of the processor. A dispute's evidence alone may have 150,000
    /// characters and is in each of its events.
    pub notice_body_bytes_max: usize,
    /// Bytes of a body on the internal plane.
    pub json_body_bytes_max: usize,
    /// Seconds that an idle connection of the internal and ops planes is kept.
    pub keep_alive_s: u64,
    /// Seconds between announcing a stop, by readiness and `Connection: close`, and the stop
    /// itself: longer than a balancer needs to notice.
    pub drain_s: u32,
    /// Seconds that a stop waits for requests in flight.
    pub shutdown_timeout_s: u64,
    /// Attempts to turn a card into a token that one capture session allows.
    pub session_attempts_max: u32,
    /// Seconds that a capture session may live.
    pub session_lifetime_s_max: u32,
    /// Seconds that an idempotency key is remembered, at least 90,000; the contract promises a day.
    pub idempotency_key_lifetime_s: u32,
    /// Operations waiting for the store's writer.
    pub store_queue_operations_max: u32,
    /// Operations that share one commit.
    pub store_batch_operations_max: u32,
    /// Connections that read the store.
    pub store_readers_max: u32,
    /// Milliseconds after which another process takes over the work of a dead one. A live process
    /// renews its lease however long the processor takes.
    pub work_lease_ms: u32,
    /// Charges in flight to the processor at one time.
    pub charges_in_flight_max: usize,
    /// Reports of abuse or an incident accepted within an hour from one address, or one /64 of
    /// IPv6.
    pub reports_of_an_address_per_hour_max: u32,
    /// Reports of which the operator is alerted within an hour; ten times as many are kept.
    pub reports_per_hour_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 4_096,
            handshakes_max: 256,
            unauthenticated_of_a_network_max: 2_048,
            unauthenticated_max: 4_096,
            tls_handshake_timeout_ms: 3_000,
            request_head_timeout_ms: 5_000,
            request_body_timeout_ms: 10_000,
            request_headers_bytes_max: 16_384,
            card_body_bytes_max: 8_192,
            notice_body_bytes_max: 524_288,
            json_body_bytes_max: 32_768,
            keep_alive_s: 75,
            drain_s: 5,
            shutdown_timeout_s: 30,
            session_attempts_max: 5,
            session_lifetime_s_max: 86_400,
            idempotency_key_lifetime_s: 172_800,
            store_queue_operations_max: 4_096,
            store_batch_operations_max: 128,
            store_readers_max: 4,
            work_lease_ms: 8_000,
            charges_in_flight_max: 1_024,
            reports_of_an_address_per_hour_max: 5,
            reports_per_hour_max: 100,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Refused> {
        let at_least = |name: &str, value: u64, least: u64| {
            if value >= least {
                Ok(())
            } else {
                Err(Refused::Inconsistent(format!(
                    "limits.{name} is at least {least}"
                )))
            }
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        at_least("workers", count(self.workers), 1)?;
        at_least("connections_max", count(self.connections_max), 1)?;
        at_least("handshakes_max", count(self.handshakes_max), 1)?;
        let of_a_network = count(self.unauthenticated_of_a_network_max);
        at_least("unauthenticated_of_a_network_max", of_a_network, 1)?;
        at_least("unauthenticated_max", count(self.unauthenticated_max), 1)?;
        at_least(
            "card_body_bytes_max",
            count(self.card_body_bytes_max),
            1_024,
        )?;
        at_least(
            "notice_body_bytes_max",
            count(self.notice_body_bytes_max),
            16_384,
        )?;
        at_least(
            "json_body_bytes_max",
            count(self.json_body_bytes_max),
            1_024,
        )?;
        at_least("session_attempts_max", self.session_attempts_max.into(), 1)?;
        at_least(
            "session_lifetime_s_max",
            self.session_lifetime_s_max.into(),
            60,
        )?;
        // The contract: keys live at least a day; and longer than the processor remembers its own.
        at_least(
            "idempotency_key_lifetime_s",
            self.idempotency_key_lifetime_s.into(),
            90_000,
        )?;
        at_least(
            "store_queue_operations_max",
            self.store_queue_operations_max.into(),
            1,
        )?;
        at_least(
            "store_batch_operations_max",
            self.store_batch_operations_max.into(),
            1,
        )?;
        at_least("store_readers_max", self.store_readers_max.into(), 1)?;
        at_least("work_lease_ms", self.work_lease_ms.into(), 1_000)?;
        at_least(
            "charges_in_flight_max",
            count(self.charges_in_flight_max),
            1,
        )
    }
}
