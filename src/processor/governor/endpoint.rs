//! Which of Stripe's endpoints a call is for.
//!
//! Stripe counts each named operation as an endpoint of its own, whatever id is in its path:
//! `POST /v1/payment_intents` and `GET /v1/payment_intents/{id}` are two
//! (<https://docs.stripe.com/rate-limits>). Names are taken from lists, so that there are only so
//! many, whatever a path may hold.

use hyper::Method;

use crate::telemetry::Plane;

const RESOURCES: [&str; 6] = [
    "customers",
    "disputes",
    "payment_intents",
    "payment_methods",
    "refunds",
    "setup_intents",
];
const ACTIONS: [&str; 5] = ["attach", "cancel", "capture", "confirm", "detach"];
const OTHER: &str = "other";

/// One named operation of Stripe's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::processor) struct Endpoint {
    resource: &'static str,
    operation: &'static str,
}

impl Endpoint {
    /// The endpoint of a request.
    pub(in crate::processor) fn of(method: &Method, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let mut parts = path.trim_start_matches("/v1/").split('/');
        let resource = known(&RESOURCES, parts.next());
        let reads = *method == Method::GET;
        let operation = match (parts.next(), parts.next()) {
            (None, _) if reads => "list",
            (None, _) => "create",
            (Some("search"), None) if reads => "search",
            (Some(_), None) if reads => "retrieve",
            (Some(_), None) => "update",
            (Some(_), Some(_)) if reads => OTHER,
            (Some(_), action) => known(&ACTIONS, action),
        };
        Self {
            resource,
            operation,
        }
    }

    /// Whether it searches, for which Stripe has a limit of its own.
    pub(super) fn is_search(self) -> bool {
        self.operation == "search"
    }

    /// The plane that makes most of its calls, where both planes call it.
    pub(super) fn mostly_of(self) -> Option<Plane> {
        match (self.resource, self.operation) {
            // Every card that is taken in against every PaymentMethod that is attached.
            ("setup_intents", "create") => Some(Plane::Capture),
            // Reading and forgetting against the clearing away of what a lost race left behind.
            ("setup_intents" | "payment_methods", "retrieve") | ("payment_methods", "detach") => {
                Some(Plane::Internal)
            }
            _ => None,
        }
    }
}

fn known(names: &[&'static str], name: Option<&str>) -> &'static str {
    let found = names.iter().find(|known| Some(**known) == name);
    found.copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_operation_is_an_endpoint_whatever_its_id() {
        for (method, path, resource, operation) in [
            (
                Method::POST,
                "/v1/payment_methods",
                "payment_methods",
                "create",
            ),
            (
                Method::POST,
                "/v1/payment_methods/pm_1",
                "payment_methods",
                "update",
            ),
            (
                Method::POST,
                "/v1/payment_methods/pm_1/detach",
                "payment_methods",
                "detach",
            ),
            (
                Method::GET,
                "/v1/payment_intents/pi_1",
                "payment_intents",
                "retrieve",
            ),
            (
                Method::GET,
                "/v1/payment_intents/pi_2",
                "payment_intents",
                "retrieve",
            ),
            (
                Method::GET,
                "/v1/payment_intents?limit=100",
                "payment_intents",
                "list",
            ),
            (
                Method::GET,
                "/v1/payment_intents/search?query=x",
                "payment_intents",
                "search",
            ),
            (
                Method::POST,
                "/v1/payment_intents/pi_1/capture",
                "payment_intents",
                "capture",
            ),
            (Method::GET, "/v1/refunds", "refunds", "list"),
            (Method::POST, "/v1/customers", "customers", "create"),
        ] {
            let expected = Endpoint {
                resource,
                operation,
            };
            assert_eq!(Endpoint::of(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_no_list_names_is_other() {
        for (method, path) in [
            (Method::POST, "/v1/secrets/pm_4242/steal"),
            (Method::GET, "/v1/secrets/pm_4242/steal"),
        ] {
            let endpoint = Endpoint::of(&method, path);
            assert_eq!((endpoint.resource, endpoint.operation), (OTHER, OTHER));
        }
    }
}
