//! The governor's limits, and what of them each endpoint gets.
//!
//! From Stripe's document on rate limits (<https://docs.stripe.com/rate-limits>), for each account:
//!
//! | what | limit |
//! | --- | --- |
//! | all requests, live mode | 100 a second |
//! | all requests, sandbox and test mode | 25 a second |
//! | each endpoint, unless it has a limit of its own | 25 a second |
//! | search | 20 a second |
//! | updates of one PaymentIntent | 1,000 an hour |
//! | requests at one time | a limit that is not published; met with 429 |
//!
//! Nothing here counts updates of one PaymentIntent: a charge makes a handful, each under a key of
//! its own.

use crate::telemetry::{Metrics, Plane};

use super::endpoint::Endpoint;

/// Requests a second that Stripe takes from one account in live mode.
pub const STRIPE_LIVE_REQUESTS_PER_S_MAX: u32 = 100;
/// Requests a second that Stripe takes from one account in test mode and in a sandbox.
pub const STRIPE_TEST_REQUESTS_PER_S_MAX: u32 = 25;
/// Requests a second that Stripe takes at one endpoint, where it says nothing else.
pub const STRIPE_ENDPOINT_REQUESTS_PER_S_MAX: u32 = 25;
/// Requests a second that Stripe takes for searching.
const STRIPE_SEARCHES_PER_S_MAX: u32 = 20;
/// Of an endpoint that both planes call, the plane that calls it seldom gets this part, as a
/// divisor, and the other plane the rest.
const SELDOM_SHARE: u32 = 5;

/// How much is asked of a processor at most, by one plane for one account.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The plane on whose behalf the calls are made.
    pub plane: Plane,
    /// Requests in any second.
    pub requests_per_s_max: u32,
    /// Requests in any second at one endpoint, both planes together.
    pub endpoint_requests_per_s_max: u32,
    /// Requests that are being answered at one time.
    pub requests_in_flight_max: u32,
    /// Requests that wait for their turn.
    pub waiting_requests_max: usize,
    /// Milliseconds that a request waits for its turn.
    pub wait_ms_max: u32,
    /// Failures in a row after which the processor is left alone.
    pub failures_in_a_row_max: u32,
    /// Milliseconds for which it is left alone.
    pub open_ms: u32,
    /// Where waiting and refused requests are counted.
    pub metrics: Option<Metrics>,
}

impl Limits {
    /// Requests in any second at that endpoint.
    pub(super) fn per_s_max(&self, endpoint: Endpoint) -> u32 {
        let whole = if endpoint.is_search() {
            let searches = STRIPE_SEARCHES_PER_S_MAX;
            self.endpoint_requests_per_s_max.min(searches)
        } else {
            self.endpoint_requests_per_s_max
        };
        let seldom = whole / SELDOM_SHARE;
        match endpoint.mostly_of() {
            None => whole,
            Some(plane) if plane == self.plane => whole.saturating_sub(seldom),
            Some(_) => seldom,
        }
        .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;
    use hyper::Method;

    #[test]
    fn what_both_planes_get_of_an_endpoint_they_share_is_not_more_than_stripe_takes() {
        let plane = |plane| Limits {
            plane,
            endpoint_requests_per_s_max: STRIPE_ENDPOINT_REQUESTS_PER_S_MAX,
            ..limits()
        };
        let (capture, internal) = (plane(Plane::Capture), plane(Plane::Internal));
        for (method, path, expected) in [
            (Method::POST, "/v1/setup_intents", (20, 5)),
            (Method::GET, "/v1/setup_intents/seti_1", (5, 20)),
            (Method::GET, "/v1/payment_methods/pm_1", (5, 20)),
            (Method::POST, "/v1/payment_methods/pm_1/detach", (5, 20)),
        ] {
            let endpoint = Endpoint::of(&method, path);
            let shares = (capture.per_s_max(endpoint), internal.per_s_max(endpoint));
            assert_eq!(shares, expected, "{path}");
        }
    }

    #[test]
    fn an_endpoint_of_one_plane_gets_the_whole_and_a_search_what_searches_get() {
        let limits = Limits {
            endpoint_requests_per_s_max: 25,
            ..limits()
        };
        for (path, expected) in [("/v1/payment_intents", 25), ("/v1/refunds/search", 20)] {
            let endpoint = Endpoint::of(&Method::GET, path);
            assert_eq!(limits.per_s_max(endpoint), expected);
        }
    }
}
