//! Stripe's settings: `[accounts.NAME.processor.stripe]`.
//!
//! Stripe's limits hold for an account, whoever calls, and processes do not ask each other. So each
//! plane has a share of its own, and the defaults of both stay within what Stripe publishes
//! (<https://docs.stripe.com/rate-limits>). Raise them when Stripe has raised the account's.

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Refused, https};
use crate::processor::{
    STRIPE_ENDPOINT_REQUESTS_PER_S_MAX, STRIPE_LIVE_REQUESTS_PER_S_MAX,
    STRIPE_TEST_REQUESTS_PER_S_MAX,
};
use crate::token::Environment;

/// Stripe's settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StripeSettings {
    /// Base URL of the API; https only.
    #[serde(default = "defaults::stripe_base_url", deserialize_with = "https")]
    pub base_url: Url,
    /// A restricted key (`rk_…`) that may make `PaymentMethod`s and `SetupIntent`s, and `Token`s where
    /// security codes of saved cards are collected: the capture plane.
    #[schemars(with = "Option<String>")]
    pub capture_key_file: Option<RelativePathBuf>,
    /// The key that may charge: the internal plane only.
    #[schemars(with = "Option<String>")]
    pub internal_key_file: Option<RelativePathBuf>,
    /// Secrets (`whsec_…`) of the endpoint that receives Stripe's webhook events; two while one
    /// replaces the other: the capture plane. Without any, no event is accepted.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub webhook_secret_files: Vec<RelativePathBuf>,
    /// Certificate authorities to trust instead of the machine's, PEM.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<RelativePathBuf>,
    /// Base64 of the SHA-256 of public keys (`SubjectPublicKeyInfo`, RFC 7469) one of which must be
    /// in the chain that the processor sends. Name a second one that is not in use yet: otherwise
    /// no card is accepted once the processor changes its key.
    #[serde(default)]
    pub spki_sha256_pins: Vec<String>,
    /// Connected account to act for (`Stripe-Account`).
    pub account: Option<String>,
    /// Milliseconds for one request with its response.
    #[serde(default = "defaults::processor_request_timeout_ms")]
    pub request_timeout_ms: u32,
    /// Milliseconds for establishing a connection.
    #[serde(default = "defaults::processor_connect_timeout_ms")]
    pub connect_timeout_ms: u32,
    /// Idle connections kept.
    #[serde(default = "defaults::processor_pool_idle_connections_max")]
    pub pool_idle_connections_max: usize,
    /// Requests that this process's capture plane makes in any second. The default is half of
    /// Stripe's limit for an account. If several processes run the plane, divide it among them.
    #[schemars(extend("x-default" = "`50` live, `12` test"))]
    pub capture_requests_per_s_max: Option<u32>,
    /// Requests that this process's internal plane makes in any second. The default is the other
    /// half. If several processes run the plane, divide it among them.
    #[schemars(extend("x-default" = "`50` live, `13` test"))]
    pub internal_requests_per_s_max: Option<u32>,
    /// Requests in any second to one Stripe endpoint, both planes together.
    #[serde(default = "defaults::endpoint_requests_per_s_max")]
    pub endpoint_requests_per_s_max: u32,
    /// Requests of a plane in flight at one time; reduced for a while when Stripe reports overload.
    #[serde(default = "defaults::requests_in_flight_max")]
    pub requests_in_flight_max: u32,
    /// Requests of a plane that wait for their turn.
    #[serde(default = "defaults::waiting_requests_max")]
    pub waiting_requests_max: usize,
    /// Milliseconds that a request waits for its turn.
    #[serde(default = "defaults::wait_ms_max")]
    pub wait_ms_max: u32,
    /// Consecutive failures (unreachable, timeout, server error) after which the circuit breaker
    /// opens.
    #[serde(default = "defaults::breaker_failures_in_a_row_max")]
    pub breaker_failures_in_a_row_max: u32,
    /// Milliseconds for which the breaker stays open before one request probes. Callers that are
    /// refused get `Retry-After: 5`.
    #[serde(default = "defaults::breaker_open_ms")]
    pub breaker_open_ms: u32,
}

