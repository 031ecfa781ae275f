//! Faults a test asks for: slow, silent, cut, failing.

use serde::Deserialize;

/// Staged faults waiting to strike.
const FAULTS_MAX: usize = 1_000;
/// How long a hanging request hangs when nothing else is said; then the connection is cut.
const HANG_MS: u64 = 600_000;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Executed and answered `delay_ms` later; an idempotency key is in use meanwhile.
    Delay,
    /// Never answered: the connection is cut after `delay_ms`.
    Hang,
    /// The connection is cut; nothing was executed.
    CutBefore,
    /// Executed, then the connection is cut without an answer.
    CutAfter,
    /// Answered with `status`.
    Status,
}

/// One order: the next `times` requests to `path` meet `fault`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// A path whose segments may be `*`: `/v1/payment_intents/*/confirm`.
    path: String,
    /// Only this method; any when absent.
    #[serde(default)]
    method: Option<String>,
    #[serde(default = "once")]
    times: u32,
    #[serde(rename = "fault")]
    pub(super) kind: Kind,
    #[serde(default = "server_error")]
    pub(super) status: u16,
    #[serde(default)]
    delay_ms: Option<u64>,
    #[serde(default)]
    pub(super) retry_after_s: Option<u32>,
    #[serde(default)]
    pub(super) should_retry: Option<bool>,
    /// `hang` and `status`: the request is executed first.
    #[serde(default)]
    pub(super) after_execution: bool,
    /// A 5xx is the idempotency key's answer from then on, as it is at Stripe; `false` leaves the
    /// key to what was really executed. A 400 is kept where this is `true`.
    #[serde(default)]
    kept: Option<bool>,
}

const fn once() -> u32 {
    1
}
const fn server_error() -> u16 {
    500
}

impl Fault {
    pub(super) fn delay_ms(&self) -> u64 {
        let default = if self.kind == Kind::Hang { HANG_MS } else { 0 };
        self.delay_ms.unwrap_or(default)
    }

    /// Whether it is the answer of the request's key from then on.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.unwrap_or(self.status >= 500)
    }

    pub(super) const fn is_possible(&self) -> bool {
        self.status >= 400 && self.status <= 599 && self.times > 0
    }

    fn strikes(&self, method: &str, path: &str) -> bool {
        let mut wanted = self.path.split('/');
        let mut given = path.split('/');
        let path_matches = loop {
            match (wanted.next(), given.next()) {
                (None, None) => break true,
                (Some(want), Some(have)) if want == "*" || want == have => {}
                _ => break false,
            }
        };
        let method_matches = self.method.as_deref().is_none_or(|want| want == method);
        path_matches && method_matches
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    staged: Vec<Fault>,
    /// Requests that have met a fault since the start: whoever staged one can wait for it.
    pub(super) struck: u64,
}

impl Faults {
    /// Adds an order; false when there are too many already.
    pub(super) fn stage(&mut self, fault: Fault) -> bool {
        let room = self.staged.len() < FAULTS_MAX;
        if room {
            self.staged.push(fault);
        }
        room
    }

    pub(super) fn clear(&mut self) {
        self.staged.clear();
    }

    pub(super) fn waiting(&self) -> usize {
        self.staged.len()
    }

    /// The fault that this request meets, oldest order first.
    pub(super) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let place = self.staged.iter().position(|f| f.strikes(method, path))?;
        let fault = self.staged.get_mut(place)?;
        fault.times = fault.times.saturating_sub(1);
        let struck = fault.clone();
        if struck.times == 0 {
            self.staged.remove(place);
        }
        self.struck = self.struck.saturating_add(1);
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_path_as_often_as_it_was_told() {
        let order = r#"{"path":"/v1/payment_intents/*/confirm","times":2,"fault":"hang"}"#;
        let mut faults = Faults::default();
        assert!(faults.stage(serde_json::from_str(order).unwrap()));
        assert!(faults.take("POST", "/v1/payment_intents").is_none());
        assert!(
            faults
                .take("POST", "/v1/payment_intents/x/capture")
                .is_none()
        );
        for _ in 0..2 {
            assert!(
                faults
                    .take("POST", "/v1/payment_intents/x/confirm")
                    .is_some()
            );
        }
        assert!(
            faults
                .take("POST", "/v1/payment_intents/x/confirm")
                .is_none()
        );
        assert_eq!((faults.waiting(), faults.struck), (0, 2));
    }
}
