//! `RateLimit` and `RateLimit-Policy`: what is left to a client of the internal plane before a rule
//! stops it (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! They stand on a response once four fifths are used up, and say what the caller may know of itself:
//! nothing of other clients, nor of rules that count shoppers. On a 429 whose reason is such a rule,
//! `t` is what `Retry-After` says.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::peer::Peer;
use super::{Plane, PlaneName};
use crate::watch::Allowance;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Puts the fields on a response of the internal plane, where there is anything to tell.
pub(super) fn tell(plane: &Plane, response: &mut ServiceResponse<BoxBody>) {
    let is_refused = matches!(
        response.status(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    );
    let (PlaneName::Internal, Some(common), false) = (plane.name, &plane.common, is_refused) else {
        return;
    };
    let peer = response.request().conn_data::<Peer>();
    let Some(client) = peer.and_then(|peer| plane.clients.find(peer.names())) else {
        return;
    };
    let mut allowances = common.watch.allowances(&client.san, plane.clock.now());
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let used_up = allowances.iter_mut().filter(|one| one.remaining == 0);
        for allowance in used_up {
            allowance.reset_s = retry_after_s.unwrap_or(allowance.reset_s);
        }
    }
    let fields = [
        (RATELIMIT_POLICY, list(&allowances, policy)),
        (RATELIMIT, list(&allowances, limit)),
    ];
    for (name, value) in fields {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn list(allowances: &[Allowance], item: fn(&Allowance) -> String) -> String {
    let items: Vec<String> = allowances.iter().map(item).collect();
    items.join(", ")
}

/// A Quota Policy Item (section 3.1).
fn policy(allowance: &Allowance) -> String {
    let Allowance {
        policy,
        quota,
        window_s,
        ..
    } = allowance;
    format!("\"{policy}\";q={quota};w={window_s}")
}

/// A Service Limit Item (section 4.1).
fn limit(allowance: &Allowance) -> String {
    let Allowance {
        policy,
        remaining,
        reset_s,
        ..
    } = allowance;
    format!("\"{policy}\";r={remaining};t={reset_s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_lists_of_strings_with_integers() {
        let allowances = [("opens", 20_000, 3_600), ("sessions", 6_000, 60)];
        let allowances = allowances.map(|(policy, quota, window_s)| Allowance {
            policy,
            quota,
            window_s,
            remaining: 7,
            reset_s: 30,
        });
        assert_eq!(
            list(&allowances, policy),
            "\"opens\";q=20000;w=3600, \"sessions\";q=6000;w=60"
        );
        assert_eq!(
            list(&allowances, limit),
            "\"opens\";r=7;t=30, \"sessions\";r=7;t=30"
        );
        assert_eq!(list(&[], limit), "");
    }
}