impl StripeSettings {
    /// The capture plane's requests in any second.
    #[must_use]
    pub fn capture_per_s(&self, environment: Environment) -> u32 {
        let half = account_per_s(environment) / 2;
        self.capture_requests_per_s_max.unwrap_or(half)
    }

    /// The internal plane's requests in any second.
    #[must_use]
    pub fn internal_per_s(&self, environment: Environment) -> u32 {
        let account = account_per_s(environment);
        let rest = account.saturating_sub(account / 2);
        self.internal_requests_per_s_max.unwrap_or(rest)
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        for (name, value) in [
            (
                "capture_requests_per_s_max",
                self.capture_requests_per_s_max.unwrap_or(1),
            ),
            (
                "internal_requests_per_s_max",
                self.internal_requests_per_s_max.unwrap_or(1),
            ),
            (
                "endpoint_requests_per_s_max",
                self.endpoint_requests_per_s_max,
            ),
            ("requests_in_flight_max", self.requests_in_flight_max),
            (
                "breaker_failures_in_a_row_max",
                self.breaker_failures_in_a_row_max,
            ),
        ] {
            if value == 0 {
                let why = format!("{name} of a processor must be at least 1");
                return Err(Refused::Inconsistent(why));
            }
        }
        Ok(())
    }
}

const fn account_per_s(environment: Environment) -> u32 {
    match environment {
        Environment::Live => STRIPE_LIVE_REQUESTS_PER_S_MAX,
        Environment::Test => STRIPE_TEST_REQUESTS_PER_S_MAX,
    }
}

mod defaults {
    use url::Url;

    #[expect(clippy::expect_used, reason = "a constant, and tested")]
    pub(super) fn stripe_base_url() -> Url {
        Url::parse("https://api.stripe.com").expect("a URL")
    }

    pub(super) const fn processor_request_timeout_ms() -> u32 {
        30_000
    }

    pub(super) const fn processor_connect_timeout_ms() -> u32 {
        5_000
    }

    pub(super) const fn processor_pool_idle_connections_max() -> usize {
        64
    }

    pub(super) const fn endpoint_requests_per_s_max() -> u32 {
        super::STRIPE_ENDPOINT_REQUESTS_PER_S_MAX
    }

    pub(super) const fn requests_in_flight_max() -> u32 {
        128
    }

    pub(super) const fn waiting_requests_max() -> usize {
        1_024
    }

    pub(super) const fn wait_ms_max() -> u32 {
        5_000
    }

    pub(super) const fn breaker_failures_in_a_row_max() -> u32 {
        10
    }

    pub(super) const fn breaker_open_ms() -> u32 {
        5_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    fn read(text: &str) -> StripeSettings {
        Figment::new().merge(Toml::string(text)).extract().unwrap()
    }

    #[test]
    fn both_planes_by_default_ask_no_more_than_stripe_takes_from_an_account() {
        let settings = read("");
        for (environment, shares, most) in [
            (Environment::Live, (50, 50), 100),
            (Environment::Test, (12, 13), 25),
        ] {
            let capture = settings.capture_per_s(environment);
            let internal = settings.internal_per_s(environment);
            assert_eq!((capture, internal), shares);
            assert_eq!(capture + internal, most);
        }
        assert!(settings.check().is_ok());
    }

    #[test]
    fn a_share_is_what_the_configuration_says() {
        let settings = read("capture_requests_per_s_max = 7\ninternal_requests_per_s_max = 9");
        assert_eq!(settings.capture_per_s(Environment::Live), 7);
        assert_eq!(settings.internal_per_s(Environment::Live), 9);
    }

    #[test]
    fn a_limit_of_nothing_is_refused_by_name() {
        for name in [
            "capture_requests_per_s_max",
            "internal_requests_per_s_max",
            "endpoint_requests_per_s_max",
            "requests_in_flight_max",
            "breaker_failures_in_a_row_max",
        ] {
            let refused = read(&format!("{name} = 0")).check().unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }
}
